"""Following, limiting and cancelling work at the fal stand-in, with and without fal's own client."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sandbox.fal.test_faults import AUTH, MODEL, RUN_HOST, Caller, at_the_real_hosts, opened

ODD_CANCELS: list[tuple[int, Any]] = [
    (200, {"success": True}),
    (400, {"success": False}),
    (400, {"detail": "Request already completed"}),
    (202, {"status": "CANCELLATION_REQUESTED", "success": True}),
    (404, {"status": "NOT_FOUND"}),
    (200, ""),
]


async def events(caller: Caller, submitted: dict[str, Any], pings: int | None = None) -> tuple[list[Any], str]:
    """The stream's events until it ends or has sent so many comments, and all of its text."""
    text = bytearray()
    url = submitted["status_url"] + "/stream?logs=1"
    async with asyncio.timeout(10), caller.http.get(url, headers=AUTH) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        async for block in answer.content.iter_any():
            text += block
            if pings is not None and text.count(b": ping\n\n") >= pings:
                break
    lines = [line.removeprefix("data: ") for line in text.decode().splitlines() if line.startswith("data: ")]
    return lines, text.decode()


# ------------------------------------------------------------------------------------------------- the stream


async def test_a_stream_joined_late_still_tells_all_and_ends() -> None:
    async with opened() as caller:
        submitted = await caller.submit()
        await caller.finished(submitted)
        lines, text = await events(caller, submitted)
        (event,) = [json.loads(line) for line in lines]
        assert (event["status"], len(event["logs"])) == ("COMPLETED", 3)
        assert ": ping" not in text


async def test_a_silent_stream_is_open_and_has_only_comments() -> None:
    async with opened(heartbeat_seconds=0.01) as caller:
        caller.sandbox.faults.set("stream_silent", times=1)
        submitted = await caller.submit()
        await caller.finished(submitted)
        lines, _ = await events(caller, submitted, pings=5)
        assert lines == []


async def test_a_garbled_stream_is_no_json() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("stream_garbled", times=1)
        lines, _ = await events(caller, await caller.submit())
        assert len(lines) > 2
        for line in lines:
            with pytest.raises(json.JSONDecodeError):
                json.loads(line)


async def test_a_stream_that_is_a_page_or_nothing_at_all() -> None:
    async with opened() as caller:
        submitted = await caller.submit()
        url = submitted["status_url"] + "/stream"
        caller.sandbox.faults.set("stream_html", times=1)
        status, page, headers = await caller.call("GET", url)
        assert (status, page[:6], headers["Content-Type"][:9]) == (200, b"<html>", "text/html")
        caller.sandbox.faults.set("stream_hang", times=1)
        with pytest.raises(TimeoutError):
            await caller.call("GET", url, timeout=aiohttp.ClientTimeout(total=0.1))
        caller.sandbox.faults.set("stream_hang", seconds=0.05)  # always: aiohttp asks again on a new connection
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.call("GET", url)
        assert (await caller.finished(submitted))["status"] == "COMPLETED"


# -------------------------------------------------------------------------------------------- limits on submit


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Fal-Request-Timeout": "0.1"},
        {"X-Fal-Request-Start-Timeout": "0.1", "X-Fal-Request-Timeout": "60"},
        {"X-Fal-Request-Start-Timeout": "nonsense", "X-Fal-Request-Timeout": "0.1"},
    ],
)
async def test_what_has_not_started_in_time_ends_as_504(headers: dict[str, str]) -> None:
    async with opened(queue_seconds=30) as caller:
        more = {**AUTH, **headers}
        _, submitted, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=more)
        assert (await caller.finished(submitted))["error_type"] == "request_timeout"
        code, _, headers_then = await caller.call("GET", submitted["response_url"])
        assert (code, headers_then["X-Fal-Request-Timeout-Type"]) == (504, "user")


