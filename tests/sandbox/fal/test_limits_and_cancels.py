"""Limits on a submit, odd cancels, and synchronous runs."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.support.sandbox.fal import AUTH, MODEL, open_fal

ODD_CANCELS: list[tuple[int, Any]] = [
    (200, {"success": True}),
    (400, {"success": False}),
    (400, {"detail": "Request already completed"}),
    (202, {"status": "CANCELLATION_REQUESTED", "success": True}),
    (404, {"status": "NOT_FOUND"}),
    (200, ""),
]


# ------------------------------------------------------------------------------------------------ limits on submit


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Fal-Request-Timeout": "0.1"},
        {"X-Fal-Request-Start-Timeout": "0.1", "X-Fal-Request-Timeout": "60"},
        {"X-Fal-Request-Start-Timeout": "nonsense", "X-Fal-Request-Timeout": "0.1"},
    ],
)
async def test_a_request_that_does_not_start_in_time_is_a_504(headers: dict[str, str]) -> None:
    async with open_fal(queue_seconds=30) as caller:
        more = {**AUTH, **headers}
        _, submitted, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=more)
        assert (await caller.finished(submitted))["error_type"] == "request_timeout"
        code, _, headers_then = await caller.call("GET", submitted["response_url"])
        assert (code, headers_then["X-Fal-Request-Timeout-Type"]) == (504, "user")


async def test_the_start_timeout_counts_waiting_for_a_runner_but_not_running() -> None:
    async with open_fal(queue_seconds=0, run_seconds=0.3, concurrency=1) as caller:
        timed = {**AUTH, "X-Fal-Request-Start-Timeout": "0.15", "X-Fal-Request-Timeout": "0.01"}
        calls = [await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=timed) for _ in range(2)]
        for _, submitted, _ in calls:
            await caller.finished(submitted)
        codes = [(await caller.call("GET", submitted["response_url"]))[0] for _, submitted, _ in calls]
        assert codes == [200, 504]
        assert (await caller.outcome())[0] == 200


async def test_a_queue_that_would_be_too_long_is_429() -> None:
    async with open_fal(queue_seconds=30) as caller:
        for expected in (200, 200, 429):
            path = f"/{MODEL}?fal_max_queue_length=2"
            status, response, _ = await caller.call("POST", path, json={"prompt": "x"})
            assert status == expected
        assert "detail" in response
        await caller.submit()
        assert (caller.sandbox.submits, len(caller.sandbox.requests)) == (4, 3)


@pytest.mark.parametrize("reason", ["TOP_UP.", "Admin lock. Contact support."])
async def test_a_locked_account_can_still_read_its_results(reason: str) -> None:
    async with open_fal() as caller:
        submitted = await caller.submit()
        await caller.finished(submitted)
        caller.sandbox.faults.set("locked", body=f"User is locked. Reason: {reason}")
        for path in (f"/{MODEL}", f"/run/{MODEL}", "/storage/auth/token", "/storage/upload/initiate"):
            payload = {"prompt": "x", "content_type": "image/png"}
            status, response, _ = await caller.call("POST", path, json=payload)
            assert (status, response["detail"]) == (403, f"User is locked. Reason: {reason}")
        assert (await caller.call("GET", submitted["status_url"]))[0] == 200
        assert (await caller.call("GET", submitted["response_url"]))[0] == 200


# --------------------------------------------------------------------------------------------- cancel, direct runs


@pytest.mark.parametrize(("status", "body"), ODD_CANCELS)
async def test_a_cancel_with_an_odd_response_still_takes_effect(status: int, body: Any) -> None:
    async with open_fal(queue_seconds=30) as caller:
        caller.sandbox.faults.set("cancel_answer", status=status, body=body, times=1)
        submitted = await caller.submit()
        assert (await caller.call("PUT", submitted["cancel_url"]))[:2] == (status, body)
        assert (await caller.finished(submitted))["error_type"] == "client_cancelled"


async def test_a_cancelled_run_may_finish_nevertheless() -> None:
    async with open_fal(queue_seconds=0, run_seconds=0.2) as caller:
        caller.sandbox.faults.set("cancel_ignored")
        submitted = await caller.submit()
        seen = caller.sandbox.requests[submitted["request_id"]]
        while seen.state == "IN_QUEUE":
            await seen.changed.wait()
        assert (await caller.call("PUT", submitted["cancel_url"]))[0] == 202
        await caller.finished(submitted)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 200


async def test_a_synchronous_run_returns_its_result_or_loses_it() -> None:
    async with open_fal(queue_seconds=30, concurrency=1) as caller:
        status, response, headers = await caller.call("POST", f"/run/{MODEL}", json={"prompt": "a boat"})
        assert (status, len(response["images"]), headers["x-fal-billable-units"]) == (200, 1, "1")
        status, response, _ = await caller.call("POST", f"/run/{MODEL}", json={"prompt": "forbidden"})
        assert (status, response["detail"][0]["type"]) == (422, "content_policy_violation")
        caller.sandbox.faults.set("run_lost", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.call("POST", f"/run/{MODEL}", json={"prompt": "a fox"})
        assert [request.units for request in caller.sandbox.requests.values()] == [1, 0, 1]
        caller.sandbox.faults.set("run_refused", times=1)
        assert (await caller.call("POST", f"/run/{MODEL}", json={"prompt": "x"}))[0] == 429
        caller.sandbox.faults.set("slow_run", seconds=0.2, times=1)
        both = [caller.call("POST", f"/run/{MODEL}", json={"prompt": "x"}) for _ in range(2)]
        assert sorted([response[0] for response in await asyncio.gather(*both)]) == [200, 429]
