"""Lumenfall's faults, one by one."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import openai
import pytest

from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.lumenfall.options import FAULTS
from tests.support.sandbox.lumenfall import LOW, REQUEST, open_lumenfall
from tests.support.sandbox.pictures import picture_of


async def test_faults_are_set_counted_and_cleared_over_http() -> None:
    async with open_lumenfall() as caller:
        payload = {"set": [{"name": "internal_error", "status": 503, "times": 2}, {"name": "rate_limited"}]}
        status, response, _ = await caller.call("POST", "/sandbox/faults", json=payload)
        assert (status, len(response["on"])) == (200, 2)
        assert set(response["known"]) == set(FAULTS)
        assert (await caller.generate())[0] == 429
        await caller.call("POST", "/sandbox/faults", json={"clear": ["rate_limited"]})
        assert [(await caller.generate())[0] for _ in range(3)] == [503, 503, 200]
        _, response, _ = await caller.call("GET", "/sandbox/faults")
        assert response["struck"] == {"internal_error": 2, "rate_limited": 1}
        for bad in ({"set": [{"name": "nonsense"}]}, {"set": [{"name": "cdn_redirect"}]}, [1]):
            assert (await caller.call("POST", "/sandbox/faults", json=bad))[0] == 400
        assert (await caller.call("POST", "/sandbox/clock", json={}))[0] == 400
        _, state, _ = await caller.call("GET", "/sandbox/state")
        assert (state["submits"], state["accepted"]) == (4, 3)


async def test_older_error_envelopes() -> None:
    async with open_lumenfall() as caller:
        for shape in (None, "nested"):
            caller.set("flat_errors", body=shape)
            _, response, _ = await caller.generate(quality="auto")
            shown = response["error"] if shape else response
            assert shown["error_code"] == "INVALID_REQUEST"
            assert shown["message"].startswith("quality:")


async def test_an_ingress_page_has_no_request_id_and_accepts_nothing() -> None:
    async with open_lumenfall() as caller:
        caller.set("ingress", status=504)
        status, response, headers = await caller.generate()
        assert (status, response[:6], "X-Lumenfall-Request-Id" in headers) == (504, b"<html>", False)
        assert caller.sandbox.state()["requests"] == []


async def test_a_failed_run_may_cost_something() -> None:
    async with open_lumenfall() as caller:
        caller.set("exhausted", body="all tired")
        caller.set("failure_billed", size=1_234)
        status, response, _ = await caller.generate()
        assert (status, response["error"]["message"]) == (502, "all tired")
        (record,) = await caller.history()
        assert (record["status"], record["cost"]) == ("upstream_failure", 0.001234)
        assert record["error_message"] == "all tired"


@pytest.mark.parametrize("kind", ["history", "dry_run"])
async def test_broken_responses_then_the_right_one(kind: str) -> None:
    async with open_lumenfall() as caller:

        async def ask() -> tuple[int, Any, Any]:
            if kind == "history":
                return await caller.call("GET", "/v1/requests")
            return await caller.call("POST", "/openai/v1/images/generations?dryRun=true", json=REQUEST)

        for name in ("error", "html", "truncated", "reset"):
            caller.set(f"{kind}_{name}")
        assert (await ask())[0] == 500
        status, response, _ = await ask()
        assert (status, response[:6]) == (200, b"<html>")
        with pytest.raises(json.JSONDecodeError):
            await ask()
        with pytest.raises(aiohttp.ClientError):
            await ask()
        caller.set(f"{kind}_slow", seconds=0.2)
        begun = time.monotonic()
        assert (await ask())[0] == 200
        assert time.monotonic() - begun >= 0.2


async def test_responses_that_come_late_slowly_or_strangely() -> None:
    async with open_lumenfall() as caller:
        caller.set("answer_html")
        assert (await caller.generate())[1][:6] == b"<html>"
        caller.set("answer_html", status=524)
        assert (await caller.generate())[0] == 524
        caller.set("answer_huge", size=100_000)
        assert int((await caller.generate())[2]["Content-Length"]) >= 100_000
        odd: tuple[Any, ...] = ({"data": None}, [], "text", None, {"error": {"message": "no"}})
        for body in odd:
            caller.set("answer_odd", body=body, status=200)
            assert (await caller.generate())[:2] == (200, body)
        caller.set("answer_trickle", size=200, seconds=0.01)
        assert (await caller.generate())[1]["data"][0]["url"]
        begun = time.monotonic()
        caller.set("answer_slow", seconds=0.2)
        assert (await caller.generate())[0] == 200
        assert time.monotonic() - begun >= 0.2
        assert caller.sandbox.state()["billed_micros"] == 10 * LOW


async def test_responses_with_missing_parts() -> None:
    async with open_lumenfall() as caller:
        caller.set("no_metadata")
        assert "metadata" not in (await caller.generate())[1]
        garbage: tuple[Any, ...] = (None, -1, "0.1", {})
        for cost in garbage:
            caller.set("garbage_cost", body=cost)
            shown = (await caller.generate())[1]["metadata"]["cost"]
            assert shown == ("a lot" if cost is None else cost)
        caller.set("no_pictures")
        assert (await caller.generate())[1]["data"] == []
        caller.set("empty_item")
        assert (await caller.generate())[1]["data"] == [{}]
        caller.set("not_base64")
        assert (await caller.generate(response_format="b64_json"))[1]["data"][0]["b64_json"] == "%%%"
        caller.set("fewer_pictures")
        _, response, _ = await caller.generate(n=3)
        assert (len(response["data"]), response["metadata"]["cost"]) == (2, (2 * 9_000 + 10) / 1_000_000)
        caller.set("foreign_picture", url="https://elsewhere.invalid/a.png")
        assert (await caller.generate())[1]["data"][0]["url"] == "https://elsewhere.invalid/a.png"


async def test_pictures_that_are_not_what_they_should_be() -> None:
    async with open_lumenfall() as caller:
        for name, more in (("wrong_type", {}), ("not_a_picture", {}), ("bomb", {"count": 20_000})):
            caller.set(name, **more)
            _, response, _ = await caller.generate()
            _, content, headers = await caller.call("GET", response["data"][0]["url"], headers={})
            assert headers["Content-Type"] == "image/png"
            if name == "wrong_type":
                assert picture_of(content).format == "JPEG"
            elif name == "not_a_picture":
                assert content.startswith(b"<html>")
            else:
                assert content == bomb(20_000)


async def test_pictures_are_filled_up() -> None:
    async with open_lumenfall(picture_bytes=2_000_000) as caller:
        for kind in ("png", "jpeg"):
            _, response, _ = await caller.generate(output_format=kind)
            _, content, _ = await caller.call("GET", response["data"][0]["url"], headers={})
            assert 2_000_000 <= len(content) < 2_000_020
            assert picture_of(content).format == kind.upper()


async def test_faults_of_the_media_host() -> None:
    async with open_lumenfall() as caller:
        _, response, _ = await caller.generate()
        url = response["data"][0]["url"]
        caller.set("cdn_redirect", url="http://elsewhere.invalid/")
        status, _, headers = await caller.call("GET", url, allow_redirects=False)
        assert (status, headers["Location"]) == (302, "http://elsewhere.invalid/")
        caller.set("cdn_reset")
        with pytest.raises(aiohttp.ClientError):
            await caller.call("GET", url)
        caller.set("cdn_huge", size=1_000_000)
        assert len((await caller.call("GET", url))[1]) == 1_000_000
        caller.set("cdn_slow", size=8, seconds=0.01)
        with pytest.raises(TimeoutError):
            await caller.call("GET", url, timeout=aiohttp.ClientTimeout(total=0.1))
        caller.set("cdn_type")
        assert (await caller.call("GET", url))[2]["Content-Type"] == "text/html"
        for status in (404, 410, 503):
            caller.set("cdn_error", status=status)
            assert (await caller.call("GET", url))[0] == status
        assert (await caller.call("GET", url))[0] == 200


async def test_streams_that_break() -> None:
    async with open_lumenfall() as caller:

        async def types() -> list[str]:
            stream = await caller.openai.images.generate(**REQUEST, stream=True, partial_images=1)
            return [event.type async for event in stream]

        caller.set("stream_cut")
        assert await types() == ["image_generation.partial_image"]
        for fault, kind in (
            ("stream_reset", openai.APIConnectionError),
            ("stream_garbled", json.JSONDecodeError),
            ("stream_error", openai.APIError),
        ):
            caller.set(fault)
            with pytest.raises(kind):
                await types()
        begun = time.monotonic()
        caller.set("stream_stall", seconds=0.2)
        assert len(await types()) == 2
        assert time.monotonic() - begun >= 0.2
        assert all(record.status == "completed" for record in caller.sandbox.requests.values())


@pytest.mark.parametrize("status", ["processing", "pending"])
async def test_a_stuck_request_stays_so_in_the_history(status: str) -> None:
    async with open_lumenfall() as caller:
        caller.set("stuck", body=status)
        asking = asyncio.create_task(caller.openai.with_options(timeout=0.3).images.generate(**REQUEST))
        record = await caller.accepted()
        with pytest.raises(openai.APITimeoutError):
            await asking
        _, shown, _ = await caller.call("GET", f"/v1/requests/{record.request_id}")
        assert (shown["status"], shown["cost"], shown["duration_ms"]) == (status, 0, None)


async def test_a_history_that_is_late_stale_or_broken() -> None:
    async with open_lumenfall() as caller:
        _, response, _ = await caller.generate()
        caller.sandbox.faults.set("history_late", seconds=30)
        assert await caller.history() == []
        assert (await caller.call("GET", f"/v1/requests/{response['id']}"))[0] == 404
        caller.sandbox.age(31)
        assert len(await caller.history()) == 1
        caller.set("history_stale")
        (record,) = await caller.history()
        assert (record["status"], record["cost"]) == ("processing", 0)
        for fault, path in (("balance_error", "/v1/balance"), ("models_error", "/openai/v1/models")):
            caller.set(fault, status=503)
            assert (await caller.call("GET", path))[0] == 503
            assert (await caller.call("GET", path))[0] == 200
