"""Loads the bots with bursts and a steady stream of `/imagine`, and measures times, memory and processor time."""

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

from benchmarks.processes import Bot, RunningBot, StandInOptions, start_bot

Record = dict[str, Any]

SAMPLE_SECONDS = 0.2
"""To look for a bot's processes takes some milliseconds."""
QUIET_SECONDS = 3.0
"""Pause before a phase, so that the cards of the last one are deleted and its leases written."""
PHASE_TIMEOUT = 180.0
"""Seconds beyond its own length that a phase may take."""
RESULT_FILE = re.compile(r"easel-(\d+)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The interactions that each bot receives."""

    burst: int = 300
    """Interactions at once."""
    bursts: int = 3
    """The bots take turns, so that a busy machine slows them alike."""
    seconds: float = 30
    rate: float = 20
    """Interactions per second of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The figures of a burst or of the stream; times in milliseconds."""

    sent: int
    """Interactions."""
    responses: list[float]
    """From the interaction to its initial response."""
    results: list[float]
    """From the interaction to the message with its picture."""
    refused: int
    seconds: float
    """From the first interaction to the last result."""
    processor_seconds: float
    """Of the bot and of the processes that it has started."""
    own_processor_seconds: float
    """Of the bot's own process alone."""
    rest: int
    """Resident bytes before the phase."""
    peak: int
    """The most resident bytes during the phase."""

    @property
    def jobs_per_second(self) -> float:
        """Pictures delivered per second."""
        return len(self.results) / self.seconds if self.seconds else 0.0

    @property
    def processor_ms(self) -> float:
        """Milliseconds of processor time per delivered picture."""
        return 1000 * self.processor_seconds / max(1, len(self.results))

    @property
    def pictures_ms(self) -> float:
        """Of them, in the processes that open pictures."""
        return 1000 * (self.processor_seconds - self.own_processor_seconds) / max(1, len(self.results))

    @property
    def growth(self) -> int:
        """Resident bytes that the phase added at its peak."""
        return self.peak - self.rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One bot's whole run."""

    at_once: int
    burst: Phase
    """All bursts as one."""
    stream: Phase
    accepted: int
    """Interactions with a public initial response."""
    submits: int
    posts: dict[int, int]
    """How many messages hold the picture of each interaction that has one."""

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
    """The most resident bytes sampled so far."""

    resident: int = 0


@dataclass(slots=True)
class Run:
    """One bot, with the figures of the phases it has been through."""

    bot: RunningBot
    phases: list[Phase] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    async def load(self, count: int, rate: float | None, name: str) -> None:
        """Load the bot once: `count` interactions, all at once or `rate` a second."""
        phase, records = await _phase(self.bot, count, rate, name)
        self.phases.append(phase)
        self.records += records

    async def figures(self, at_once: int) -> Figures:
        """The last phase is the stream, those before it are bursts."""
        return Figures(
            at_once=at_once,
            burst=_merged(self.phases[:-1]),
            stream=self.phases[-1],
            accepted=sum(record["ack_ms"] is not None and not record["ephemeral"] for record in self.records),
            submits=int((await self.bot.fal_state())["submits"]),
            posts=await _posts(self.bot),
        )


async def measure(bots: Iterable[Bot], options: StandInOptions, load: Load, output: Path) -> dict[str, Figures]:
    """Start every bot, send each a picture per channel to warm it up, and load them in turn."""
    async with AsyncExitStack() as stack:
        runs = {bot.name: Run(await stack.enter_async_context(start_bot(bot, options, output))) for bot in bots}
        for run in runs.values():
            # The first picture pays for imports and connections, which are not the load's.
            _, records = await _send(run.bot, options.channels, None, "warm-up", PHASE_TIMEOUT)
            run.records += records
        for number in range(load.bursts):
            for name, run in runs.items():
                print(f"{name}: burst {number + 1} of {load.bursts}", file=sys.stderr, flush=True)
                await run.load(load.burst, None, f"burst {number}")
        for name, run in runs.items():
            print(f"{name}: stream", file=sys.stderr, flush=True)
            await run.load(int(load.seconds * load.rate), load.rate, "stream")
        return {name: await run.figures(load.burst) for name, run in runs.items()}


def _merged(phases: Sequence[Phase]) -> Phase:
    """Several phases as one: times together, durations added, memory from the first rest to the highest peak."""
    return Phase(
        sent=sum(phase.sent for phase in phases),
        responses=sorted(time for phase in phases for time in phase.responses),
        results=sorted(time for phase in phases for time in phase.results),
        refused=sum(phase.refused for phase in phases),
        seconds=sum(phase.seconds for phase in phases),
        processor_seconds=sum(phase.processor_seconds for phase in phases),
        own_processor_seconds=sum(phase.own_processor_seconds for phase in phases),
        rest=phases[0].rest,
        peak=max(phase.peak for phase in phases),
    )


async def _phase(bot: RunningBot, count: int, rate: float | None, name: str) -> tuple[Phase, list[Record]]:
    await asyncio.sleep(QUIET_SECONDS)
    rest, began, own = bot.resident(), bot.processor_seconds(), bot.own_processor_seconds()
    async with _sampled_memory(bot) as memory:
        within = PHASE_TIMEOUT + (count / rate if rate else 0)
        seconds, records = await _send(bot, count, rate, name, within)
        # The deletion of the last cards is part of the work.
        await asyncio.sleep(1)
    phase = Phase(
        sent=count,
        responses=_times(records, "ack_ms"),
        results=_times(records, "result_ms"),
        refused=sum(bool(record["ephemeral"]) for record in records),
        seconds=seconds,
        processor_seconds=bot.processor_seconds() - began,
        own_processor_seconds=bot.own_processor_seconds() - own,
        rest=rest,
        peak=memory.resident,
    )
    return phase, records


async def _send(
    bot: RunningBot, count: int, rate: float | None, name: str, within: float
) -> tuple[float, list[Record]]:
    """Spread interactions over all channels; the seconds until the last result, and a record for each."""
    channels = min(count, len(bot.channels))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                _send_to_channel(
                    bot,
                    number,
                    count=count // channels + (number < count % channels),
                    rate=rate / channels if rate else None,
                    delay=number / rate if rate else 0.0,
                    prompt=f"A lighthouse in the evening, {name} {{i}} of channel {number}",
                    within=within,
                )
            )
            for number in range(channels)
        ]
    reports = [task.result() for task in tasks]
    return max(report["seconds"] for report in reports), [
        record for report in reports for record in report["records"]
    ]


