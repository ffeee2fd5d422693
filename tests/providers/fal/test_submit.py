"""Easel against fal's wire: over sockets, with everything that can go wrong on the way."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import aiohttp
import aiohttp.abc
import pytest
from pydantic import SecretStr

from bot.domain.clock import Clock, real_time
from bot.domain.errors import (
    GenerationFailed,
    GenerationTimeout,
    InvalidResponse,
    JobCancelled,
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SetupError,
    SourceRejected,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import Ticket
from bot.domain.providers import CancelResult
from bot.net.hosts import AllowedHosts
from bot.providers.shared.http import Downloads, Heard, Timeouts, open_session, read_data_uri
from bot.providers.shared.polling import PollPolicy
from tests.support.providers.fal import (
    ASKED,
    EDIT,
    KEY,
    LOCAL,
    NGINX,
    PACE,
    QUICK,
    SOURCE,
    FalFixture,
    all_news,
    closed_port,
    finished_queue,
    given,
    http,
    open_house,
    order,
    painted,
    silent,
    ticket_at,
    until,
    wire,
)


@pytest.fixture
async def house() -> AsyncIterator[FalFixture]:
    async with open_house() as opened:
        yield opened


# The plain way


async def test_a_prompt_becomes_a_picture_with_news_on_the_way(house: FalFixture) -> None:
    house.sandbox.faults.set("slow_queue", seconds=0.3)
    house.sandbox.faults.set("slow_run", seconds=0.3)
    fal = house.fal()
    news, finished = await all_news(fal, await fal.submit(order(), silent))
    (picture,) = finished.pictures
    assert (picture.content_type, picture.width, picture.height) == ("image/png", 1024, 1024)
    assert picture.filename == "picture-1.png"
    assert finished.cost is None  # fal names no price: the caller has a catalogue
    assert finished.note == ""
    queued = [item for item in news if item.position is not None]
    assert [item.note for item in queued] == [f"queued at the service, {item.position} ahead" for item in queued]
    assert [item.position for item in queued][-1] == 0
    assert "Running on the painter" in {item.note for item in news[len(queued) : -1]}
    assert (news[-1].note, news[-1].fraction) == ("painted", 1.0)
    assert len(set(news)) == len(news)


@pytest.mark.parametrize(
    ("change", "wire_name", "value"),
    [
        ({}, "prompt", "a fox in the snow"),
        ({"size": "auto"}, "image_size", "1024x1024"),
        ({"size": "square"}, "image_size", "1024x1024"),
        ({"size": "landscape"}, "image_size", "1536x1024"),
        ({"size": "portrait"}, "image_size", "1024x1536"),
        ({"quality": "low"}, "quality", "low"),
        ({"quality": "medium"}, "quality", "medium"),
        ({"quality": "high"}, "quality", "high"),
        ({"background": "auto"}, "background", "auto"),
        ({"background": "transparent"}, "background", "transparent"),
        ({"background": "opaque"}, "background", "opaque"),
        ({"output_format": "png"}, "output_format", "png"),
        ({"output_format": "jpeg"}, "output_format", "jpeg"),
        ({"output_format": "webp"}, "output_format", "webp"),
        ({"count": 4}, "num_images", 4),
    ],
)
async def test_each_option_is_spelled_as_fal_reads_it(
    house: FalFixture, change: dict[str, Any], wire_name: str, value: object
) -> None:
    await house.submit(replace(ASKED, **change))
    assert house.body[wire_name] == value
    assert set(house.body) == {"prompt", "num_images", "image_size", "quality", "background", "output_format"}
    (request,) = house.sandbox.requests.values()
    assert request.endpoint == "fal-ai/gpt-image-1.5"
    assert json.loads(request.headers["x-fal-object-lifecycle-preference"]) == {
        "expiration_duration_seconds": 86400
    }


async def test_an_edit_goes_to_the_edit_endpoint_with_its_links_mask_and_fidelity(house: FalFixture) -> None:
    links = [given(painted(), url=f"https://cdn.discordapp.com/{name}.png") for name in "ab"]
    mask = given(painted(mode="RGBA", colour=(0, 0, 0, 0)), url="https://cdn.discordapp.com/m.png")
    asked = replace(EDIT, sources=(SOURCE, SOURCE), mask=SOURCE, fidelity="low")
    await house.submit(asked, *links, mask=mask)
    assert house.body["image_urls"] == ["https://cdn.discordapp.com/a.png", "https://cdn.discordapp.com/b.png"]
    assert house.body["mask_image_url"] == "https://cdn.discordapp.com/m.png"
    assert (house.body["input_fidelity"], house.body["image_size"]) == ("low", "auto")
    (request,) = house.sandbox.requests.values()
    assert request.endpoint == "fal-ai/gpt-image-1.5/edit"


async def test_small_pictures_without_a_link_travel_inside_the_request(house: FalFixture) -> None:
    mask = given(painted(mode="RGBA", colour=(0, 0, 0, 0)))
    fal = house.fal()
    asked = replace(EDIT, mask=SOURCE)
    _, finished = await all_news(fal, await fal.submit(order(asked, given(painted()), mask=mask), silent), asked)
    assert house.body["image_urls"][0].startswith("data:image/png;base64,")
    assert house.body["mask_image_url"].startswith("data:image/png;base64,")
    assert len(finished.pictures) == 1


async def test_big_pictures_go_through_fals_storage_and_the_key_only_to_its_first_step(house: FalFixture) -> None:
    big = painted() + bytes(3_000_000)
    fal = house.fal()
    await all_news(fal, await fal.submit(order(EDIT, given(big, filename="größe.png")), silent), EDIT)
    (link,) = house.body["image_urls"]
    assert link.startswith(f"{house.sandbox.url}/files/")
    token, upload = list(house.sandbox.calls)[:2]
    assert (token["path"], token["authorization"]) == ("/storage/auth/token", "Key")
    assert (upload["path"], upload["authorization"], upload["status"]) == ("/files/upload", "Bearer", 200)


async def test_several_pictures_arrive_in_one_go(house: FalFixture) -> None:
    finished = await house.result(replace(ASKED, count=3))
    assert [picture.filename for picture in finished.pictures] == [
        "picture-1.png",
        "picture-2.png",
        "picture-3.png",
    ]


async def test_an_answer_that_says_in_progress_at_once_is_followed(house: FalFixture) -> None:
    house.sandbox.faults.set("submit_in_progress")
    assert len((await house.result()).pictures) == 1


async def test_another_process_can_finish_what_one_has_begun(house: FalFixture) -> None:
    ticket = await house.submit()
    kept = replace(ticket, data=json.loads(json.dumps(ticket.data)))
    assert KEY not in json.dumps(kept.data)
    async with open_session(100, ssl=False) as client:
        second = FalFixture(house.sandbox, client, house.pictures, house.offers).fal()
        _, finished = await all_news(second, kept)
    assert len(finished.pictures) == 1
    assert house.sandbox.submits == 1


async def test_the_pace_grows_from_quick_to_calm() -> None:
    pace = PollPolicy(jitter=0)
    assert [round(pace.quiet(polls), 2) for polls in (0, 1, 7, 10_000)] == [1, 1.3, 5, 5]
    assert [pace.troubled(failures) for failures in (1, 2, 3, 10_000)] == [1, 2, 4, 30]
    assert all(0.8 <= PollPolicy().quiet(0) <= 1.2 for _ in range(50))


async def test_a_key_that_cannot_be_one_is_said_at_start_without_showing_it(house: FalFixture) -> None:
    with pytest.raises(SetupError) as error:
        house.fal(key=SecretStr("me:secret\nX-Other: 1"))
    assert "secret" not in str(error.value)


# Submitting: certainly not accepted


@pytest.mark.parametrize("name", ["submit_ingress", "submit_rate_limited"])
async def test_a_submit_that_was_turned_away_at_the_door_may_be_tried_later(house: FalFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    with pytest.raises(ProviderBusy) as busy:
        await house.submit()
    assert busy.value.retry_after is None
    assert (house.sandbox.submits, len(house.sandbox.requests)) == (1, 0)


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("0", 0.0), ("999999", 3600.0), ("soon", None)])
async def test_the_wait_that_a_429_asks_for_is_passed_on(
    house: FalFixture, asked: str, seconds: float | None
) -> None:
    house.sandbox.faults.set("submit_rate_limited", retry_after=asked)
    with pytest.raises(ProviderBusy) as busy:
        await house.submit()
    assert busy.value.retry_after == seconds


async def test_the_wait_may_be_a_date(house: FalFixture) -> None:
    house.sandbox.faults.set("submit_rate_limited", retry_after=formatdate(real_time() / 1000 + 100, usegmt=True))
    with pytest.raises(ProviderBusy) as busy:
        await house.submit()
    assert busy.value.retry_after == pytest.approx(100, abs=5)


async def test_nobody_listening_means_not_accepted(house: FalFixture) -> None:
    with pytest.raises(ProviderBusy) as busy:
        await house.fal(queue_url=f"http://127.0.0.1:{closed_port()}").submit(order(), silent)
    assert busy.value.detail.startswith("ClientConnector")


async def test_a_failed_handshake_means_not_accepted(house: FalFixture) -> None:
    async def answer_in_plain_words(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no TLS here\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_in_plain_words, "127.0.0.1", 0) as server:
        fal = house.fal(queue_url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ProviderBusy) as busy:
            await fal.submit(order(), silent)
    assert busy.value.detail.startswith("ClientConnector")


async def test_no_free_connection_means_not_accepted(house: FalFixture) -> None:
    house.sandbox.faults.set("submit_slow", seconds=0.4)
    async with open_session(1, ssl=False) as client:
        fal = FalFixture(house.sandbox, client, house.pictures, house.offers).fal(limits=Timeouts(connect=0.05))
        first = asyncio.create_task(fal.submit(order(), silent))
        await asyncio.sleep(0)  # the first one starts, and takes the only connection
        with pytest.raises(ProviderBusy) as busy:
            await fal.submit(order(job_id=2), silent)
        assert busy.value.detail == "ConnectionTimeoutError"
        await first
    assert house.sandbox.submits == 1


@pytest.mark.parametrize("name", ["upload_error", "upload_lost"])
async def test_trouble_with_an_upload_comes_before_anything_is_submitted(house: FalFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    with pytest.raises(ProviderBusy):
        await house.submit(EDIT, given(bytes(3_000_001)))
    assert house.sandbox.submits == 0


async def test_an_upload_link_to_a_foreign_host_is_not_used(house: FalFixture) -> None:
    async with wire(http(200)) as stranger:
        place = {"upload_url": f"{stranger.url}/put", "file_url": "https://fal.media/x"}
        async with wire(http(200, place)) as rest:
            fal = house.fal(rest_url=rest.url, media_hosts=AllowedHosts.parse("fal.media"))
            with pytest.raises(InvalidResponse):
                await fal.submit(order(EDIT, given(bytes(3_000_001))), silent)
        assert stranger.heard == []


# Submitting: nobody knows


@pytest.mark.parametrize("name", ["submit_lost", "submit_truncated", "submit_refused"])
async def test_a_lost_answer_is_never_answered_by_sending_again(house: FalFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    with pytest.raises(SubmitUnknown):
        await house.submit()
    assert house.sandbox.submits == 1


async def test_an_answer_that_takes_too_long_leaves_it_open(house: FalFixture) -> None:
    house.sandbox.faults.set("submit_slow", seconds=1)
    with pytest.raises(SubmitUnknown):
        await house.fal(limits=QUICK).submit(order(), silent)
    assert (house.sandbox.submits, len(house.sandbox.requests)) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        http(500, {"detail": "Internal Server Error"}, x_fal_request_id="r1"),
        http(502, NGINX, x_fal_request_id="r1"),
        http(504, NGINX),
        http(503, b"<html>somebody else's page</html>"),
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
async def test_any_answer_that_leaves_doubt_leaves_it_open(house: FalFixture, answer: bytes) -> None:
    async with wire(answer) as queue:
        with pytest.raises(SubmitUnknown):
            await house.fal(queue_url=queue.url).submit(order(), silent)
        assert len(queue.heard) == 1


# Submitting: refused


@pytest.mark.parametrize(
    ("answer", "error"),
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
async def test_a_refusal_at_submit_says_whose_fault_it_was(
    house: FalFixture, answer: bytes, error: type[ProviderError]
) -> None:
    async with wire(answer) as queue:
        with pytest.raises(error) as refusal:
            await house.fal(queue_url=queue.url).submit(order(), silent)
        assert type(refusal.value) is error
        assert len(queue.heard) == 1
        assert KEY not in repr(vars(refusal.value))


async def test_an_empty_wallet_is_for_the_operator_only(house: FalFixture) -> None:
    house.sandbox.faults.set("locked")
    with pytest.raises(ProviderMisconfigured) as refusal:
        await house.submit()
    assert refusal.value.detail == "403 account locked or balance used up"
    assert "balance" not in refusal.value.sentence
    with pytest.raises(ProviderMisconfigured):
        await house.submit(EDIT, given(bytes(3_000_001)))


async def test_a_wrong_key_is_for_the_operator(house: FalFixture) -> None:
    with pytest.raises(ProviderMisconfigured):
        await house.fal(key=SecretStr("some:other")).submit(order(), silent)


async def test_a_model_that_is_gone_is_retired(house: FalFixture) -> None:
    house.sandbox.faults.set("model_gone")
    with pytest.raises(ModelRetired):
        await house.submit()


async def test_a_model_that_the_catalogue_does_not_know_is_refused(house: FalFixture) -> None:
    with pytest.raises(RequestRejected):
        await house.submit(offers={})
    assert house.sandbox.submits == 0


# Foreign links


async def test_links_to_a_foreign_host_are_not_followed_and_the_key_never_arrives_there(house: FalFixture) -> None:
    async with wire(http(200, {"status": "COMPLETED"})) as stranger:
        house.sandbox.faults.set("foreign_urls", url=stranger.url)
        with pytest.raises(InvalidResponse):
            await house.submit()
        assert stranger.heard == []


@pytest.mark.parametrize("name", ["status_url", "response_url", "cancel_url"])
async def test_a_ticket_with_a_foreign_link_sends_nothing_anywhere(house: FalFixture, name: str) -> None:
    ticket = await house.submit()
    calls = len(house.sandbox.calls)
    async with wire(http(200, {"status": "COMPLETED"})) as stranger:
        for url in (stranger.url, f"{house.sandbox.url}@{stranger.url[7:]}", "file:///etc/passwd", "//x", ""):
            bent = Ticket(provider="fal", data={**ticket.data, name: url})
            with pytest.raises(InvalidResponse):
                await all_news(house.fal(), bent)
            assert await house.fal().cancel(bent) is CancelResult.ASKED
        assert stranger.heard == []
    assert len(house.sandbox.calls) == calls


async def test_a_redirect_of_the_queue_is_not_followed_with_the_key(house: FalFixture) -> None:
    async with wire(http(200)) as stranger, wire(http(302, location=stranger.url)) as queue:
        fal = house.fal(queue_url=queue.url)
        with pytest.raises(ProviderBusy):
            await all_news(fal, ticket_at(queue.url))
        assert stranger.heard == []
        assert len(queue.heard) == PACE.failures


async def test_an_unreadable_ticket_is_a_lost_one(house: FalFixture) -> None:
    with pytest.raises(TicketLost):
        await all_news(house.fal(), Ticket(provider="fal", data={"request_id": ""}))


# Following through bad moments


@pytest.mark.parametrize("kind", ["status", "result"])
@pytest.mark.parametrize("what", ["error", "html", "truncated", "reset", "slow"])
async def test_a_bad_moment_while_polling_is_waited_out(house: FalFixture, kind: str, what: str) -> None:
    house.sandbox.faults.set(f"{kind}_{what}", times=2, seconds=0.5)
    finished = await house.result(limits=QUICK)
    assert len(finished.pictures) == 1
    assert house.sandbox.submits == 1


@pytest.mark.parametrize(
    "name", ["status_error", "status_html", "status_reset", "result_html", "result_truncated"]
)
async def test_a_bad_moment_that_does_not_end_is_left_for_later_with_the_ticket_good(
    house: FalFixture, name: str
) -> None:
    fal = house.fal()
    ticket = await fal.submit(order(), silent)
    house.sandbox.faults.set(name)
    with pytest.raises(ProviderBusy):
        await all_news(fal, ticket)
    house.sandbox.faults.clear()
    assert len((await all_news(fal, ticket))[1].pictures) == 1


async def test_a_result_that_is_not_ready_yet_is_asked_for_again(house: FalFixture) -> None:
    house.sandbox.faults.set("result_early", times=3)
    assert len((await house.result()).pictures) == 1


async def test_a_poll_waits_as_long_as_the_service_asks(house: FalFixture) -> None:
    answers = iter([http(429, b"", retry_after="0.15"), http(404, {"detail": "Request not found"})])
    async with wire(lambda _: next(answers)) as queue:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(TicketLost):
            await all_news(house.fal(queue_url=queue.url), ticket_at(queue.url))
        assert asyncio.get_running_loop().time() - begun >= 0.15


async def test_a_request_that_never_ends_is_given_up(house: FalFixture) -> None:
    house.sandbox.faults.set("stuck")
    ticket = await house.submit()
    late = Clock(now=lambda: real_time() + 3_700_000)
    with pytest.raises(GenerationTimeout):
        await all_news(house.fal(clock=late), ticket)


async def test_what_was_finished_long_ago_is_still_fetched(house: FalFixture) -> None:
    ticket = await house.submit()
    await all_news(house.fal(), ticket)
    late = Clock(now=lambda: real_time() + 7_200_000)
    assert len((await all_news(house.fal(clock=late), ticket))[1].pictures) == 1


# How a run may end


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("name", "status", "kind", "error"),
    [
        ("model_error", 422, "content_policy_violation", PromptRejected),
        ("model_error", 422, "no_media_generated", GenerationFailed),
        ("model_error", 422, "image_too_large", SourceRejected),
        ("model_error", 422, "file_download_error", SourceRejected),
        ("model_error", 422, "unsupported_image_format", SourceRejected),
        ("model_error", 422, "face_detection_error", SourceRejected),
        ("model_error", 422, "literal_error", RequestRejected),
        ("model_error", 400, "downstream_service_error", GenerationFailed),
        ("model_error", 500, "downstream_service_unavailable", GenerationFailed),
        ("model_error", 504, "generation_timeout", GenerationFailed),
        ("run_error", 500, "internal_error", GenerationFailed),
        ("run_error", 503, "runner_disconnected", GenerationFailed),
        ("run_error", 504, "request_timeout", GenerationFailed),
        ("run_error", 400, "bad_request", RequestRejected),
        ("run_error", 499, "client_cancelled", JobCancelled),
    ],
)
async def test_a_failed_run_ends_with_the_right_error_shown_by_its_status_or_not(
    house: FalFixture, name: str, status: int, kind: str, error: type[ProviderError], hidden: bool
) -> None:
    house.sandbox.faults.set(name, status=status, error_type=kind)
    if hidden:
        house.sandbox.faults.set("hidden_error")
    with pytest.raises(ProviderError) as refusal:
        await house.result()
    assert type(refusal.value) is error
    assert kind in refusal.value.detail


async def test_a_forbidden_prompt_is_refused_by_the_result(house: FalFixture) -> None:
    with pytest.raises(PromptRejected):
        await house.result(replace(ASKED, prompt="something forbidden"))


async def test_bad_input_that_only_shows_in_the_result_is_the_requests_fault(house: FalFixture) -> None:
    asked = order(replace(ASKED, background="transparent"))
    bent = replace(asked, fit=replace(asked.fit, fields={**asked.fit.fields, "output_format": "jpeg"}))
    fal = house.fal()
    ticket = await fal.submit(bent, silent)
    with pytest.raises(RequestRejected):
        await all_news(fal, ticket)


async def test_a_model_that_is_retired_while_the_job_waits_is_retired(house: FalFixture) -> None:
    house.sandbox.faults.set("run_error", status=400, error_type="bad_request", body="gpt-image-1.5 is deprecated")
    with pytest.raises(ModelRetired):
        await house.result()


async def test_a_request_that_the_service_forgot_is_lost(house: FalFixture) -> None:
    ticket = await house.submit()
    missing = "00000000-0000-4000-8000-000000000000"
    data = {
        key: value.replace(ticket.data["request_id"], missing) if isinstance(value, str) else value
        for key, value in ticket.data.items()
    }
    with pytest.raises(TicketLost):
        await all_news(house.fal(), Ticket(provider="fal", data=data))


async def test_a_result_that_is_no_longer_kept_is_lost(house: FalFixture) -> None:
    house.sandbox.faults.set("result_expired")
    with pytest.raises(TicketLost):
        await house.result()


async def test_a_key_that_is_withdrawn_meanwhile_is_for_the_operator(house: FalFixture) -> None:
    ticket = await house.submit()
    house.sandbox.faults.set("unauthorized")
    with pytest.raises(ProviderMisconfigured):
        await all_news(house.fal(), ticket)


async def test_a_locked_account_still_gets_what_it_paid_for(house: FalFixture) -> None:
    ticket = await house.submit()
    house.sandbox.faults.set("locked")
    assert len((await all_news(house.fal(), ticket))[1].pictures) == 1


async def test_a_huge_result_is_not_read(house: FalFixture) -> None:
    house.sandbox.faults.set("result_huge", size=70 * 1024 * 1024)
    with pytest.raises(InvalidResponse, match="not a usable picture"):
        await house.result()


@pytest.mark.parametrize(
    "result", [{}, {"images": []}, {"images": None}, {"images": [{"url": ""}]}, {"text": "hello"}]
)
async def test_a_result_without_a_picture_is_a_bad_answer(house: FalFixture, result: Any) -> None:
    async with wire(finished_queue(result)) as queue:
        with pytest.raises(InvalidResponse, match="without a picture"):
            await all_news(house.fal(queue_url=queue.url), ticket_at(queue.url))


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "SOMETHING_NEW"])
async def test_the_result_decides_whatever_the_status_says(house: FalFixture, state: str) -> None:
    link = "data:image/png;base64," + base64.b64encode(painted()).decode()
    status = {"status": state, "error": "it says", "error_type": "internal_error"}
    async with wire(finished_queue({"images": [{"url": link}]}, status)) as queue:
        _, finished = await all_news(house.fal(queue_url=queue.url), ticket_at(queue.url))
    assert finished.pictures[0].width == 64


# Pictures


async def test_fewer_pictures_than_asked_are_delivered_charged_and_said(house: FalFixture) -> None:
    asked = replace(ASKED, count=4)
    house.sandbox.faults.set("fewer_pictures", count=1)
    finished = await house.result(asked)
    assert len(finished.pictures) == 3
    assert finished.note == "The service painted 3 of 4 pictures."
    assert finished.cost is None


@pytest.mark.parametrize("name", ["not_a_picture", "bomb", "cdn_error", "cdn_redirect"])
async def test_one_broken_picture_does_not_spoil_the_others(house: FalFixture, name: str) -> None:
    values = {"url": "https://nowhere.invalid/a.png"} if name == "cdn_redirect" else {}
    house.sandbox.faults.set(name, times=1, **values)
    finished = await house.result(replace(ASKED, count=3))
    assert len(finished.pictures) == 2
    assert finished.note == "The service painted 2 of 3 pictures."


@pytest.mark.parametrize("name", ["not_a_picture", "bomb"])
async def test_nothing_but_broken_pictures_is_a_bad_answer(house: FalFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    with pytest.raises(InvalidResponse):
        await house.result()


async def test_a_picture_is_what_its_bytes_are(house: FalFixture) -> None:
    house.sandbox.faults.set("wrong_type")
    house.sandbox.faults.set("cdn_type")
    (picture,) = (await house.result()).pictures
    assert (picture.content_type, picture.filename) == ("image/jpeg", "picture-1.jpg")


@pytest.mark.parametrize(
    ("name", "values"),
    [("cdn_huge", {"size": 40 * 1024 * 1024}), ("cdn_error", {"status": 404}), ("cdn_error", {"status": 403})],
)
async def test_a_picture_that_is_too_big_or_gone_is_a_bad_answer(
    house: FalFixture, name: str, values: dict[str, Any]
) -> None:
    house.sandbox.faults.set(name, **values)
    with pytest.raises(InvalidResponse):
        await house.result()


@pytest.mark.parametrize(("name", "values"), [("cdn_error", {"status": 503}), ("cdn_reset", {})])
async def test_a_picture_that_cannot_be_read_for_a_moment_is_read_again(
    house: FalFixture, name: str, values: dict[str, Any]
) -> None:
    house.sandbox.faults.set(name, times=2, **values)
    assert len((await house.result()).pictures) == 1
    house.sandbox.faults.set(name, **values)
    with pytest.raises(ProviderBusy):
        await house.result()


async def test_a_slow_loris_is_cut_off(house: FalFixture) -> None:
    house.sandbox.faults.set("cdn_slow", seconds=0.05)
    with pytest.raises(ProviderBusy):
        await house.result(limits=Timeouts(silence=1, total=0.3))


async def test_a_picture_on_a_foreign_host_is_never_fetched(house: FalFixture) -> None:
    async with wire(http(200, painted())) as stranger:
        house.sandbox.faults.set("foreign_picture", url=f"{stranger.url}/a.png")
        listed = AllowedHosts.parse(f"127.0.0.1:{house.sandbox.port}")
        with pytest.raises(InvalidResponse):
            await house.result(media_hosts=listed)
        assert stranger.heard == []


async def test_a_redirect_to_a_foreign_host_is_not_followed(house: FalFixture) -> None:
    async with wire(http(200, painted())) as stranger:
        house.sandbox.faults.set("cdn_redirect", url=f"{stranger.url}/a.png")
        listed = AllowedHosts.parse(f"127.0.0.1:{house.sandbox.port}")
        with pytest.raises(InvalidResponse):
            await house.result(media_hosts=listed)
        assert stranger.heard == []


async def test_a_redirect_between_listed_hosts_is_followed_without_the_key(house: FalFixture) -> None:
    async with wire(http(200, painted())) as mirror:
        house.sandbox.faults.set("cdn_redirect", url=f"{mirror.url}/a.png")
        assert (await house.result()).pictures[0].width == 64
        assert "authorization" not in mirror.heard[0].lower()


async def test_a_redirect_in_a_circle_ends(house: FalFixture) -> None:
    async with wire(http(302, location="/again")) as circle:
        with pytest.raises(InvalidResponse):
            await Downloads(house.client, LOCAL).read(f"{circle.url}/a.png")
        assert len(circle.heard) == 4


class LeadsHere(aiohttp.abc.AbstractResolver):
    """A name server under somebody else's control: every name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = aiohttp.abc.ResolveResult(
            hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        """Nothing is held."""


