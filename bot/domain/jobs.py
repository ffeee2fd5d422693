"""A request on its way: its states, its tickets, its progress and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.domain.clock import Instant
from bot.domain.content import Content
from bot.domain.limits import Allowance
from bot.domain.money import Amount, Money
from bot.domain.pictures import Picture
from bot.domain.requests import ImageRequest, ReplyAddress, Requester

PATIENCE = 3600.0
"""Seconds that Easel waits for a job's pictures, while it is running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a provider needs to finish one submit of a job after a restart; `data` is opaque to all others.

    `count` is how many pictures the submit asked for. `results` are finished pictures that cannot be fetched
    again: they go to the job's spool together with the ticket, and are not read back with it.
    """

    provider: str
    data: dict[str, Any]
    count: int = 1
    results: tuple[Content, ...] = field(default=(), repr=False)


class JobState(StrEnum):
    """The states of a job; the last three are final."""

    WAITING = "waiting"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request on its way. `id` is that of Discord's interaction (a form's opening one) or of the message."""

    id: int
    requester: Requester
    request: ImageRequest
    reply: ReplyAddress
    state: JobState
    reserved: Amount
    charged: Amount
    provider: str | None
    tickets: tuple[Ticket, ...]
    """One for each accepted submit; there are several where the provider takes fewer pictures at once."""
    submitted_at: Instant | None
    """When the submit was sent whose ticket is not saved yet."""
    resubmits: int
    """Submits that were sent again after a response was lost."""
    cancel_requested: bool
    attempts: int
    """The fence: the number of the claim that holds the job."""
    due_at: Instant
    leased_until: Instant | None
    waited: float
    """Seconds that Easel has waited for it, as last written down; none are added while Easel is stopped."""
    patience: float
    """Seconds of waiting after which the job is given up."""
    fetch_failed: bool
    """Whether its pictures are generated and could not be fetched so far."""
    delivering_at: Instant | None
    worker: str | None
    parent_id: int | None
    result_message_id: int | None
    error: str | None
    created_at: Instant

    @property
    def accepted(self) -> int:
        """How many of its pictures providers have accepted."""
        return sum(ticket.count for ticket in self.tickets)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedJob:
    """A job that was accepted, with `ahead` jobs waiting before it.

    `created` is False where Discord has delivered the same request before.
    """

    job: Job
    created: bool
    ahead: int
    allowance: Allowance
    price: Money = Money()
    """The most that it can cost."""
    changes: tuple[str, ...] = ()
    """What the first provider does differently than asked, a clause each."""
    quality: str | None = None
    """The quality that is painted in, empty where the provider chooses it itself; None: as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running job has come.

    `fraction` is 1 once the result can be fetched; `position` counts the jobs before it at the provider.
    """

    fraction: float | None = None
    position: int | None = None
    note: str = ""
    preview: Content | None = field(default=None, repr=False)
    """The unfinished picture, as the provider sent it."""
    changes: tuple[str, ...] = ()
    """What the provider does differently than asked, a clause each."""
    quality: str | None = None
    """The quality that is painted in, empty where the provider chooses it itself; None: as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The pictures of a job. `cost` is the provider's figure; None where it gives none.

    The worker writes the note, the delivery moves pictures to the links.
    """

    pictures: tuple[Picture, ...]
    cost: Money | None = None
    note: str = ""
    """What the member should know, for instance that the provider sent fewer pictures than asked."""
    links: tuple[str, ...] = ()
    """Public links to pictures that are too large for the channel."""
    quality: str | None = None
    """The quality that is painted in, empty where the provider chooses it itself; None: as asked."""
    seed: int | None = None
    """The one that the provider tells; None where it tells none."""
