"""The two clocks of the stage."""

from __future__ import annotations

import time

import simcord

from bot.domain.clock import Instant


class StageClock:
    """Discord's simulated clock, which stands still, and Easel's, which goes on from where that one began."""

    def __init__(self) -> None:
        self._env: simcord.Env | None = None
        self._began_at: Instant = 0
        self._began = time.perf_counter()

    def begin(self, env: simcord.Env) -> None:
        """Take both clocks from this world."""
        self._env = env
        self._began_at = self.discord_now()
        self._began = time.perf_counter()

    def discord_now(self) -> Instant:
        """Milliseconds since the epoch, as Discord counts them."""
        return int(self._env.now().timestamp() * 1000) if self._env else 0

    def now(self) -> Instant:
        """Milliseconds since the epoch; perf_counter, because SimCord stops the monotonic clock for the bot."""
        return self._began_at + int((time.perf_counter() - self._began) * 1000)