async def test_the_start_timeout_counts_waiting_for_a_runner_but_not_running() -> None:
    async with opened(queue_seconds=0, run_seconds=0.3, concurrency=1) as caller:
        timed = {**AUTH, "X-Fal-Request-Start-Timeout": "0.15", "X-Fal-Request-Timeout": "0.01"}
        calls = [await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=timed) for _ in range(2)]
        for _, submitted, _ in calls:
            await caller.finished(submitted)
        codes = [(await caller.call("GET", submitted["response_url"]))[0] for _, submitted, _ in calls]
        assert codes == [200, 504]
        assert (await caller.outcome())[0] == 200


async def test_a_queue_that_would_be_too_long_is_429() -> None:
    async with opened(queue_seconds=30) as caller:
        for expected in (200, 200, 429):
            path = f"/{MODEL}?fal_max_queue_length=2"
            status, answer, _ = await caller.call("POST", path, json={"prompt": "x"})
            assert status == expected
        assert "detail" in answer
        await caller.submit()
        assert (caller.sandbox.submits, len(caller.sandbox.requests)) == (4, 3)


@pytest.mark.parametrize("reason", ["TOP_UP.", "Admin lock. Contact support."])
async def test_a_locked_account_still_sees_what_it_has(reason: str) -> None:
    async with opened() as caller:
        submitted = await caller.submit()
        await caller.finished(submitted)
        caller.sandbox.faults.set("locked", body=f"User is locked. Reason: {reason}")
        for path in (f"/{MODEL}", f"/run/{MODEL}", "/storage/auth/token", "/storage/upload/initiate"):
            order = {"prompt": "x", "content_type": "image/png"}
            status, answer, _ = await caller.call("POST", path, json=order)
            assert (status, answer["detail"]) == (403, f"User is locked. Reason: {reason}")
        assert (await caller.call("GET", submitted["status_url"]))[0] == 200
        assert (await caller.call("GET", submitted["response_url"]))[0] == 200


# ----------------------------------------------------------------------------------------- cancel, direct runs


@pytest.mark.parametrize(("status", "body"), ODD_CANCELS)
async def test_a_cancel_may_be_answered_oddly_and_holds(status: int, body: Any) -> None:
    async with opened(queue_seconds=30) as caller:
        caller.sandbox.faults.set("cancel_answer", status=status, body=body, times=1)
        submitted = await caller.submit()
        assert (await caller.call("PUT", submitted["cancel_url"]))[:2] == (status, body)
        assert (await caller.finished(submitted))["error_type"] == "client_cancelled"


async def test_a_cancelled_run_may_finish_all_the_same() -> None:
    async with opened(queue_seconds=0, run_seconds=0.2) as caller:
        caller.sandbox.faults.set("cancel_ignored")
        submitted = await caller.submit()
        seen = caller.sandbox.requests[submitted["request_id"]]
        while seen.state == "IN_QUEUE":
            await seen.changed.wait()
        assert (await caller.call("PUT", submitted["cancel_url"]))[0] == 202
        await caller.finished(submitted)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 200


