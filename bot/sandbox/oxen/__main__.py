"""The command line of Oxen's stand-in."""

import asyncio

from bot.sandbox.oxen.server import serve

if __name__ == "__main__":
    asyncio.run(serve())
