"""A clock that a test can put forward."""

from __future__ import annotations

from bot.domain.clock import Clock, Instant, real_time


class AdjustableClock:
    """Runs like the real clock until it is advanced. One that is `frozen` moves only when it is advanced."""

    def __init__(self, *, frozen: bool = False, start: Instant | None = None) -> None:
        self._began = real_time()
        self._frozen = frozen
        self._ahead = 0 if start is None else start - self._began

    @property
    def now(self) -> Instant:
        """Milliseconds since the epoch."""
        return (self._began if self._frozen else real_time()) + self._ahead

    def advance(self, seconds: float) -> None:
        """Put it forward."""
        self._ahead += int(seconds * 1000)

    @property
    def clock(self) -> Clock:
        """For the bot; Discord's clock stays real."""
        return Clock(now=lambda: self.now)
