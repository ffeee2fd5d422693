"""Models to choose among: while a command is typed, and in place of one that failed."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain.clock import Instant
from bot.domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model that can do what a member has typed so far."""

    name: str
    label: str
    price: Money
    """What one picture most likely costs at the provider that would be asked first."""
    good_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternativeModel:
    """A model that can do a request in place of the one that failed."""

    name: str
    label: str
    price: Money
    """The most that the whole request can cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOffer:
    """The offer to ask for a failed job's request again with another model; a member can accept it once."""

    job_id: int
    """The failed job."""
    model: str
    until: Instant
    uploads_until: Instant
    """Until when the uploads are kept that belong to no message."""
    price: Money | None = None
    """What the member was told that it costs at most; None in offers of earlier versions."""
    retried_by: int | None = None
    """The job that asks for it again."""
