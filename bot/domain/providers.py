"""Providers as the rest of Easel sees them: health, and a server's order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from bot.domain.money import Money


class CancelResult(StrEnum):
    """What a service says to a cancel."""

    REMOVED = "removed"
    TOO_LATE = "too late"
    ASKED = "asked"
    """It may still finish: keep following."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """What a service says of one of our models. `gone` is None where it does not say."""

    model: str
    gone: bool | None = None
    until: date | None = None
    price: Money | None = None
    """One square picture of medium quality, in the service's own figures."""
    dearest: Money | None = None
    """The most that one picture costs there, where the service has a price list."""
    fields: frozenset[str] | None = None
    """The fields that the service's schema lists; None where it shows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """How things stand at a service. `key_works` is None where nobody could tell."""

    provider: str
    key_works: bool | None
    detail: str = ""
    models: tuple[ModelStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOrder:
    """In which order a server's requests for a model go to the services; none: the model is switched off there."""

    model: str
    services: tuple[str, ...]
    set_by: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProviders:
    """Who paints a model in a server, in order: each service and how it is doing (well, resting, locked)."""

    model: str
    label: str
    services: tuple[tuple[str, str], ...]
    own: bool
    """Whether the server set the order itself."""
    price: Money | None
