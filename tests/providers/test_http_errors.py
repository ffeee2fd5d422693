"""What httpx's errors mean for a job: whether anything can have left decides."""

from __future__ import annotations

import httpx
import pytest

from bot.domain.errors import InvalidResponse, ProviderBusy, ProviderError, SubmitUnknown
from bot.net.errors import ResponseTooLarge
from bot.net.resolver import DestinationRefused
from bot.providers.shared.http import OversizedResponse, provider_errors

NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
MAYBE_SENT = (
    *(httpx.ReadError, httpx.ReadTimeout, httpx.WriteError, httpx.WriteTimeout, httpx.CloseError),
    *(httpx.RemoteProtocolError, httpx.LocalProtocolError, httpx.DecodingError),
)
NOWHERE = (httpx.InvalidURL, httpx.UnsupportedProtocol, DestinationRefused)


def became(error: type[Exception], *, submitting: bool) -> ProviderError:
    with pytest.raises(ProviderError) as caught, provider_errors(submitting=submitting):
        raise error("https://fal.media/a.png?signature=5ecret" if error is httpx.InvalidURL else "message")
    assert "5ecret" not in f"{caught.value!r} {caught.value.detail}"
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize("submitting", [False, True])
@pytest.mark.parametrize("error", NOTHING_SENT)
def test_where_nothing_has_left_the_provider_is_busy(error: type[Exception], submitting: bool) -> None:
    assert type(became(error, submitting=submitting)) is ProviderBusy


@pytest.mark.parametrize("error", MAYBE_SENT)
def test_a_lost_response_leaves_a_submit_unknown_and_anything_else_busy(error: type[Exception]) -> None:
    assert type(became(error, submitting=True)) is SubmitUnknown
    busy = became(error, submitting=False)
    assert (type(busy), busy.detail) == (ProviderBusy, error.__name__)


@pytest.mark.parametrize("submitting", [False, True])
@pytest.mark.parametrize("error", NOWHERE)
def test_a_url_that_leads_nowhere_is_an_invalid_response(error: type[Exception], submitting: bool) -> None:
    assert type(became(error, submitting=submitting)) is InvalidResponse


def test_a_response_that_is_too_large_is_invalid_and_leaves_a_submit_unknown() -> None:
    assert type(became(ResponseTooLarge, submitting=False)) is OversizedResponse
    assert type(became(ResponseTooLarge, submitting=True)) is SubmitUnknown
