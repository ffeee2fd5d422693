"""Circuit breakers: one for each provider and each company whose models it sells.

An outage of one company leaves its models without an answer at every provider, and the others' models well there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.catalog.catalog import Catalog
from bot.domain.clock import Instant, elapsed, later
from bot.domain.providers import ProviderState

PROBED_AGAIN = 5.0
"""Seconds after which a job asks again whether a provider that is being probed accepts work."""
LONGEST_PROBE = 600.0
"""Seconds after which a probe without an outcome is forgotten; longer than any provider takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a provider is paused, and for how long, in seconds."""

    failures: int = 5
    """In a row."""
    first: float = 30
    """The first pause; each further one is twice as long, up to `longest`."""
    longest: float = 600
    misconfigured: float = 600


class Breaker:
    """Closed; open after some failures in a row; half open for one probe once the pause is over."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._trips = 0
        self._probing = False
        self._probed_at: Instant = 0
        self._opened_at: Instant = 0
        self.open_until: Instant = 0
        """0 while it is closed."""
        self.misconfigured = False
        """Whether the provider refuses the key, or its balance is used up."""

    @property
    def state(self) -> ProviderState:
        """What the breaker says of its provider."""
        if self.misconfigured:
            return ProviderState.MISCONFIGURED
        return ProviderState.PAUSED if self.open_until else ProviderState.AVAILABLE

    def allow(self, now: Instant) -> bool:
        """Whether a job may be given to the provider; while it is open, one job alone may probe it."""
        if not self.open_until:
            return True
        if self._rests(now) or (self._probing and 0 <= elapsed(self._probed_at, now) < LONGEST_PROBE):
            return False
        self._probing, self._probed_at = True, now
        return True

    def pause(self, now: Instant) -> float:
        """Seconds after which asking again makes sense."""
        if self._probing:
            return min(self._settings.first, PROBED_AGAIN)
        return elapsed(now, self.open_until) if self._rests(now) else 0.0

    def _rests(self, now: Instant) -> bool:
        """Whether the pause lasts. A clock set back to before it ends it: how much has passed is not known."""
        return self._opened_at <= now < self.open_until

    def succeeded(self) -> bool:
        """Close it; returns whether it was open."""
        was_open = bool(self.open_until)
        self._failures = self._trips = self.open_until = 0
        self.misconfigured = self._probing = False
        return was_open

    def probe_inconclusive(self, now: Instant) -> None:
        """The probing job ended without an outcome: the next job probes."""
        if self._probing:
            self.open_until, self._probing = now, False

    def failed(self, now: Instant, *, misconfigured: bool) -> bool:
        """Count a failure; returns whether the operator should be told."""
        self._failures += 1
        was_open, probed = bool(self.open_until), self._probing
        if was_open and not probed and (self.misconfigured or not misconfigured):
            return False  # a job from before the pause, whose failure says nothing new
        if not (misconfigured or probed or self._failures >= self._settings.failures):
            return False
        pause = min(self._settings.longest, self._settings.first * 2**self._trips)
        self._trips += 1
        self._opened_at = now
        self.open_until = later(now, self._settings.misconfigured if misconfigured else pause)
        self._probing = False
        is_new = not was_open or (misconfigured and not self.misconfigured)
        self.misconfigured = self.misconfigured or misconfigured
        return is_new


class Breakers:
    """The breakers of all providers. A model without a known company has one of its own at each."""

    def __init__(self, catalog: Catalog, providers: Collection[str], settings: BreakerSettings) -> None:
        self._settings = settings
        self._upstreams = {model.name: model.upstream or model.name for model in catalog.models}
        self._breakers = {
            provider: {upstream: Breaker(settings) for upstream in self._upstreams.values()}
            for provider in providers
        }

    def of(self, provider: str, model: str) -> Breaker:
        """The breaker of a provider for one of our models."""
        upstream = self._upstreams.get(model, model)
        return self._breakers[provider].setdefault(upstream, Breaker(self._settings))

    def succeeded(self, provider: str, model: str) -> bool:
        """The provider took work; returns whether it had been paused for this model before."""
        found = self.of(provider, model)
        if found.misconfigured:  # the key works again, for every model
            for breaker in self._breakers[provider].values():
                if breaker.misconfigured and breaker is not found:
                    breaker.succeeded()
        return found.succeeded()

    def failed(self, provider: str, model: str, now: Instant, *, misconfigured: bool) -> bool:
        """Count a failure; returns whether the operator should be told. A refused key is so for every model."""
        found = self.of(provider, model)
        is_new = found.failed(now, misconfigured=misconfigured)
        if misconfigured:
            for breaker in self._breakers[provider].values():
                if breaker is not found:
                    breaker.failed(now, misconfigured=True)
        return is_new
