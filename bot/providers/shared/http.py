"""What the errors and the statuses of an exchange over HTTP mean for a job: httpx's errors end here.

A `ProviderError`'s detail holds a status or the name of an error, never a URL and never a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import httpx

from bot.domain.clock import Instant, elapsed, instant_of
from bot.domain.errors import (
    InvalidResponse,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SourceRejected,
    SubmitFailed,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import PATIENCE
from bot.domain.providers import KeyState
from bot.net.errors import ResponseTooLarge
from bot.net.resolver import DestinationRefused

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNREADABLE = (ResponseTooLarge, httpx.DecodingError)
_LOST_BEHIND_A_PROXY = frozenset({504, 520, 524})
"""A proxy speaks, which had no whole response of the provider's: 520 and 524 are Cloudflare's,
https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/."""


class OversizedResponse(InvalidResponse):
    """The response has more bytes than were allowed for."""


@contextmanager
def provider_errors(*, submitting: bool = False) -> Iterator[None]:
    """Make httpx's errors the provider's own.

    With `submitting`, the request in the block is one that costs money: where it may have left and its response is
    lost, the work may have been accepted.

    Raises:
        ProviderBusy: nothing has left, or (unless `submitting`) the response is lost.
        SubmitUnknown: `submitting`, and the response is lost, too large or cannot be unpacked.
        OversizedResponse: it is too large.
        InvalidResponse: the URL is none, or leads where Easel does not go; nothing has left.
    """
    try:
        yield
    except DestinationRefused as error:
        raise InvalidResponse(detail=str(error)) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise InvalidResponse(detail="bad link") from None
    except _NOTHING_SENT as error:
        raise ProviderBusy(detail=type(error).__name__) from None
    except httpx.RequestError as error:
        detail = type(error).__name__
        if submitting:
            raise SubmitUnknown(detail=detail, garbled=isinstance(error, _UNREADABLE)) from None
        if isinstance(error, ResponseTooLarge):
            raise OversizedResponse(detail=detail) from None
        raise ProviderBusy(detail=detail) from None


def retry_after(response: httpx.Response, now: Instant) -> float | None:
    """Seconds that the provider asks us to wait, at most a job's patience; None where it does not say."""
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if value[:1].isdigit() else _seconds_until(value, now)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), PATIENCE)


def _seconds_until(date: str, now: Instant) -> float:
    return elapsed(now, instant_of(parsedate_to_datetime(date)))


def failed_submit(
    response: httpx.Response, now: Instant, *, certain: bool = False, detail: str = ""
) -> SubmitFailed | SubmitUnknown:
    """What a 5xx response to a submit means; `certain`: its body says that nothing was accepted."""
    detail = detail or str(response.status_code)
    if response.status_code in _LOST_BEHIND_A_PROXY:
        return SubmitUnknown(detail=detail)
    return SubmitFailed(detail=detail, retry_after=retry_after(response, now), certain=certain)


def for_status(response: httpx.Response, now: Instant) -> ProviderError:
    """The error that a status means, where the provider says nothing more exact."""
    detail = str(response.status_code)
    match response.status_code:
        case 401 | 402 | 403:
            return ProviderMisconfigured(detail=detail)
        case 404 | 410:
            return TicketLost(detail=detail)
        case 413 | 415:
            return SourceRejected(detail=detail)
        case 429:
            return RateLimited(detail=detail, retry_after=retry_after(response, now))
        case 408 | 425:
            return ProviderBusy(detail=detail, retry_after=retry_after(response, now))
        case status if 400 <= status < 500:
            return RequestRejected(detail=detail)
        case _:
            return ProviderBusy(detail=detail, retry_after=retry_after(response, now))


def key_state(status: int) -> KeyState:
    """What a refusal with this status means for the key: 402 and 403 speak of the account, not of the key."""
    return KeyState.FORBIDDEN if status in (402, 403) else KeyState.REFUSED
