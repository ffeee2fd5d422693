"""What fal's answers look like. Pure functions over answers, no I/O.

Sources: https://docs.fal.ai/model-apis/model-endpoints/queue and the schemas of the models' own pages.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.catalog.schema import OwnKeyOffer
from bot.domain.clock import Instant
from bot.domain.errors import InvalidResponse
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.providers.shared.http import Answer, read_data_uri

PICTURE_LIMIT = 33_554_432
"""Bytes of one picture inside a result."""
LONGEST_LINE = 80
"""Characters of a log line that a member is shown."""
READ_OF_A_LINE = 1000
LOOKED_AT = 50
"""Log lines among which the newest readable one is sought."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_LINKS = re.compile(r"\S*(?:://|www\.|data:|\bsk-)\S*|\b[\w-]+(?:\.[\w-]+)+/\S*")

Shape = TypeVar("Shape", bound=BaseModel)
Tokens = Field(0, ge=0, le=1_000_000_000)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TicketData(_Wire):
    """What a ticket holds. All links come from fal's own answer."""

    request_id: str = Field(min_length=1)
    status_url: str
    response_url: str
    cancel_url: str
    submitted_at: Instant = 0
    byok: bool = False
    """Whether the operator's own OpenAI key pays for it."""


class Status(_Wire):
    """Where a request stands. A stream's `logs` are only the new lines, a poll's are all of them."""

    status: str
    queue_position: int | None = None
    error: Any = None
    error_type: str | None = None
    logs: Any = Field(None, repr=False)

    @property
    def over(self) -> bool:
        """It will not change any more, for better or worse."""
        return self.status not in ("IN_QUEUE", "IN_PROGRESS")

    @property
    def failed(self) -> bool:
        """It says itself that it failed; where it does not, it may have failed all the same."""
        return bool(self.error or self.error_type)

    def newest(self, hidden: Callable[[str], bool]) -> str:
        """Its newest log line that says something and may be shown; empty where there is none."""
        lines = self.logs[-LOOKED_AT:] if isinstance(self.logs, list) else []
        said = [line.get("message") for line in reversed(lines) if isinstance(line, dict)]
        texts = (text for text in said if isinstance(text, str) and not hidden(text))
        return next((shown for text in texts if (shown := readable(text))), "")

    def progress(self, line: str) -> Progress:
        """The same in plain words; `line` is the newest log line."""
        if self.status != "IN_QUEUE":
            return Progress(note=line or "painting")
        if self.queue_position is None:
            return Progress(note="queued at the service")
        return Progress(position=self.queue_position, note=f"queued at the service, {self.queue_position} ahead")


def readable(text: str) -> str:
    """The last line of a log message without links, keys and control characters, at most `LONGEST_LINE` long."""
    lines = [line for line in _ESCAPES.sub("", text[-READ_OF_A_LINE:]).splitlines() if line.strip()]
    line = _LINKS.sub("", lines[-1]) if lines else ""
    line = "".join(" " if letter.isspace() else letter for letter in line)
    line = "".join(letter for letter in line if not unicodedata.category(letter).startswith("C"))
    line = " ".join(line.split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1].rstrip()}…"


