"""fal's submit: certainly not accepted, unknown, refused, and links that lead elsewhere."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest

from bot.domain.clock import real_time
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
    SubmitFailed,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import Ticket
from bot.domain.providers import CancelResult
from bot.net.http import Timeouts
from tests.support.providers.deps import (
    CATALOG,
    EDIT,
    HURRIED,
    POLL_POLICY,
    ignore_progress,
    input_picture,
)
from tests.support.providers.fal import (
    KEY,
    NGINX,
    FalFixture,
    build_submit,
    follow,
    open_fixture,
    ticket_at,
)
from tests.support.raw_server import closed_port, http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


# Submitting: certainly not accepted


@pytest.mark.parametrize("name", ["submit_ingress", "submit_rate_limited"])
async def test_a_submit_that_was_refused_by_the_gateway_may_be_tried_later(fixture: FalFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    with pytest.raises(ProviderBusy) as busy:
        await fixture.submit()
    assert busy.value.retry_after is None
    assert (fixture.sandbox.submits, len(fixture.sandbox.requests)) == (1, 0)


@pytest.mark.parametrize(("retry_after", "seconds"), [("7", 7.0), ("0", 0.0), ("999999", 3600.0), ("soon", None)])
async def test_the_wait_that_a_429_asks_for_is_passed_on(
    fixture: FalFixture, retry_after: str, seconds: float | None
) -> None:
    fixture.sandbox.faults.set("submit_rate_limited", retry_after=retry_after)
    with pytest.raises(ProviderBusy) as busy:
        await fixture.submit()
    assert busy.value.retry_after == seconds


async def test_the_wait_may_be_a_date(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set(
        "submit_rate_limited", retry_after=formatdate(real_time() / 1000 + 100, usegmt=True)
    )
    with pytest.raises(ProviderBusy) as busy:
        await fixture.submit()
    assert busy.value.retry_after == pytest.approx(100, abs=5)


async def test_a_refused_connection_means_not_accepted(fixture: FalFixture) -> None:
    with pytest.raises(ProviderBusy) as busy:
        await fixture.fal(queue_url=f"http://127.0.0.1:{closed_port()}").submit(build_submit(), ignore_progress)
    assert busy.value.detail.startswith("Connect")


async def test_a_failed_handshake_means_not_accepted(fixture: FalFixture) -> None:
    async def answer_in_plain_words(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no TLS here\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_in_plain_words, "127.0.0.1", 0) as server:
        fal = fixture.fal(queue_url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ProviderBusy) as busy:
            await fal.submit(build_submit(), ignore_progress)
    assert busy.value.detail.startswith("Connect")


async def test_no_free_connection_means_not_accepted(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("submit_slow", seconds=0.4)
    fal = fixture.fal(connections=1, timeouts=Timeouts(connect=0.05))
    first = asyncio.create_task(fal.submit(build_submit(), ignore_progress))
    await asyncio.sleep(0)  # the first one starts, and takes the only connection
    with pytest.raises(ProviderBusy) as busy:
        await fal.submit(build_submit(job_id=2), ignore_progress)
    assert busy.value.detail == "PoolTimeout"
    await first
    assert fixture.sandbox.submits == 1


@pytest.mark.parametrize("name", ["upload_error", "upload_lost"])
async def test_trouble_with_an_upload_comes_before_anything_is_submitted(fixture: FalFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    with pytest.raises(ProviderBusy):
        await fixture.submit(EDIT, input_picture(bytes(3_000_001)))
    assert fixture.sandbox.submits == 0


async def test_an_upload_link_to_a_foreign_host_is_not_used(fixture: FalFixture) -> None:
    async with responding(http(200)) as elsewhere:
        place = {"upload_url": f"{elsewhere.url}/put", "file_url": "https://fal.media/x"}
        async with responding(http(200, place)) as rest:
            fal = fixture.fal(rest_url=rest.url, media_hosts="fal.media")
            with pytest.raises(InvalidResponse):
                await fal.submit(build_submit(EDIT, input_picture(bytes(3_000_001))), ignore_progress)
        assert elsewhere.heads == []


# Submitting: unknown


@pytest.mark.parametrize("name", ["submit_lost", "submit_truncated", "submit_refused"])
async def test_a_submit_is_not_repeated_after_a_lost_response(fixture: FalFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    with pytest.raises(SubmitUnknown):
        await fixture.submit()
    assert fixture.sandbox.submits == 1


async def test_a_response_that_takes_too_long_leaves_the_submit_unknown(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("submit_slow", seconds=1)
    with pytest.raises(SubmitUnknown):
        await fixture.fal(timeouts=HURRIED).submit(build_submit(), ignore_progress)
    assert (fixture.sandbox.submits, len(fixture.sandbox.requests)) == (1, 1)


@pytest.mark.parametrize(
    "response",
    [
        http(504, NGINX),
        http(524, b"<html>a proxy's page</html>"),
        http(200, NGINX),
        http(200, [1, 2]),
        http(200, {"request_id": "r1"}),
        http(200, b'{"request_id": "r1"', content_length="500"),
        http(200, b"x" * 20, content_length="99999999"),
        http(200, b"x" * 2_000_000),
        http(200, gzip.compress(bytes(50_000_000)), content_encoding="gzip"),
        http(200, b"no gzip at all", content_encoding="gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"something else\r\n\r\n",
        b"",
    ],
)
async def test_any_unclear_response_leaves_the_submit_unknown(fixture: FalFixture, response: bytes) -> None:
    async with responding(response) as queue:
        with pytest.raises(SubmitUnknown):
            await fixture.fal(queue_url=queue.url).submit(build_submit(), ignore_progress)
        assert len(queue.heads) == 1


@pytest.mark.parametrize(
    ("response", "certain"),
    [
        (http(500, {"detail": "Internal Server Error"}, x_fal_request_id="r1"), True),
        (http(503, b"", x_fal_error_type="runner_scheduling_failure"), True),
        (http(502, NGINX), True),
        (http(502, NGINX, x_fal_request_id="r1"), False),
        (http(503, b"<html>somebody else's page</html>"), False),
        (http(500, b""), False),
    ],
)
async def test_a_whole_5xx_means_not_accepted_and_its_body_may_make_that_certain(
    fixture: FalFixture, response: bytes, certain: bool
) -> None:
    async with responding(response) as queue:
        with pytest.raises(SubmitFailed) as failed:
            await fixture.fal(queue_url=queue.url).submit(build_submit(), ignore_progress)
        assert (failed.value.certain, failed.value.retry_after) == (certain, None)
        assert len(queue.heads) == 1


# Submitting: refused


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (http(401, {"detail": "No user found for Key ID and Secret"}), ProviderMisconfigured),
        (http(402, {"detail": "Payment required"}), ProviderMisconfigured),
        (http(403, {"detail": "User is locked. Reason: TOP_UP."}), ProviderMisconfigured),
        (http(404, {"detail": "Application 'gpt-image-1.5' not found"}), ModelRetired),
        (http(410, b"gone"), ModelRetired),
        (http(400, {"detail": "This endpoint has been deprecated, use gpt-image-2"}), ModelRetired),
        (http(400, {"detail": "bad", "error_type": "bad_request"}), RequestRejected),
        (http(413, b"too large"), SourceRejected),
        (http(422, {"detail": "a text"}), RequestRejected),
        (
            http(422, {"detail": [{"type": "literal_error", "loc": ["body", "quality"], "msg": "no"}]}),
            RequestRejected,
        ),
        (http(422, {"detail": [{"type": "content_policy_violation", "loc": ["body", "prompt"]}]}), PromptRejected),
        (
            http(422, {"detail": [{"type": "content_policy_violation", "loc": ["body", "image_urls", 0]}]}),
            SourceRejected,
        ),
        (http(429, b"<html>slow down</html>"), RateLimited),
        (http(504, {"detail": "late"}, x_fal_request_timeout_type="user"), ProviderBusy),
        (http(307, b"", location="http://127.0.0.1:1/"), ProviderBusy),
    ],
)
async def test_a_refused_submit_raises_the_right_error(
    fixture: FalFixture, response: bytes, error: type[ProviderError]
) -> None:
    async with responding(response) as queue:
        with pytest.raises(error) as refusal:
            await fixture.fal(queue_url=queue.url).submit(build_submit(), ignore_progress)
        assert type(refusal.value) is error
        assert len(queue.heads) == 1
        assert KEY not in repr(vars(refusal.value))


async def test_an_empty_wallet_is_for_the_operator_only(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("locked")
    with pytest.raises(ProviderMisconfigured) as refusal:
        await fixture.submit()
    assert refusal.value.detail == "403 account locked or balance used up"
    assert "balance" not in refusal.value.sentence
    with pytest.raises(ProviderMisconfigured):
        await fixture.submit(EDIT, input_picture(bytes(3_000_001)))


async def test_a_wrong_key_is_for_the_operator(fixture: FalFixture) -> None:
    with pytest.raises(ProviderMisconfigured):
        await fixture.fal(key="some:other").submit(build_submit(), ignore_progress)


async def test_a_model_that_is_gone_is_retired(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("model_gone")
    with pytest.raises(ModelRetired):
        await fixture.submit()


async def test_a_model_that_the_catalogue_does_not_know_is_refused(fixture: FalFixture) -> None:
    with pytest.raises(RequestRejected):
        await fixture.submit(catalog=CATALOG.model_copy(update={"models": ()}))
    assert fixture.sandbox.submits == 0


# Foreign links


async def test_links_to_a_foreign_host_are_not_followed_and_the_key_never_arrives_there(
    fixture: FalFixture,
) -> None:
    async with responding(http(200, {"status": "COMPLETED"})) as elsewhere:
        fixture.sandbox.faults.set("foreign_urls", url=elsewhere.url)
        with pytest.raises(InvalidResponse):
            await fixture.submit()
        assert elsewhere.heads == []


@pytest.mark.parametrize("name", ["status_url", "response_url", "cancel_url"])
async def test_a_ticket_with_a_foreign_link_sends_nothing_anywhere(fixture: FalFixture, name: str) -> None:
    ticket = await fixture.submit()
    calls = len(fixture.sandbox.calls)
    async with responding(http(200, {"status": "COMPLETED"})) as elsewhere:
        for url in (elsewhere.url, f"{fixture.sandbox.url}@{elsewhere.url[7:]}", "file:///etc/passwd", "//x", ""):
            bent = Ticket(provider="fal", data={**ticket.data, name: url})
            with pytest.raises(InvalidResponse):
                await follow(fixture.fal(), bent)
            assert await fixture.fal().cancel(bent) is CancelResult.REQUESTED
        assert elsewhere.heads == []
    assert len(fixture.sandbox.calls) == calls


async def test_a_redirect_of_the_queue_is_not_followed_with_the_key(fixture: FalFixture) -> None:
    async with responding(http(200)) as elsewhere, responding(http(302, location=elsewhere.url)) as queue:
        fal = fixture.fal(queue_url=queue.url)
        with pytest.raises(ProviderBusy):
            await follow(fal, ticket_at(queue.url))
        assert elsewhere.heads == []
        assert len(queue.heads) == POLL_POLICY.failures


async def test_an_unreadable_ticket_is_a_lost_one(fixture: FalFixture) -> None:
    with pytest.raises(TicketLost):
        await follow(fixture.fal(), Ticket(provider="fal", data={"request_id": ""}))
