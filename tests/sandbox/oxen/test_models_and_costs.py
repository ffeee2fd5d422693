"""Oxen's models, prices and credits."""

import asyncio
from importlib import import_module
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops

from bot.sandbox import painter
from bot.sandbox.oxen.models import MODELS, TALKS
from bot.sandbox.oxen.options import SchemaName
from tests.support.sandbox.oxen import MODEL, NEXT, PLAIN, RED, REQUEST, open_oxen, poll
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
            ("", {*MODELS, *TALKS}),
            ("/search?search=image", {name for name in MODELS if "image" in name}),
            ("/search?search=zzz", set()),
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


PAINTED: list[tuple[str, dict[str, Any], tuple[int, int], str, str]] = [
    # model, parameters, size, format, dollars
    ("nano-banana-2", {"aspect_ratio": "1:8", "resolution": "512"}, (64, 512), "PNG", "0.0585"),
    ("google-nano-banana-pro", {"resolution": "1K", "input_image": [RED]}, (1024, 576), "PNG", "0.15"),
    ("flux-2-pro", {"input_image": [RED], "aspect_ratio": "match_input_image"}, (1184, 880), "WEBP", "0.1"),
    (
        "flux-2-pro",
        {"resolution": "0.5 MP", "output_format": "jpg", "output_quality": 5},
        (960, 544),
        "JPEG",
        "0.1",
    ),
    ("flux-3-image", {"resolution": "768sq", "safety_tolerance": 0}, (768, 768), "PNG", "0.0533"),
    ("flux-3-image", {"aspect_ratio": "9:21", "input_image": [RED] * 10}, (672, 1568), "PNG", "0.0624"),
    ("bytedance-seedream-5-pro", {"size": "1K", "aspect_ratio": "2:3"}, (832, 1248), "PNG", "0.045"),
    ("bytedance-seedream-5-pro", {"output_format": "jpeg", "watermark": True}, (2048, 2048), "JPEG", "0.045"),
    ("bytedance-seedream-5-lite", {"input_image": [RED], "output_format": "jpeg"}, (2368, 1776), "JPEG", "0.04"),
]


async def test_each_maker_has_fields_sizes_and_prices_of_its_own() -> None:
    async with open_oxen() as caller:
        rows = await asyncio.gather(*(caller.outcome(model=model, **more) for model, more, *_ in PAINTED))
        for (model, more, size, kind, dollars), row in zip(PAINTED, rows, strict=True):
            assert row["status"] == "succeeded", (model, more, row["error_message"])
            response = await caller.picture(row)
            picture = picture_of(response.content)
            assert (picture.size, picture.format) == (size, kind), (model, more)
            assert response.headers["Content-Type"] == f"image/{kind.lower()}"
            _, body = await caller.call("GET", f"/ai/generations/{row['generation_id']}")
            assert body["generation"]["cost"] == dollars, (model, more)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("nano-banana-2", {"resolution": "8K"}, "must be one of 512, 1K, 2K, 4K"),
    ("nano-banana-2", {"seed": 7}, "Unknown parameter: 'seed'."),
    ("google-nano-banana-pro", {"aspect_ratio": "1:8"}, "must be one of auto, 1:1"),
    ("google-nano-banana-pro", {"input_image": [RED] * 15}, "expected 1 to 14 items"),
    ("flux-2-pro", {"seed": "7"}, "'seed': expected an integer"),
    ("flux-2-pro", {"seed": True}, "'seed': expected an integer"),
    ("flux-2-pro", {"output_quality": 101}, "must be between 0 and 100"),
    ("flux-2-pro", {"output_format": "jpeg"}, "must be one of webp, jpg, png"),
    ("flux-3-image", {"safety_tolerance": 5}, "must be one of 0, 1, 2, 3, 4"),
    ("flux-3-image", {"grounding": "yes"}, "expected a boolean"),
    ("flux-3-image", {"output_format": "png"}, "Unknown parameter: 'output_format'."),
    ("bytedance-seedream-5-pro", {"size": "4K"}, "must be one of 1K, 2K"),
    ("bytedance-seedream-5-lite", {"aspect_ratio": "1:1"}, "Unknown parameter: 'aspect_ratio'."),
]


