"""What Lumenfall's error responses mean. Pure functions, no I/O.

Source: https://docs.lumenfall.ai/errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from bot.catalog.offers import Submit
from bot.domain.clock import Instant
from bot.domain.errors import (
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
from bot.net.http import json_of
from bot.providers.shared.http import failed_submit, for_status, retry_after
from bot.providers.shared.inline import beginning, is_text

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
_LONGEST_TEXT = 20_000
_ABOUT_PICTURE = re.compile(r"^(image|mask)\b|image file|invalid image|image dimensions")


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error says: its code in capitals, empty where there is none, and its text in lower case."""

    code: str
    text: str

    @property
    def moderated(self) -> bool:
        """Whether a content policy was the reason, Lumenfall's own or that of a service behind it."""
        return bool(_MODERATION_CODES.fullmatch(self.code) or _MODERATION.search(self.text))

    @property
    def clear(self) -> bool:
        """Whether the real call would be refused like the dry run that brought this error."""
        return self.moderated or (self.code in _CLEAR and "dryrun" not in self.text)


def error_details(body: Any) -> ErrorDetails:
    """Read an error's JSON, nested or flat."""
    outer = body if isinstance(body, dict) else {}
    error = outer.get("error")
    inner = error if isinstance(error, dict) else {}
    codes = [fields.get(name) for fields in (inner, outer) for name in ("code", "error_code")]
    texts = [error, inner.get("message"), outer.get("message"), outer.get("error_message"), inner.get("type")]
    return ErrorDetails(
        next((code.upper() for code in codes if isinstance(code, str) and _CODE.fullmatch(code)), ""),
        " ".join(beginning(text, _LONGEST_TEXT) for text in texts if is_text(text)).lower()[:_LONGEST_TEXT],
    )


def error_from(response: httpx.Response, now: Instant, submit: Submit | None = None) -> ProviderError:
    """What a response without pictures means.

    `SubmitUnknown`, or `SubmitFailed` for a 5xx, unless it is certain that nothing was painted.
    """
    details = error_details(json_of(response))
    detail = f"{response.status_code} {details.code}".strip()
    match details.code:
        case "AUTHENTICATION_FAILED":
            return ProviderMisconfigured(detail=detail)
        case "INSUFFICIENT_BALANCE":
            return ProviderMisconfigured(detail=f"{detail} balance used up")
        case "MODEL_NOT_FOUND" | "MODEL_DISABLED":
            return ModelRetired(detail=detail)
        case "RATE_LIMITED":
            return RateLimited(detail=detail, retry_after=retry_after(response, now))
    if details.moderated:
        return PromptRejected(detail=detail)
    if details.code == "INVALID_REQUEST" and response.status_code < 500:
        return _invalid(details.text, detail, submit)
    if details.code == "ALL_PROVIDERS_EXHAUSTED":
        return ProviderBusy(detail=detail, retry_after=retry_after(response, now))
    if details.code == "UPSTREAM_ERROR" and response.status_code in (500, 502, 503):
        return ProviderBusy(detail=detail, retry_after=retry_after(response, now))
    if response.status_code in (404, 410):
        return _not_found(response, details, detail, submit)
    return _by_status(response, now, details, detail)


def _invalid(text: str, detail: str, submit: Submit | None) -> ProviderError:
    if (found := _LENGTH.search(text)) and "prompt" in text:
        limit = int(found[1].replace(",", "") or 0)
        yours = f"; yours has {len(submit.provider_request.request.prompt):,}" if submit else ""
        return RequestRejected(
            f"The image service takes prompts of up to {limit:,} characters{yours}. Shorten it a little.",
            detail=f"{detail} prompt too long",
        )
    if submit is not None and submit.inputs and _ABOUT_PICTURE.search(text):
        return SourceRejected(detail=detail)
    return RequestRejected(detail=detail)


def _not_found(
    response: httpx.Response, details: ErrorDetails, detail: str, submit: Submit | None
) -> ProviderError:
    """A model is gone, or an endpoint: without the one for edits the others may be served."""
    if "model" in details.text:
        return ModelRetired(detail=detail)
    if submit is not None and submit.provider_request.request.kind == "edit":
        return ModelRetired(detail=f"{detail} no such endpoint", kind="edit")
    if response.status_code == 410:
        return ModelRetired(detail=detail)
    return ProviderMisconfigured(detail=f"{detail} no such endpoint")


def _by_status(response: httpx.Response, now: Instant, details: ErrorDetails, detail: str) -> ProviderError:
    status = response.status_code
    if response.is_success or status in (408, 499):
        # The gateway may have given up while the service behind it went on painting.
        return SubmitUnknown(detail=detail)
    if status >= 500:
        return failed_submit(response, now, detail=detail)
    if status < 400:
        return ProviderMisconfigured(detail=f"{detail} moved elsewhere")
    error = for_status(response, now)
    error.detail = detail
    return error
