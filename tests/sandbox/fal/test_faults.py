"""fal's faults, one by one."""

import json

import aiohttp
import pytest

from bot.sandbox.fal.options import FAULTS, fal_faults
from bot.sandbox.kit.broken_answers import bomb
from tests.support.sandbox.fal import AUTH, MODEL, open_fal
from tests.support.sandbox.pictures import picture_of


async def test_faults_are_set_counted_and_cleared_over_http() -> None:
    async with open_fal() as caller:
        payload = {"set": [{"name": "submit_error", "status": 503, "times": 2}, {"name": "locked"}]}
        status, response, _ = await caller.call("POST", "/sandbox/faults", json=payload)
        assert (status, len(response["on"])) == (200, 2)
        assert set(response["known"]) == set(FAULTS)
        for expected in (503, 503, 403):
            status, response, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
            assert status == expected
        assert response["detail"].startswith("User is locked. Reason: Exhausted balance.")
        assert (await caller.call("POST", "/storage/auth/token", json={}))[0] == 403
        await caller.call("POST", "/sandbox/faults", json={"clear": True})
        await caller.submit()
        for bad in ({"set": [{"name": "nonsense"}]}, {"set": [{"name": "locked", "x": 1}]}, {"do": 1}, [1]):
            assert (await caller.call("POST", "/sandbox/faults", json=bad))[0] == 400


async def test_submits_that_accept_nothing() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("submit_ingress", times=1)
        status, response, headers = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert (status, b"nginx" in response, "x-fal-request-id" in headers) == (502, True, False)
        caller.sandbox.faults.set("submit_rate_limited", retry_after="7", times=1)
        status, _, headers = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert (status, headers["Retry-After"]) == (429, "7")
        caller.sandbox.faults.set("submit_rate_limited", times=1)
        status, _, headers = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert (status, "Retry-After" in headers) == (429, False)
        caller.sandbox.faults.set("submit_refused", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert not caller.sandbox.requests


async def test_a_lost_response_leaves_accepted_work() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("submit_lost", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.call("POST", f"/{MODEL}", json={"prompt": "a boat"})
        assert len(caller.sandbox.requests) == 1
        assert caller.sandbox.state()["duplicates"] == []
        await caller.submit()
        assert len(caller.sandbox.state()["duplicates"]) == 1


async def test_a_model_is_gone_from_a_day_on() -> None:
    async with open_fal() as caller:
        gone = {"detail": "This model is no longer available"}
        caller.sandbox.faults.set("model_gone", endpoint=MODEL, since="2999-01-01", body=gone)
        await caller.submit()
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        assert (await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}))[:2] == (404, gone)
        await caller.submit("fal-ai/gpt-image-1/text-to-image")
        assert (await caller.call("POST", "/fal-ai/unknown", json={}))[0] == 404


@pytest.mark.parametrize("kind", ["status", "result"])
async def test_broken_responses_then_the_right_one(kind: str) -> None:
    async with open_fal() as caller:
        submitted = await caller.submit()
        await caller.finished(submitted)
        url = submitted["status_url" if kind == "status" else "response_url"]
        for name in ("error", "html", "truncated", "reset"):
            caller.sandbox.faults.set(f"{kind}_{name}", times=1)
        status, response, headers = await caller.call("GET", url)
        assert (status, response["error_type"], headers["X-Fal-Error-Type"]) == (500, *["internal_error"] * 2)
        status, response, _ = await caller.call("GET", url)
        assert (status, response[:6]) == (200, b"<html>")
        with pytest.raises(json.JSONDecodeError):
            await caller.call("GET", url)
        with pytest.raises(aiohttp.ClientError):
            await caller.call("GET", url)
        assert (await caller.call("GET", url))[0] == 200


async def test_failures_with_and_without_an_error_in_the_status() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("run_error", status=503, error_type="runner_disconnected", body="gone")
        submitted = await caller.submit()
        assert (await caller.finished(submitted))["error_type"] == "runner_disconnected"
        code, response, _ = await caller.call("GET", submitted["response_url"])
        assert (code, response) == (503, {"detail": "gone", "error_type": "runner_disconnected"})
        caller.sandbox.faults.set("hidden_error")
        submitted = await caller.submit()
        assert "error" not in await caller.finished(submitted)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 503
        caller.sandbox.faults.clear()
        caller.sandbox.faults.set("model_error", status=500, error_type="downstream_service_unavailable")
        code, response, headers = await caller.outcome()
        assert (code, headers["X-Fal-Retryable"]) == (500, "true")


