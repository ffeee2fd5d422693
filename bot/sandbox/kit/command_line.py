"""What the command lines of the stand-ins share."""

import argparse
import asyncio
import signal
from typing import Any

from bot.sandbox.kit.server import StandIn


def argument_parser(service: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every service's stand-in."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bot.sandbox.{service}", description=f"The stand-in for {service}, as its own process."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the URL is printed")
    parser.add_argument("--key", help="the one key that is accepted (default: any well-formed one)")
    parser.add_argument("--public-url", help="base of the links that the stand-in hands out")
    parser.add_argument("--picture-bytes", type=int, help="fill PNGs and JPEGs up to this size")
    parser.add_argument("--one-picture", action="store_true", help="always the same picture, painted once")
    parser.add_argument("--seed", type=int, default=0, help="for faults with a probability")
    return parser


def shared_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `StandIn` that `argument_parser` reads."""
    return {name: getattr(arguments, name) for name in ("host", "port", "key", "picture_bytes", "one_picture")}


def add_url_map(parser: argparse.ArgumentParser) -> None:
    """Add --map, for inputs on hosts that do not exist."""
    parser.add_argument("--map", action="append", default=[], metavar="FROM=TO", help="where inputs really are")


def url_map(arguments: argparse.Namespace) -> dict[str, str]:
    """The pairs of --map."""
    return dict(pair.split("=", 1) for pair in arguments.map)


async def serve_until_stopped(stand_in: StandIn, seed: int) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    stand_in.faults.reseed(seed)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with stand_in:
        print(stand_in.url, flush=True)
        await stop.wait()
