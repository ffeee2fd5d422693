"""What a member asks for, which member, and where the response goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bot.domain.clock import Instant

Size = str
"""`auto`, `square`, `landscape`, `portrait`, a ratio like `16:9`, or pixels like `1536x1024`."""
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max"]
Background = Literal["auto", "transparent", "opaque"]
OutputFormat = Literal["png", "jpeg", "webp", "gif", "avif"]
Fidelity = Literal["low", "high"]
RequestKind = Literal["imagine", "edit"]
MAXIMUM_SOURCES = 4
MAXIMUM_COUNT = 10
"""Pictures of one request: what Discord takes in one message."""
MAXIMUM_PROMPT = 4000
"""Characters. Discord's longest text input holds 4000."""
MAXIMUM_SEED = 2**31 - 1
"""Services differ, and say little; all take a positive number of 31 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture that a request points at: one to edit, a reference, or a mask.

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
    spoiler: bool = False
    """Whether it was hidden where it comes from."""

    @property
    def refetchable(self) -> bool:
        """Whether a message holds it, so that a fresh link can always be had."""
        return self.message_id is not None and self.channel_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What a member asks for, in words that belong to no provider."""

    prompt: str
    model: str
    """Empty where the member named none, until `MemberService.submit` has chosen one."""
    size: Size = "auto"
    quality: Quality = "medium"
    background: Background = "auto"
    output_format: OutputFormat = "png"
    count: int = 1
    fidelity: Fidelity | None = None
    compression: int | None = None
    """0 to 100, for lossy formats; None leaves it to the provider."""
    seed: int | None = None
    """The same seed paints about the same picture again; None leaves it to the provider."""
    sources: tuple[Source, ...] = ()
    mask: Source | None = None
    spoiler: bool = False
    instead_of: str | None = None
    """The model that the member asked for and that is gone, where `model` is its successor."""
    fallbacks: tuple[str, ...] = ()
    """Where an edit differs from the picture that it is of, because it must: a clause each."""

    @property
    def kind(self) -> RequestKind:
        """A request that points at pictures is an edit."""
        return "edit" if self.sources else "imagine"

    @property
    def pictures(self) -> tuple[Source, ...]:
        """Every picture of the request, the mask last; their order numbers the job's spool."""
        return self.sources if self.mask is None else (*self.sources, self.mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """The member who asks, and where."""

    user_id: int
    guild_id: int
    channel_id: int
    role_ids: tuple[int, ...] = ()
    locale: str = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAddress:
    """Where the response goes; enough for a process without a gateway.

    `token` answers the interaction until `expires_at` on Discord's clock; a job born from a message has
    none. `file_limit` is in bytes, 0 where Discord did not say.
    """

    application_id: int
    channel_id: int
    event_id: int = 0
    """The interaction or the message that asked; 0 in jobs of earlier versions."""
    token: str | None = field(default=None, repr=False)
    expires_at: Instant = 0
    card_id: int | None = None
    file_limit: int = 0
