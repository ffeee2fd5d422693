"""What fal's responses look like. Pure functions, no I/O.

Sources: https://docs.fal.ai/model-apis/model-endpoints/queue and the schemas of the models' own pages.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, field_validator

from bot.catalog.schema import OwnKeyOffer
from bot.domain.clock import Instant
from bot.domain.content import Content
from bot.domain.errors import InvalidResponse
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.domain.requests import MAXIMUM_SEED
from bot.net.http import json_of
from bot.net.large_json import DiskText
from bot.providers.shared.inline import is_data_uri, is_text, picture_in
from bot.providers.shared.tickets import StoredTicketData

LONGEST_QUEUE = 100_000
"""Requests: a place behind more than these is no place."""

Schema = TypeVar("Schema", bound=BaseModel)
Tokens = Field(0, ge=0, le=1_000_000_000)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TicketData(StoredTicketData):
    """A ticket's data. All links come from fal's own response."""

    request_id: str = Field(min_length=1)
    status_url: str
    response_url: str
    cancel_url: str
    submitted_at: Instant = 0
    byok: bool = False
    """Whether the operator's own OpenAI key pays for it."""


class Status(_Wire):
    """A request's status."""

    status: str
    queue_position: int | None = None
    error: Any = None
    error_type: str | None = None

    @field_validator("queue_position", mode="before")
    @classmethod
    def _place(cls, value: object) -> object:
        return value if type(value) is int and 0 <= value <= LONGEST_QUEUE else None

    @property
    def over(self) -> bool:
        """Whether the status is final: completed, failed or cancelled."""
        return self.status not in ("IN_QUEUE", "IN_PROGRESS")

    @property
    def failed(self) -> bool:
        """Whether it shows an error; where it does not, the request may have failed all the same."""
        return bool(self.error or self.error_type)

    @property
    def progress(self) -> Progress:
        """The same for members, who read nothing of what the service writes."""
        if self.status != "IN_QUEUE":
            return Progress(note="painting")
        return Progress(position=self.queue_position, note="queued at the service")


