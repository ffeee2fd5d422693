"""The bots' figures as a table, and the targets that Easel's should meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Figures, Phase

MIB = 1024 * 1024
RESPONSE_DEADLINE = 3000.0
"""Milliseconds after which Discord drops an interaction without a response."""
BURST_P99 = 1000.0
"""Milliseconds of the initial response."""
SHARE_OF_FLOOR = 0.8
"""Of the floor's jobs per second."""
PROCESSOR_SHARE = 1.6
"""Of the floor's processor time for a job."""
COPIES = 4
"""Of a picture for each upload under way: its parts as they arrive, the whole, the body that is being sent, and
what the allocator has not given back yet."""
RESPONSE_BYTES = 40 * 1024
"""Memory that discord.py and aiohttp need for one response under way, its connection above all: the barest bot
grows by 11.5 MiB for 300 of them, before its first picture."""
UPLOADS_AT_ONCE = 4
"""Easel's default."""
COMPARED = ("floor", "before")
"""The bots that Easel's figures are divided by."""

Cell = float | int | None


@dataclass(frozen=True, slots=True)
class Target:
    """Something that the figures should show."""

    text: str
    met: bool


def percentile(share: float, times: Sequence[float]) -> float | None:
    """The time that a share of all stays within; None without any."""
    return times[min(len(times) - 1, int(share * len(times)))] if times else None


def rows(figures: Figures) -> dict[str, Cell]:
    """Every figure of one bot, by its name and unit."""
    found: dict[str, Cell] = {}
    for name, phase in (("burst", figures.burst), ("stream", figures.stream)):
        found |= {f"{name}: {row}": value for row, value in _phase_rows(phase).items()}
    return found | {
        "accepted, warm-up included": figures.accepted,
        "submitted to fal": figures.submits,
        "posted exactly once": figures.delivered_once,
        "posted more than once": len(figures.posts) - figures.delivered_once,
    }


def _phase_rows(phase: Phase) -> dict[str, Cell]:
    return {
        "sent": phase.sent,
        "responded to": len(phase.responses),
        "refused": phase.refused,
        "delivered": len(phase.results),
        "initial response, p50 ms": percentile(0.5, phase.responses),
        "initial response, p99 ms": percentile(0.99, phase.responses),
        "initial response, worst ms": percentile(1, phase.responses),
        "result, p50 ms": percentile(0.5, phase.results),
        "result, p99 ms": percentile(0.99, phase.results),
        "jobs per second": phase.jobs_per_second,
        "processor ms per job": phase.processor_ms,
        "of these, opening pictures": phase.pictures_ms,
        "memory at rest, MiB": phase.rest / MIB,
        "memory at the peak, MiB": phase.peak / MIB,
        "growth, MiB": phase.growth / MIB,
    }


def table(columns: Mapping[str, Mapping[str, Cell]]) -> str:
    """A column for each bot, then Easel's figures divided by each other bot's."""
    compared = [name for name in COMPARED if name in columns and "easel" in columns]
    lines = [["", *columns, *(f"easel/{name}" for name in compared)]]
    for row in next(iter(columns.values())):
        values = [_shown(column[row]) for column in columns.values()]
        ratios = [_ratio(columns["easel"][row], columns[name][row]) for name in compared]
        lines.append([row, *values, *ratios])
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


def _ratio(value: Cell, other: Cell) -> str:
    return f"{value / other:.2f}" if value is not None and other else "-"


def targets(figures: Mapping[str, Figures], picture_bytes: int) -> list[Target]:
    """What Easel's figures should show, and whether they do; nothing where Easel was not loaded."""
    easel, floor = figures.get("easel"), figures.get("floor")
    if easel is None:
        return []
    phases = (easel.burst, easel.stream)
    responses = sorted(time for phase in phases for time in phase.responses)
    complete = len(responses) == sum(phase.sent for phase in phases)
    p99 = percentile(0.99, easel.burst.responses)
    most = UPLOADS_AT_ONCE * picture_bytes * COPIES + RESPONSE_BYTES * easel.at_once
    growth = max(phase.peak for phase in phases) - easel.burst.rest
    found = [
        Target(
            f"every initial response within {RESPONSE_DEADLINE / 1000:.0f} s",
            complete and responses[-1] <= RESPONSE_DEADLINE,
        ),
        Target(
            f"99 of 100 initial responses of the bursts within {BURST_P99 / 1000:.0f} s",
            p99 is not None and p99 <= BURST_P99,
        ),
        Target(
            f"memory grows by at most {most / MIB:.0f} MiB: {UPLOADS_AT_ONCE} uploads × "
            f"{picture_bytes / MIB:.1f} MiB × {COPIES}, and {RESPONSE_BYTES // 1024} KiB × {easel.at_once} "
            f"responses (by {growth / MIB:.0f} MiB)",
            growth <= most,
        ),
        Target("every job submitted once and delivered once", easel.exactly_once),
    ]
    return found + (list(_speed_targets(easel, floor)) if floor else [])


def _speed_targets(easel: Figures, floor: Figures) -> Iterable[Target]:
    pairs = (("burst", easel.burst, floor.burst), ("stream", easel.stream, floor.stream))
    for name, own, other in pairs:
        met = own.jobs_per_second >= SHARE_OF_FLOOR * other.jobs_per_second
        yield Target(f"{name}: at least {SHARE_OF_FLOOR} of the floor's jobs per second", met)
    frugal = easel.burst.processor_ms <= PROCESSOR_SHARE * floor.burst.processor_ms
    yield Target(f"burst: at most {PROCESSOR_SHARE} of the floor's processor time for a job", frugal)


def target_lines(checked: Sequence[Target]) -> str:
    """A line for each target."""
    return "\n".join(f"{'yes' if target.met else 'NO ':<4} {target.text}" for target in checked)


def as_json(
    columns: Mapping[str, Mapping[str, Cell]], checked: Sequence[Target], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The contents of `bench-output/latest.json`."""
    return {
        "arguments": arguments,
        "figures": columns,
        "targets": [{"text": target.text, "met": target.met} for target in checked],
    }
