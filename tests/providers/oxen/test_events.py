"""Oxen's events, which only cause a poll at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.domain.errors import (
    PromptRejected,
    RateLimited,
)
from tests.support.providers.deps import ignore_progress
from tests.support.providers.oxen import (
    HARDLY_POLLING,
    REQUEST,
    OxenFixture,
    eventually,
    follow,
    open_fixture,
)
from tests.support.raw_server import http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[OxenFixture]:
    async with open_fixture() as opened:
        yield opened


# Events


async def test_the_stream_is_opened_before_the_submit(fixture: OxenFixture) -> None:
    stream = http(200, b": hello\n\n", content_type="text/event-stream")
    accepted = http(200, {"generations": [{"generation_id": "one", "status": "queued"}]})
    async with responding(lambda line: stream if "/events" in line else accepted) as service:
        oxen = fixture.oxen(base_url=service.url)
        await oxen.submit(fixture.build_submit(), ignore_progress)
        await oxen.aclose()
        lines = service.requests
        assert lines.index("GET /events") < lines.index("POST /ai/queue")


@pytest.mark.parametrize("name", ["", "events_flood", "events_wrong"])
async def test_an_event_makes_us_look_at_once_and_the_row_decides(fixture: OxenFixture, name: str) -> None:
    if name:
        fixture.sandbox.faults.set(name)
    fixture.sandbox.run_seconds = 0.2
    oxen = fixture.oxen(poll_policy=HARDLY_POLLING)
    ticket = await oxen.submit(fixture.build_submit(replace(REQUEST, count=2)), ignore_progress)
    _, finished = await follow(oxen, ticket)
    assert len(finished.pictures) == 2
    assert all(row.counts["status"] <= 3 for row in fixture.sandbox.generations.values()), (
        "foreign ones ring nothing"
    )


async def test_a_failure_is_announced_by_an_event_as_well(fixture: OxenFixture) -> None:
    fixture.sandbox.run_seconds = 0.2
    oxen = fixture.oxen(poll_policy=HARDLY_POLLING)
    ticket = await oxen.submit(
        fixture.build_submit(replace(REQUEST, prompt="something forbidden")), ignore_progress
    )
    with pytest.raises(PromptRejected):
        await follow(oxen, ticket)


async def test_a_job_that_is_done_before_anybody_follows_is_seen_at_once(fixture: OxenFixture) -> None:
    fixture.sandbox.queue_seconds = fixture.sandbox.run_seconds = 0
    oxen = fixture.oxen(poll_policy=HARDLY_POLLING)
    ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
    (row,) = fixture.sandbox.generations.values()
    await row.ended()
    assert len((await follow(oxen, ticket))[1].pictures) == 1


@pytest.mark.parametrize(
    "name", ["events_refused", "events_silent", "events_garbled", "events_cut", "events_ended", "events_late"]
)
async def test_trouble_with_events_neither_blocks_the_submit_nor_the_end(fixture: OxenFixture, name: str) -> None:
    fixture.sandbox.faults.set(name, seconds=30)
    assert len((await fixture.result()).pictures) == 1
    assert fixture.sandbox.submits == 1


async def test_a_stream_that_never_begins_holds_the_submit_up_for_two_seconds_at_most(
    fixture: OxenFixture,
) -> None:
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
        oxen = fixture.oxen(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(4):
            ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
        assert ticket.data["ids"] == ["one"]
        await oxen.aclose()
        stalled.set()


async def test_many_jobs_share_one_stream_that_closes_when_no_job_waits(fixture: OxenFixture) -> None:
    fixture.sandbox.run_seconds = 0.2
    oxen = fixture.oxen(poll_policy=HARDLY_POLLING)
    submits = [
        fixture.build_submit(replace(REQUEST, prompt=f"fox {number}"), job_id=number) for number in range(12)
    ]
    tickets = await asyncio.gather(*(oxen.submit(submit, ignore_progress) for submit in submits))
    results = await asyncio.gather(*(follow(oxen, ticket) for ticket in tickets))
    assert all(len(finished.pictures) == 1 for _, finished in results)
    assert fixture.sandbox.state()["events"]["opened"] == 1
    await eventually(lambda: fixture.sandbox.listeners == 0)


async def test_a_stream_that_breaks_is_opened_again_while_a_job_waits(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("events_ended", times=2)
    fixture.sandbox.run_seconds = 0.5
    oxen = fixture.oxen(poll_policy=HARDLY_POLLING)
    ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
    assert len((await follow(oxen, ticket))[1].pictures) == 1
    assert fixture.sandbox.state()["events"]["opened"] == 3


async def test_a_flood_of_empty_lines_is_not_read_on(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("events_empty")
    fixture.sandbox.faults.set("stuck")
    oxen = fixture.oxen(poll_policy=replace(HARDLY_POLLING, first_retry=30))
    ticket = await oxen.submit(fixture.build_submit(), ignore_progress)
    await eventually(lambda: fixture.sandbox.listeners == 0)
    fixture.sandbox.faults.clear()
    assert fixture.sandbox.state()["events"]["opened"] == 1
    await oxen.cancel(ticket)


async def test_a_failed_submit_leaves_no_stream_behind_and_closing_ends_one_that_is_open(
    fixture: OxenFixture,
) -> None:
    fixture.sandbox.faults.set("submit_rate_limited", times=1)
    oxen = fixture.oxen()
    with pytest.raises(RateLimited):
        await oxen.submit(fixture.build_submit(), ignore_progress)
    await eventually(lambda: fixture.sandbox.listeners == 0)
    await oxen.submit(fixture.build_submit(), ignore_progress)
    assert fixture.sandbox.listeners == 1
    await oxen.aclose()
    await eventually(lambda: fixture.sandbox.listeners == 0)


async def test_without_events_nothing_listens(fixture: OxenFixture) -> None:
    assert len((await fixture.result(events=False)).pictures) == 1
    assert fixture.sandbox.state()["events"]["opened"] == 0
