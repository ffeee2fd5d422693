"""Providers as the rest of Easel sees them: health, state, and a server's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from bot.domain.clock import Instant
from bot.domain.money import Money
from bot.domain.requests import RequestKind

PriceTable = Mapping[str, Mapping[str, int]]
"""Micro-dollars of one picture by our word for its quality (`any` where it changes nothing), and by its size in
pixels or its tier. Of a price by the megapixel the only row is `megapixel`, with `first` and `further`."""
NO_AMOUNT: Final = -1
"""Stands in a told price table for what is no amount of money."""


class CancelResult(StrEnum):
    """How a provider responds to a cancel."""

    REMOVED = "removed"
    TOO_LATE = "too late"
    REQUESTED = "asked"
    """It may still finish, so keep polling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """What a provider says of one of our models."""

    model: str
    gone: bool | None = None
    """None where it does not say."""
    available_until: date | None = None
    prices: PriceTable = field(default_factory=dict)
    """What it charges for a picture by its own figures, where it tells them."""
    fields: Mapping[RequestKind, frozenset[str]] = field(default_factory=dict)
    """The fields that its own schema lists, where it shows one."""
    told_at: Instant = 0
    """When it last said any of this."""
    priced_at: Instant = 0
    """When it last told a price."""

    @property
    def says_anything(self) -> bool:
        """Whether the provider said anything at all."""
        return self.gone is not None or bool(self.prices or self.fields)

    def after(self, known: ModelStatus | None, now: Instant) -> ModelStatus:
        """What is known after the provider has said this at `now`: what it does not say stays as it was."""
        known = known or ModelStatus(model=self.model)
        qualities = dict.fromkeys((*known.prices, *self.prices))
        return ModelStatus(
            model=self.model,
            gone=known.gone if self.gone is None else self.gone,
            available_until=known.available_until if self.gone is None else self.available_until,
            prices={name: {**known.prices.get(name, {}), **self.prices.get(name, {})} for name in qualities},
            fields={**known.fields, **self.fields},
            told_at=now if self.says_anything else known.told_at,
            priced_at=now if self.prices else known.priced_at,
        )


class KeyState(StrEnum):
    """What a provider says to the operator's key."""

    WORKS = "works"
    REFUSED = "refused"
    FORBIDDEN = "forbidden"
    """The key is good, but the account is locked, has no balance, or may not do this."""
    UNKNOWN = "unknown"
    """The provider did not say."""

    @property
    def is_refusal(self) -> bool:
        """Whether the operator has to do something before the provider can be used."""
        return self in (KeyState.REFUSED, KeyState.FORBIDDEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """What a provider says of the operator's account and of our models."""

    provider: str
    key: KeyState
    detail: str = ""
    """For the operator: what is left, or what went wrong."""
    balance_used_up: bool = False
    models: tuple[ModelStatus, ...] = ()


class ProviderState(StrEnum):
    """Whether a provider is asked at the moment."""

    AVAILABLE = "available"
    PAUSED = "paused"
    """It failed several times in a row, and is probed after a while."""
    MISCONFIGURED = "misconfigured"
    """Its key or its balance lets nothing in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOrder:
    """In which order a server uses the providers of a model; without any, the model is switched off there."""

    model: str
    providers: tuple[str, ...]
    set_by: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProvider:
    """A provider as moderators see it in a list."""

    name: str
    label: str
    state: ProviderState


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProviders:
    """The providers of a model in a server, in the order in which they are asked."""

    model: str
    label: str
    providers: tuple[ListedProvider, ...]
    set_here: bool
    """Whether the server set the order itself."""
    price: Money | None
