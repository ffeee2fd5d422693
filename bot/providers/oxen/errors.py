"""What Oxen's error answers and failed rows mean. Pure functions, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

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
from bot.providers.oxen.schemas import Row, words_in
from bot.providers.shared.http import Answer, for_status

# What went wrong


@dataclass(frozen=True, slots=True)
class ErrorCause:
    """What an error text is about. `certain` ones are believed even where the status is a 5xx."""

    word: str
    pattern: re.Pattern[str]
    error: type[ProviderError]
    certain: bool = False


_CAUSES = (
    ErrorCause(
        "credits",
        re.compile(r"insufficient (credit|fund|balance)|(not enough|out of|no) credits|payment required"),
        ProviderMisconfigured,
        certain=True,
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
    """What a text is about, whatever it repeats of the prompt; a picture is at fault only where there is one."""
    said = text.replace(request.prompt.lower(), " ")
    for cause in _CAUSES:
        if cause.pattern.search(said) and (request.sources or cause.error is not SourceRejected):
            return cause
    return None


def refusal(answer: Answer, body: Any, now: Instant, request: ImageRequest) -> ProviderError | None:
    """What a submit's answer that is not 2xx means; None where something may have been accepted all the same."""
    status, cause = answer.status, cause_of(words_in(body), request)
    detail = f"{status} {cause.word}" if cause else str(status)
    if status == 401:
        return ProviderMisconfigured(detail="401 key")
    if cause and (cause.certain if status >= 500 else status != 429 or cause.word == "credits"):
        return cause.error(detail=detail)
    if status >= 500:
        return None
    if status in (404, 410):
        return ModelRetired(detail=detail)
    if status in (413, 415) and not request.sources:
        return RequestRejected(detail=detail)
    return for_status(answer, now)


def empty_handed(body: Any, request: ImageRequest) -> ProviderError | None:
    """What a good answer without ids or pictures means; None where it does not say that nothing was accepted."""
    words = words_in(body)
    if cause := cause_of(words, request):
        return cause.error(detail=f"200 {cause.word}")
    nothing = isinstance(body, dict) and body.get("generations") == [] and words
    return GenerationFailed(detail="200 not queued") if nothing else None


def failure(row: Row, request: ImageRequest) -> ProviderError:
    """Why a row that is over has no picture."""
    if row.status == "cancelled":
        return JobCancelled(detail="cancelled")
    if cause := cause_of(row.error, request):
        return cause.error(detail=f"row failed: {cause.word}")
    return GenerationFailed(detail="row failed")
