"""Whether a service is left alone: a circuit breaker for each, without input or output.

A service that fails again and again is left alone for a while; then one job probes it. The breakers that
libraries offer let every waiting job through at that moment, and count time by a clock of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain.clock import Instant

LOOK_AGAIN = 5.0
"""Seconds between two looks at a service that is being probed."""


PROBE = 600_000
"""Milliseconds after which a probe that told nothing is forgotten, longer than any service takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a service is left alone, and for how long, in seconds."""

    failures: int = 5
    first: float = 30
    longest: float = 600
    misconfigured: float = 600


class Breaker:
    """Closed; open after some failures in a row; half open for one probe when it has cooled down."""

    def __init__(self, cooling: BreakerSettings) -> None:
        self._cooling = cooling
        self._failures = 0
        self._trips = 0
        self._probing = False
        self._probed_at: Instant = 0
        self.until: Instant = 0
        """When it may be probed, 0 while it is closed."""
        self.out = False
        """Its key or its balance does not let anybody in."""

    def allow(self, now: Instant) -> bool:
        """Whether a job may be given to the service; the one that may probe it is let in alone."""
        if not self.until:
            return True
        if now < self.until or (self._probing and now < self._probed_at + PROBE):
            return False
        self._probing, self._probed_at = True, now
        return True

    def pause(self, now: Instant) -> float:
        """Seconds after which asking again makes sense: while it is probed, a moment."""
        if self._probing:
            return min(self._cooling.first, LOOK_AGAIN)
        return max(0.0, (self.until - now) / 1000)

    def succeeded(self) -> bool:
        """Close it; whether it was open."""
        was_open = bool(self.until)
        self._failures = self._trips = self.until = 0
        self.out = self._probing = False
        return was_open

    def probe_inconclusive(self, now: Instant) -> None:
        """The probe told nothing: the next job is one."""
        if self._probing:
            self.until, self._probing = now, False

    def failed(self, now: Instant, *, out: bool) -> bool:
        """Count a failure; whether that is news: the service was well until now."""
        self._failures += 1
        was_open, probed = bool(self.until), self._probing
        if was_open and not probed and (self.out or not out):
            return False  # it was on its way already when the service was left alone, and says nothing new
        if not (out or probed or self._failures >= self._cooling.failures):
            return False
        pause = min(self._cooling.longest, self._cooling.first * 2**self._trips)
        self._trips += 1
        self.until = now + int((self._cooling.misconfigured if out else pause) * 1000)
        self._probing = False
        news = not was_open or (out and not self.out)
        self.out = self.out or out
        return news