async def _send_to_channel(
    bot: RunningBot, number: int, *, count: int, rate: float | None, delay: float, prompt: str, within: float
) -> Record:
    await asyncio.sleep(delay)
    spec = {
        "kind": "slash",
        "channel": bot.channels[number],
        "command": "imagine",
        "options": {"prompt": prompt},
    }
    # Each channel begins with another member, so that the load spreads over all of them.
    start = number * len(bot.members) // len(bot.channels)
    members = [*bot.members[start:], *bot.members[:start]]
    report = await bot.discord.burst(spec, count, members=members, rate=rate, within=within)
    return report | {"seconds": report["seconds"] + delay}


def _times(records: Sequence[Record], name: str) -> list[float]:
    return sorted(record[name] for record in records if record[name] is not None)


@asynccontextmanager
async def _sampled_memory(bot: RunningBot) -> AsyncIterator[PeakMemory]:
    memory = PeakMemory()

    async def sample() -> None:
        while True:
            memory.resident = max(memory.resident, bot.resident())
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(sample())
    try:
        yield memory
    finally:
        task.cancel()


async def _posts(bot: RunningBot) -> dict[int, int]:
    """How many messages hold the picture of each interaction, deleted ones included."""
    found: Counter[int] = Counter()
    for channel in bot.channels:
        for message in await bot.discord.messages(channel, deleted=True):
            names = [RESULT_FILE.match(file["filename"]) for file in message["attachments"]]
            found.update({int(name[1]) for name in names if name})
    return dict(found)
