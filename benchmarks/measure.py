"""The bots' figures: bursts and a steady stream of `/imagine`, their memory and their work meanwhile."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import Shape, Stage, raised

Record = dict[str, Any]

SAMPLE_SECONDS = 0.05
QUIET_SECONDS = 3.0
"""Between two phases, so that cards are gone and leases written."""
PHASE_PATIENCE = 180.0
"""Seconds beyond its own length that a phase may take."""
OWN_FILE = re.compile(r"easel-(\d+)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a bot is asked for."""

    burst: int = 300
    bursts: int = 3
    """How often: the bots take turns, so that a busy machine meets them alike."""
    seconds: float = 30
    rate: float = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What came of one load; times in milliseconds, `seconds` from the first event to the last result."""

    asked: int
    answers: list[float]
    results: list[float]
    refused: int
    seconds: float
    processor_seconds: float
    rest: int
    peak: int

    @property
    def jobs_per_second(self) -> float:
        """Delivered pictures in each second."""
        return len(self.results) / self.seconds if self.seconds else 0.0

    @property
    def processor_ms(self) -> float:
        """Milliseconds of the bot's processor time for each delivered picture."""
        return 1000 * self.processor_seconds / max(1, len(self.results))

    @property
    def growth(self) -> int:
        """Bytes between rest and peak."""
        return self.peak - self.rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One bot's whole run."""

    at_once: int
    burst: Phase
    """All bursts as one."""
    steady: Phase
    accepted: int
    """Interactions that got a public first answer."""
    submits: int
    posts: dict[int, int]
    """Result messages with files for each interaction that has any."""

    @property
    def delivered_once(self) -> int:
        """Interactions with exactly one result message."""
        return sum(count == 1 for count in self.posts.values())

    @property
    def exactly_once(self) -> bool:
        """Whether every accepted job was submitted once and posted once."""
        return self.submits == self.accepted == self.delivered_once == len(self.posts)


@dataclass(slots=True)
class PeakMemory:
    """The highest resident memory seen, in bytes."""

    peak: int = field(default=0)


@dataclass(slots=True)
class Run:
    """One bot under way, and what came of it so far."""

    stage: Stage
    phases: list[Phase] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    async def load(self, count: int, rate: float | None, name: str) -> None:
        """One phase."""
        phase, records = await _phase(self.stage, count, rate, name)
        self.phases.append(phase)
        self.records += records

    async def figures(self, at_once: int) -> Figures:
        """The last phase is the stream, those before it are bursts."""
        return Figures(
            at_once=at_once,
            burst=_merged(self.phases[:-1]),
            steady=self.phases[-1],
            accepted=sum(record["ack_ms"] is not None and not record["ephemeral"] for record in self.records),
            submits=int((await self.stage.fal_state())["submits"]),
            posts=await _posts(self.stage),
        )


async def measured(bots: Iterable[str], shape: Shape, load: Load, output: Path) -> dict[str, Figures]:
    """Raise a stage for each bot, warm them up, and load them in turn."""
    async with AsyncExitStack() as stack:
        runs = {bot: Run(await stack.enter_async_context(raised(bot, shape, output))) for bot in bots}
        for run in runs.values():
            # One picture in each channel: what is imported and opened only once is not the load's.
            _, records = await _fire(run.stage, shape.channels, None, "warm-up", PHASE_PATIENCE)
            run.records += records
        for number in range(load.bursts):
            for bot, run in runs.items():
                print(f"{bot}: burst {number + 1} of {load.bursts}", file=sys.stderr, flush=True)
                await run.load(load.burst, None, f"burst {number}")
        for bot, run in runs.items():
            print(f"{bot}: stream", file=sys.stderr, flush=True)
            await run.load(int(load.seconds * load.rate), load.rate, "stream")
        return {bot: await run.figures(load.burst) for bot, run in runs.items()}


def _merged(phases: Sequence[Phase]) -> Phase:
    """Several as one: times together, durations added, memory from the first rest to the highest peak."""
    return Phase(
        asked=sum(phase.asked for phase in phases),
        answers=sorted(time for phase in phases for time in phase.answers),
        results=sorted(time for phase in phases for time in phase.results),
        refused=sum(phase.refused for phase in phases),
        seconds=sum(phase.seconds for phase in phases),
        processor_seconds=sum(phase.processor_seconds for phase in phases),
        rest=phases[0].rest,
        peak=max(phase.peak for phase in phases),
    )


async def _phase(stage: Stage, count: int, rate: float | None, name: str) -> tuple[Phase, list[Record]]:
    await asyncio.sleep(QUIET_SECONDS)
    rest, began = stage.process.memory_info().rss, _processor(stage.process)
    async with _watching(stage.process) as watch:
        within = PHASE_PATIENCE + (count / rate if rate else 0)
        seconds, records = await _fire(stage, count, rate, name, within)
        # What follows a result, such as the removal of its card, is part of the work.
        await asyncio.sleep(1)
    phase = Phase(
        asked=count,
        answers=_came(records, "ack_ms"),
        results=_came(records, "result_ms"),
        refused=sum(bool(record["ephemeral"]) for record in records),
        seconds=seconds,
        processor_seconds=_processor(stage.process) - began,
        rest=rest,
        peak=watch.peak,
    )
    return phase, records


async def _fire(
    stage: Stage, count: int, rate: float | None, name: str, within: float
) -> tuple[float, list[Record]]:
    """Spread interactions over all channels; the seconds until the last result, and a record for each."""
    places = min(count, len(stage.channels))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                _fire_in(
                    stage,
                    number,
                    count=count // places + (number < count % places),
                    rate=rate / places if rate else None,
                    delay=number / rate if rate else 0.0,
                    prompt=f"A lighthouse in the evening, {name} {{i}} of place {number}",
                    within=within,
                )
            )
            for number in range(places)
        ]
    reports = [task.result() for task in tasks]
    return max(report["seconds"] for report in reports), [
        record for report in reports for record in report["records"]
    ]


async def _fire_in(
    stage: Stage, place: int, *, count: int, rate: float | None, delay: float, prompt: str, within: float
) -> Record:
    await asyncio.sleep(delay)
    spec = {
        "kind": "slash",
        "channel": stage.channels[place],
        "command": "imagine",
        "options": {"prompt": prompt},
    }
    # Each place begins with another member, so that all of them ask.
    start = place * len(stage.members) // len(stage.channels)
    members = [*stage.members[start:], *stage.members[:start]]
    report = await stage.discord.burst(spec, count, members=members, rate=rate, within=within)
    return report | {"seconds": report["seconds"] + delay}


def _came(records: Sequence[Record], name: str) -> list[float]:
    return sorted(record[name] for record in records if record[name] is not None)


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def _watching(process: psutil.Process) -> AsyncIterator[PeakMemory]:
    watch = PeakMemory()

    async def sample() -> None:
        while True:
            watch.peak = max(watch.peak, process.memory_info().rss)
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(sample())
    try:
        yield watch
    finally:
        task.cancel()


async def _posts(stage: Stage) -> dict[int, int]:
    """How many messages hold the picture of each interaction, deleted ones included."""
    found: Counter[int] = Counter()
    for channel in stage.channels:
        for message in await stage.discord.messages(channel, deleted=True):
            names = [OWN_FILE.match(file["filename"]) for file in message["attachments"]]
            found.update({int(name[1]) for name in names if name})
    return dict(found)
