"""From Oxen's ticket to the pictures and their cost, through all that can go wrong on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

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
from bot.net.hosts import AllowedHosts
from tests.support.providers.oxen import (
    ASKED,
    CALM,
    EDIT,
    KEY,
    LOCAL,
    PACE,
    QUICK,
    OxenFixture,
    all_news,
    closed_port,
    envelope,
    eventually,
    given,
    http,
    later,
    open_house,
    painted,
    quiet,
    submits,
    until,
    wire,
)


@pytest.fixture
async def house() -> AsyncIterator[OxenFixture]:
    async with open_house() as opened:
        yield opened


# Following through bad moments


@pytest.mark.parametrize("way", ["error", "html", "truncated", "reset", "slow", "odd"])
async def test_a_bad_moment_while_looking_is_waited_out(house: OxenFixture, way: str) -> None:
    house.sandbox.faults.set(f"status_{way}", times=2, seconds=0.5)
    assert len((await house.result(limits=QUICK)).pictures) == 1


async def test_a_look_waits_as_long_as_the_service_asks(house: OxenFixture) -> None:
    answers = iter([http(429, retry_after="0.15"), http(200, {"status": "cancelled"})])
    async with wire(lambda _: next(answers)) as service:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(JobCancelled):
            await all_news(
                house.oxen(base_url=service.url, events=False), Ticket(provider="oxen", data={"ids": ["a"]})
            )
        assert asyncio.get_running_loop().time() - begun >= 0.15


@pytest.mark.parametrize("way", ["error", "html"])
async def test_a_bad_moment_that_does_not_end_leaves_the_ticket_good(house: OxenFixture, way: str) -> None:
    oxen = house.oxen()
    ticket = await oxen.submit(house.order(), quiet)
    house.sandbox.faults.set(f"status_{way}")
    with pytest.raises(ProviderBusy):
        await all_news(oxen, ticket)
    house.sandbox.faults.clear()
    assert len((await all_news(oxen, ticket))[1].pictures) == 1


async def test_a_request_that_never_ends_is_given_up(house: OxenFixture) -> None:
    house.sandbox.faults.set("stuck")
    ticket = await house.oxen().submit(house.order(), quiet)
    with pytest.raises(GenerationTimeout):
        await all_news(house.oxen(clock=later(3_700_000)), ticket)


async def test_one_picture_that_never_comes_does_not_keep_the_others(house: OxenFixture) -> None:
    house.sandbox.faults.set("stuck", times=1)
    asked = replace(ASKED, count=3)
    oxen = house.oxen(pace=replace(PACE, patience=1.2))
    _, finished = await all_news(oxen, await oxen.submit(house.order(asked), quiet), asked)
    assert len(finished.pictures) == 2
    assert finished.note == "The service painted 2 of 3 pictures."
    assert finished.cost == Money(80_000)
    assert [row.status for row in house.sandbox.generations.values()].count("cancelled") == 1


@pytest.mark.parametrize("name", ["row_gone_running", "row_gone_done"])
async def test_a_row_that_the_queue_forgot_is_found_among_the_generations(house: OxenFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    assert len((await house.result()).pictures) == 1


async def test_a_row_that_nobody_knows_is_lost_after_three_looks(house: OxenFixture) -> None:
    async with wire(http(404, envelope("resource_not_found", "not found"))) as service:
        with pytest.raises(TicketLost):
            await all_news(
                house.oxen(base_url=service.url, events=False), Ticket(provider="oxen", data={"ids": ["a"]})
            )
        assert service.lines == ["GET /ai/queue/a", "GET /ai/generations/a"] * 3


@pytest.mark.parametrize("data", [{"ids": [""]}, {"ids": ["../me"]}, {"ids": "x"}, {"ids": ["a"], "room": -1}])
async def test_an_unreadable_ticket_is_a_lost_one_and_asks_nobody(
    house: OxenFixture, data: dict[str, Any]
) -> None:
    ticket = Ticket(provider="oxen", data=data)
    with pytest.raises(TicketLost):
        await all_news(house.oxen(), ticket)
    assert await house.oxen().cancel(ticket) is CancelResult.ASKED
    assert not house.sandbox.calls


async def test_a_key_that_is_withdrawn_meanwhile_is_for_the_operator(house: OxenFixture) -> None:
    oxen = house.oxen()
    ticket = await oxen.submit(house.order(), quiet)
    house.sandbox.faults.set("unauthorized")
    with pytest.raises(ProviderMisconfigured):
        await all_news(oxen, ticket)


# How a row may end


@pytest.mark.parametrize(
    ("text", "request_", "error"),
    [
        ("Internal Server Error", ASKED, GenerationFailed),
        ("Something that nobody has seen before", ASKED, GenerationFailed),
        ("Insufficient credits", ASKED, ProviderMisconfigured),
        ("Model not found: gpt-image-1-5", ASKED, ModelRetired),
        ("gpt-image-1-5 is no longer available", ASKED, ModelRetired),
        ("moderation_blocked", ASKED, PromptRejected),
        ("It was flagged as violating our content policy", ASKED, PromptRejected),
        ("Unknown parameter: 'size'.", ASKED, RequestRejected),
        ("Prompt cannot be empty", ASKED, RequestRejected),
        ("Invalid value for parameter 'moderation': must be one of low, auto", ASKED, RequestRejected),
        ("Failed: 403 Client Error: Forbidden for url: https://cdn/moderation.png", EDIT, SourceRejected),
        ("Failed: 500 Server Error for url: https://upstream/v1", ASKED, GenerationFailed),
    ],
)
async def test_a_failed_row_ends_with_the_right_error_and_none_of_its_words(
    house: OxenFixture,
    text: str,
    request_: ImageRequest,
    error: type[ProviderError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    house.sandbox.faults.set("run_error", body=text)
    inputs = [given(painted())] if request_.sources else []
    with pytest.raises(ProviderError) as refusal:
        await house.result(request_, *inputs)
    assert type(refusal.value) is error
    assert text not in repr(vars(refusal.value))
    assert text not in caplog.text
    assert KEY not in caplog.text


async def test_the_stand_ins_own_refusals_are_understood(house: OxenFixture) -> None:
    with pytest.raises(PromptRejected):
        await house.result(replace(ASKED, prompt="something forbidden"))
    with pytest.raises(SourceRejected):
        async with wire(http(403)) as host:
            await house.result(EDIT, given(painted(), url=f"{host.url}/a.png"))
    for name in ("no_credit", "no_credit_text", "no_credit_row"):
        house.sandbox.faults.set(name, times=1)
        with pytest.raises(ProviderMisconfigured):
            await house.result()
    house.sandbox.faults.set("model_gone", endpoint="gpt-image-1-5")
    with pytest.raises(ModelRetired):
        await house.result()
    with pytest.raises(ProviderMisconfigured):
        await house.result(key=SecretStr("another"))


async def test_the_good_ones_of_a_mixed_lot_are_delivered_and_said(house: OxenFixture) -> None:
    house.sandbox.faults.set("fail_some", count=2)
    finished = await house.result(replace(ASKED, count=4))
    assert len(finished.pictures) == 2
    assert finished.note == "The service painted 2 of 4 pictures."
    assert finished.cost == Money(80_000)


async def test_what_a_failed_one_costs_counts_as_well(house: OxenFixture) -> None:
    house.sandbox.faults.set("fail_some", count=1)
    house.sandbox.faults.set("charged_anyway", times=1)
    assert (await house.result(replace(ASKED, count=2))).cost == Money(80_000)


async def test_where_all_failed_a_refused_prompt_says_most(house: OxenFixture) -> None:
    rows = iter(["Internal Server Error", "rejected by the safety system"])
    answers = {name: {"status": "failed", "error_message": next(rows)} for name in ("one", "two")}
    async with wire(lambda line: http(200, answers[line.split()[1].rpartition("/")[2]])) as service:
        ticket = Ticket(provider="oxen", data={"ids": ["one", "two"]}, count=2)
        with pytest.raises(PromptRejected):
            await all_news(house.oxen(base_url=service.url, events=False), ticket)


async def test_fewer_ids_than_asked_are_followed(house: OxenFixture) -> None:
    accepted = http(200, {"generations": [{"generation_id": "one"}, {"generation_id": "two"}, 5]})
    async with wire(submits(accepted)) as service:
        oxen = house.oxen(base_url=service.url, events=False)
        ticket = await oxen.submit(house.order(replace(ASKED, count=4)), quiet)
    assert (ticket.data["ids"], ticket.count) == (["one", "two"], 4)


async def test_a_success_without_a_link_is_a_bad_answer(house: OxenFixture) -> None:
    house.sandbox.faults.set("result_missing")
    with pytest.raises(InvalidResponse, match="without a picture"):
        await house.result()


# Cost


@pytest.mark.parametrize(
    ("name", "body"),
    [("cost_missing", None), ("cost_garbage", None), ("cost_garbage", "-1"), ("cost_error", None)],
)
async def test_a_cost_that_is_not_known_soon_is_none_and_the_pictures_come(
    house: OxenFixture, name: str, body: Any
) -> None:
    house.sandbox.faults.set(name, body=body)
    finished = await house.result()
    assert len(finished.pictures) == 1
    assert finished.cost is None


async def test_a_cost_that_comes_a_moment_later_is_taken_and_rounded_up(house: OxenFixture) -> None:
    house.sandbox.cost_per_image = 0.0400001
    house.sandbox.faults.set("cost_missing", times=1)
    assert (await house.result()).cost == Money(40_001)


async def test_a_cost_that_is_never_answered_holds_nothing_up(house: OxenFixture) -> None:
    house.sandbox.faults.set("cost_slow", seconds=30)
    async with asyncio.timeout(4):
        assert (await house.result()).cost is None


# Pictures, and where the key goes


@pytest.mark.parametrize("name", ["not_a_picture", "bomb", "cdn_error"])
async def test_one_broken_picture_does_not_spoil_the_others(house: OxenFixture, name: str) -> None:
    house.sandbox.faults.set(name, times=1)
    finished = await house.result(replace(ASKED, count=3))
    assert len(finished.pictures) == 2
    assert finished.note == "The service painted 2 of 3 pictures."


async def test_the_key_goes_along_to_oxens_own_host_and_is_dropped_at_a_redirect(house: OxenFixture) -> None:
    house.sandbox.results_elsewhere = True
    finished = await house.result(media_hosts=AllowedHosts.parse(f"127.0.0.1:{house.sandbox.elsewhere_port}"))
    assert len(finished.pictures) == 1
    assert len(house.sandbox.elsewhere_calls) == 1
    assert house.sandbox.leaked_keys == 0


async def test_a_host_that_is_not_listed_is_neither_asked_nor_followed_to(house: OxenFixture) -> None:
    house.sandbox.results_elsewhere = True
    with pytest.raises(InvalidResponse):
        await house.result()
    assert house.sandbox.elsewhere_calls == []
    async with wire(http(200, painted())) as stranger:
        house.sandbox.results_elsewhere = False
        house.sandbox.faults.set("foreign_picture", url=f"{stranger.url}/a.png", times=1)
        with pytest.raises(InvalidResponse):
            await house.result()
        assert stranger.heard == []
        house.sandbox.faults.set("foreign_picture", url=f"{stranger.url}/a.png", times=1)
        assert (await house.result(media_hosts=LOCAL)).pictures[0].width == 64
        assert "authorization" not in stranger.heard[0].lower()


async def test_a_redirect_of_the_api_is_not_followed_with_the_key(house: OxenFixture) -> None:
    async with wire(http(200)) as stranger, wire(http(302, location=stranger.url)) as service:
        oxen = house.oxen(base_url=service.url)
        with pytest.raises(ProviderBusy):
            await all_news(oxen, Ticket(provider="oxen", data={"ids": ["one"]}))
        with pytest.raises(ProviderBusy):
            await oxen.submit(house.order(), quiet)
        await oxen.examine()
        assert stranger.heard == []


async def test_a_link_that_ran_out_meanwhile_is_asked_for_anew(house: OxenFixture) -> None:
    looks = iter(["old.png", "new.png"])

    def reply(line: str) -> bytes:
        path = line.split()[1]
        if path.endswith(".png"):
            return http(200, painted()) if "new" in path else http(403)
        if "/generations/" in path:
            return http(404)
        return http(200, {"status": "succeeded", "result_url": f"{service.url}/{next(looks)}"})

    async with wire(reply) as service:
        ticket = Ticket(provider="oxen", data={"ids": ["one"]})
        _, finished = await all_news(house.oxen(base_url=service.url, events=False), ticket)
    assert finished.pictures[0].width == 64


# Cancelling


@pytest.mark.parametrize("stage", ["queued", "processing"])
@pytest.mark.parametrize("shape", [None, "cancel_other", "cancel_error", "cancel_reset"])
async def test_a_cancel_in_time_removes_it_and_wakes_who_follows(
    house: OxenFixture, shape: str | None, stage: str
) -> None:
    house.sandbox.faults.set("stuck", body=stage)
    if shape:
        house.sandbox.faults.set(shape)
    oxen = house.oxen(pace=CALM)
    ticket = await oxen.submit(house.order(replace(ASKED, count=2)), quiet)
    rows = list(house.sandbox.generations.values())
    await eventually(lambda: all(row.status == stage for row in rows))
    following = asyncio.create_task(all_news(oxen, ticket))
    await eventually(lambda: all(row.counts["status"] for row in rows))
    assert await oxen.cancel(ticket) is CancelResult.REMOVED
    with pytest.raises(JobCancelled):
        await following


async def test_a_cancel_while_painting_that_is_ignored_is_only_asked(house: OxenFixture) -> None:
    house.sandbox.faults.set("cancel_ignored")
    house.sandbox.faults.set("slow_run", seconds=0.5)
    oxen = house.oxen()
    ticket = await oxen.submit(house.order(), quiet)
    await until(oxen, ticket, "painting")
    assert await oxen.cancel(ticket) is CancelResult.ASKED
    assert len((await all_news(oxen, ticket))[1].pictures) == 1
    assert await oxen.cancel(ticket) is CancelResult.TOO_LATE


async def test_a_cancel_between_two_pictures_delivers_the_one_that_is_there(house: OxenFixture) -> None:
    house.sandbox.faults.set("stuck", times=1)
    oxen = house.oxen()
    ticket = await oxen.submit(house.order(replace(ASKED, count=2)), quiet)
    await until(oxen, ticket, "1 of 2 painted")
    assert await oxen.cancel(ticket) is CancelResult.ASKED
    _, finished = await all_news(oxen, ticket)
    assert len(finished.pictures) == 1
    assert finished.cost == Money(40_000)


@pytest.mark.parametrize(
    "answer", [b"", http(200, b"<html>"), http(200, b"{", content_length="9"), http(401), http(404)]
)
async def test_a_cancel_never_raises(house: OxenFixture, answer: bytes) -> None:
    ticket = Ticket(provider="oxen", data={"ids": ["one"]})
    async with wire(answer) as service:
        assert await house.oxen(base_url=service.url).cancel(ticket) is CancelResult.ASKED
    gone = f"http://127.0.0.1:{closed_port()}"
    assert await house.oxen(base_url=gone).cancel(ticket) is CancelResult.ASKED