async def test_a_listed_name_that_leads_into_a_private_net_is_not_read() -> None:
    connector = aiohttp.TCPConnector(resolver=LeadsHere())
    async with (
        wire(http(200, painted())) as inside,
        aiohttp.ClientSession(connector=connector, response_class=Heard) as session,
    ):
        port = inside.url.rpartition(":")[2]
        downloads = Downloads(session, AllowedHosts.parse(f"pictures.example:{port}"))
        with pytest.raises(InvalidResponse) as refusal:
            await downloads.read(f"http://pictures.example:{port}/a.png")
        assert refusal.value.detail == "private address"


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"x" * 2000),
        http(200, b"x" * 10, content_length="99999"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 5000,
        http(200, gzip.compress(bytes(10_000_000)), content_encoding="gzip"),
    ],
)
async def test_no_more_than_the_limit_is_ever_read(house: FalFixture, answer: bytes) -> None:
    async with wire(answer) as host:
        with pytest.raises(InvalidResponse):
            await Downloads(house.client, LOCAL, limit=1000).read(f"{host.url}/a.png")


def test_a_data_uri_is_read_and_bounded() -> None:
    assert read_data_uri("data:image/png;base64,aGVsbG8=", 10) == b"hello"
    assert read_data_uri("data:text/plain,he%6Clo", 10) == b"hello"
    for bad in ("data:image/png;base64", "data:image/png;base64,a?!", "data:,12345678901", "data:," + "x" * 99):
        with pytest.raises(InvalidResponse):
            read_data_uri(bad, 10)


