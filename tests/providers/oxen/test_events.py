"""Oxen's events, which only make Easel look at once, and its lists, in which lost submits are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    GenerationFailed,
    PromptRejected,
    ProviderMisconfigured,
    RateLimited,
    SubmitUnknown,
)
from tests.support.providers.oxen import (
    ASKED,
    CALM,
    QUICK,
    OxenFixture,
    all_news,
    eventually,
    http,
    later,
    lose,
    open_house,
    quiet,
    wire,
)


@pytest.fixture
async def house() -> AsyncIterator[OxenFixture]:
    async with open_house() as opened:
        yield opened


# Events


async def test_the_stream_is_opened_before_the_submit(house: OxenFixture) -> None:
    stream = http(200, b": hello\n\n", content_type="text/event-stream")
    accepted = http(200, {"generations": [{"generation_id": "one", "status": "queued"}]})
    async with wire(lambda line: stream if "/events" in line else accepted) as service:
        oxen = house.oxen(base_url=service.url)
        await oxen.submit(house.order(), quiet)
        await oxen.aclose()
        lines = service.lines
        assert lines.index("GET /events") < lines.index("POST /ai/queue")


@pytest.mark.parametrize("name", ["", "events_flood", "events_wrong"])
async def test_an_event_makes_us_look_at_once_and_the_row_decides(house: OxenFixture, name: str) -> None:
    if name:
        house.sandbox.faults.set(name)
    house.sandbox.run_seconds = 0.2
    oxen = house.oxen(pace=CALM)
    ticket = await oxen.submit(house.order(replace(ASKED, count=2)), quiet)
    _, finished = await all_news(oxen, ticket)
    assert len(finished.pictures) == 2
    assert all(row.counts["status"] <= 3 for row in house.sandbox.generations.values()), (
        "foreign ones ring nothing"
    )


async def test_a_failure_is_told_by_an_event_as_well(house: OxenFixture) -> None:
    house.sandbox.run_seconds = 0.2
    oxen = house.oxen(pace=CALM)
    ticket = await oxen.submit(house.order(replace(ASKED, prompt="something forbidden")), quiet)
    with pytest.raises(PromptRejected):
        await all_news(oxen, ticket)


async def test_a_job_that_is_done_before_anybody_follows_is_seen_at_once(house: OxenFixture) -> None:
    house.sandbox.queue_seconds = house.sandbox.run_seconds = 0
    oxen = house.oxen(pace=CALM)
    ticket = await oxen.submit(house.order(), quiet)
    (row,) = house.sandbox.generations.values()
    await row.ended()
    assert len((await all_news(oxen, ticket))[1].pictures) == 1


@pytest.mark.parametrize(
    "name", ["events_refused", "events_silent", "events_garbled", "events_cut", "events_ended", "events_late"]
)
async def test_trouble_with_events_neither_blocks_the_submit_nor_the_end(house: OxenFixture, name: str) -> None:
    house.sandbox.faults.set(name, seconds=30)
    assert len((await house.result()).pictures) == 1
    assert house.sandbox.submits == 1


async def test_a_stream_that_never_begins_holds_the_submit_up_for_two_seconds_at_most(house: OxenFixture) -> None:
    accepted = http(200, {"generations": [{"generation_id": "one"}]})
    stalled = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/events" in head:
            await stalled.wait()
        else:
            writer.write(accepted if head.startswith(b"POST") else http(503))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        oxen = house.oxen(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(4):
            ticket = await oxen.submit(house.order(), quiet)
        assert ticket.data["ids"] == ["one"]
        await oxen.aclose()
        stalled.set()


async def test_many_jobs_share_one_stream_that_closes_when_nobody_waits(house: OxenFixture) -> None:
    house.sandbox.run_seconds = 0.2
    oxen = house.oxen(pace=CALM)
    orders = [house.order(replace(ASKED, prompt=f"fox {number}"), job_id=number) for number in range(12)]
    tickets = await asyncio.gather(*(oxen.submit(order, quiet) for order in orders))
    results = await asyncio.gather(*(all_news(oxen, ticket) for ticket in tickets))
    assert all(len(finished.pictures) == 1 for _, finished in results)
    assert house.sandbox.state()["events"]["opened"] == 1
    await eventually(lambda: house.sandbox.listeners == 0)


async def test_a_stream_that_breaks_is_opened_again_while_somebody_waits(house: OxenFixture) -> None:
    house.sandbox.faults.set("events_ended", times=2)
    house.sandbox.run_seconds = 0.5
    oxen = house.oxen(pace=CALM)
    ticket = await oxen.submit(house.order(), quiet)
    assert len((await all_news(oxen, ticket))[1].pictures) == 1
    assert house.sandbox.state()["events"]["opened"] == 3


async def test_a_failed_submit_leaves_no_stream_behind_and_closing_ends_one_that_is_open(
    house: OxenFixture,
) -> None:
    house.sandbox.faults.set("submit_rate_limited", times=1)
    oxen = house.oxen()
    with pytest.raises(RateLimited):
        await oxen.submit(house.order(), quiet)
    await eventually(lambda: house.sandbox.listeners == 0)
    await oxen.submit(house.order(), quiet)
    assert house.sandbox.listeners == 1
    await oxen.aclose()
    await eventually(lambda: house.sandbox.listeners == 0)


async def test_without_events_nothing_listens(house: OxenFixture) -> None:
    assert len((await house.result(events=False)).pictures) == 1
    assert house.sandbox.state()["events"]["opened"] == 0


# Lost answers


async def test_a_lost_submit_is_found_in_the_list_active_or_finished(house: OxenFixture) -> None:
    house.sandbox.run_seconds = 0.3
    oxen = house.oxen()
    order = house.order(replace(ASKED, count=2))
    await lose(house, oxen, order)
    active = await oxen.reconcile(order, [])
    assert active is not None
    assert active.count == 2
    assert set(active.data["ids"]) == set(house.sandbox.generations)
    _, finished = await all_news(oxen, active)
    assert len(finished.pictures) == 2
    again = await oxen.reconcile(order, [])
    assert again is not None
    assert set(again.data["ids"]) == set(active.data["ids"]), "the same order may ask again"
    assert await house.oxen(clock=later()).reconcile(order, [again]) is None
    assert house.sandbox.submits == 1


@pytest.mark.parametrize(("name", "body"), [("run_error", "Internal Server Error"), ("no_credit_row", None)])
async def test_a_lost_submit_that_failed_is_found_too(house: OxenFixture, name: str, body: Any) -> None:
    house.sandbox.faults.set(name, body=body)
    oxen, order = house.oxen(), house.order()
    await lose(house, oxen, order)
    ticket = await oxen.reconcile(order, [])
    assert ticket is not None
    with pytest.raises(GenerationFailed if body else ProviderMisconfigured):
        await all_news(oxen, ticket)


async def test_a_submit_that_never_arrived_is_only_said_so_once_it_must_be_in_the_list(house: OxenFixture) -> None:
    house.sandbox.faults.set("submit_refused", times=1)
    order = house.order()
    with pytest.raises(SubmitUnknown):
        await house.oxen().submit(order, quiet)
    with pytest.raises(SubmitUnknown):
        await house.oxen().reconcile(order, [])
    assert await house.oxen(clock=later()).reconcile(order, []) is None


async def test_older_rows_other_prompts_and_what_belongs_to_others_are_left_alone(house: OxenFixture) -> None:
    oxen = house.oxen()
    other = replace(ASKED, prompt="a hare")
    taken = await oxen.submit(house.order(), quiet)
    await oxen.submit(house.order(other), quiet)
    stranger = house.oxen(clock=later())
    assert await stranger.reconcile(house.order(job_id=2), [taken]) is None
    found = await stranger.reconcile(house.order(replace(ASKED, prompt=" a  fox in the snow "), job_id=2), [])
    assert found is not None
    assert found.data["ids"] == taken.data["ids"]


async def test_what_this_process_submitted_is_nobody_elses_even_before_it_is_written_down(
    house: OxenFixture,
) -> None:
    oxen = house.oxen(clock=later())
    await oxen.submit(house.order(job_id=1), quiet)
    assert await oxen.reconcile(house.order(job_id=2), []) is None


async def test_two_lost_submits_of_one_prompt_each_find_their_own(house: OxenFixture) -> None:
    oxen = house.oxen()
    asked = replace(ASKED, count=2)
    square, portrait = house.order(asked, job_id=1), house.order(replace(asked, size="portrait"), job_id=2)
    await lose(house, oxen, square)
    await lose(house, oxen, portrait)
    one, two = await asyncio.gather(oxen.reconcile(portrait, []), oxen.reconcile(square, []))
    assert one is not None
    assert two is not None
    sizes = [[house.sandbox.generations[one].params["size"] for one in found.data["ids"]] for found in (one, two)]
    assert sizes == [["portrait", "portrait"], ["auto", "auto"]]


async def test_while_the_same_prompt_is_being_submitted_nobody_claims_its_rows(house: OxenFixture) -> None:
    house.sandbox.faults.set("submit_slow", seconds=0.3, times=1)
    oxen = house.oxen()
    under_way = asyncio.create_task(oxen.submit(house.order(job_id=1), quiet))
    await eventually(lambda: len(house.sandbox.generations) == 1)
    with pytest.raises(SubmitUnknown):
        await oxen.reconcile(house.order(job_id=2), [])
    assert (await under_way).count == 1


@pytest.mark.parametrize("way", ["error", "html", "truncated", "reset", "odd", "slow"])
async def test_trouble_with_the_list_leaves_it_open(house: OxenFixture, way: str) -> None:
    house.sandbox.faults.set(f"list_{way}", seconds=2, body={"generations": None})
    with pytest.raises(SubmitUnknown):
        await house.oxen(clock=later(), limits=QUICK).reconcile(house.order(), [])


@pytest.mark.parametrize(("seconds", "found"), [(-3, True), (-60, False), (3, True)])
async def test_only_rows_that_are_not_older_than_the_submit_are_taken(
    house: OxenFixture, seconds: int, found: bool
) -> None:
    order = house.order()
    at = order.submitted_at // 1000 + seconds
    row = {"generation_id": "one", "status": "queued", "prompt": ASKED.prompt, "enqueued_at": at}
    async with wire(http(200, {"count": 1, "generations": [row]})) as service:
        ticket = await house.oxen(base_url=service.url, clock=later()).reconcile(order, [])
        assert (ticket is not None) is found
        assert len(service.lines) == 4


async def test_rows_without_a_time_are_no_proof_of_anything(house: OxenFixture) -> None:
    row = {"generation_id": "one", "status": "queued", "prompt": ASKED.prompt, "model_name": "gpt-image-1-5"}
    async with wire(http(200, {"count": 1, "generations": [row]})) as service:
        with pytest.raises(SubmitUnknown):
            await house.oxen(base_url=service.url, clock=later()).reconcile(house.order(), [])


async def test_a_clock_that_is_ahead_of_oxens_finds_its_rows_all_the_same(house: OxenFixture) -> None:
    ahead = later(600_000)
    order = house.order(submitted_at=ahead.now())
    oxen = house.oxen(clock=ahead)
    await lose(house, oxen, order)
    assert await oxen.reconcile(order, []) is not None
