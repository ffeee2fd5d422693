"""How often a service is asked, and how long it is waited for."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """Seconds between polls, from `first` to `longest`. After trouble they double, `failures` times in a row."""

    first: float = 1.0
    longest: float = 5.0
    growth: float = 1.3
    jitter: float = 0.2
    trouble: float = 1.0
    trouble_longest: float = 30.0
    failures: int = 8
    patience: float = 3600.0

    def quiet(self, polls: int) -> float:
        """The wait after so many polls that went well."""
        return self._shaken(min(self.longest, self.first * self.growth ** min(polls, 50)))

    def troubled(self, failures: int) -> float:
        """The wait after so many failures in a row."""
        return self._shaken(min(self.trouble_longest, self.trouble * 2 ** min(failures - 1, 20)))

    def _shaken(self, seconds: float) -> float:
        return seconds * (1 + random.uniform(-self.jitter, self.jitter))  # noqa: S311 — spreads load, no secret
