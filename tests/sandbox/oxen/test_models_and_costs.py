"""Oxen's models, prices and credits."""

from importlib import import_module
from typing import Any

import pytest
from PIL import Image, ImageChops

from bot.sandbox import painter
from bot.sandbox.oxen.options import SchemaName
from bot.sandbox.oxen.schema import MODELS
from tests.support.sandbox.oxen import MODEL, NEXT, RED, REQUEST, open_oxen, poll
from tests.support.sandbox.pictures import data_uri, picture_of

jsonschema: Any = import_module("jsonschema")  # it has no types


async def test_costs_are_decimal_text_and_null_when_nothing_was_charged() -> None:
    async with open_oxen() as caller:
        _, body = await caller.call("GET", "/ai/generations")
        assert (body["total_cost"], body["total_entries"], body["total_pages"]) == (None, 0, 1)
        good = [await caller.outcome() for _ in range(3)]
        bad = await caller.outcome(size="huge")
        _, body = await caller.call("GET", f"/ai/generations/{good[0]['generation_id']}")
        assert (body["status"], body["status_message"]) == ("success", "resource_found")
        assert body["generation"] | good[0] == body["generation"]
        assert body["generation"]["cost"] == "0.04"
        assert body["generation"]["username"] == "easel"
        _, body = await caller.call("GET", f"/ai/generations/{bad['generation_id']}")
        assert body["generation"]["cost"] is None
        _, body = await caller.call("GET", "/ai/generations", params={"page": 2, "page_size": 3})
        assert [row["generation_id"] for row in body["generations"]] == [good[0]["generation_id"]]
        assert (body["count"], body["page_number"], body["page_size"]) == (1, 2, 3)
        assert (body["total_cost"], body["total_entries"], body["total_pages"]) == ("0.12", 4, 2)
        assert (await caller.call("GET", "/ai/generations", params={"page_size": 1_001}))[0] == 400


async def test_odd_costs() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("charged_anyway", times=1)
        path = f"/ai/generations/{(await caller.outcome(size='huge'))['generation_id']}"
        caller.sandbox.faults.set("cost_missing", times=1)
        caller.sandbox.faults.set("cost_garbage", times=1)
        costs = [(await caller.call("GET", path))[1]["generation"]["cost"] for _ in range(3)]
        assert costs == [None, "about four cents", "0.04"]


@pytest.mark.parametrize("schema_name", ["json_request_schema", "request_schema"])
async def test_a_model_shows_its_schema_and_its_price(schema_name: SchemaName) -> None:
    async with open_oxen(schema_name=schema_name, extra_fields=("quality", "user")) as caller:
        _, model = await caller.call("GET", f"/ai/models/{MODEL}")
        assert (model["id"], model["endpoint"]) == (MODEL, "/images/generate")
        assert model["capabilities"] == {"input": ["text", "image"], "output": ["image"]}
        assert (model["pricing"]["method"], model["pricing"]["cost_per_image"]) == ("per_image", 0.04)
        assert "cost_per_image_grid" not in model["pricing"]
        fields = {"prompt", "input_image", "output_format", "size", "quality", "user"}
        assert set(model[schema_name]["properties"]) == fields
        everything = {"prompt": "a boat", "input_image": [RED], "output_format": "png", "size": "auto"}
        jsonschema.validate(everything, model[schema_name])
        assert (await caller.outcome(quality="low", user="17"))["status"] == "succeeded"
        assert (await caller.call("GET", "/ai/models/nothing"))[0] == 404


async def test_models_are_listed_and_searched() -> None:
    async with open_oxen() as caller:
        for query, expected in (
            ("", set(MODELS)),
            ("/search?search=image", {name for name in MODELS if "image" in name}),
            ("/search?search=x", set()),
        ):
            _, body = await caller.call("GET", f"/ai/models{query}")
            assert {model["id"] for model in body["data"]} == expected


@pytest.mark.parametrize(
    ("more", "size", "cost"),
    [
        ({"resolution": "1K", "quality": "low"}, (1024, 576), "0.004"),
        ({"resolution": "1K", "aspect_ratio": "2:3", "quality": "medium"}, (683, 1024), "0.031"),
        ({"resolution": "1K", "aspect_ratio": "auto", "input_image": [RED]}, (1024, 768), "0.13"),
    ],
)
async def test_the_next_model_has_fields_and_prices_of_its_own(
    more: dict[str, Any], size: tuple[int, int], cost: str
) -> None:
    async with open_oxen() as caller:
        row = await caller.outcome(model=NEXT, **more)
        assert picture_of((await caller.picture(row)).content).size == size
        _, body = await caller.call("GET", f"/ai/generations/{row['generation_id']}")
        assert body["generation"]["cost"] == cost


async def test_the_next_models_mask_is_white_where_it_edits() -> None:
    source = painter.paint("a lake", (512, 512), noise=0)
    mask = Image.new("RGB", source.size, "black")
    mask.paste("white", (128, 128, 384, 384))
    async with open_oxen(one_picture=False) as caller:
        urls = {"input_image": [data_uri(source)], "mask_url": data_uri(mask)}
        row = await caller.outcome(
            model=NEXT, prompt="night", aspect_ratio="1:1", resolution="1K", quality="low", **urls
        )
        changed = picture_of((await caller.picture(row)).content).convert("RGB")
        box = ImageChops.difference(changed, source.resize(changed.size)).point(lambda v: 255 * (v > 40)).getbbox()
        assert box is not None
        assert box[0] >= 250
        assert box[3] <= 774


async def test_a_price_grid_of_the_first_model() -> None:
    grid = {"low": {"1024x1024": 0.009}, "high": {"1024x1024": 0.133, "1536x1024": 0.2}}
    async with open_oxen(cost_per_image_grid=grid, extra_fields=("quality",)) as caller:
        costs = []
        for more in ({"quality": "low"}, {"size": "square"}, {"size": "landscape"}, {"quality": "auto"}):
            row = await caller.outcome(**more)
            _, body = await caller.call("GET", f"/ai/generations/{row['generation_id']}")
            costs.append(body["generation"]["cost"])
        assert costs == ["0.009", "0.133", "0.2", "0.133"]
        assert (await caller.call("GET", f"/ai/models/{MODEL}"))[1]["pricing"]["cost_per_image_grid"] == grid


async def test_credits_run_out() -> None:
    async with open_oxen(credits=0.1) as caller:
        refused = await caller.call("POST", "/ai/queue", json={**REQUEST, "num_generations": 3})
        assert (refused[0], refused[1]["error"]["title"]) == (402, "Insufficient credits")
        # Two submits that could each be paid, but not both.
        ids = [
            entry["generation_id"]
            for _ in range(2)
            for entry in (await caller.call("POST", "/ai/queue", json={**REQUEST, "num_generations": 2}))[1][
                "generations"
            ]
        ]
        rows = [await poll(caller.http, caller.api, each) for each in ids]
        assert sorted(row["status"] for row in rows) == ["failed", "failed", "succeeded", "succeeded"]
        assert {row["error_message"] for row in rows} == {None, "Insufficient credits"}
        _, me = await caller.call("GET", "/users/me")
        assert me["user"]["credits"] == "0.02"