class Image(_Wire):
    """One picture: behind a link, inside a data URI, or as base64 beside a link that leads nowhere."""

    url: str = Field("", repr=False)
    file_data: str = Field("", repr=False)

    @field_validator("url", "file_data", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return value if isinstance(value, str) else ""

    def found(self) -> str | bytes:
        """A link or the bytes; what cannot be decoded is no picture, but does not spoil the others."""
        inline = self.file_data or (self.url if self.url[:5].lower() == "data:" else "")
        try:
            if inline[:5].lower() == "data:":
                return read_data_uri(inline, PICTURE_LIMIT)
            return base64.b64decode(inline, validate=True) if inline else self.url
        except (InvalidResponse, binascii.Error, ValueError):
            return self.url if self.url[:5].lower() != "data:" else b""


class InputTokens(_Wire):
    """What the tokens that went in were."""

    text_tokens: int = Tokens
    image_tokens: int = Tokens


class Usage(_Wire):
    """OpenAI's count, for a request that its key pays for."""

    input_tokens: int = Field(ge=0, le=1_000_000_000)
    output_tokens: int = Field(ge=0, le=1_000_000_000)
    input_tokens_details: InputTokens | None = None

    def cost(self, prices: OwnKeyOffer) -> Money:
        """What it costs; tokens of which nobody says what they were count as the dearer kind."""
        known = self.input_tokens_details or InputTokens()
        rest = max(0, self.input_tokens - known.text_tokens - known.image_tokens)
        micros = known.text_tokens * prices.text_token + known.image_tokens * prices.picture_token
        micros += rest * max(prices.text_token, prices.picture_token)
        return Money(micros + self.output_tokens * prices.painted_token)


class Result(_Wire):
    """What a finished model says."""

    images: tuple[Image, ...] = Field(min_length=1, repr=False)
    usage: Any = None

    @field_validator("images", mode="before")
    @classmethod
    def _usable(cls, images: object) -> object:
        """One that leads nowhere does not spoil the others."""
        if not isinstance(images, list):
            return images
        return [image for image in images if isinstance(image, dict) and _leads_somewhere(image)]


def _leads_somewhere(image: dict[str, Any]) -> bool:
    return any(isinstance(image.get(name), str) and image[name] for name in ("url", "file_data"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A good result: a link or the bytes of each picture, and what fal says that it cost."""

    found: tuple[str | bytes, ...] = field(repr=False)
    usage: Usage | None = None
    free: bool = False
    """Whether fal bills no units for it."""

    @property
    def cost_at_fal(self) -> Money | None:
        """Nothing where fal says so: its units have no price that would tell more."""
        return Money() if self.free else None

    def cost_at_openai(self, prices: OwnKeyOffer | None) -> Money | None:
        """By OpenAI's own count; None where there is none."""
        return self.usage.cost(prices) if self.usage is not None and prices is not None else None


def painted(answer: Answer) -> Generated | None:
    """The pictures in an answer; None where it holds none. Slow for a big one."""
    result = parsed(Result, answer)
    if result is None:
        return None
    units = answer.headers.get("x-fal-billable-units", "").strip()
    return Generated(
        found=tuple(image.found() for image in result.images),
        usage=valid(Usage, result.usage),
        free=re.fullmatch(r"0+(\.0*)?", units) is not None,
    )


class Token(_Wire):
    """What lets a file into the CDN for some minutes."""

    token: str = Field(pattern=r"^[!-~]+$", repr=False)
    token_type: str = Field("Bearer", pattern=r"^[A-Za-z]+$")
    base_url: str = Field(min_length=1)


class Stored(_Wire):
    """Where the CDN put a file."""

    access_url: str = Field(min_length=1)


class UploadPlace(_Wire):
    """Where to put a file, and where fal will find it."""

    upload_url: str
    file_url: str = Field(min_length=1)


class Metadata(_Wire):
    """What the platform says of a model."""

    status: str = ""


class Listing(_Wire):
    """A model on the platform."""

    endpoint_id: str
    metadata: Metadata = Metadata()


class Models(_Wire):
    """A page of them."""

    models: tuple[Listing, ...]


class PlatformError(_Wire):
    """The platform's own error, by which it can be told from a page of somebody on the way."""

    error: dict[str, Any]


def parsed(shape: type[Shape], answer: Answer) -> Shape | None:
    """An answer's JSON in a shape; None where it is no JSON or has another shape."""
    return valid(shape, answer.json())


def valid(shape: type[Shape], value: Any) -> Shape | None:
    """A value in a shape; None where it has another."""
    try:
        return shape.model_validate(value)
    except ValidationError:
        return None


def extended(url: str, path: str = "", **query: str) -> str:
    """A link with something added to its path and its query."""
    base, _, had = url.partition("?")
    pairs = [had] if had else []
    pairs += [f"{name}={value}" for name, value in query.items()]
    return f"{base.rstrip('/')}{path}" + (f"?{'&'.join(pairs)}" if pairs else "")
