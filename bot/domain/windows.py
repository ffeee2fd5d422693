"""Windows of time in which limits count, and their calendar bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from bot.domain.clock import Instant, as_datetime, instant_of

Window = Literal["day", "week", "month"]
DAYS: dict[Window, int] = {"day": 1, "week": 7, "month": 30}
"""Rough lengths, to compare limits of different windows."""


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """The instants of a window: from `start` on, before `end`."""

    start: Instant
    end: Instant


def window_bounds(window: Window, now: Instant, zone: tzinfo) -> WindowBounds:
    """The calendar window around `now` in a time zone; weeks start on Monday."""
    today = as_datetime(now, zone).date()
    match window:
        case "day":
            first, after = today, today + timedelta(days=1)
        case "week":
            first = today - timedelta(days=today.weekday())
            after = first + timedelta(days=7)
        case "month":
            first = today.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
    return WindowBounds(_first_instant(first, zone), _first_instant(after, zone))


def _first_instant(day: date, zone: tzinfo) -> Instant:
    """The first instant of a local day. Midnight may not exist, or exist twice, where clocks are changed."""
    # Of two midnights this is the first; for a missing one it is a moment after the clock change.
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    step = timedelta(minutes=15)
    while (midnight - step).astimezone(zone).date() >= day:
        midnight -= step
    return instant_of(midnight)
