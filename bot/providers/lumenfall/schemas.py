"""What Lumenfall's answers mean: pictures, prices, refusals. Pure functions over answers, no I/O.

Sources: https://docs.lumenfall.ai/api-reference/images/generate, https://docs.lumenfall.ai/cost-estimation and
https://docs.lumenfall.ai/errors.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from bot.catalog.offers import Submit
from bot.domain.clock import Instant
from bot.domain.errors import (
    InvalidResponse,
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SourceRejected,
    SubmitUnknown,
)
from bot.providers.shared.http import Answer, for_status, read_data_uri

REQUEST_ID = "x-lumenfall-request-id"
PICTURE_LIMIT = 33_554_432
_LINK_LIMIT = 4096
_DEAREST = 1000
"""Dollars: what claims to cost more is no price."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_CODE = re.compile(r"[A-Za-z][A-Za-z_]{0,59}")
_CLEAR = frozenset(
    {"AUTHENTICATION_FAILED", "INSUFFICIENT_BALANCE", "MODEL_NOT_FOUND", "MODEL_DISABLED", "INVALID_REQUEST"}
)
_MODERATION_CODES = re.compile(r"CONTENT_POLICY\w*|MODERATION\w*|CONTENT_FILTER\w*|SAFETY\w*")
_MODERATION = re.compile(
    r"safety[ _](system|violation|filter)|moderation_blocked|(blocked|rejected|flagged) by (\w+ )?moderation"
    r"|content[ _-]?(policy|filter)|policy[ _]violation|\bnsfw\b|\bflagged\b"
)
_LENGTH = re.compile(r"(?:<=?|at most|most|maximum(?: length)?(?: of)?|up to|limited to)\s*([\d,]{2,7})\s*char")
_ABOUT_PICTURE = re.compile(r"^(image|mask)\b|image file|invalid image|image dimensions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Pictures as they came: links that expire, and bytes that come only once. `cost` is in micro-dollars."""

    links: tuple[str, ...] = field(default=(), repr=False)
    kept: tuple[bytes, ...] = field(default=(), repr=False)
    cost: int | None = None
    request_id: str | None = None

    def __bool__(self) -> bool:
        return bool(self.links or self.kept)


def painted_in(body: Any, headers: Mapping[str, str]) -> Generated | None:
    """The pictures of an answer; None where it is no answer to a request for pictures."""
    if not isinstance(body, dict) or not isinstance(items := body.get("data"), list):
        return None
    found = [item for item in map(_picture, items) if item]
    return Generated(
        links=tuple(item for item in found if isinstance(item, str)),
        kept=tuple(item for item in found if isinstance(item, bytes)),
        cost=cost_in(body),
        request_id=request_id_in(headers.get(REQUEST_ID)) or request_id_in(body.get("id")),
    )


def _picture(item: Any) -> str | bytes | None:
    """A link, or the bytes; None where there is neither."""
    if not isinstance(item, dict):
        return None
    link = item.get("url")
    if isinstance(link, str) and link:
        if link[:5].lower() == "data:":
            return content_of(link)
        return link if len(link) <= _LINK_LIMIT else None
    return content_of(item.get("b64_json"))


def content_of(text: Any) -> bytes | None:
    """The bytes behind base64 or a data URI; None where it is neither."""
    if not isinstance(text, str):
        return None
    try:
        if text[:5].lower() == "data:":
            return read_data_uri(text, PICTURE_LIMIT) or None
        return base64.b64decode(text) or None
    except (InvalidResponse, binascii.Error, ValueError):
        return None


def request_id_in(value: Any) -> str | None:
    """An id that may stand in a path."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


# Money


def cost_in(body: Mapping[str, Any]) -> int | None:
    """What an answer says that it cost, in micro-dollars; None where it says nothing sensible."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or str(metadata.get("cost_currency") or "USD").upper() != "USD":
        return None
    return micros(metadata.get("cost"))


def estimate_in(body: Any) -> int | None:
    """What a dry run says that it would cost, in either of the two shapes that are told of."""
    if not isinstance(body, dict):
        return None
    total = body.get("total_cost_micros")
    if isinstance(total, int) and not isinstance(total, bool) and 0 <= total <= _DEAREST * 1_000_000:
        return total
    return cost_in(body)


def micros(dollars: Any) -> int | None:
    """Dollars as micro-dollars, rounded up; None for what is no price."""
    amount = decimal(dollars)
    if amount is None or not 0 <= amount <= _DEAREST:
        return None
    return int((amount * 1_000_000).to_integral_value(ROUND_CEILING))


def decimal(value: Any) -> Decimal | None:
    """A finite number, from a JSON number or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


# Refusals


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error says: its code in capitals, empty where there is none, and its text in small letters."""

    code: str
    text: str

    @property
    def moderated(self) -> bool:
        """Whether somebody's content policy is behind it."""
        return bool(_MODERATION_CODES.fullmatch(self.code) or _MODERATION.search(self.text))

    @property
    def clear(self) -> bool:
        """Whether a dry run that says so speaks for the real call as well."""
        return self.moderated or (self.code in _CLEAR and "dryrun" not in self.text)


def complaint_in(body: Any) -> ErrorDetails:
    """An error's envelope, nested or flat."""
    said = body if isinstance(body, dict) else {}
    error = said.get("error")
    inner = error if isinstance(error, dict) else {}
    codes = [place.get(name) for place in (inner, said) for name in ("code", "error_code")]
    texts = [error, inner.get("message"), said.get("message"), said.get("error_message"), inner.get("type")]
    return ErrorDetails(
        next((code.upper() for code in codes if isinstance(code, str) and _CODE.fullmatch(code)), ""),
        " ".join(text for text in texts if isinstance(text, str)).lower()[:20_000],
    )


def refusal(answer: Answer, now: Instant, order: Submit | None = None) -> ProviderError:
    """What an answer without pictures means. Whoever cannot be sure that nothing was painted says so."""
    complaint = complaint_in(answer.json())
    detail = f"{answer.status} {complaint.code}".strip()
    match complaint.code:
        case "AUTHENTICATION_FAILED":
            return ProviderMisconfigured(detail=detail)
        case "INSUFFICIENT_BALANCE":
            return ProviderMisconfigured(detail=f"{detail} balance used up")
        case "MODEL_NOT_FOUND" | "MODEL_DISABLED":
            return ModelRetired(detail=detail)
        case "RATE_LIMITED":
            return RateLimited(detail=detail, retry_after=answer.retry_after(now))
    if complaint.moderated:
        return PromptRejected(detail=detail)
    if complaint.code == "INVALID_REQUEST" and answer.status < 500:
        return _invalid(complaint.text, detail, order)
    if complaint.code == "ALL_PROVIDERS_EXHAUSTED":
        return ProviderBusy(detail=detail, retry_after=answer.retry_after(now))
    if complaint.code == "UPSTREAM_ERROR" and answer.status in (500, 502, 503):
        return ProviderBusy(detail=detail, retry_after=answer.retry_after(now))
    return _by_status(answer, now, complaint, detail)


def _invalid(text: str, detail: str, order: Submit | None) -> ProviderError:
    if (found := _LENGTH.search(text)) and "prompt" in text:
        most = int(found[1].replace(",", "") or 0)
        yours = f"; yours has {len(order.fit.request.prompt):,}" if order else ""
        return RequestRejected(
            f"The image service takes prompts of up to {most:,} characters{yours}. Shorten it a little.",
            detail=f"{detail} prompt too long",
        )
    if order is not None and order.inputs and _ABOUT_PICTURE.search(text):
        return SourceRejected(detail=detail)
    return RequestRejected(detail=detail)


def _by_status(answer: Answer, now: Instant, complaint: ErrorDetails, detail: str) -> ProviderError:
    status = answer.status
    if answer.good or status >= 500 or status in (408, 499):
        # A door that closed while somebody was painting behind it looks the same as one that never opened.
        return SubmitUnknown(detail=detail)
    if status < 400:
        return ProviderMisconfigured(detail=f"{detail} moved elsewhere")
    if status in (404, 410):
        if status == 410 or "model" in complaint.text:
            return ModelRetired(detail=detail)
        return ProviderMisconfigured(detail=f"{detail} no such endpoint")
    error = for_status(answer, now)
    error.detail = detail
    return error
