"""Dry runs, balance, history, links and mocked requests."""

import asyncio
import base64
import re

import aiohttp
import pytest

from tests.support.sandbox.lumenfall import LOW, MODEL, PHOTO, REQUEST, open_lumenfall
from tests.support.sandbox.pictures import picture_of

TRACE = "0123456789abcdef0123456789abcdef"


async def test_a_dry_run_has_the_price_in_two_shapes_and_is_free() -> None:
    async with open_lumenfall() as caller:
        path = "/openai/v1/images/generations?dryRun=true"
        payload = {**REQUEST, "model": "gpt-image-1", "quality": "medium", "size": "1536x1024", "n": 3}
        _, response, _ = await caller.call("POST", path, json=payload)
        assert (response["estimated"], response["provider"], response["currency"]) == (True, "openai", "USD")
        assert response["total_cost_micros"] == 3 * 63_000 + 10
        assert response["components"][0] == {
            "type": "output",
            "metric": "image",
            "quantity": 3,
            "billable_quantity": 3,
            "unit_price": 0.063,
            "total_cost": 189_000,
        }
        caller.sandbox.dry_run_in_metadata = True
        _, response, _ = await caller.call("POST", path, json=payload)
        assert "total_cost_micros" not in response
        assert response["metadata"]["cost"] == 0.18901
        assert (await caller.call("POST", path, json={**payload, "quality": "auto"}))[0] == 400
        state = caller.sandbox.state()
        assert (state["submits"], state["requests"], state["billed_micros"]) == (0, [], 0)


async def test_a_dry_run_of_an_edit_costs_what_the_edit_costs() -> None:
    async with open_lumenfall() as caller:
        form = aiohttp.FormData(REQUEST)
        form.add_field("image", PHOTO, filename="a.png", content_type="image/png")
        _, response, _ = await caller.call("POST", "/openai/v1/images/edits?dryRun=true", data=form)
        assert [part["metric"] for part in response["components"]] == ["image", "text_token", "image_token"]
        _, real, _ = await caller.edit(("image", PHOTO))
        assert real["metadata"]["cost"] == response["total_cost_micros"] / 1_000_000


async def test_the_balance_falls_and_ends() -> None:
    async with open_lumenfall(balance=0.01) as caller:
        expected = {"object": "balance", "billing_type": "prepaid"}
        _, response, _ = await caller.call("GET", "/v1/balance")
        assert response == {**expected, "available": {"amount": 0.01, "currency": "usd"}}
        assert (await caller.generate())[0] == 200
        status, response, _ = await caller.generate()
        assert (status, response["error"]["code"]) == (402, "INSUFFICIENT_BALANCE")
        assert response["error"]["message"] == "Insufficient balance: $0.01 required, $0.00 available"
        caller.sandbox.balance = None
        assert (await caller.generate())[0] == 200
        _, response, _ = await caller.call("GET", "/v1/balance")
        assert (response["billing_type"], response["available"]["amount"]) == ("postpaid", None)


async def test_running_requests_count_against_the_balance() -> None:
    async with open_lumenfall(balance=0.01, run_seconds=0.2) as caller:
        results = await asyncio.gather(caller.generate(), caller.generate())
        assert sorted(status for status, _, _ in results) == [200, 402]


async def test_the_history_finds_a_lost_request_by_its_trace() -> None:
    async with open_lumenfall(run_seconds=0.8) as caller:
        caller.set("lost", seconds=0)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.generate(headers={"traceparent": f"00-{TRACE}-0123456789abcdef-01"}, user="job-7")
        (record,) = await caller.history()
        assert (record["status"], record["cost"], record["duration_ms"]) == ("processing", 0, None)
        (found,) = caller.sandbox.requests.values()
        await asyncio.wait_for(found.finished.wait(), 5)
        _, record, _ = await caller.call("GET", f"/v1/requests/{record['id']}")
        assert record["status"] == "completed"
        assert (record["trace_id"], record["user"], record["model"]) == (TRACE, "job-7", MODEL)
        assert (record["cost"], record["currency"], record["key_id"]) == (LOW / 1_000_000, "usd", "an-id")
        assert record["endpoint"] == "/openai/v1/images/generations"
        assert record["duration_ms"] >= 800
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["created_at"])
        assert found.headers["traceparent"] == f"00-{TRACE}-0123456789abcdef-01"
        assert (await caller.call("GET", "/v1/requests/req_none"))[0] == 404


