"""How often a provider is polled, and for how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bot.domain.jobs import PATIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """Seconds between two polls, growing from `first` to `longest`; after a failure they double.

    `failures` in a row, or `give_up_after` seconds in all, end it.
    """

    first: float = 1.0
    longest: float = 5.0
    growth: float = 1.3
    jitter: float = 0.2
    first_retry: float = 1.0
    longest_retry: float = 30.0
    longest_asked: float = 60.0
    """The longest wait that a provider is granted; it can ask for none that is shorter than ours."""
    failures: int = 8
    give_up_after: float = PATIENCE

    def wait_after_success(self, polls: int) -> float:
        """The wait after so many successful polls."""
        return self._jittered(min(self.longest, self.first * self.growth ** min(polls, 50)))

    def wait_after_failures(self, failures: int, asked: float | None = None) -> float:
        """The wait after so many failures in a row; `asked` is what the provider asks for."""
        own = self._jittered(min(self.longest_retry, self.first_retry * 2 ** min(failures - 1, 20)))
        return max(own, min(asked or 0.0, self.longest_asked))

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + random.uniform(0, self.jitter))  # noqa: S311 - spreads load, no secret
