"""What fal's error answers mean. Pure functions over answers, no I/O.

Source: https://docs.fal.ai/errors. An error's `detail` holds the status and fal's machine words, never its text:
that may repeat a prompt, a link or a key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.domain.clock import Instant
from bot.domain.errors import (
    GenerationFailed,
    JobCancelled,
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RequestRejected,
    SourceRejected,
    TicketLost,
)
from bot.providers.fal.schemas import Status
from bot.providers.shared.http import Answer, for_status

_RETIRED = re.compile(
    r"deprecated|no longer (available|supported|offered)|has been (retired|removed|shut ?down)"
    r"|application \S+ (was )?not found|model \S+ (was not found|does not exist)"
)
_RETIRED_KINDS = frozenset({"deprecated", "model_deprecated", "model_not_found", "model_retired"})
_TOO_EARLY = re.compile(r"still in (progress|queue)|in progress|not (yet )?(completed|finished|ready)")
_WALLET = re.compile(r"locked|balance|top.?up|billing")
_SOURCE_KINDS = re.compile(r"(image|file)_\w+|unsupported_\w+|face_detection_error")
_KIND = re.compile(r"[a-z][a-z_.]{0,59}")
_WITHDRAWN_KINDS = frozenset({"client_cancelled", "client_canceled"})
_FAILED_KINDS = re.compile(r"no_media_generated|downstream_\w+|generation_\w+|runner_\w+|\w+_timeout|internal_\w+")
_NOT_STARTED = "The image service was too busy to begin in time. Asking again may work."


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What an error answer says: its machine words, its text in lower case, whether it blames a picture."""

    kinds: frozenset[str]
    text: str
    about_picture: bool


def complaint_of(answer: Answer, ran: Status | None = None) -> ErrorDetails:
    """Both shapes of fal's errors, read leniently: a list of typed details, or a text and an `error_type`."""
    body = answer.json()
    said = body if isinstance(body, dict) else {}
    detail = said.get("detail")
    items = [item for item in detail if isinstance(item, dict)] if isinstance(detail, list) else []
    kinds = [item.get("type") for item in items]
    kinds.append(said.get("error_type") or answer.headers.get("x-fal-error-type"))
    texts = [detail, said.get("error"), said.get("message"), *(item.get("msg") for item in items)]
    if ran is not None:
        kinds.append(ran.error_type)
        texts.append(ran.error)
    places = [place for item in items if isinstance(place := item.get("loc"), list)]
    return ErrorDetails(
        kinds=frozenset(kind for kind in kinds if isinstance(kind, str) and _KIND.fullmatch(kind)),
        text=" ".join(text for text in texts if isinstance(text, str)).lower(),
        about_picture=any("image" in str(part) or "mask" in str(part) for place in places for part in place),
    )


def refusal(answer: Answer, now: Instant, *, submitting: bool = False, ran: Status | None = None) -> ProviderError:
    """What an answer that is not 2xx means; `ran` is the status of a run that is over."""
    complaint = complaint_of(answer, ran)
    detail = " ".join([str(answer.status), *sorted(complaint.kinds)])
    if not_started(answer):
        detail = f"{detail}, not started"
        return GenerationFailed(_NOT_STARTED, detail=detail) if ran is not None else ProviderBusy(detail=detail)
    if (blamed := _blamed(complaint, detail)) is not None:
        return blamed
    if complaint.kinds & _WITHDRAWN_KINDS or (ran is not None and ran.status.startswith("CANCEL")):
        return JobCancelled(detail=detail)
    if answer.status in (402, 403):
        wallet = answer.status == 402 or _WALLET.search(complaint.text)
        why = "account locked or balance used up" if wallet else "not allowed"
        return ProviderMisconfigured(detail=f"{detail} {why}")
    if _retired(answer, complaint, submitting=submitting):
        return ModelRetired(detail=detail)
    if _failed(answer, complaint, ran):
        return _run_failed(answer, detail)
    error = for_status(answer, now)
    error.detail = detail
    return error


def _blamed(complaint: ErrorDetails, detail: str) -> ProviderError | None:
    """The error that blames what the member gave, if this is one."""
    if "content_policy_violation" in complaint.kinds:
        if complaint.about_picture:
            return SourceRejected(
                "The image service will not work on this picture. Try another one.", detail=detail
            )
        return PromptRejected(detail=detail)
    if any(_SOURCE_KINDS.fullmatch(kind) for kind in complaint.kinds):
        return SourceRejected(detail=detail)
    return None


def _retired(answer: Answer, complaint: ErrorDetails, *, submitting: bool) -> bool:
    if submitting and answer.status in (404, 410):
        return True
    says_so = bool(complaint.kinds & _RETIRED_KINDS) or _RETIRED.search(complaint.text) is not None
    return says_so and answer.status in (400, 404, 410, 422)


def _failed(answer: Answer, complaint: ErrorDetails, ran: Status | None) -> bool:
    """Whether the run itself failed; a 5xx without any word from fal is only a bad moment of its door."""
    if any(_FAILED_KINDS.fullmatch(kind) for kind in complaint.kinds):
        return ran is not None or answer.status < 500
    if ran is None:
        return False
    if ran.failed:
        return answer.status >= 500 or answer.status == 404
    marked = "x-fal-retryable" in answer.headers or "x-fal-needs-retry" in answer.headers
    return answer.status >= 500 and (bool(complaint.kinds) or marked)


def _run_failed(answer: Answer, detail: str) -> GenerationFailed:
    again = answer.headers.get("x-fal-retryable") or answer.headers.get("x-fal-needs-retry") or ""
    if again.lower() in ("false", "0", "no"):
        return GenerationFailed(
            "The image service could not paint this. Try to say it differently.", detail=detail
        )
    return GenerationFailed(detail=detail)


def not_started(answer: Answer) -> bool:
    """Whether it was dropped because nothing began before our own deadline: then nothing was painted."""
    return answer.headers.get("x-fal-request-timeout-type", "").lower() == "user"


def too_early(answer: Answer) -> bool:
    """Whether an error answer only says that the result is not there yet."""
    return answer.status < 500 and _TOO_EARLY.search(complaint_of(answer).text) is not None


def upload_refusal(answer: Answer, now: Instant) -> ProviderError:
    """What a refusal of fal's storage means. Nothing was submitted yet, so what is unclear may be tried again."""
    error = refusal(answer, now, submitting=True)
    if isinstance(error, ModelRetired | TicketLost | RequestRejected | GenerationFailed):
        return ProviderBusy(detail=f"storage {error.detail}")
    return error
