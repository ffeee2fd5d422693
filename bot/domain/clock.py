"""The two clocks: ours, for leases and quotas, and Discord's, for how long an interaction's token lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Instant = int
"""Milliseconds since the epoch, UTC."""


def real_time() -> Instant:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Passed in by `app.py`, so that a simulated Discord and a test can bring their own."""

    now: Callable[[], Instant] = real_time
    discord_now: Callable[[], Instant] = real_time
