"""What Lumenfall's error answers mean. Pure functions over answers, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

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
from bot.providers.shared.http import Answer, for_status

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
