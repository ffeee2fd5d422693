"""fal's platform API: models, prices and balance."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.fal.models import ENDPOINTS
from tests.support.sandbox.fal import AUTH, BYOK, EDIT, KEY, MODEL, TWO, fal_client_process, open_fal

jsonschema: Any = import_module("jsonschema")  # it has no types

MODELS, PRICING = "/v1/models", "/v1/models/pricing"


def statuses(response: Any) -> dict[str, str]:
    return {model["endpoint_id"]: model["metadata"]["status"] for model in response["models"]}


async def test_models_are_found_by_name_without_a_key() -> None:
    async with open_fal(key=KEY) as caller:
        ids = [("endpoint_id", MODEL), ("endpoint_id", TWO)]
        status, response, _ = await caller.call("GET", MODELS, params=ids, headers={})
        assert (status, statuses(response)) == (200, {MODEL: "active", TWO: "active"})
        assert (response["has_more"], response["next_cursor"]) == (False, None)
        assert "openapi" not in response["models"][0]
        _, response, _ = await caller.call("GET", MODELS, params={"endpoint_id": f"{MODEL},{BYOK}"})
        assert statuses(response) == {MODEL: "active", BYOK: "deprecated"}


async def test_models_come_with_the_schema_of_their_parameters() -> None:
    async with open_fal() as caller:
        for endpoint, good, bad in (
            (MODEL, {"image_size": "1024x1536"}, {"image_size": "auto"}),
            (TWO, {"image_size": {"width": 1024, "height": 1024}}, {"background": "none"}),
            (BYOK, {"openai_api_key": "sk-x"}, {}),
        ):
            params = {"endpoint_id": endpoint, "expand": "openapi-3.0"}
            _, response, _ = await caller.call("GET", MODELS, params=params)
            document = response["models"][0]["openapi"]
            payload = document["paths"][f"/{endpoint}"]["post"]["requestBody"]["content"]["application/json"][
                "schema"
            ]
            schema = {**payload, "components": document["components"]}
            jsonschema.validate({"prompt": "a boat", **good}, schema)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({"prompt": "a boat", **bad}, schema)


async def test_models_are_listed_in_pages_and_by_kind() -> None:
    async with open_fal() as caller:
        seen: list[str] = []
        params = {"limit": "8", "status": "active"}
        while True:
            _, response, _ = await caller.call("GET", MODELS, params=params)
            seen += statuses(response)
            if not response["has_more"]:
                break
            params["cursor"] = response["next_cursor"]
        assert seen == [endpoint for endpoint in ENDPOINTS if not endpoint.endswith("/byok")]
        _, response, _ = await caller.call("GET", MODELS, params={"category": "image-to-image", "q": "image-2"})
        edits = [name for name in ENDPOINTS if "image-2" in name and name.endswith("edit")]
        assert list(statuses(response)) == edits
        for wrong in ({"limit": "0"}, {"limit": "x"}, {"cursor": "?"}):
            status, response, _ = await caller.call("GET", MODELS, params=wrong)
            assert (status, response["error"]["type"]) == (400, "validation_error")


async def test_models_end_on_their_days() -> None:
    async with open_fal() as caller:
        payload = {"deprecated": {MODEL: "2998-01-01"}, "gone": {MODEL: "2999-01-01", EDIT: "2999-01-01"}}
        status, response, _ = await caller.call("POST", "/sandbox/models", json=payload)
        assert (status, response) == (200, payload)
        year = 365.25 * 86_400
        expected = ((0, "active", 200), (972 * year, "deprecated", 200), (year, None, 404))
        for ahead, state, submitted in expected:
            caller.sandbox.age(ahead)
            status, response, _ = await caller.call("GET", MODELS, params={"endpoint_id": MODEL})
            assert (statuses(response)[MODEL] if status == 200 else None) == state
            status, _, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
            assert status == submitted
        assert (await caller.call("POST", f"/{EDIT}", json={}))[0] == 404
        await caller.submit(TWO)
        _, response, _ = await caller.call("GET", MODELS)
        assert set(statuses(response)) == set(ENDPOINTS) - {MODEL, EDIT}
        bad: tuple[Any, ...] = ({"gone": {MODEL: "soon"}}, {"gone": 7}, [])
        for wrong in bad:
            assert (await caller.call("POST", "/sandbox/models", json=wrong))[0] == 400


async def test_faults_of_the_platform() -> None:
    async with open_fal() as caller:
        faults = caller.sandbox.faults
        faults.set("platform_deprecated", endpoint=MODEL, since="2999-01-01")
        _, response, _ = await caller.call("GET", MODELS, params={"endpoint_id": f"{MODEL},{EDIT}"})
        assert statuses(response) == {MODEL: "active", EDIT: "active"}
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        _, response, _ = await caller.call("GET", MODELS, params={"endpoint_id": f"{MODEL},{EDIT}"})
        assert statuses(response) == {MODEL: "deprecated", EDIT: "active"}
        faults.set("platform_gone", endpoint=MODEL)
        status, response, _ = await caller.call("GET", PRICING, params={"endpoint_id": MODEL})
        assert (status, response["error"]["type"]) == (404, "not_found")
        faults.set("platform_error", status=503, body="resting", times=1)
        status, response, _ = await caller.call("GET", MODELS)
        assert (status, response["error"]["type"], response["error"]["message"]) == (
            503,
            "server_error",
            "resting",
        )
        assert set(response["error"]) == {"type", "message", "docs_url", "request_id"}
        faults.set("platform_rate_limited", retry_after="3", times=1)
        status, response, headers = await caller.call("GET", MODELS)
        assert (status, response["error"]["type"], headers["Retry-After"]) == (429, "rate_limited", "3")
        faults.set("platform_html", times=1)
        status, page, _ = await caller.call("GET", MODELS)
        assert (status, page[:6]) == (200, b"<html>")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_invalid_key_has_the_platforms_error(method: str) -> None:
    async with open_fal(key=KEY) as caller:
        path = MODELS if method == "GET" else f"{PRICING}/estimate"
        status, response, _ = await caller.call(method, path, headers={"Authorization": "Key no:body"})
        assert (status, response["error"]["type"]) == (401, "authorization_error")
        assert (await caller.call("GET", PRICING, params={"endpoint_id": MODEL}, headers={}))[0] == 401
        assert (await caller.call("GET", "/billing/user_balance", headers={}))[0] == 401


async def test_prices_and_estimates_agree() -> None:
    async with open_fal() as caller:
        params = {"endpoint_id": f"{MODEL},{TWO}"}
        _, response, _ = await caller.call("GET", PRICING, params=params)
        assert [(one["endpoint_id"], one["unit_price"], one["unit"]) for one in response["prices"]] == [
            (MODEL, 0.133, "images"),
            (TWO, 0.211, "images"),
        ]
        payload = {
            "estimate_type": "unit_price",
            "endpoints": {MODEL: {"unit_quantity": 10}, TWO: {"unit_quantity": 1}},
        }
        status, response, _ = await caller.call("POST", f"{PRICING}/estimate", json=payload)
        assert status == 200
        assert response == {"estimate_type": "unit_price", "total_cost": 1.541, "currency": "USD"}
        caller.sandbox.dollar_units = True
        _, response, _ = await caller.call("POST", f"{PRICING}/estimate", json=payload)
        assert response["total_cost"] == 11
        payload = {"estimate_type": "historical_api_price", "endpoints": {MODEL: {"call_quantity": 2}}}
        _, response, _ = await caller.call("POST", f"{PRICING}/estimate", json=payload)
        assert response["total_cost"] == 0.266


async def test_invalid_requests_for_prices() -> None:
    async with open_fal() as caller:
        url = f"{PRICING}/estimate"
        for payload, expected in (
            ({"estimate_type": "unit_price", "endpoints": {MODEL: {"call_quantity": 1}}}, "validation_error"),
            ({"estimate_type": "guess", "endpoints": {MODEL: {"unit_quantity": 1}}}, "validation_error"),
            ({"estimate_type": "unit_price", "endpoints": {}}, "validation_error"),
            ({"estimate_type": "unit_price", "endpoints": {MODEL: {"unit_quantity": -1}}}, "validation_error"),
            ([], "validation_error"),
            ({"estimate_type": "unit_price", "endpoints": {"fal-ai/x": {"unit_quantity": 1}}}, "not_found"),
        ):
            _, response, _ = await caller.call("POST", url, json=payload)
            assert response["error"]["type"] == expected
        assert (await caller.call("GET", PRICING))[0] == 400
        assert (await caller.call("GET", PRICING, params={"endpoint_id": ",".join([MODEL] * 51)}))[0] == 400


async def test_the_balance_is_a_bare_number(tmp_path: Path) -> None:
    async with open_fal(balance=3.5) as caller:
        assert (await caller.call("GET", "/billing/user_balance"))[:2] == (200, 3.5)
        caller.sandbox.faults.set("balance", body={"detail": "no"}, status=403, times=1)
        assert (await caller.call("GET", "/billing/user_balance"))[:2] == (403, {"detail": "no"})
        assert AUTH["Authorization"] not in json.dumps(caller.sandbox.state())
    async with fal_client_process(tmp_path, balance=-0.25) as client:
        lines = await client.run(
            """
            http = fal_client.SyncClient()._client
            show(http.get("https://rest.fal.ai/billing/user_balance").json())
            """
        )
        assert lines == [[-0.25]]


async def test_prices_and_fields_change() -> None:
    banana, flare = "fal-ai/nano-banana-2", "openai/gpt-image-2.5/flare/text-to-image"
    async with open_fal() as caller:
        changes = {
            "price_factors": {banana: 1.5, flare: 2.0},
            "told_prices": {MODEL: 0.2},
            "dropped_fields": {banana: ["seed"], flare: ["quality"]},
        }
        status, shown, _ = await caller.call("POST", "/sandbox/catalog", json=changes)
        assert (status, shown) == (200, changes)
        _, response, _ = await caller.call("GET", PRICING, params={"endpoint_id": f"{banana},{flare},{MODEL}"})
        assert [one["unit_price"] for one in response["prices"]] == [pytest.approx(0.12), 1.0, 0.2]
        assert [one["unit"] for one in response["prices"]] == ["images", "units", "images"]
        # Units are counted as before where the unit is dearer, and are dollars elsewhere.
        assert (await caller.outcome(banana, num_images=2))[2]["x-fal-billable-units"] == "2"
        _, _, headers = await caller.outcome(flare, quality="low", image_size="square_hd")
        assert headers["x-fal-billable-units"] == "0.10560000", "an unknown field is passed over: quality high"
        params = {"endpoint_id": banana, "expand": "openapi-3.0"}
        _, response, _ = await caller.call("GET", MODELS, params=params)
        schemas = response["models"][0]["openapi"]["components"]["schemas"]
        assert "seed" not in schemas["Generate2Input"]["properties"]
        assert "resolution" in schemas["Generate2Input"]["properties"]
        code, response, _ = await caller.outcome(banana, seed=7)
        assert (code, response["detail"][0]["loc"], response["detail"][0]["type"]) == (
            422,
            ["body", "seed"],
            "extra_forbidden",
        )
        assert (await caller.call("POST", "/sandbox/catalog", json={"dropped_fields": {}}))[1] == {
            **changes,
            "dropped_fields": {},
        }
        bad: tuple[Any, ...] = ({"prices": {}}, {"price_factors": {banana: -1}}, {"told_prices": {MODEL: "x"}}, [])
        for wrong in bad:
            assert (await caller.call("POST", "/sandbox/catalog", json=wrong))[0] == 400
