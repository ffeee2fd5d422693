"""The command line: load Easel and the barest bot alike, and print what came of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Load, measured
from benchmarks.processes import BOTS, Shape
from benchmarks.report import as_json, promises, rows, table, verdicts

OUTPUT = Path("bench-output")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 whatever the figures say, since machines differ, 130 after Ctrl-C."""
    chosen = _parser().parse_args(arguments)
    output = OUTPUT.absolute()
    output.mkdir(exist_ok=True)
    try:
        asyncio.run(_run(chosen, output))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--burst", type=int, default=300, help="/imagine at once")
    parser.add_argument("--bursts", type=int, default=3, help="how many bursts, the bots taking turns")
    parser.add_argument("--seconds", type=float, default=30, help="how long the stream lasts")
    parser.add_argument("--rate", type=float, default=20, help="/imagine per second of the stream")
    parser.add_argument("--picture-bytes", type=int, default=1_500_000, help="the size of each picture")
    parser.add_argument("--only", choices=BOTS, help="just one of the two bots")
    return parser


async def _run(chosen: argparse.Namespace, output: Path) -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    shape = Shape(picture_bytes=chosen.picture_bytes)
    load = Load(burst=chosen.burst, bursts=chosen.bursts, seconds=chosen.seconds, rate=chosen.rate)
    figures = await measured([chosen.only] if chosen.only else BOTS, shape, load, output)
    columns = {bot: rows(found) for bot, found in figures.items()}
    kept = promises(figures, shape.picture_bytes)
    print(_head(chosen), table(columns), verdicts(kept), sep="\n\n")
    latest = json.dumps(as_json(columns, kept, vars(chosen)), indent=2)
    await asyncio.to_thread((output / "latest.json").write_text, latest + "\n")


def _head(chosen: argparse.Namespace) -> str:
    return (
        f"{chosen.bursts} × {chosen.burst} /imagine at once, then {chosen.rate:g} a second for "
        f"{chosen.seconds:g} s, pictures of {chosen.picture_bytes / 1e6:g} MB, "
        f"{os.cpu_count()} processors for the bot and its stand-ins"
    )


if __name__ == "__main__":
    sys.exit(main())
