"""The two clocks of the stage."""

from __future__ import annotations

import time

import simcord

from bot.domain.clock import Instant, instant_of


class StageClock:
    """Discord's simulated clock, which stands still, and Easel's, which starts there and runs in real time."""

    def __init__(self) -> None:
        self._env: simcord.Env | None = None
        self._start: Instant = 0
        self._started = time.perf_counter()

    def start(self, env: simcord.Env) -> None:
        """Set both clocks to the time of this simulated Discord."""
        self._env = env
        self._start = self.discord_now()
        self._started = time.perf_counter()

    def discord_now(self) -> Instant:
        """Discord's time in milliseconds since the epoch."""
        return instant_of(self._env.now()) if self._env else 0

    def now(self) -> Instant:
        """Easel's time in milliseconds since the epoch. SimCord stops the monotonic clock, so it is not used."""
        return self._start + int((time.perf_counter() - self._started) * 1000)