async def test_a_direct_run_answers_with_the_result_or_loses_it() -> None:
    async with opened(queue_seconds=30, concurrency=1) as caller:
        status, answer, headers = await caller.call("POST", f"/run/{MODEL}", json={"prompt": "a boat"})
        assert (status, len(answer["images"]), headers["x-fal-billable-units"]) == (200, 1, "1")
        status, answer, _ = await caller.call("POST", f"/run/{MODEL}", json={"prompt": "forbidden"})
        assert (status, answer["detail"][0]["type"]) == (422, "content_policy_violation")
        caller.sandbox.faults.set("run_lost", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.call("POST", f"/run/{MODEL}", json={"prompt": "a fox"})
        assert [request.units for request in caller.sandbox.requests.values()] == [1, 0, 1]
        caller.sandbox.faults.set("run_refused", times=1)
        assert (await caller.call("POST", f"/run/{MODEL}", json={"prompt": "x"}))[0] == 429
        caller.sandbox.faults.set("slow_run", seconds=0.2, times=1)
        both = [caller.call("POST", f"/run/{MODEL}", json={"prompt": "x"}) for _ in range(2)]
        assert sorted([answer[0] for answer in await asyncio.gather(*both)]) == [200, 429]


# ------------------------------------------------------------------------------------------ fal's own client


async def test_fals_client_reads_events_and_the_stream(tmp_path: Path) -> None:
    async with at_the_real_hosts(tmp_path, queue_seconds=0.4, run_seconds=0.3, heartbeat_seconds=0.02) as client:
        lines = await client.run(
            f"""
            from httpx_sse import connect_sse
            client = fal_client.SyncClient()
            handle = client.submit("{MODEL}", {{"prompt": "a boat"}}, priority="low", hint="here")
            logs = [[log["message"] for log in getattr(event, "logs", None) or ()]
                for event in handle.iter_events(with_logs=True, interval=0.02)]
            show(logs)
            handle = client.submit("{MODEL}", {{"prompt": "a boat"}})
            with connect_sse(client._client, "GET", handle.status_url + "/stream?logs=1") as source:
                told = [event.json() for event in source.iter_sse()]
            show([each["status"] for each in told])
            show([log["message"] for each in told for log in each.get("logs") or ()])
            """
        )
        polled, states, streamed = (line[0] for line in lines)
        assert polled[-1] == streamed == ["Running on the painter", "Painting 1 of 1", "Done"]
        assert all(len(before) <= len(after) for before, after in pairwise(polled))
        assert sorted(set(states), key=states.index) == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
        first = next(iter(client.sandbox.requests.values()))
        assert first.headers["x-fal-queue-priority"] == "low"
        assert first.headers["x-fal-runner-hint"] == "here"


async def test_fals_async_client_subscribes_cancels_and_waits_only_so_long(tmp_path: Path) -> None:
    async with at_the_real_hosts(tmp_path, queue_seconds=0.3) as client:
        client.sandbox.faults.set("slow_queue", seconds=30, endpoint="openai/gpt-image-2")
        lines = await client.run(
            f"""
            import asyncio
            async def main():
                client, seen = fal_client.AsyncClient(), []
                result = await client.subscribe("{MODEL}", {{"prompt": "a boat"}}, with_logs=True, interval=0.02,
                    on_queue_update=lambda status: seen.append(type(status).__name__))
                show(sorted(set(seen), key=seen.index), len(result["images"]))
                slow = "openai/gpt-image-2"
                handle = await client.submit(slow, {{"prompt": "x"}})
                await handle.cancel()
                show((await handle.status()).error_type)
                handle = await client.submit(slow, {{"prompt": "x"}}, start_timeout=1.1)
                try:
                    await handle.get(interval=0.02)
                except fal_client.FalClientHTTPError as error:
                    show(error.status_code, error.error_type, error.response_headers["x-fal-request-timeout-type"])
                await (await client._client).aclose()
            asyncio.run(main())
            """
        )
        assert lines[0][0][0] == "Queued"
        assert (lines[0][0][-1], lines[0][1]) == ("Completed", 1)
        assert lines[1:] == [["client_cancelled"], [504, "request_timeout", "user"]]
        assert list(client.sandbox.requests.values())[-1].headers["x-fal-request-timeout"] == "1.1"


async def test_fals_client_runs_directly_and_finds_no_stream_of_pictures(tmp_path: Path) -> None:
    async with at_the_real_hosts(tmp_path) as client:
        lines = await client.run(
            f"""
            show(len(fal_client.run("{MODEL}", {{"prompt": "a boat", "num_images": 2}})["images"]))
            try:
                list(fal_client.stream("{MODEL}", {{"prompt": "a boat"}}))
            except Exception as error:
                show(type(error).__name__)
            """
        )
        assert lines == [[2], ["SSEError"]]
        assert set(client.forwarder.asked) == {RUN_HOST}
        assert [request.direct for request in client.sandbox.requests.values()] == [True]
        assert client.sandbox.state()["calls"][-1]["status"] == 404
