"""Windows of time in which limits count, and their calendar bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from bot.domain.clock import Instant

Window = Literal["day", "week", "month"]

DAYS: dict[Window, int] = {"day": 1, "week": 7, "month": 30}


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """A window as instants: `start` belongs to it, `end` does not."""

    start: Instant
    end: Instant


def window_bounds(window: Window, now: Instant, zone: tzinfo) -> WindowBounds:
    """The calendar window around `now` in a time zone; weeks start on Monday."""
    today = datetime.fromtimestamp(now / 1000, zone).date()
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
    """The first instant of a local day. Midnight itself may not exist, or exist twice (clock changes)."""
    # Of two midnights this is the first; for one that does not exist it is a moment after the clock was set.
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    step = timedelta(minutes=15)
    while (midnight - step).astimezone(zone).date() >= day:
        midnight -= step
    return int(midnight.timestamp() * 1000)