class Image(_Wire):
    """One picture: behind a link, inside a data URI, or as base64 beside a link that leads nowhere."""

    url: InstanceOf[str] | InstanceOf[DiskText] = Field("", repr=False)
    file_data: InstanceOf[str] | InstanceOf[DiskText] = Field("", repr=False)

    @field_validator("url", "file_data", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return value if is_text(value) else ""

    def result(self) -> str | Content:
        """A link or the bytes; empty where they cannot be decoded, so that the others still count."""
        link = self.url if isinstance(self.url, str) and not is_data_uri(self.url) else ""
        inline = self.file_data or ("" if link else self.url)
        with suppress(InvalidResponse):
            return picture_in(inline) if inline else link
        return link or b""


class InputTokens(_Wire):
    """The input tokens by kind."""

    text_tokens: int = Tokens
    image_tokens: int = Tokens


class Usage(_Wire):
    """OpenAI's count of tokens, for a request that the operator's own key pays for."""

    input_tokens: int = Field(ge=0, le=1_000_000_000)
    output_tokens: int = Field(ge=0, le=1_000_000_000)
    input_tokens_details: InputTokens | None = None

    def cost(self, prices: OwnKeyOffer) -> Money:
        """What OpenAI charges; tokens of an unknown kind count as the dearer one."""
        known = self.input_tokens_details or InputTokens()
        rest = max(0, self.input_tokens - known.text_tokens - known.image_tokens)
        micros = known.text_tokens * prices.text_token + known.image_tokens * prices.picture_token
        micros += rest * max(prices.text_token, prices.picture_token)
        return Money(micros + self.output_tokens * prices.painted_token)


class Result(_Wire):
    """What a finished request brings."""

    images: tuple[Image, ...] = Field(min_length=1, repr=False)
    usage: Any = None
    seed: Any = None

    @field_validator("images", mode="before")
    @classmethod
    def _usable(cls, images: object) -> object:
        """Leave out images without a link or bytes, so that the others still count."""
        if not isinstance(images, list):
            return images
        return [image for image in images if isinstance(image, dict) and _has_content(image)]


def _has_content(image: dict[str, Any]) -> bool:
    return any(is_text(image.get(name)) and image[name] for name in ("url", "file_data"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A good result: a link or the bytes of each picture, and what fal says about its cost."""

    results: tuple[str | Content, ...] = field(repr=False)
    usage: Usage | None = None
    seed: int | None = None
    free: bool = False
    """Whether fal bills no units for the request."""

    @property
    def cost_at_fal(self) -> Money | None:
        """Zero where fal bills no units; else None, since the price of a unit is not known."""
        return Money() if self.free else None

    def cost_at_openai(self, prices: OwnKeyOffer | None) -> Money | None:
        """The cost by OpenAI's count of tokens; None where there is none."""
        return self.usage.cost(prices) if self.usage is not None and prices is not None else None


def generated_in(response: httpx.Response) -> Generated | None:
    """The pictures in a response; None where there are none. Slow for a large one."""
    result = parsed(Result, response)
    if result is None:
        return None
    return Generated(
        results=tuple(image.result() for image in result.images),
        usage=valid(Usage, result.usage),
        seed=seed_in(result.seed),
        free=is_free(response),
    )


def seed_in(value: Any) -> int | None:
    """A seed that members can ask for again; None for anything else."""
    return value if type(value) is int and 0 <= value <= MAXIMUM_SEED else None


def is_free(response: httpx.Response) -> bool:
    """Whether fal bills no units for the request."""
    return re.fullmatch(r"0+(\.0*)?", response.headers.get("x-fal-billable-units", "").strip()) is not None


class Token(_Wire):
    """A token that allows uploads to the CDN for some minutes."""

    token: str = Field(pattern=r"^[!-~]+$", repr=False)
    token_type: str = Field("Bearer", pattern=r"^[A-Za-z]+$")
    base_url: str = Field(min_length=1)


class StoredFile(_Wire):
    """Where the CDN put a file."""

    access_url: str = Field(min_length=1)


class UploadPlace(_Wire):
    """Where to put a file, and where fal will find it."""

    upload_url: str
    file_url: str = Field(min_length=1)


class Metadata(_Wire):
    """What the platform says about a model."""

    status: str = ""


class ListedModel(_Wire):
    """A model on the platform."""

    endpoint_id: str
    metadata: Metadata = Metadata()
    openapi: Any = Field(None, repr=False)
    """Its OpenAPI document, where it was asked for."""


class _Page(_Wire):
    next_cursor: str | None = None
    has_more: bool = False


class ModelPage(_Page):
    """A page of the list of models."""

    models: tuple[ListedModel, ...]


class UnitPrice(_Wire):
    """What one unit costs at an endpoint; what a unit is, differs."""

    endpoint_id: str
    unit: str = ""
    unit_price: Any = None
    currency: str = "USD"


class PricePage(_Page):
    """A page of the list of prices."""

    prices: tuple[UnitPrice, ...]


class PlatformError(_Wire):
    """The platform's own error, which a proxy's error page is not."""

    error: dict[str, Any]


def parsed(schema: type[Schema], response: httpx.Response) -> Schema | None:
    """A response's JSON as a model; None where it is not JSON or not of that schema."""
    return valid(schema, json_of(response))


def valid(schema: type[Schema], value: Any) -> Schema | None:
    """A value as a model; None where it is not of that schema."""
    try:
        return schema.model_validate(value)
    except ValidationError:
        return None


def extended(url: str, path: str = "", **query: str) -> str:
    """A URL with more path and more query."""
    base, _, former = url.partition("?")
    pairs = [former] if former else []
    pairs += [f"{name}={value}" for name, value in query.items()]
    return f"{base.rstrip('/')}{path}" + (f"?{'&'.join(pairs)}" if pairs else "")
