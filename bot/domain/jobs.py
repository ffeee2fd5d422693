"""A request on its way: its states, its tickets, its progress and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.domain.clock import Instant
from bot.domain.limits import Allowance
from bot.domain.money import Amount, Money
from bot.domain.pictures import Picture
from bot.domain.requests import ImageRequest, ReplyAddress, Requester


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a provider needs to finish a piece of a job after a restart; `data` is opaque to everybody else.

    `count` is how many pictures it was asked for. `kept` are finished bytes that cannot be fetched again: they
    go to the job's spool together with the ticket, and are not read back with it.
    """

    provider: str
    data: dict[str, Any]
    count: int = 1
    kept: tuple[bytes, ...] = field(default=(), repr=False)


class JobState(StrEnum):
    """Where a job stands. The last three are ends."""

    WAITING = "waiting"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Nothing happens to it any more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request on its way. `id` is the Discord interaction's, or the message's for a reply edit."""

    id: int
    requester: Requester
    request: ImageRequest
    reply: ReplyAddress
    state: JobState
    reserved: Amount
    charged: Amount
    provider: str | None
    tickets: tuple[Ticket, ...]
    """One for each submit that was accepted: what a service does not paint at once takes several."""
    submitted_at: Instant | None
    """When the submit left whose answer is not written down yet."""
    resubmits: int
    """Submits sent once more after an answer was lost."""
    cancel_requested: bool
    attempts: int
    """The fence: the number of the claim that owns the job."""
    due_at: Instant
    leased_until: Instant | None
    expires_at: Instant
    delivering_at: Instant | None
    worker: str | None
    parent_id: int | None
    result_message_id: int | None
    error: str | None
    created_at: Instant

    @property
    def accepted(self) -> int:
        """How many of its pictures a service has taken on."""
        return sum(ticket.count for ticket in self.tickets)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedJob:
    """A job that was accepted. `created` is false where Discord delivered the request twice."""

    job: Job
    created: bool
    ahead: int
    allowance: Allowance
    price: Money = Money()
    """The most that it can cost."""
    changes: tuple[str, ...] = ()
    """What the service that is asked first does differently than asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """News of a running job. `position` counts those ahead of it at the service."""

    fraction: float | None = None
    position: int | None = None
    note: str = ""
    preview: bytes | None = field(default=None, repr=False)
    """The picture as far as it is painted, as the service sent it."""
    changes: tuple[str, ...] = ()
    """What the service that paints does differently than asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The pictures of a job. `cost` is the service's own word; None where it says nothing."""

    pictures: tuple[Picture, ...]
    cost: Money | None = None
    note: str = ""
    """What the member should know, for instance that the service sent fewer than it was asked for."""
    links: tuple[str, ...] = ()
    """Where the service serves pictures that no channel takes."""
