"""The command line: load Easel and the barest bot alike, time the HTTP client, weigh pictures, print it all."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import http, memory
from benchmarks.measure import Load, measure
from benchmarks.processes import EASEL, FLOOR, Bot, NotACheckout, StandInOptions, bot_before
from benchmarks.report import as_json, rows, table, target_lines, targets

OUTPUT = Path("bench-output")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 whatever the figures are, since machines differ, 2 for a wrong argument, 130 after Ctrl-C."""
    chosen = _parser().parse_args(arguments)
    output = OUTPUT.absolute()
    output.mkdir(exist_ok=True)
    try:
        asyncio.run(_run(chosen, _bots(chosen), output))
    except NotACheckout as error:
        print(f"--against {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; every process that was started has ended", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--burst", type=int, default=300, help="/imagine at once")
    parser.add_argument("--bursts", type=int, default=3, help="how many bursts, the bots taking turns")
    parser.add_argument("--seconds", type=float, default=30, help="how long the stream lasts")
    parser.add_argument("--rate", type=float, default=20, help="/imagine per second of the stream")
    parser.add_argument("--picture-bytes", type=int, default=1_500_000, help="the size of each picture")
    parser.add_argument(
        "--only", choices=(EASEL.name, FLOOR.name), help="load this bot alone (and the one of --against)"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="load the Easel of another checkout as well, as “before”, and show the ratio easel/before",
    )
    return parser


async def _run(chosen: argparse.Namespace, bots: Sequence[Bot], output: Path) -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    options = StandInOptions(picture_bytes=chosen.picture_bytes)
    load = Load(burst=chosen.burst, bursts=chosen.bursts, seconds=chosen.seconds, rate=chosen.rate)
    figures = await measure(bots, options, load, output)
    columns = {name: rows(found) for name, found in figures.items()}
    checked = targets(figures, options.picture_bytes)
    # Each part as it comes: the memory's takes minutes.
    print(_head(chosen), table(columns), target_lines(checked), sep="\n\n", flush=True)
    calls = await http.measured()
    print(f"\n{http.table(calls)}", flush=True)
    heavy = await memory.measured(output)
    print(f"\n{memory.table(heavy)}")
    arguments = {name: str(value) if isinstance(value, Path) else value for name, value in vars(chosen).items()}
    latest = as_json(columns, checked, arguments) | {
        "http": {row.load: row.milliseconds for row in calls},
        "memory": {row.load: {"before": row.before, "peak": row.peak} for row in heavy},
    }
    await asyncio.to_thread((output / "latest.json").write_text, json.dumps(latest, indent=2) + "\n")


def _bots(chosen: argparse.Namespace) -> list[Bot]:
    bots = [bot for bot in (EASEL, FLOOR) if chosen.only in (None, bot.name)]
    if chosen.against is not None:
        bots.insert(1, bot_before(chosen.against))
    return bots


def _head(chosen: argparse.Namespace) -> str:
    return (
        f"{chosen.bursts} × {chosen.burst} /imagine at once, then {chosen.rate:g} a second for "
        f"{chosen.seconds:g} s, pictures of {chosen.picture_bytes / 1e6:g} MB, "
        f"{os.cpu_count()} processors for the bot and its stand-ins"
    )


if __name__ == "__main__":
    sys.exit(main())
