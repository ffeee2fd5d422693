"""The nouns. Frozen, slotted, keyword-only; the standard library and nothing else.

Times are integers, milliseconds since the epoch (`Instant`); money is integer micro-dollars (`Money`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Literal

Instant = int
"""Milliseconds since the epoch, UTC."""

Size = str
"""`auto`, `square`, `landscape`, `portrait`, a ratio like `16:9`, or pixels like `1536x1024`."""
Quality = Literal["auto", "low", "medium", "high"]
Background = Literal["auto", "transparent", "opaque"]
OutputFormat = Literal["png", "jpeg", "webp", "gif", "avif"]
Fidelity = Literal["low", "high"]
Window = Literal["day", "week", "month"]

MAXIMUM_SOURCES = 4
MAXIMUM_COUNT = 10
"""Pictures of one request: what Discord takes in one message."""
MAXIMUM_PROMPT = 4000
"""Characters. Discord's longest text input holds 4000."""


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in micro-dollars: `Money(134_000)` is $0.134."""

    micros: int = 0

    def __add__(self, other: Money) -> Money:
        return Money(self.micros + other.micros)

    def __mul__(self, count: int) -> Money:
        return Money(self.micros * count)

    def __str__(self) -> str:
        """Dollars with at least two decimals, and a third where it matters: $0.13, $0.034."""
        thousandths = -(-self.micros // 1000)
        dollars = f"${thousandths / 1000:,.3f}"
        return dollars.removesuffix("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture that somebody points at: something to edit, a reference, or a mask.

    `size` is in bytes, `width` and `height` in pixels where Discord knows them. With a message behind it
    (`channel_id`, `message_id`, `attachment_id`) it can be fetched again when its link has run out.
    """

    url: str
    filename: str
    content_type: str | None = None
    size: int = 0
    width: int | None = None
    height: int | None = None
    channel_id: int | None = None
    message_id: int | None = None
    attachment_id: int | None = None

    @property
    def refetchable(self) -> bool:
        """Whether a message holds it, so that a fresh link can always be had."""
        return self.message_id is not None and self.channel_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What a member asks for, in words that belong to no service."""

    prompt: str
    model: str
    """Empty until the studio has chosen, where nobody named one."""
    size: Size = "auto"
    quality: Quality = "medium"
    background: Background = "auto"
    output_format: OutputFormat = "png"
    count: int = 1
    fidelity: Fidelity | None = None
    compression: int | None = None
    """0 to 100, for formats that lose detail; None: the service's own."""
    sources: tuple[Source, ...] = ()
    mask: Source | None = None
    spoiler: bool = False
    instead_of: str | None = None
    """The model that was asked for and is gone, where `model` is its successor."""

    @property
    def kind(self) -> Literal["imagine", "edit"]:
        """An edit is a request that points at pictures."""
        return "edit" if self.sources else "imagine"

    @property
    def pictures(self) -> tuple[Source, ...]:
        """Every picture it points at, the mask last; their order numbers the job's spool."""
        return self.sources if self.mask is None else (*self.sources, self.mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks, and where."""

    user_id: int
    guild_id: int
    channel_id: int
    role_ids: tuple[int, ...] = ()
    locale: str = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAddress:
    """Where an answer goes; enough for a process without a gateway.

    `token` answers the interaction until `expires_at` on Discord's clock; a job born from a message has
    none. `file_limit` is in bytes, 0 where Discord did not say.
    """

    application_id: int
    channel_id: int
    token: str | None = field(default=None, repr=False)
    expires_at: Instant = 0
    card_id: int | None = None
    file_limit: int = 0


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
class Amount:
    """An amount in both units that quotas know."""

    images: int = 0
    money: Money = Money()


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
class Limit:
    """How much a subject may spend in a window. `set_by` is 0 for the operator's default."""

    subject: Literal["member", "role", "everyone", "guild", "operator"]
    subject_id: int
    unit: Literal["images", "micros"]
    window: Window
    limit: int
    set_by: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a member may still spend, in images, and the rule that is the narrowest."""

    limit: int
    spent: int
    reserved: int
    granted: int
    resets_at: Instant
    why: Limit

    @property
    def left(self) -> int:
        """Images left in the window and in grants."""
        return max(0, self.limit - self.spent - self.reserved) + self.granted


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
class Picture:
    """A checked picture: `content` is its bytes, `width` and `height` are pixels."""

    content: bytes = field(repr=False)
    content_type: str
    filename: str
    width: int
    height: int
    url: str | None = field(default=None, repr=False)
    """Where the service serves it publicly, for a picture that no channel takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPicture:
    """A picture on its way to a service. `url` is a public link that is still good, where there is one."""

    picture: Picture
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSource:
    """What reading a source gave: its bytes, and a link to it that a service may use for a while."""

    content: bytes = field(repr=False)
    url: str | None = field(default=None, repr=False)


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
