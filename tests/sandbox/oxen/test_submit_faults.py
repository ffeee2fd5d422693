"""Faults of a submit, and the control endpoints that set them."""

import json
import time
from typing import Any

import httpx
import pytest

from bot.sandbox.oxen.options import FAULTS, ErrorShape
from tests.support.sandbox.oxen import MODEL, NEXT, NOT_FOUND, REQUEST, open_oxen


async def test_faults_and_the_clock_are_set_over_http() -> None:
    async with open_oxen() as caller:
        faults = f"{caller.sandbox.url}/sandbox/faults"
        payload = {"set": [{"name": "submit_error", "status": 503, "times": 2}, {"name": "no_credit"}]}
        status, body = await caller.call("POST", faults, json=payload)
        assert (status, len(body["on"])) == (200, 2)
        assert set(body["known"]) == set(FAULTS)
        for expected in (503, 503, 402):
            assert (await caller.call("POST", "/ai/queue", json=REQUEST))[0] == expected
        await caller.call("POST", faults, json={"clear": True})
        assert not (await caller.call("GET", faults))[1]["on"]
        for bad in ({"set": [{"name": "nonsense"}]}, {"set": [{"name": "stuck", "x": 1}]}, {"do": 1}, [1]):
            assert (await caller.call("POST", faults, json=bad))[0] == 400
        clock = f"{caller.sandbox.url}/sandbox/clock"
        _, body = await caller.call("POST", clock, json={"advance": 1_000})
        assert body["now"] - time.time() == pytest.approx(1_000, abs=60)
        assert (await caller.call("POST", clock, json={}))[0] == 400


@pytest.mark.parametrize("path", ["/ai/queue", "/ai/images/generate"])
@pytest.mark.parametrize(
    ("name", "more", "status", "text"),
    [
        ("submit_error", {"status": 500}, 500, "Internal Server Error"),
        ("submit_error", {"status": 503, "retry_after": "3", "body": "busy"}, 503, "busy"),
        ("submit_html", {}, 502, "nginx"),
        ("submit_rate_limited", {"retry_after": "7"}, 429, "Too many requests"),
        ("submit_rate_limited", {}, 429, "Too many requests"),
        ("submit_empty", {}, 200, '{"generations":[],"error":"The generation could not be queued"}'),
        ("no_credit", {}, 402, "Insufficient credits"),
        ("no_credit", {"status": 403}, 403, "Insufficient credits"),
        ("no_credit_text", {}, 400, '{"error":"Insufficient credits"}'),
        ("model_gone", {}, 404, f"Model not found: {MODEL}"),
        ("unauthorized", {}, 401, "unauthenticated"),
    ],
)
async def test_submits_that_accept_nothing(
    path: str, name: str, more: dict[str, Any], status: int, text: str
) -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set(name, times=1, **more)
        response = await caller.http.post(caller.api + path, json=REQUEST)
        assert response.status_code == status
        assert text in response.text
        assert response.headers.get("Retry-After") == more.get("retry_after")
        assert not caller.sandbox.generations
        assert (await caller.http.post(caller.api + path, json=REQUEST)).status_code == 200


async def test_a_connection_that_is_dropped_before_anything_is_accepted() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("submit_refused", times=1)
        with pytest.raises(httpx.TransportError):
            await caller.submit()
        assert not caller.sandbox.generations


@pytest.mark.parametrize("path", ["/ai/queue", "/ai/images/generate"])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("submit_lost", httpx.TransportError),
        ("submit_reset", httpx.TransportError),
        ("submit_truncated", json.JSONDecodeError),
        ("submit_error_late", httpx.HTTPStatusError),
        ("submit_slow", httpx.ReadTimeout),
    ],
)
async def test_a_lost_response_leaves_accepted_work_and_a_resend_pays_twice(
    path: str, name: str, error: type[Exception]
) -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set(name, times=1, seconds=30)
        wait = httpx.Timeout(20, read=0.5 if name == "submit_slow" else 20)
        with pytest.raises(error):
            (await caller.http.post(caller.api + path, json=REQUEST, timeout=wait)).raise_for_status().json()
        (row,) = caller.sandbox.generations.values()
        await caller.reaches(row.generation_id, "succeeded")
        assert caller.sandbox.state()["duplicates"] == []
        assert (await caller.http.post(caller.api + path, json=REQUEST)).status_code == 200
        (pair,) = caller.sandbox.state()["duplicates"]
        assert pair == list(caller.sandbox.generations)


async def test_a_lost_submit_is_found_in_the_list() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("submit_lost", times=1)
        with pytest.raises(httpx.TransportError):
            await caller.submit(prompt="a very special boat")
        (lost,) = caller.sandbox.generations
        await caller.reaches(lost, "succeeded")
        _, body = await caller.call("GET", "/ai/queue", params={"model": MODEL, "status": "succeeded"})
        assert [row["generation_id"] for row in body["generations"]] == [lost]
        assert body["generations"][0]["prompt"] == "a very special boat"


async def test_odd_submit_responses() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("submit_processing", times=1)
        _, body = await caller.call("POST", "/ai/queue", json=REQUEST)
        assert body["generations"][0]["status"] == "processing"
        responses: list[Any] = [[], {"generations": [{}]}, None, "ok"]
        for odd in responses:
            caller.sandbox.faults.set("submit_odd", body=odd, times=1)
            assert await caller.call("POST", "/ai/queue", json=REQUEST) == (200, odd)
        assert len(caller.sandbox.generations) == 5


@pytest.mark.parametrize(
    ("shape", "place"),
    [
        ("title", ("error", "title")),
        ("detail", ("error", "detail")),
        ("message", ("error", "message")),
        ("text", ("error",)),
        ("error_message", ("error_message",)),
    ],
)
async def test_the_place_of_an_errors_text(shape: ErrorShape, place: tuple[str, ...]) -> None:
    async with open_oxen(error_shape=shape) as caller:
        _, body = await caller.call("POST", "/ai/queue", json={**REQUEST, "num_generations": 9})
        for part in place:
            body = body[part]
        assert body == "num_generations must be an integer between 1 and 4"
        assert await caller.call("GET", "/ai/queue/unknown") == (404, NOT_FOUND)


async def test_a_model_is_gone_from_a_day_on() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("model_gone", endpoint=MODEL, since="2999-01-01")
        await caller.submit()
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        status, body = await caller.call("POST", "/ai/queue", json=REQUEST)
        assert (status, body["error"]["title"]) == (404, f"Model not found: {MODEL}")
        assert (await caller.call("GET", f"/ai/models/{MODEL}"))[0] == 404
        _, body = await caller.call("GET", "/ai/models")
        assert MODEL not in {model["id"] for model in body["data"]}
        assert (await caller.outcome(model=NEXT, resolution="1K"))["status"] == "succeeded"
