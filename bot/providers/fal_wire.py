"""What fal's answers look like, and what its refusals mean. Pure functions over answers, no I/O.

Sources: https://docs.fal.ai/model-apis/model-endpoints/queue and https://docs.fal.ai/errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.errors import (
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RequestRejected,
    RunFailed,
    SourceRejected,
    TicketLost,
    Withdrawn,
)
from bot.models import Instant, Progress
from bot.providers.http import Answer, for_status

_RETIRED = re.compile(r"deprecated|no longer (available|supported|offered)|has been (retired|removed|shut ?down)")
_TOO_EARLY = re.compile(r"still in (progress|queue)|in progress|not (yet )?(completed|finished|ready)")
_WALLET = re.compile(r"locked|balance|top.?up|billing")
_SOURCE_KINDS = re.compile(r"(image|file)_\w+|unsupported_\w+|face_detection_error")
_KIND = re.compile(r"[a-z][a-z_.]{0,59}")
_WITHDRAWN_KINDS = frozenset({"client_cancelled", "client_canceled"})
_FAILED_KINDS = re.compile(r"no_media_generated|downstream_\w+|generation_\w+|runner_\w+|\w+_timeout|internal_\w+")

Shape = TypeVar("Shape", bound=BaseModel)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Held(_Wire):
    """What a ticket holds. All links come from fal's own answer."""

    request_id: str = Field(min_length=1)
    status_url: str
    response_url: str
    cancel_url: str
    submitted_at: Instant = 0


class Status(_Wire):
    """Where a request stands."""

    status: str
    queue_position: int | None = None
    error: Any = None
    error_type: str | None = None

    @property
    def over(self) -> bool:
        """It will not change any more, for better or worse."""
        return self.status not in ("IN_QUEUE", "IN_PROGRESS")

    @property
    def failed(self) -> bool:
        """It says itself that it failed; where it does not, it may have failed all the same."""
        return bool(self.error or self.error_type)

    @property
    def progress(self) -> Progress:
        """The same in plain words."""
        if self.status != "IN_QUEUE":
            return Progress(note="painting")
        if self.queue_position is None:
            return Progress(note="queued at the service")
        return Progress(position=self.queue_position, note=f"queued at the service, {self.queue_position} ahead")


class Image(_Wire):
    """Only the link is certain."""

    url: str = Field(min_length=1)


class Result(_Wire):
    """What a finished model says."""

    images: tuple[Image, ...]

    @field_validator("images", mode="before")
    @classmethod
    def _usable(cls, images: object) -> object:
        """One that leads nowhere does not spoil the others."""
        if not isinstance(images, list):
            return images
        return [image for image in images if isinstance(image, dict) and isinstance(image.get("url"), str)]


class Upload(_Wire):
    """Where to put a file, and where fal will find it."""

    upload_url: str
    file_url: str = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What an error answer says: its machine words, its text in lower case, whether it blames a picture."""

    kinds: frozenset[str]
    text: str
    about_picture: bool


def parsed(shape: type[Shape], answer: Answer) -> Shape | None:
    """An answer's JSON in a shape; None where it is no JSON or has another shape."""
    try:
        return shape.model_validate(answer.json())
    except ValidationError:
        return None


def complaint_of(answer: Answer, ran: Status | None = None) -> Complaint:
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
    return Complaint(
        kinds=frozenset(kind for kind in kinds if isinstance(kind, str) and _KIND.fullmatch(kind)),
        text=" ".join(text for text in texts if isinstance(text, str)).lower(),
        about_picture=any("image" in str(part) for place in places for part in place),
    )


def refusal(answer: Answer, now: Instant, *, submitting: bool = False, ran: Status | None = None) -> ProviderError:
    """What an answer that is not 2xx means; `ran` is the status of a run that is over."""
    complaint = complaint_of(answer, ran)
    detail = " ".join([str(answer.status), *sorted(complaint.kinds)])
    if "content_policy_violation" in complaint.kinds:
        if complaint.about_picture:
            return SourceRejected(
                "The image service will not work on this picture. Try another one.", detail=detail
            )
        return PromptRejected(detail=detail)
    if any(_SOURCE_KINDS.fullmatch(kind) for kind in complaint.kinds):
        return SourceRejected(detail=detail)
    if complaint.kinds & _WITHDRAWN_KINDS or (ran is not None and ran.status.startswith("CANCEL")):
        return Withdrawn(detail=detail)
    if answer.status in (402, 403):
        wallet = answer.status == 402 or _WALLET.search(complaint.text)
        why = "account locked or balance used up" if wallet else "not allowed"
        return ProviderMisconfigured(detail=f"{detail} {why}")
    missing = submitting and answer.status in (404, 410)
    if missing or (answer.status in (400, 404, 410, 422) and _RETIRED.search(complaint.text)):
        return ModelRetired(detail=detail)
    if _failed(answer, complaint, ran):
        return _run_failed(answer, detail)
    error = for_status(answer, now)
    error.detail = detail
    return error


def _failed(answer: Answer, complaint: Complaint, ran: Status | None) -> bool:
    """Whether the run itself failed; a 5xx without any word from fal is only a bad moment of its door."""
    if any(_FAILED_KINDS.fullmatch(kind) for kind in complaint.kinds):
        return ran is not None or answer.status < 500
    if ran is None:
        return False
    if ran.failed:
        return answer.status >= 500 or answer.status == 404
    marked = "x-fal-retryable" in answer.headers or "x-fal-needs-retry" in answer.headers
    return answer.status >= 500 and (bool(complaint.kinds) or marked)


def _run_failed(answer: Answer, detail: str) -> RunFailed:
    again = answer.headers.get("x-fal-retryable") or answer.headers.get("x-fal-needs-retry") or ""
    if again.lower() in ("false", "0", "no"):
        return RunFailed("The image service could not paint this. Try to say it differently.", detail=detail)
    return RunFailed(detail=detail)


def too_early(answer: Answer) -> bool:
    """Whether an error answer only says that the result is not there yet."""
    return answer.status < 500 and _TOO_EARLY.search(complaint_of(answer).text) is not None


def upload_refusal(answer: Answer, now: Instant) -> ProviderError:
    """What a refusal of fal's storage means. Nothing was submitted yet, so what is unclear may be tried again."""
    error = refusal(answer, now, submitting=True)
    if isinstance(error, ModelRetired | TicketLost | RequestRejected):
        return ProviderBusy(detail=f"storage {error.detail}")
    return error
