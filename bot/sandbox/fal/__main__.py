"""The command line of fal's stand-in."""

import asyncio

from bot.sandbox.fal.server import serve

if __name__ == "__main__":
    asyncio.run(serve())
