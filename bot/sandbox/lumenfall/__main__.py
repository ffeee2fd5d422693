"""The command line of Lumenfall's stand-in."""

import asyncio

from bot.sandbox.lumenfall.server import serve

if __name__ == "__main__":
    asyncio.run(serve())
