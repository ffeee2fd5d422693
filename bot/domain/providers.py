"""Providers as the rest of Easel sees them: health, state, and a server's order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from bot.domain.money import Money


class CancelResult(StrEnum):
    """How a provider responds to a cancel."""

    REMOVED = "removed"
    TOO_LATE = "too late"
    REQUESTED = "asked"
    """It may still finish, so keep polling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """What a provider says of one of our models. `gone` is None where it does not say."""

    model: str
    gone: bool | None = None
    available_until: date | None = None
    price: Money | None = None
    """One square picture of medium quality, by the provider's own figures."""
    highest_price: Money | None = None
    """The most that one picture costs, where the provider has a price list."""
    fields: frozenset[str] | None = None
    """The fields that the provider's schema lists; None where it shows no schema."""


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
