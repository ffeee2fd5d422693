"""From Oxen's ticket to the pictures and their cost, with everything that can go wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

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
    RequestRejected,
    SourceRejected,
    TicketLost,
)
from bot.domain.jobs import Ticket
from bot.domain.money import Money
from bot.domain.providers import CancelResult
from bot.domain.requests import ImageRequest
from tests.support.providers.deps import HURRIED, LOCAL_HOSTS, POLL_POLICY, ignore_progress, input_picture, painted
from tests.support.providers.oxen import (
    EDIT,
    HARDLY_POLLING,
    KEY,
    REQUEST,
    OxenFixture,
    envelope,
    eventually,
    follow,
    follow_until,
    open_fixture,
    responding_to_submits,
)
from tests.support.raw_server import closed_port, http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[OxenFixture]:
    async with open_fixture() as opened:
        yield opened


# Following through temporary failures


@pytest.mark.parametrize("way", ["error", "html", "truncated", "reset", "slow", "odd"])
async def test_a_bad_moment_while_looking_is_waited_out(fixture: OxenFixture, way: str) -> None:
    fixture.sandbox.faults.set(f"status_{way}", times=2, seconds=0.5)
    assert len((await fixture.result(timeouts=HURRIED)).pictures) == 1


async def test_a_look_waits_as_long_as_the_service_asks(fixture: OxenFixture) -> None:
    responses = iter([http(429, retry_after="0.15"), http(200, {"status": "cancelled"})])
    async with responding(lambda _: next(responses)) as service:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(JobCancelled):
            await follow(
                fixture.oxen(base_url=service.url, events=False), Ticket(provider="oxen", data={"ids": ["a"]})
            )
        assert asyncio.get_running_loop().time() - begun >= 0.15


@pytest.mark.parametrize("way", ["error", "html"])
async def test_a_bad_moment_that_does_not_end_leaves_the_ticket_good(fixture: OxenFixture, way: str) -> None:
    oxen = fixture.oxen()
    ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
    fixture.sandbox.faults.set(f"status_{way}")
    with pytest.raises(ProviderBusy):
        await follow(oxen, ticket)
    fixture.sandbox.faults.clear()
    assert len((await follow(oxen, ticket))[1].pictures) == 1


async def test_a_request_that_never_ends_is_given_up(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("stuck")
    ticket = await fixture.oxen().submit(fixture.build_submit(), ignore_progress)
    with pytest.raises(GenerationTimeout):
        await follow(fixture.oxen(poll_policy=replace(POLL_POLICY, give_up_after=0.1)), ticket)


async def test_one_picture_that_never_comes_does_not_keep_the_others(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("stuck", times=1)
    image_request = replace(REQUEST, count=3)
    oxen = fixture.oxen(poll_policy=replace(POLL_POLICY, give_up_after=1.2))
    _, finished = await follow(
        oxen, await oxen.submit(fixture.build_submit(image_request), ignore_progress), image_request
    )
    assert len(finished.pictures) == 2
    assert finished.cost == Money(80_000)
    assert [row.status for row in fixture.sandbox.generations.values()].count("cancelled") == 1


@pytest.mark.parametrize("name", ["row_gone_running", "row_gone_done"])
async def test_a_row_that_the_queue_forgot_is_found_among_the_generations(fixture: OxenFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    assert len((await fixture.result()).pictures) == 1


async def test_an_unknown_row_is_lost_after_three_polls(fixture: OxenFixture) -> None:
    async with responding(http(404, envelope("resource_not_found", "not found"))) as service:
        with pytest.raises(TicketLost):
            await follow(
                fixture.oxen(base_url=service.url, events=False), Ticket(provider="oxen", data={"ids": ["a"]})
            )
        assert service.requests == ["GET /ai/queue/a", "GET /ai/generations/a"] * 3


@pytest.mark.parametrize("data", [{"ids": [""]}, {"ids": ["../me"]}, {"ids": "x"}, {"ids": ["a"], "room": -1}])
async def test_an_unreadable_ticket_is_lost_and_sends_no_request(
    fixture: OxenFixture, data: dict[str, Any]
) -> None:
    ticket = Ticket(provider="oxen", data=data)
    with pytest.raises(TicketLost):
        await follow(fixture.oxen(), ticket)
    assert await fixture.oxen().cancel(ticket) is CancelResult.REQUESTED
    assert not fixture.sandbox.calls


async def test_a_key_that_is_withdrawn_meanwhile_is_for_the_operator(fixture: OxenFixture) -> None:
    oxen = fixture.oxen()
    ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
    fixture.sandbox.faults.set("unauthorized")
    with pytest.raises(ProviderMisconfigured):
        await follow(oxen, ticket)


# How a row may end


@pytest.mark.parametrize(
    ("text", "request_", "error"),
    [
        ("Internal Server Error", REQUEST, GenerationFailed),
        ("Something that nobody has seen before", REQUEST, GenerationFailed),
        ("Insufficient credits", REQUEST, ProviderMisconfigured),
        ("Model not found: gpt-image-1-5", REQUEST, ModelRetired),
        ("gpt-image-1-5 is no longer available", REQUEST, ModelRetired),
        ("moderation_blocked", REQUEST, PromptRejected),
        ("It was flagged as violating our content policy", REQUEST, PromptRejected),
        ("Unknown parameter: 'size'.", REQUEST, RequestRejected),
        ("Prompt cannot be empty", REQUEST, RequestRejected),
        ("Invalid value for parameter 'moderation': must be one of low, auto", REQUEST, RequestRejected),
        ("Failed: 403 Client Error: Forbidden for url: https://cdn/moderation.png", EDIT, SourceRejected),
        ("Failed: 500 Server Error for url: https://upstream/v1", REQUEST, GenerationFailed),
    ],
)
async def test_a_failed_row_ends_with_the_right_error_and_none_of_its_text(
    fixture: OxenFixture,
    text: str,
    request_: ImageRequest,
    error: type[ProviderError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    fixture.sandbox.faults.set("run_error", body=text)
    inputs = [input_picture(painted())] if request_.sources else []
    with pytest.raises(ProviderError) as refusal:
        await fixture.result(request_, *inputs)
    assert type(refusal.value) is error
    assert text not in repr(vars(refusal.value))
    assert text not in caplog.text
    assert KEY not in caplog.text


async def test_the_stand_ins_own_refusals_are_understood(fixture: OxenFixture) -> None:
    with pytest.raises(PromptRejected):
        await fixture.result(replace(REQUEST, prompt="something forbidden"))
    with pytest.raises(SourceRejected):
        async with responding(http(403)) as host:
            await fixture.result(EDIT, input_picture(painted(), url=f"{host.url}/a.png"))
    for name in ("no_credit", "no_credit_text", "no_credit_row"):
        fixture.sandbox.faults.set(name, times=1)
        with pytest.raises(ProviderMisconfigured):
            await fixture.result()
    fixture.sandbox.faults.set("model_gone", endpoint="gpt-image-1-5")
    with pytest.raises(ModelRetired):
        await fixture.result()
    with pytest.raises(ProviderMisconfigured):
        await fixture.result(api_key="another")


async def test_the_good_rows_among_failed_ones_are_delivered(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("fail_some", count=2)
    finished = await fixture.result(replace(REQUEST, count=4))
    assert len(finished.pictures) == 2
    assert finished.cost == Money(80_000)


async def test_what_a_failed_one_costs_counts_as_well(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("fail_some", count=1)
    fixture.sandbox.faults.set("charged_anyway", times=1)
    assert (await fixture.result(replace(REQUEST, count=2))).cost == Money(80_000)


async def test_where_all_failed_a_refused_prompt_is_the_error(fixture: OxenFixture) -> None:
    rows = iter(["Internal Server Error", "rejected by the safety system"])
    responses = {name: {"status": "failed", "error_message": next(rows)} for name in ("one", "two")}
    async with responding(lambda line: http(200, responses[line.split()[1].rpartition("/")[2]])) as service:
        ticket = Ticket(provider="oxen", data={"ids": ["one", "two"]}, count=2)
        with pytest.raises(PromptRejected):
            await follow(fixture.oxen(base_url=service.url, events=False), ticket)


async def test_fewer_ids_than_asked_are_followed(fixture: OxenFixture) -> None:
    accepted = http(200, {"generations": [{"generation_id": "one"}, {"generation_id": "two"}, 5]})
    async with responding(responding_to_submits(accepted)) as service:
        oxen = fixture.oxen(base_url=service.url, events=False)
        ticket = await oxen.submit(fixture.build_submit(replace(REQUEST, count=4)), ignore_progress)
    assert (ticket.data["ids"], ticket.count) == (["one", "two"], 4)


async def test_a_success_without_a_link_is_an_invalid_response(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("result_missing")
    with pytest.raises(InvalidResponse, match="without a picture"):
        await fixture.result()


# Cost


@pytest.mark.parametrize(
    ("name", "body"),
    [("cost_missing", None), ("cost_garbage", None), ("cost_garbage", "-1"), ("cost_error", None)],
)
async def test_a_cost_that_is_not_known_soon_is_none_and_the_pictures_come(
    fixture: OxenFixture, name: str, body: Any
) -> None:
    fixture.sandbox.faults.set(name, body=body)
    finished = await fixture.result()
    assert len(finished.pictures) == 1
    assert finished.cost is None


async def test_a_cost_that_comes_a_moment_later_is_taken_and_rounded_up(fixture: OxenFixture) -> None:
    fixture.sandbox.cost_per_image = 0.0400001
    fixture.sandbox.faults.set("cost_missing", times=1)
    assert (await fixture.result()).cost == Money(40_001)


async def test_a_cost_without_a_response_delays_nothing(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("cost_slow", seconds=30)
    async with asyncio.timeout(4):
        assert (await fixture.result()).cost is None


# Pictures, and where the key goes


@pytest.mark.parametrize("name", ["not_a_picture", "bomb", "cdn_error"])
async def test_one_broken_picture_does_not_spoil_the_others(fixture: OxenFixture, name: str) -> None:
    fixture.sandbox.faults.set(name, times=1)
    finished = await fixture.result(replace(REQUEST, count=3))
    assert len(finished.pictures) == 2


async def test_the_key_goes_along_to_oxens_own_host_and_is_dropped_at_a_redirect(fixture: OxenFixture) -> None:
    fixture.sandbox.results_elsewhere = True
    finished = await fixture.result(media_hosts=f"127.0.0.1:{fixture.sandbox.elsewhere_port}")
    assert len(finished.pictures) == 1
    assert len(fixture.sandbox.elsewhere_calls) == 1
    assert fixture.sandbox.leaked_keys == 0


async def test_a_host_that_is_not_listed_is_neither_read_nor_redirected_to(fixture: OxenFixture) -> None:
    fixture.sandbox.results_elsewhere = True
    with pytest.raises(InvalidResponse):
        await fixture.result()
    assert fixture.sandbox.elsewhere_calls == []
    async with responding(http(200, painted())) as elsewhere:
        fixture.sandbox.results_elsewhere = False
        fixture.sandbox.faults.set("foreign_picture", url=f"{elsewhere.url}/a.png", times=1)
        with pytest.raises(InvalidResponse):
            await fixture.result()
        assert elsewhere.heads == []
        fixture.sandbox.faults.set("foreign_picture", url=f"{elsewhere.url}/a.png", times=1)
        assert (await fixture.result(media_hosts=LOCAL_HOSTS)).pictures[0].width == 64
        assert "authorization" not in elsewhere.heads[0].lower()


async def test_a_redirect_of_the_api_is_not_followed_with_the_key(fixture: OxenFixture) -> None:
    async with responding(http(200)) as elsewhere, responding(http(302, location=elsewhere.url)) as service:
        oxen = fixture.oxen(base_url=service.url)
        with pytest.raises(ProviderBusy):
            await follow(oxen, Ticket(provider="oxen", data={"ids": ["one"]}))
        with pytest.raises(ProviderBusy):
            await oxen.submit(fixture.build_submit(), ignore_progress)
        await oxen.check_health()
        assert elsewhere.heads == []


async def test_a_link_that_ran_out_meanwhile_is_requested_anew(fixture: OxenFixture) -> None:
    looks = iter(["old.png", "new.png"])

    def reply(line: str) -> bytes:
        path = line.split()[1]
        if path.endswith(".png"):
            return http(200, painted()) if "new" in path else http(403)
        if "/generations/" in path:
            return http(404)
        return http(200, {"status": "succeeded", "result_url": f"{service.url}/{next(looks)}"})

    async with responding(reply) as service:
        ticket = Ticket(provider="oxen", data={"ids": ["one"]})
        _, finished = await follow(fixture.oxen(base_url=service.url, events=False), ticket)
    assert finished.pictures[0].width == 64


# Cancelling


@pytest.mark.parametrize("stage", ["queued", "processing"])
@pytest.mark.parametrize("shape", [None, "cancel_other", "cancel_error", "cancel_reset"])
async def test_a_cancel_in_time_removes_it_and_wakes_its_poller(
    fixture: OxenFixture, shape: str | None, stage: str
) -> None:
    fixture.sandbox.faults.set("stuck", body=stage)
    if shape:
        fixture.sandbox.faults.set(shape)
    oxen = fixture.oxen(poll_policy=HARDLY_POLLING)
    ticket = await oxen.submit(fixture.build_submit(replace(REQUEST, count=2)), ignore_progress)
    rows = list(fixture.sandbox.generations.values())
    await eventually(lambda: all(row.status == stage for row in rows))
    following = asyncio.create_task(follow(oxen, ticket))
    await eventually(lambda: all(row.counts["status"] for row in rows))
    assert await oxen.cancel(ticket) is CancelResult.REMOVED
    with pytest.raises(JobCancelled):
        await following


async def test_a_cancel_while_painting_that_is_ignored_is_only_requested(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("cancel_ignored")
    fixture.sandbox.faults.set("slow_run", seconds=0.5)
    oxen = fixture.oxen()
    ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
    await follow_until(oxen, ticket, "painting")
    assert await oxen.cancel(ticket) is CancelResult.REQUESTED
    assert len((await follow(oxen, ticket))[1].pictures) == 1
    assert await oxen.cancel(ticket) is CancelResult.TOO_LATE


async def test_a_cancel_between_two_pictures_delivers_the_one_that_is_there(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("stuck", times=1)
    oxen = fixture.oxen()
    ticket = await oxen.submit(fixture.build_submit(replace(REQUEST, count=2)), ignore_progress)
    await follow_until(oxen, ticket, "1 of 2 painted")
    assert await oxen.cancel(ticket) is CancelResult.REQUESTED
    _, finished = await follow(oxen, ticket)
    assert len(finished.pictures) == 1
    assert finished.cost == Money(40_000)


@pytest.mark.parametrize(
    "response", [b"", http(200, b"<html>"), http(200, b"{", content_length="9"), http(401), http(404)]
)
async def test_a_cancel_never_raises(fixture: OxenFixture, response: bytes) -> None:
    ticket = Ticket(provider="oxen", data={"ids": ["one"]})
    async with responding(response) as service:
        assert await fixture.oxen(base_url=service.url).cancel(ticket) is CancelResult.REQUESTED
    gone = f"http://127.0.0.1:{closed_port()}"
    assert await fixture.oxen(base_url=gone).cancel(ticket) is CancelResult.REQUESTED
