"""The command line: run, doctor, models, migrate, demo."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bot import app, doctor, logs, models, settings
from bot.domain.clock import real_time
from bot.domain.errors import EXIT_SETUP, EaselError, SetupError
from bot.storage.sqlite import open_sqlite

log = logging.getLogger("bot")


LARGE_MEMORY = 1024 * 1024
"""Bytes of a block of memory that goes back to the system when it is freed."""
_MALLOPT_MMAP_THRESHOLD = -3
"""Of glibc's mallopt(3)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the process's exit code: 0, 78 for a wrong setting, 1 for trouble."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "demo":
            return _demo(chosen)
        if chosen.command == "models":
            return _models(chosen)
        found = settings.load()
        logs.configure("WARNING" if chosen.command == "doctor" else found.log_level, found.secrets())
        if chosen.command == "doctor":
            return 0 if asyncio.run(doctor.look(found)) else 1
        _return_large_memory()
        asyncio.run({"run": app.run, "migrate": _migrate}[chosen.command](found))
    except SetupError as error:
        for line in str(error).splitlines():
            print(f"easel: {line}", file=sys.stderr)
        return EXIT_SETUP
    except EaselError as error:
        print(f"easel: {error.sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _return_large_memory() -> None:
    """Have the memory of each large picture go back to the system when it is freed.

    glibc raises the size from which it does so with the largest block that it has seen, up to 32 MB: after sixteen
    sources of 20 MB the bot kept 270 MB for good. A size that is set stays.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and gives back by itself
        if set_option is not None:
            set_option(_MALLOPT_MMAP_THRESHOLD, LARGE_MEMORY)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="easel", description="A Discord bot that paints.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the bot")
    commands.add_parser("doctor", help="check that everything is in order, and print the invite link")
    found = commands.add_parser("models", help="what can paint, where, and for how much")
    found.add_argument("names", nargs="*", metavar="MODEL", help="only these")
    instead = found.add_mutually_exclusive_group()
    instead.add_argument(
        "--check",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="check files for CATALOG_FILES, and say what they change",
    )
    instead.add_argument("--schema", action="store_true", help="print the JSON Schema of such a file, for editors")
    commands.add_parser("migrate", help="bring the database up to date")
    demo = commands.add_parser("demo", help="the bot in a simulated Discord, in your browser")
    demo.add_argument("--once", action="store_true", help="play the scene and end")
    demo.add_argument(
        "--port", type=int, default=8765, help="where the browser page is served: 8765, or 0 for any free port"
    )
    demo.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="the folder for pictures: demo-output"
    )
    return parser


def _models(chosen: argparse.Namespace) -> int:
    try:
        if chosen.schema:
            models.print_schema()
        elif chosen.check:
            models.check(chosen.check)
        else:
            models.show(settings.load_without_token(), chosen.names)
        sys.stdout.flush()
    except BrokenPipeError:  # what it is piped into, head for example, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _migrate(found: settings.Settings) -> None:
    database = await open_sqlite(found.database_url.path, real_time())
    await database.aclose()
    print("The database is up to date.")


def _demo(chosen: argparse.Namespace) -> int:
    try:
        from bot.demo import play  # the bot itself does without what the demo needs
    except ModuleNotFoundError as error:
        raise SetupError(f"The demo needs {error.name}. Use make demo, or install easel-bot[demo].") from None
    return asyncio.run(play.play(once=chosen.once, port=chosen.port, output=chosen.output))


if __name__ == "__main__":
    sys.exit(main())