async def test_each_maker_refuses_what_its_schema_lacks() -> None:
    async with open_oxen() as caller:
        rows = await asyncio.gather(*(caller.outcome(model=model, **more) for model, more, _ in REFUSED))
        for (model, more, text), row in zip(REFUSED, rows, strict=True):
            assert row["status"] == "failed", (model, more)
            assert text in row["error_message"], (model, more)


async def test_a_seed_repeats_its_picture() -> None:
    async with open_oxen(one_picture=False) as caller:
        small = {"model": "flux-2-pro", "resolution": "0.5 MP", "output_format": "jpg"}
        rows = [await caller.outcome(**small, seed=seed) for seed in (7, 7, 8)]
        first, again, other = [(await caller.picture(row)).content for row in rows]
        assert first == again != other
        assert rows[0]["seed"] == 7


async def test_the_list_of_models_needs_no_key_and_tells_schema_and_prices() -> None:
    async with open_oxen(schema_name="request_schema") as caller, httpx.AsyncClient(**PLAIN) as stranger:
        listed = {model["id"]: model for model in (await stranger.get(f"{caller.api}/ai/models")).json()["data"]}
        for model, flat, grid in (
            ("gpt-image-2", None, {"1K": 0.13, "2K": 0.29, "4K": 1.13}),
            ("nano-banana-2", 0.1313, {"512": 0.0585, "1K": 0.0871, "2K": 0.1313, "4K": 0.1963}),
            ("flux-3-image", 0.0624, {"768sq": 0.0533, "1k": 0.0624, "2k": 0.13, "4k": 0.7891}),
            ("flux-2-pro", 0.1, None),
        ):
            pricing = listed[model]["pricing"]
            assert (pricing["cost_per_image"], pricing.get("cost_per_image_grid", {}).get("high")) == (flat, grid)
            assert (await stranger.get(f"{caller.api}/ai/models/{model}")).json() == listed[model]
        for model, more, _, _, _ in PAINTED:
            jsonschema.validate({"prompt": "a boat", **more}, listed[model]["request_schema"])


async def test_prices_and_fields_change() -> None:
    async with open_oxen() as caller:
        changes = {
            "price_factors": {"flux-2-pro": 1.5, "nano-banana-2": 2.0},
            "told_prices": {"flux-3-image": {"high": {"1k": 0.5}}, "bytedance-seedream-5-pro": 0.09},
            "dropped_fields": {"flux-2-pro": ["seed"]},
        }
        path = f"{caller.sandbox.url}/sandbox/catalog"
        assert await caller.call("POST", path, json=changes) == (200, changes)
        assert await caller.call("GET", path) == (200, changes)
        told = {}
        for model in ("flux-2-pro", "nano-banana-2", "flux-3-image", "bytedance-seedream-5-pro"):
            _, shown = await caller.call("GET", f"/ai/models/{model}")
            told[model] = (shown["pricing"]["cost_per_image"], shown["pricing"].get("cost_per_image_grid"))
            assert "seed" not in shown["json_request_schema"]["properties"]
        assert told == {
            "flux-2-pro": (0.15, None),
            "nano-banana-2": (0.2626, {"high": {"512": 0.117, "1K": 0.1742, "2K": 0.2626, "4K": 0.3926}}),
            "flux-3-image": (None, {"high": {"1k": 0.5}}),
            "bytedance-seedream-5-pro": (0.09, None),
        }
        small = {"model": "flux-2-pro", "resolution": "0.5 MP"}
        assert (await caller.outcome(**small, seed=7))["error_message"] == "Unknown parameter: 'seed'."
        row = await caller.outcome(**small)
        _, body = await caller.call("GET", f"/ai/generations/{row['generation_id']}")
        assert body["generation"]["cost"] == "0.15"
        caller.sandbox.strict = False
        assert (await caller.outcome(**small, seed=7))["status"] == "succeeded"


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
