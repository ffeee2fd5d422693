"""Both bots' figures as a table, and what they should show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Figures, Phase

MIB = 1024 * 1024
LATEST_ANSWER = 3000.0
"""Milliseconds: Discord forgets an interaction that is not answered by then."""
BURST_P99 = 1000.0
SHARE_OF_FLOOR = 0.8
COPIES = 4
"""Of a picture for each upload under way: its parts as they arrive, the whole, the body that is being sent, and
what the allocator has not given back yet."""
ANSWER = 40 * 1024
"""Bytes that discord.py and aiohttp keep for one answer under way, its connection above all. So the barest bot
grows by 11.5 MiB for 300, before its first picture."""
UPLOADS_AT_ONCE = 4
"""Easel's default."""

Cell = float | int | None


@dataclass(frozen=True, slots=True)
class Target:
    """Something that the figures should show."""

    text: str
    kept: bool


def at(share: float, times: Sequence[float]) -> float | None:
    """The time within which a share of all came."""
    return times[min(len(times) - 1, int(share * len(times)))] if times else None


def rows(figures: Figures) -> dict[str, Cell]:
    """Every figure of one bot, by its name and unit."""
    table: dict[str, Cell] = {}
    for name, phase in (("burst", figures.burst), ("stream", figures.steady)):
        table |= {f"{name}: {row}": value for row, value in _of(phase).items()}
    return table | {
        "accepted, warm-up included": figures.accepted,
        "submitted to fal": figures.submits,
        "posted exactly once": figures.delivered_once,
        "posted more than once": len(figures.posts) - figures.delivered_once,
    }


def _of(phase: Phase) -> dict[str, Cell]:
    return {
        "asked": phase.asked,
        "answered": len(phase.answers),
        "refused": phase.refused,
        "delivered": len(phase.results),
        "first answer, p50 ms": at(0.5, phase.answers),
        "first answer, p99 ms": at(0.99, phase.answers),
        "first answer, worst ms": at(1, phase.answers),
        "result, p50 ms": at(0.5, phase.results),
        "result, p99 ms": at(0.99, phase.results),
        "jobs per second": phase.jobs_per_second,
        "processor ms per job": phase.processor_ms,
        "memory at rest, MiB": phase.rest / MIB,
        "memory at the peak, MiB": phase.peak / MIB,
        "growth, MiB": phase.growth / MIB,
    }


def table(columns: Mapping[str, Mapping[str, Cell]]) -> str:
    """Columns side by side; with both bots, Easel's share of the floor as well."""
    both = {"easel", "floor"} <= columns.keys()
    names = list(next(iter(columns.values())))
    lines = [["", *columns, *(["ratio"] if both else [])]]
    for name in names:
        values = [column[name] for column in columns.values()]
        line = [name, *map(_shown, values)]
        if both:
            line.append(_ratio(columns["easel"][name], columns["floor"][name]))
        lines.append(line)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _shown(value: Cell) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _ratio(value: Cell, floor: Cell) -> str:
    return f"{value / floor:.2f}" if value is not None and floor else "-"


def promises(figures: Mapping[str, Figures], picture_bytes: int) -> list[Target]:
    """What should be so, and whether it is; nothing without Easel's own figures."""
    easel, floor = figures.get("easel"), figures.get("floor")
    if easel is None:
        return []
    phases = (easel.burst, easel.steady)
    answers = sorted(time for phase in phases for time in phase.answers)
    complete = len(answers) == sum(phase.asked for phase in phases)
    p99 = at(0.99, easel.burst.answers)
    room = UPLOADS_AT_ONCE * picture_bytes * COPIES + ANSWER * easel.at_once
    growth = max(phase.peak for phase in phases) - easel.burst.rest
    kept = [
        Target(
            f"no first answer later than {LATEST_ANSWER / 1000:.0f} s",
            complete and answers[-1] <= LATEST_ANSWER,
        ),
        Target(
            f"99 of 100 first answers of the bursts within {BURST_P99 / 1000:.0f} s",
            p99 is not None and p99 <= BURST_P99,
        ),
        Target(
            f"memory grows by at most {room / MIB:.0f} MiB: {UPLOADS_AT_ONCE} uploads × "
            f"{picture_bytes / MIB:.1f} MiB × {COPIES}, and {ANSWER // 1024} KiB × {easel.at_once} answers "
            f"(by {growth / MIB:.0f} MiB)",
            growth <= room,
        ),
        Target("every job submitted once and delivered once", easel.exactly_once),
    ]
    return kept + (list(_speed(easel, floor)) if floor else [])


def _speed(easel: Figures, floor: Figures) -> Iterable[Target]:
    pairs = (("burst", easel.burst, floor.burst), ("stream", easel.steady, floor.steady))
    for name, own, bare in pairs:
        enough = own.jobs_per_second >= SHARE_OF_FLOOR * bare.jobs_per_second
        yield Target(f"{name}: at least {SHARE_OF_FLOOR} of the floor's jobs per second", enough)


def verdicts(kept: Sequence[Target]) -> str:
    """A line for each promise."""
    return "\n".join(f"{'yes' if promise.kept else 'NO ':<4} {promise.text}" for promise in kept)


def as_json(columns: Mapping[str, Mapping[str, Cell]], kept: Sequence[Target], asked: Mapping[str, Any]) -> Any:
    """For `bench-output/latest.json`."""
    return {
        "asked": asked,
        "figures": columns,
        "promises": [{"text": promise.text, "kept": promise.kept} for promise in kept],
    }