# Cancelling


async def test_a_cancel_in_the_queue_removes_it(house: FalFixture) -> None:
    house.sandbox.faults.set("slow_queue", seconds=5)
    fal = house.fal()
    ticket = await fal.submit(order(), silent)
    assert await fal.cancel(ticket) is CancelResult.REMOVED
    with pytest.raises(JobCancelled):
        await all_news(fal, ticket)


async def test_a_cancel_while_painting_is_asked_and_then_seen(house: FalFixture) -> None:
    house.sandbox.faults.set("slow_run", seconds=5)
    fal = house.fal()
    ticket = await fal.submit(order(), silent)
    await until(fal, ticket, "Running")
    assert await fal.cancel(ticket) is CancelResult.ASKED
    with pytest.raises(JobCancelled):
        await all_news(fal, ticket)


async def test_a_cancel_that_comes_too_late_still_brings_the_picture(house: FalFixture) -> None:
    house.sandbox.faults.set("cancel_ignored")
    house.sandbox.faults.set("slow_run", seconds=0.5)
    fal = house.fal()
    ticket = await fal.submit(order(), silent)
    await until(fal, ticket, "Running")
    assert await fal.cancel(ticket) is CancelResult.ASKED
    assert len((await all_news(fal, ticket))[1].pictures) == 1
    assert await fal.cancel(ticket) is CancelResult.TOO_LATE


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, {"status": "OK"}, CancelResult.REMOVED),
        (202, {"status": "CANCELLATION_REQUESTED"}, CancelResult.ASKED),
        (202, {"status": "OK"}, CancelResult.ASKED),
        (400, {"status": "ALREADY_COMPLETED"}, CancelResult.TOO_LATE),
        (404, {"status": "NOT_FOUND"}, CancelResult.TOO_LATE),
        (200, {"status": "ALREADY_COMPLETED"}, CancelResult.TOO_LATE),
        (200, {"success": True}, CancelResult.ASKED),
        (200, {"success": False}, CancelResult.TOO_LATE),
        (400, {"detail": "completed"}, CancelResult.TOO_LATE),
        (200, None, CancelResult.ASKED),
        (200, [1], CancelResult.ASKED),
        (200, {"status": 5}, CancelResult.ASKED),
        (500, {"detail": "oops"}, CancelResult.ASKED),
        (401, {"detail": "who"}, CancelResult.ASKED),
        (302, {}, CancelResult.ASKED),
    ],
)
async def test_every_odd_answer_to_a_cancel_means_something(
    house: FalFixture, status: int, body: Any, meaning: CancelResult
) -> None:
    async with wire(http(status, body)) as queue:
        assert await house.fal(queue_url=queue.url).cancel(ticket_at(queue.url)) is meaning
        assert queue.heard[0].startswith("PUT /cancel_url ")


@pytest.mark.parametrize("answer", [b"", NGINX, http(200, NGINX), http(200, b"{", content_length="9")])
async def test_a_cancel_never_raises(house: FalFixture, answer: bytes) -> None:
    async with wire(answer) as queue:
        assert await house.fal(queue_url=queue.url).cancel(ticket_at(queue.url)) is CancelResult.ASKED
    gone = f"http://127.0.0.1:{closed_port()}"
    assert await house.fal(queue_url=gone).cancel(ticket_at(gone)) is CancelResult.ASKED
