"""What fal's error responses mean. Pure functions, no I/O.

Source: https://docs.fal.ai/errors. An error's `detail` holds the status and fal's types of error, never its text:
that may repeat a prompt, a link or a key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

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
from bot.net.http import json_of
from bot.net.large_json import LONG
from bot.providers.fal.schemas import Status
from bot.providers.shared.http import failed_submit, for_status
from bot.providers.shared.inline import beginning, is_text

_RETIRED = re.compile(
    r"deprecated|no longer (available|supported|offered)|has been (retired|removed|shut ?down)"
    r"|application \S+ (was )?not found|model \S+ (was not found|does not exist)"
)
_RETIRED_KINDS = frozenset({"deprecated", "model_deprecated", "model_not_found", "model_retired"})
_TOO_EARLY = re.compile(r"still in (progress|queue)|in progress|not (yet )?(completed|finished|ready)")
_ABOUT_BALANCE = re.compile(r"locked|balance|top.?up|billing")
_SOURCE_KINDS = re.compile(r"(image|file)_\w+|unsupported_\w+|face_detection_error")
_KIND = re.compile(r"[a-z][a-z_.]{0,59}")
_CANCELLED_KINDS = frozenset({"client_cancelled", "client_canceled"})
_FAILED_KINDS = re.compile(r"no_media_generated|downstream_\w+|generation_\w+|runner_\w+|\w+_timeout|internal_\w+")
_NOT_STARTED = "The image service was too busy to begin in time. Asking again may work."


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What an error response says: its types of error, its text in lower case, whether it blames a picture."""

    kinds: frozenset[str]
    text: str
    about_picture: bool


def error_details(response: httpx.Response, ran: Status | None = None) -> ErrorDetails:
    """Both forms of fal's errors, read leniently: a list of typed details, or a text and an `error_type`."""
    body = json_of(response)
    fields = body if isinstance(body, dict) else {}
    detail = fields.get("detail")
    items = [item for item in detail if isinstance(item, dict)] if isinstance(detail, list) else []
    kinds = [item.get("type") for item in items]
    kinds.append(fields.get("error_type") or response.headers.get("x-fal-error-type"))
    texts = [detail, fields.get("error"), fields.get("message"), *(item.get("msg") for item in items)]
    if ran is not None:
        kinds.append(ran.error_type)
        texts.append(ran.error)
    places = [place for item in items if isinstance(place := item.get("loc"), list)]
    return ErrorDetails(
        kinds=frozenset(kind for kind in kinds if isinstance(kind, str) and _KIND.fullmatch(kind)),
        text=" ".join(beginning(text, LONG) for text in texts if is_text(text)).lower(),
        about_picture=any("image" in str(part) or "mask" in str(part) for place in places for part in place),
    )


def error_from(
    response: httpx.Response, now: Instant, *, submitting: bool = False, ran: Status | None = None
) -> ProviderError:
    """What a response that is not 2xx means; `ran` is the status of a run that is over."""
    details = error_details(response, ran)
    detail = " ".join([str(response.status_code), *sorted(details.kinds)])
    if not_started(response):
        detail = f"{detail}, not started"
        return GenerationFailed(_NOT_STARTED, detail=detail) if ran is not None else ProviderBusy(detail=detail)
    if (blame := _blame(details, detail)) is not None:
        return blame
    if details.kinds & _CANCELLED_KINDS or (ran is not None and ran.status.startswith("CANCEL")):
        return JobCancelled(detail=detail)
    if response.status_code in (402, 403):
        about_balance = response.status_code == 402 or _ABOUT_BALANCE.search(details.text)
        reason = "account locked or balance used up" if about_balance else "not allowed"
        return ProviderMisconfigured(detail=f"{detail} {reason}")
    if _retired(response, details, submitting=submitting):
        return ModelRetired(detail=detail)
    if _failed(response, details, ran):
        return _generation_failed(response, detail)
    error = for_status(response, now)
    error.detail = detail
    return error


def _blame(details: ErrorDetails, detail: str) -> ProviderError | None:
    """The error that blames the prompt or a picture, if this is one."""
    if "content_policy_violation" in details.kinds:
        if details.about_picture:
            return SourceRejected(
                "The image service will not work on this picture. Try another one.", detail=detail
            )
        return PromptRejected(detail=detail)
    if any(_SOURCE_KINDS.fullmatch(kind) for kind in details.kinds):
        return SourceRejected(detail=detail)
    return None


def _retired(response: httpx.Response, details: ErrorDetails, *, submitting: bool) -> bool:
    if submitting and response.status_code in (404, 410):
        return True
    named = bool(details.kinds & _RETIRED_KINDS) or _RETIRED.search(details.text) is not None
    return named and response.status_code in (400, 404, 410, 422)


def _failed(response: httpx.Response, details: ErrorDetails, ran: Status | None) -> bool:
    """Whether the run itself failed; a 5xx without an error of fal's own only says that its gateway is down."""
    if any(_FAILED_KINDS.fullmatch(kind) for kind in details.kinds):
        return ran is not None or response.status_code < 500
    if ran is None:
        return False
    if ran.failed:
        return response.status_code >= 500 or response.status_code == 404
    marked = "x-fal-retryable" in response.headers or "x-fal-needs-retry" in response.headers
    return response.status_code >= 500 and (bool(details.kinds) or marked)


def _generation_failed(response: httpx.Response, detail: str) -> GenerationFailed:
    retryable = response.headers.get("x-fal-retryable") or response.headers.get("x-fal-needs-retry") or ""
    if retryable.lower() in ("false", "0", "no"):
        return GenerationFailed(
            "The image service could not paint this. Try to say it differently.", detail=detail
        )
    return GenerationFailed(detail=detail)


def not_started(response: httpx.Response) -> bool:
    """Whether fal dropped the request because it had not begun by our start time-out: nothing was painted."""
    kind: str = response.headers.get("x-fal-request-timeout-type", "")
    return kind.lower() == "user"


def too_early(response: httpx.Response) -> bool:
    """Whether an error response only says that the result is not there yet."""
    return response.status_code < 500 and _TOO_EARLY.search(error_details(response).text) is not None


def submit_error_from(response: httpx.Response, now: Instant) -> ProviderError:
    """What a 5xx to a submit means. In fal's own words it costs nothing (https://docs.fal.ai/faq)."""
    details = error_details(response)
    body = json_of(response)
    own_words = bool(details.kinds) or (isinstance(body, dict) and isinstance(body.get("detail"), str | list))
    # An nginx page without fal's request id comes from the gateway: the request never reached the queue.
    from_gateway = response.status_code in (502, 503) and b"nginx" in response.content[:65_536]
    not_reached = from_gateway and "x-fal-request-id" not in response.headers
    detail = " ".join([str(response.status_code), *sorted(details.kinds)])
    return failed_submit(response, now, certain=own_words or not_reached, detail=detail)


def upload_error_from(response: httpx.Response, now: Instant) -> ProviderError:
    """What a refusal by fal's storage means. Nothing was submitted yet, so an unclear one may be tried again."""
    error = error_from(response, now, submitting=True)
    if isinstance(error, ModelRetired | TicketLost | RequestRejected | GenerationFailed):
        return ProviderBusy(detail=f"storage {error.detail}")
    return error