async def test_the_history_is_read_in_pages_newest_first() -> None:
    async with open_lumenfall() as caller:
        for number in range(5):
            await caller.generate(user=f"job-{number}")
        seen, url = [], "/v1/requests?limit=2&summary=true"
        while url:
            _, response, _ = await caller.call("GET", url)
            assert response["summary"] == {"total_cost": 5 * LOW / 1_000_000, "currency": "usd", "count": 5}
            seen += [record["user"] for record in response["data"]]
            last, url = response, response["next_page_url"]
        assert seen == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
        _, response, _ = await caller.call("GET", last["previous_page_url"])
        assert [record["user"] for record in response["data"]] == ["job-2", "job-1"]
        both = {"starting_after": "x", "ending_before": "y"}
        for query in ({"limit": "0"}, {"limit": "101"}, {"starting_after": "x"}, both, {"created_after": "now"}):
            assert (await caller.call("GET", "/v1/requests", params=query))[0] == 400


async def test_the_history_is_filtered() -> None:
    async with open_lumenfall() as caller:
        await caller.generate(user="old")
        caller.sandbox.age(60)
        await caller.generate(prompt="forbidden", user="new")
        new, old = await caller.history()
        between = {"created_after": old["created_at"], "created_before": new["created_at"]}
        assert [record["user"] for record in await caller.history(**between)] == ["old"]
        assert [record["user"] for record in await caller.history(created_after=new["created_at"])] == ["new"]
        assert [record["user"] for record in await caller.history(status="completed")] == ["old"]
        assert [record["user"] for record in await caller.history(status="rejected")] == ["new"]
        assert len(await caller.history(key_id="an-id")) == 2
        assert await caller.history(key_id="other") == []


async def test_payloads_are_stored_on_request_and_can_be_purged() -> None:
    async with open_lumenfall(stores_payloads=True) as caller:
        _, response, _ = await caller.generate(response_format="b64_json")
        path = f"/v1/requests/{response['id']}"
        _, record, _ = await caller.call("GET", path)
        (item,) = record["payloads"]["response"]["data"]
        _, content, _ = await caller.call("GET", item["url"], headers={})
        assert content == base64.b64decode(response["data"][0]["b64_json"])
        assert (await caller.call("DELETE", f"{path}/payloads"))[0] == 200
        assert (await caller.call("GET", item["url"], headers={}))[0] == 404
        assert (await caller.call("GET", path))[1]["payloads"] is None


async def test_links_expire_and_may_have_another_base() -> None:
    async with open_lumenfall(url_seconds=3_600) as caller:
        _, response, _ = await caller.generate()
        url = response["data"][0]["url"]
        caller.sandbox.age(3_599)
        assert (await caller.call("GET", url, headers={}))[0] == 200
        await caller.call("POST", "/sandbox/clock", json={"advance": 2})
        assert (await caller.call("GET", url, headers={}))[0] == 404
        caller.sandbox.public_url = "https://media.lumenfall.ai"
        _, response, _ = await caller.generate()
        assert response["data"][0]["url"].startswith("https://media.lumenfall.ai/files/")


async def test_a_mock_is_free_and_leaves_no_trace() -> None:
    async with open_lumenfall(run_seconds=30) as caller:
        for mode in ("mock", "replay-or-mock"):
            _, response, headers = await caller.generate(headers={"X-Lumenfall-Replay": mode}, n=2)
            assert (response["metadata"]["cost"], headers["X-Lumenfall-Provider"]) == (0, "mock")
            _, content, _ = await caller.call("GET", response["data"][1]["url"], headers={})
            assert picture_of(content).size == (1024, 1024)
        status, response, _ = await caller.generate(headers={"X-Lumenfall-Replay": "replay-or-error"})
        assert (status, response["error"]["code"]) == (404, "RECORDING_NOT_FOUND")
        assert (await caller.generate(headers={"X-Lumenfall-Replay": "nonsense"}))[0] == 400
        assert caller.sandbox.state()["billed_micros"] == 0
        assert not caller.sandbox.requests


async def test_a_model_shows_its_parameters() -> None:
    async with open_lumenfall() as caller:
        _, response, _ = await caller.call("GET", f"/v1/models/{MODEL}?schema=true")
        assert response["schema"]["required"] == ["model", "prompt"]
        assert response["schema"]["properties"]["n"]["maximum"] == 10
        assert "schema" not in (await caller.call("GET", f"/v1/models/{MODEL}"))[1]
        assert (await caller.call("GET", "/v1/models/unknown"))[0] == 404
