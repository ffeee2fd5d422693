"""What Oxen's error responses and failed rows mean. Pure functions, no I/O.

Oxen reports a bad parameter, a forbidden prompt and an unreachable picture only as a failed row's text, whose
wording is not documented: it is searched for its cause and never shown, because it may repeat links and prompts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from bot.domain.clock import Instant
from bot.domain.errors import (
    GenerationFailed,
    JobCancelled,
    ModelRetired,
    PromptRejected,
    ProviderError,
    ProviderMisconfigured,
    RequestRejected,
    SourceRejected,
)
from bot.domain.requests import ImageRequest
from bot.providers.oxen.schemas import Row, error_text
from bot.providers.shared.http import failed_submit, for_status


@dataclass(frozen=True, slots=True)
class ErrorCause:
    """A cause that an error text may name. `certain` ones are believed even where the status is a 5xx."""

    name: str
    pattern: re.Pattern[str]
    error: type[ProviderError]
    certain: bool = False
    even_if_limited: bool = False
    """Whether it is believed where the status is 429."""


_CAUSES = (
    ErrorCause(
        "credits",
        re.compile(r"insufficient (credit|fund|balance)|(not enough|out of|no) credits|payment required"),
        ProviderMisconfigured,
        certain=True,
        even_if_limited=True,
    ),
    ErrorCause(
        "model",
        re.compile(
            r"model not found|unsupported_media_type|(\bmodel\b|\bgpt-).{0,80}(not found|does not exist|deprecated"
            r"|no longer (available|supported|offered)|has been (retired|removed|shut ?down))"
        ),
        ModelRetired,
        certain=True,
    ),
    ErrorCause(
        "moderation",
        re.compile(
            r"safety[ _](system|violation|filter|check|polic|guideline)"
            r"|moderation[ _](block|filter|system|polic|fail)"
            r"|(blocked|rejected|refused|flagged|failed) (by )?(\w+ ){0,2}moderation|(content|usage).?polic"
            r"|violat\w* .{0,40}polic|policy violation|\bnsfw\b|\bflagged\b|inappropriate"
            r"|(sensitive|prohibited|disallowed|forbidden|harmful) content"
        ),
        PromptRejected,
        certain=True,
    ),
    ErrorCause(
        "option",
        re.compile(
            r"\b(parameter|argument|field|option)s?\b|must be (one of|an?|between|in)\b|cannot be empty"
            r"|is required|num_generations|(invalid|unsupported) (value|size|quality|format|background)|too long"
        ),
        RequestRejected,
    ),
    ErrorCause(
        "picture",
        re.compile(
            r"for url|download|\bfetch|input_?\s?image|cannot identify image"
            r"|(invalid|unsupported|corrupt\w*) (image|picture|file)"
            r"|image.{0,40}(too (large|big|small)|invalid|corrupt|unsupported|could not|cannot)"
        ),
        SourceRejected,
    ),
)


def cause_of(text: str, request: ImageRequest) -> ErrorCause | None:
    """The cause that a text names, apart from the prompt that it repeats; a picture's only where there is one."""
    text = text.replace(request.prompt.lower(), " ")
    for cause in _CAUSES:
        if cause.pattern.search(text) and (request.sources or cause.error is not SourceRejected):
            return cause
    return None


def error_from(response: httpx.Response, body: Any, now: Instant, request: ImageRequest) -> ProviderError:
    """What a submit's response that is not 2xx means."""
    status, cause = response.status_code, cause_of(error_text(body), request)
    detail = f"{status} {cause.name}" if cause else str(status)
    if status == 401:
        return ProviderMisconfigured(detail="401 key")
    if cause and (cause.certain if status >= 500 else status != 429 or cause.even_if_limited):
        return cause.error(detail=detail)
    if status >= 500:
        return failed_submit(response, now)
    if status in (404, 410):
        return ModelRetired(detail=detail)
    if status in (413, 415) and not request.sources:
        return RequestRejected(detail=detail)
    return for_status(response, now)


def error_in_success(body: Any, request: ImageRequest) -> ProviderError | None:
    """What a 2xx without ids or pictures means; None where the submit may have been accepted all the same."""
    text = error_text(body)
    if cause := cause_of(text, request):
        return cause.error(detail=f"200 {cause.name}")
    not_queued = isinstance(body, dict) and body.get("generations") == [] and text
    return GenerationFailed(detail="200 not queued") if not_queued else None


def error_of_row(row: Row, request: ImageRequest) -> ProviderError:
    """Why a row that is over has no picture."""
    if row.status == "cancelled":
        return JobCancelled(detail="cancelled")
    if cause := cause_of(row.error, request):
        return cause.error(detail=f"row failed: {cause.name}")
    return GenerationFailed(detail="row failed")