async def test_pictures_that_are_not_what_they_should_be() -> None:
    async with open_fal() as caller:
        for name, more in (("wrong_type", {}), ("not_a_picture", {}), ("bomb", {"count": 20_000})):
            caller.sandbox.faults.set(name, times=1, **more)
            _, response, _ = await caller.outcome()
            _, content, headers = await caller.call("GET", response["images"][0]["url"], headers={})
            assert headers["Content-Type"] == "image/png"
            if name == "wrong_type":
                assert picture_of(content).format == "JPEG"
            elif name == "not_a_picture":
                assert content.startswith(b"<html>")
            else:
                assert content == bomb(20_000)
                assert len(content) < 100_000
        caller.sandbox.faults.set("fewer_pictures", times=1)
        assert len((await caller.outcome(num_images=4))[1]["images"]) == 3
        caller.sandbox.faults.set("foreign_picture", url="https://elsewhere.invalid/a.png", times=1)
        assert (await caller.outcome())[1]["images"][0]["url"] == "https://elsewhere.invalid/a.png"


async def test_faults_of_the_cdn() -> None:
    async with open_fal() as caller:
        _, response, _ = await caller.outcome()
        url = response["images"][0]["url"]
        faults = caller.sandbox.faults
        faults.set("cdn_redirect", url="http://elsewhere.invalid/", times=1)
        status, _, headers = await caller.call("GET", url, allow_redirects=False)
        assert (status, headers["Location"]) == (302, "http://elsewhere.invalid/")
        faults.set("cdn_reset", times=1)
        with pytest.raises(aiohttp.ClientError):
            await caller.call("GET", url)
        faults.set("cdn_huge", size=1_000_000, times=1)
        _, content, headers = await caller.call("GET", url)
        assert (len(content), "Content-Length" in headers) == (1_000_000, False)
        faults.set("cdn_slow", size=8, seconds=0.01, times=1)
        with pytest.raises(TimeoutError):
            await caller.call("GET", url, timeout=aiohttp.ClientTimeout(total=0.1))
        faults.set("cdn_type", body="text/html", times=1)
        assert (await caller.call("GET", url))[2]["Content-Type"] == "text/html"
        faults.set("cdn_error", status=503, times=1)
        assert (await caller.call("GET", url))[0] == 503
        assert (await caller.call("GET", url))[0] == 200


async def test_the_other_faults() -> None:
    async with open_fal() as caller:
        faults = caller.sandbox.faults
        faults.set("foreign_urls", url="https://elsewhere.invalid", times=1)
        assert (await caller.submit())["status_url"].startswith("https://elsewhere.invalid/fal-ai/")
        faults.set("submit_in_progress", times=1)
        submitted = await caller.submit()
        assert submitted["status"] == "IN_PROGRESS"
        await caller.finished(submitted)
        faults.set("result_early", times=1)
        faults.set("result_expired", times=1)
        faults.set("result_huge", size=100_000, times=1)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 400
        assert (await caller.call("GET", submitted["response_url"]))[0] == 404
        assert int((await caller.call("GET", submitted["response_url"]))[2]["Content-Length"]) >= 100_000
        faults.set("stuck", times=1)
        stuck = await caller.submit()
        faults.set("stream_cut", times=1)
        text = (await caller.call("GET", stuck["status_url"] + "/stream"))[1]
        assert text.count(b"data: ") == 1
        assert (await caller.call("GET", stuck["status_url"]))[0] == 202
        with pytest.raises(ValueError, match="needs url"):
            faults.set("cdn_redirect")


async def test_a_start_timeout_is_obeyed() -> None:
    async with open_fal(queue_seconds=30) as caller:
        headers = {**AUTH, "X-Fal-Request-Start-Timeout": "0.1"}
        _, submitted, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=headers)
        await caller.finished(submitted)
        code, response, headers = await caller.call("GET", submitted["response_url"])
        assert (code, response["error_type"]) == (504, "request_timeout")
        assert headers["X-Fal-Request-Timeout-Type"] == "user"


def test_failing_at_random_repeats_with_its_seed() -> None:
    def draws(seed: int) -> list[bool]:
        faults = fal_faults(seed)
        faults.set("locked", probability=0.5)
        return [faults.strike("locked") is not None for _ in range(40)]

    assert draws(7) == draws(7) != draws(8)
    assert 5 < sum(draws(7)) < 35
