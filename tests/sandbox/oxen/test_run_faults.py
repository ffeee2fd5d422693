"""Faults of a run, and of the calls that show a row."""

import json
from typing import Any

import httpx
import pytest

from tests.support.sandbox.oxen import MODEL, NOT_FOUND, REQUEST, open_oxen, poll


async def test_mixed_outcomes_of_one_submit() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("fail_some", count=2, body="The model had a hiccup", times=1)
        _, body = await caller.call("POST", "/ai/queue", json={**REQUEST, "num_generations": 4})
        ids = [entry["generation_id"] for entry in body["generations"]]
        rows = [await poll(caller.http, caller.api, each) for each in ids]
        assert [row["status"] for row in rows] == ["succeeded", "succeeded", "failed", "failed"]
        assert rows[3]["error_message"] == "The model had a hiccup"


@pytest.mark.parametrize(
    ("name", "more", "text", "status"),
    [
        ("run_error", {"body": "upstream timed out"}, "upstream timed out", 500),
        ("run_error", {"status": 429}, "Internal Server Error", 429),
        ("no_credit_row", {}, "Insufficient credits", 402),
    ],
)
async def test_a_run_that_fails(name: str, more: dict[str, Any], text: str, status: int) -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set(name, **more)
        row = await caller.outcome()
        assert (row["status"], row["error_message"]) == ("failed", text)
        got, body = await caller.call("POST", "/ai/images/generate", json=REQUEST)
        assert (got, body["error"]["title"]) == (status, text)


async def test_rows_that_disappear() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("row_gone_running", times=1)
        caller.sandbox.faults.set("slow_run", seconds=0.5, times=1)
        running = await caller.submit()
        assert await caller.call("GET", f"/ai/queue/{running}") == (404, NOT_FOUND)
        await caller.reaches(running, "succeeded")
        assert (await caller.call("GET", f"/ai/queue/{running}"))[0] == 404
        done = (await caller.outcome())["generation_id"]
        caller.sandbox.faults.set("row_gone_done")
        assert (await caller.call("GET", f"/ai/queue/{done}"))[0] == 404
        assert (await caller.call("GET", "/ai/queue", params={"status": "succeeded"}))[1]["count"] == 0
        # The history still knows it, picture and all.
        _, body = await caller.call("GET", f"/ai/generations/{done}")
        assert (await caller.picture(body["generation"])).status_code == 200


async def test_rows_expire_after_row_ttl_seconds() -> None:
    async with open_oxen(row_ttl_seconds=86_400) as caller:
        row = await caller.outcome()
        for seconds, expected in ((86_000, 200), (500, 404)):
            caller.sandbox.age(seconds)
            assert (await caller.call("GET", f"/ai/queue/{row['generation_id']}"))[0] == expected


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("status", "GET", "/ai/queue/{}"),
        ("list", "GET", "/ai/queue"),
        ("cancel", "DELETE", "/ai/queue/{}"),
        ("cost", "GET", "/ai/generations/{}"),
        ("cost", "GET", "/ai/generations"),
        ("models", "GET", f"/ai/models/{MODEL}"),
        ("models", "GET", "/ai/models"),
        ("me", "GET", "/users/me"),
    ],
)
async def test_broken_responses_then_the_right_one(kind: str, method: str, path: str) -> None:
    async with open_oxen() as caller:
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "succeeded")
        path, faults = path.format(generation_id), caller.sandbox.faults
        for name in ("html", "odd", "truncated", "reset"):
            faults.set(f"{kind}_{name}", times=1, body=[7])
        faults.set(f"{kind}_error", times=1, status=429, retry_after="5")
        refused = await caller.http.request(method, caller.api + path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert (await caller.http.request(method, caller.api + path)).text.startswith("<html>")
        assert await caller.call(method, path) == (200, [7])
        with pytest.raises(json.JSONDecodeError):
            await caller.call(method, path)
        with pytest.raises(httpx.TransportError):
            await caller.call(method, path)
        faults.set(f"{kind}_slow", seconds=30, times=1)
        with pytest.raises(httpx.ReadTimeout):
            await caller.call(method, path, timeout=httpx.Timeout(20, read=0.1))
        assert (await caller.call(method, path))[0] == 200
