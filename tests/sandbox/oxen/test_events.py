"""Oxen's event stream, and its faults."""

import asyncio
import json

import httpx
import pytest

from tests.support.sandbox.oxen import event_lines, open_oxen, poll, wait_for_completion


async def test_events_are_compact_and_share_the_stream_with_others() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        generation_id = await caller.submit()
        received = []
        async for line in lines:
            received.append(line)
            if generation_id in line:
                break
        assert received[-2] == "event: media_generation_completed"
        assert f'"generation_id":"{generation_id}"' in received[-1]
        names = [line.removeprefix("event: ") for line in received if line.startswith("event: ")]
        assert len(set(names)) == 2
        assert not [line for line in received if line.startswith("id:")]
        caller.sandbox.broadcast("anything", "no JSON at all")
        assert [await anext(lines) for _ in range(3)] == ["", "event: anything", "data: no JSON at all"]
        assert caller.sandbox.state()["events"] == {"open": 1, "opened": 1, "sent": 1}


async def test_events_that_are_refused_or_end_at_once() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("events_refused", status=502, times=1)
        assert (await caller.http.get(f"{caller.api}/events")).status_code == 502
        caller.sandbox.faults.set("events_ended", times=1)
        response = await caller.http.get(f"{caller.api}/events")
        assert (response.status_code, response.text) == (200, "")


async def test_events_that_are_never_sent() -> None:
    async with (
        open_oxen(heartbeat_seconds=0.02, foreign_events=False) as caller,
        event_lines(caller.http, caller.api) as lines,
    ):
        caller.sandbox.faults.set("events_silent")
        assert (await caller.outcome())["status"] == "succeeded"
        assert {await anext(lines) for _ in range(12)} == {": keep-alive", ""}


async def test_events_that_come_late() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_late", seconds=0.4)
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "succeeded")
        assert caller.sandbox.state()["events"]["sent"] == 0
        await wait_for_completion(lines, generation_id)
        assert caller.sandbox.state()["events"]["sent"] == 1


async def test_events_that_are_garbled() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_garbled", times=1)
        generation_id = await caller.submit()
        with pytest.raises(json.JSONDecodeError):
            await wait_for_completion(lines, generation_id)


async def test_events_that_break_off() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_cut", times=1)
        generation_id = await caller.submit()
        with pytest.raises(httpx.TransportError):
            await wait_for_completion(lines, generation_id)


async def test_events_that_say_the_wrong_thing() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_wrong", times=1)
        generation_id = await caller.submit()
        assert (await wait_for_completion(lines, generation_id))["status"] == "failed"
        assert (await poll(caller.http, caller.api, generation_id))["status"] == "succeeded"


async def test_events_of_others_in_a_flood() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_flood", count=50, times=1)
        generation_id = await caller.submit()
        received = 0
        async for line in lines:
            received += line.startswith("event: ")
            if generation_id in line:
                break
        assert received == 52


async def test_a_closed_stream_is_no_longer_counted() -> None:
    async with open_oxen() as caller:
        async with event_lines(caller.http, caller.api):
            assert caller.sandbox.listeners == 1
        async with asyncio.timeout(10):
            while caller.sandbox.listeners:
                await caller.call("GET", "/ai/queue")
        assert (await caller.outcome())["status"] == "succeeded"
