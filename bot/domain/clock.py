"""Time: instants in milliseconds, durations in seconds, and the two clocks that tell them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

Instant = int
"""Milliseconds since the epoch, UTC. Durations are seconds, everywhere."""


def later(instant: Instant, seconds: float) -> Instant:
    """The instant so many seconds later."""
    return instant + int(seconds * 1000)


def elapsed(since: Instant, now: Instant) -> float:
    """Seconds between two instants; negative where `now` is before `since`."""
    return (now - since) / 1000


def as_datetime(instant: Instant, zone: tzinfo = UTC) -> datetime:
    """The instant in a time zone."""
    return datetime.fromtimestamp(instant / 1000, zone)


def instant_of(moment: datetime) -> Instant:
    """The instant of a moment that knows its time zone."""
    return int(moment.timestamp() * 1000)


def real_time() -> Instant:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Our clock, for leases and limits, and Discord's, for how long an interaction's token lives.

    Passed in by `app.py`, so that a simulated Discord and a test can bring their own.
    """

    now: Callable[[], Instant] = real_time
    discord_now: Callable[[], Instant] = real_time
