"""The command line: run, doctor, migrate, demo."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from bot import app, logs, settings
from bot.catalog import Catalog
from bot.client import invite_link, log_in
from bot.clock import real_time
from bot.errors import EXIT_SETUP, EaselError, SetupError
from bot.storage.sqlite import open_sqlite

log = logging.getLogger("bot")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the process's exit code: 0, 78 for a wrong setting, 1 for trouble."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "demo":
            return _demo(chosen)
        found = settings.load()
        logs.configure("WARNING" if chosen.command == "doctor" else found.log_level, found.secrets())
        command = {"run": app.run, "doctor": _doctor, "migrate": _migrate}[chosen.command]
        asyncio.run(command(found))
    except SetupError as error:
        print(f"easel: {error}", file=sys.stderr)
        return EXIT_SETUP
    except EaselError as error:
        print(f"easel: {error.sentence}", file=sys.stderr)
        return 1
    except (aiohttp.ClientError, OSError) as error:
        print(f"easel: Discord cannot be reached ({type(error).__name__}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="easel", description="A Discord bot that paints.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the bot")
    commands.add_parser("doctor", help="look whether everything is in order, and print the invite link")
    commands.add_parser("migrate", help="bring the database up to date")
    demo = commands.add_parser("demo", help="the bot in a simulated Discord, in your browser")
    demo.add_argument("--once", action="store_true", help="play the scene and end")
    demo.add_argument(
        "--port", type=int, default=8765, help="where the browser page is served; 0 is any free port"
    )
    demo.add_argument("--output", type=Path, default=Path("demo-output"), help="where pictures go")
    return parser


async def _migrate(found: settings.Settings) -> None:
    database = await open_sqlite(found.database_path, real_time())
    await database.aclose()
    print("The database is up to date.")


async def _doctor(found: settings.Settings) -> None:
    """One line for each thing that was looked at."""
    for notice in Catalog.load().notices(datetime.now(UTC).date()):
        print(f"models     {notice}")
    async with app.open_app(found) as opened:
        print("settings   in order")
        print(f"database   {found.database_path}, up to date")
        await log_in(opened.client, found.discord_token)
        print(f"Discord    logged in as {opened.client.user}")
        print(f"invite     {invite_link(opened.client.application_id or 0)}")


def _demo(chosen: argparse.Namespace) -> int:
    try:
        from bot.sandbox import scene  # the bot itself does without what the demo needs
    except ModuleNotFoundError as error:
        raise SetupError(f"The demo needs {error.name}. Use make demo, or install easel-bot[demo].") from None
    return asyncio.run(scene.play(once=chosen.once, port=chosen.port, output=chosen.output))


if __name__ == "__main__":
    sys.exit(main())
