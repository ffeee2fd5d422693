"""Following a request by fal's stream of events, and going on by polling whatever is wrong with the stream."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    GenerationFailed,
    GenerationTimeout,
    JobCancelled,
    PromptRejected,
    ProviderBusy,
    ProviderError,
)
from bot.domain.jobs import Finished, Progress
from bot.domain.providers import CancelResult
from bot.net.http import Timeouts
from bot.providers.fal.poller import END_OF_STREAM
from bot.providers.fal.provider import FalProvider
from tests.support.providers.deps import HURRIED, POLL_POLICY, REQUEST, ignore_progress, no_stored_results, painted
from tests.support.providers.fal import (
    FalFixture,
    build_submit,
    follow,
    follow_until,
    open_fixture,
    ticket_at,
)
from tests.support.raw_server import Connection, http, responding, serving

INLINE = "data:image/png;base64," + base64.b64encode(painted()).decode()


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture(heartbeat_seconds=0.02) as opened:
        yield opened


def streaming(fixture: FalFixture, **changes: Any) -> FalProvider:
    return fixture.fal(**{"stream": True, **changes})


async def test_the_stream_alone_brings_all_progress(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=0.1)
    fal = streaming(fixture)
    ticket = await fal.submit(build_submit(), ignore_progress)
    updates, finished = await follow(fal, ticket)
    assert len(finished.pictures) == 1
    assert [item.position for item in updates if item.position is not None] == [2, 1, 0]
    assert [item.note for item in updates if item.position is None] == ["painting", "painted"]
    assert fixture.request.counts == {"stream": 1, "result": 1}
    assert fixture.paths()[1:3] == [
        "GET /fal-ai/gpt-image-1.5/requests/…/status/stream",
        "GET /fal-ai/gpt-image-1.5/requests/…",
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("stream_error", {}),
        ("stream_error", {"status": 404}),
        ("stream_error", {"status": 429}),
        ("stream_html", {}),
        ("stream_hang", {}),
        ("stream_hang", {"seconds": 0.05}),
        ("stream_silent", {}),
        ("stream_garbled", {}),
        ("stream_cut", {}),
    ],
)
async def test_whatever_is_wrong_with_the_stream_polling_goes_on(
    fixture: FalFixture, name: str, values: dict[str, Any]
) -> None:
    fixture.sandbox.faults.set(name, **values)
    fixture.sandbox.faults.set("slow_run", seconds=0.1)
    fal = streaming(fixture, timeouts=HURRIED)
    ticket = await fal.submit(build_submit(), ignore_progress)
    updates, finished = await follow(fal, ticket)
    assert len(finished.pictures) == 1
    assert len(set(updates)) == len(updates)
    assert fixture.sandbox.submits == 1
    # Where not a byte came back, aiohttp sends the GET once more by itself.
    assert fixture.request.counts["stream"] == (2 if values.get("seconds") else 1)
    assert fixture.request.counts["status"] >= 1
    assert fixture.request.counts["result"] == 1


async def test_a_connection_that_is_refused_for_the_stream_only_costs_the_stream(fixture: FalFixture) -> None:
    def reply(line: str) -> bytes:
        if "/stream" in line:
            return b""
        return http(200, {"status": "COMPLETED"} if "status_url" in line else PICTURE)

    async with responding(reply) as queue:
        _, finished = await follow(streaming(fixture, queue_url=queue.url), ticket_at(queue.url))
    assert len(finished.pictures) == 1
    paths = list(dict.fromkeys(line.split()[1] for line in queue.heads))
    assert paths == ["/status_url/stream", "/status_url", "/response_url"]


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
PICTURE = {"images": [{"url": INLINE}]}


def event(data: Any) -> bytes:
    return data if isinstance(data, bytes) else f"data: {json.dumps(data)}\n\n".encode()


@asynccontextmanager
async def streaming_queue(
    *events: Any, then: str = "ends", polled: Any = None
) -> AsyncIterator[tuple[str, list[str]]]:
    """A queue whose stream says `events`, then "ends", is "silent", or repeats the last; polls say COMPLETED."""
    requests: list[str] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def stream(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"".join(event(data) for data in events))
        await writer.drain()
        while then == "repeats" and not writer.is_closing():
            writer.write(event(events[-1]))
            await asyncio.sleep(0.02)
        if then == "silent":
            await asyncio.Event().wait()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            tasks.add(task)
        try:
            line = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0]
            requests.append(line)
            if "/stream" in line:
                await stream(writer)
            else:
                status = polled or {"status": "COMPLETED"}
                writer.write(http(200, status if "status_url" in line else PICTURE))
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "odd",
    [
        b"data: [1, 2]\n\n",
        b"data: null\n\n",
        b'event: error\ndata: {"detail": "oops"}\n\n',
        b"data: " + b"x" * 1_200_000 + b"\n\n",
        b"\x1f\x8b\x08 no text at all",
        b'data: {"status": "COMPL',
    ],
)
async def test_an_event_that_makes_no_sense_is_followed_by_a_poll(fixture: FalFixture, odd: bytes) -> None:
    async with streaming_queue({"status": "IN_PROGRESS"}, odd) as (url, requests):
        updates, finished = await follow(streaming(fixture, queue_url=url), ticket_at(url))
    assert len(finished.pictures) == 1
    assert [item.note for item in updates][-1] == "painted"
    assert len(requests) == 3


async def test_a_stream_that_falls_silent_is_left(fixture: FalFixture) -> None:
    async with streaming_queue({"status": "IN_PROGRESS"}, then="silent") as (url, requests):
        async with asyncio.timeout(2):
            fal = streaming(fixture, queue_url=url, timeouts=Timeouts(read=0.1))
            updates, finished = await follow(fal, ticket_at(url))
    assert [item.note for item in updates] == ["painting", "painted"]
    assert len(finished.pictures) == 1
    assert len(requests) == 3


async def test_a_slow_consumer_loses_no_progress(fixture: FalFixture) -> None:
    """Time-outs of the stream end the stream only, never its consumer."""
    received = []
    events = [{"status": "IN_QUEUE", "queue_position": 1}, {"status": "IN_PROGRESS"}]
    async with streaming_queue(*events, then="silent") as (url, _):
        fal = streaming(fixture, queue_url=url, timeouts=Timeouts(read=0.05))
        async with aclosing(fal.follow(ticket_at(url), REQUEST, no_stored_results)) as updates:
            async for item in updates:
                received.append(item)
                await asyncio.sleep(0.15)  # longer than the silence that the stream is allowed
    assert isinstance(received[-1], Finished)


async def test_the_stream_is_closed_when_its_job_is_no_longer_followed(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_run", seconds=5)
    fal = streaming(fixture)
    ticket = await fal.submit(build_submit(), ignore_progress)
    async with aclosing(fal.follow(ticket, REQUEST, no_stored_results)) as updates:
        first = await anext(updates)
        assert isinstance(first, Progress)
        assert any("Poller._follow_stream" in repr(task.get_coro()) for task in asyncio.all_tasks())
    assert not any("Poller._follow_stream" in repr(task.get_coro()) for task in asyncio.all_tasks())


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("name", "status", "kind", "error"),
    [
        ("model_error", 422, "content_policy_violation", PromptRejected),
        ("model_error", 422, "no_media_generated", GenerationFailed),
        ("run_error", 500, "internal_error", GenerationFailed),
    ],
)
async def test_the_result_decides_whatever_the_stream_says(
    fixture: FalFixture, name: str, status: int, kind: str, error: type[ProviderError], hidden: bool
) -> None:
    fixture.sandbox.faults.set(name, status=status, error_type=kind)
    if hidden:
        fixture.sandbox.faults.set("hidden_error")
    with pytest.raises(ProviderError) as refusal:
        await fixture.result(stream=True)
    assert type(refusal.value) is error


async def test_a_picture_that_comes_although_the_stream_says_failed_is_a_picture(fixture: FalFixture) -> None:
    over = {"status": "COMPLETED", "error": "it says", "error_type": "internal_error"}
    async with streaming_queue(over) as (url, _):
        _, finished = await follow(streaming(fixture, queue_url=url), ticket_at(url))
    assert len(finished.pictures) == 1


async def test_a_result_that_is_not_there_when_the_stream_ends_is_requested_again(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("result_early", times=3)
    assert len((await fixture.result(stream=True)).pictures) == 1


async def test_a_bad_moment_of_the_result_after_the_stream_is_waited_out(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("result_error", times=2)
    assert len((await fixture.result(stream=True)).pictures) == 1
    fixture.sandbox.faults.set("result_html")
    with pytest.raises(ProviderBusy):
        await fixture.result(stream=True)


async def test_a_cancel_is_seen_in_the_stream(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=5)
    fal = streaming(fixture)
    ticket = await fal.submit(build_submit(), ignore_progress)
    follower = asyncio.create_task(follow(fal, ticket))
    await follow_until(fal, ticket, "queued")
    assert await fal.cancel(ticket) is CancelResult.REMOVED
    with pytest.raises(JobCancelled):
        await follower


async def test_a_stream_that_never_ends_is_given_up(fixture: FalFixture) -> None:
    running = {"status": "IN_PROGRESS"}
    async with streaming_queue(running, then="repeats", polled=running) as (url, requests):
        poll_policy = replace(POLL_POLICY, give_up_after=0.2)
        with pytest.raises(GenerationTimeout):
            await follow(streaming(fixture, queue_url=url, poll_policy=poll_policy), ticket_at(url))
    assert any("/stream" in request for request in requests)


async def test_a_stream_that_goes_on_after_its_end_is_left(fixture: FalFixture) -> None:
    left = asyncio.Event()

    async def serve(connection: Connection) -> None:
        path = (await connection.head()).split()[1].decode()
        if not path.endswith("/stream"):
            await connection.send(http(202 if path == "/response_url" else 200, {"status": "IN_PROGRESS"}))
            return
        await connection.send(STREAM + event({"status": "COMPLETED"}))
        with suppress(ConnectionError):
            while True:
                await connection.send(event({"status": "COMPLETED"}))
                await asyncio.sleep(0.05)
        left.set()

    async with serving(serve) as queue:
        follower = asyncio.create_task(follow(streaming(fixture, queue_url=queue.url()), ticket_at(queue.url())))
        try:
            async with asyncio.timeout(END_OF_STREAM + 1):
                await left.wait()
            assert not follower.done()
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)


# Nonsense


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("place", [-3, 10**40, 2.5, "soon", True, [1]])
async def test_a_place_in_the_queue_that_is_none_is_not_shown(
    fixture: FalFixture, place: Any, streams: bool
) -> None:
    updates = await progress_of(fixture, {"status": "IN_QUEUE", "queue_position": place}, streams=streams)
    assert [(item.position, item.note) for item in updates] == [
        (None, "queued at the service"),
        (None, "painted"),
    ]


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("logs", [None, [{"message": "Running on the painter, 250 %"}], "a text", 5])
async def test_members_read_none_of_the_services_own_words(fixture: FalFixture, logs: Any, streams: bool) -> None:
    updates = await progress_of(fixture, {"status": "IN_PROGRESS", "logs": logs}, streams=streams)
    assert [item.note for item in updates] == ["painting", "painted"]


async def progress_of(fixture: FalFixture, status: Any, *, streams: bool) -> list[Progress]:
    """The progress of a request that has this status once, in the stream or in a poll."""
    polls = iter([status])

    def reply(line: str) -> bytes:
        if "/stream" in line:
            return STREAM + event(status)
        if "status_url" in line:
            return http(200, {"status": "COMPLETED"} if streams else next(polls, {"status": "COMPLETED"}))
        return http(200, PICTURE)

    async with responding(reply) as queue:
        updates, _ = await follow(fixture.fal(queue_url=queue.url, stream=streams), ticket_at(queue.url))
    return updates
