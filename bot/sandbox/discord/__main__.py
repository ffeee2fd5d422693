"""The command line of Discord's stand-in."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

from bot.sandbox.discord.server import DiscordSandbox


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; the first line of the output is JSON with the addresses."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with DiscordSandbox(host, port) as sandbox:
        addresses = {
            "base_url": sandbox.base_url,
            "api_url": sandbox.api_url,
            "gateway_url": sandbox.gateway_url,
            "application_id": sandbox.bot_id,
        }
        print(json.dumps(addresses), flush=True)
        await stop.wait()


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description="A stand-in for Discord on a local socket.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
