"""The models of other makers at Lumenfall: sizes mapped to the nearest, prices, schemas, and OpenAI's client."""

import asyncio
import base64
from typing import Any

import pytest
from PIL import Image

from bot.sandbox.lumenfall.models import MODELS
from tests.support.sandbox.lumenfall import MODEL, file_of, open_lumenfall
from tests.support.sandbox.pictures import picture_of

BANANA, BANANA_PRO = "gemini-3.1-flash-image", "gemini-3-pro-image"
FLUX, SEEDREAM = "flux.2-pro", "seedream-5-lite"
WIDE = file_of(Image.new("RGB", (480, 320), "red"))
HOLE = file_of(Image.new("RGBA", (480, 320), (0, 0, 0, 255)))

PAINTED: list[tuple[str, dict[str, Any], int, tuple[int, int], float]] = [
    # model, parameters, input pictures, size, dollars
    (BANANA, {"size": "16:9", "resolution": "2K", "output_format": "jpeg"}, 0, (2752, 1536), 0.101),
    (BANANA, {"size": None, "aspect_ratio": "5:7", "resolution": "0.5K", "n": 2}, 0, (448, 600), 0.09),
    (BANANA, {"size": "1536x1024"}, 0, (1264, 848), 0.067),
    (f"fal/{BANANA}", {"size": None}, 1, (1264, 848), 0.08),
    (f"{BANANA_PRO}-preview", {"size": "auto", "resolution": "auto"}, 2, (1264, 848), 0.1362),
    (BANANA_PRO, {"size": "2048x1152", "output_format": "jpeg"}, 0, (2752, 1536), 0.134),
    (FLUX, {"size": "1024x768", "n": 2}, 0, (1183, 887), 0.06),
    (FLUX, {"size": None, "aspect_ratio": "4:5"}, 3, (916, 1145), 0.075),
    (SEEDREAM, {"size": "3840x1640"}, 0, (1563, 670), 0.035),
    (SEEDREAM, {"size": None, "seed": "any", "quality": "best", "background": "none"}, 1, (1254, 836), 0.035),
]


async def test_each_model_maps_sizes_and_bills_its_own_price() -> None:
    async with open_lumenfall() as caller:
        for model, asked, sources, size, dollars in PAINTED:
            body = {name: value for name, value in asked.items() if value is not None or not sources}
            if sources:
                body.setdefault("size", "auto")
                status, response, _ = await caller.edit(*[("image[]", WIDE)] * sources, model=model, **body)
            else:
                status, response, _ = await caller.generate(model=model, **body)
            assert status == 200, (model, asked, response)
            assert len(response["data"]) == asked.get("n", 1)
            _, content, _ = await caller.call("GET", response["data"][0]["url"], headers={})
            assert picture_of(content).size == size, (model, asked)
            assert response["metadata"]["cost"] == pytest.approx(dollars), (model, asked)
            assert response["metadata"]["model"] == model.rpartition("/")[2].removesuffix("-preview")


async def test_openais_client_paints_and_edits_with_another_makers_model() -> None:
    async with open_lumenfall() as caller:
        shape: Any = {"aspect_ratio": "2:3", "resolution": "1K", "seed": 7}
        made = await caller.openai.images.generate(
            model=BANANA, prompt="a boat", n=2, response_format="b64_json", extra_body=shape
        )
        assert [picture_of(base64.b64decode(each.b64_json or "")).size for each in made.data or ()] == [
            (848, 1264)
        ] * 2
        metadata: Any = made.to_dict()["metadata"]
        assert (metadata["provider"], metadata["cost"]) == ("gemini", 0.134)
        edited = await caller.openai.images.edit(
            model=FLUX, prompt="snow", image=[("a.png", WIDE), ("b.png", WIDE)], response_format="b64_json"
        )
        assert picture_of(base64.b64decode((edited.data or [])[0].b64_json or "")).size == (1254, 836)


async def test_a_seed_repeats_its_picture_and_a_mask_is_passed_over() -> None:
    async with open_lumenfall(one_picture=False) as caller:
        pictures = []
        for seed in (7, 7, 8):
            _, response, _ = await caller.generate(model=BANANA, resolution="0.5K", size="1:1", seed=seed)
            pictures.append((await caller.call("GET", response["data"][0]["url"], headers={}))[1])
        assert pictures[0] == pictures[1] != pictures[2]
        status, response, _ = await caller.edit(
            ("image", WIDE), ("mask", HOLE), model=FLUX, size="auto", prompt="night"
        )
        assert status == 200
        picture = picture_of((await caller.call("GET", response["data"][0]["url"], headers={}))[1])
        assert picture.convert("RGB").getpixel((5, 5)) != (255, 0, 0), "the mask would have kept all of it"


@pytest.mark.parametrize(
    ("model", "sources", "wrong"),
    [
        (BANANA, 0, {"seed": "7"}),
        (BANANA, 0, {"n": 11}),
        (BANANA, 0, {"resolution": "large"}),
        (FLUX, 0, {"size": "wide"}),
        (FLUX, 10, {"size": "auto"}),
        (SEEDREAM, 15, {"size": "auto"}),
        ("gpt-image-2", 0, {"size": "3856x2000"}),
        ("gpt-image-2", 0, {"size": "auto"}),
        ("gpt-image-2", 0, {"background": "transparent"}),
    ],
)
async def test_what_a_model_refuses(model: str, sources: int, wrong: dict[str, Any]) -> None:
    async with open_lumenfall() as caller:
        if sources:
            status, response, _ = await caller.edit(*[("image[]", WIDE)] * sources, model=model, **wrong)
        else:
            status, response, _ = await caller.generate(model=model, **wrong)
        assert (status, response["error"]["code"]) == (400, "INVALID_REQUEST")
        assert not caller.sandbox.requests


async def test_a_schema_has_only_the_fields_of_its_model() -> None:
    async with open_lumenfall() as caller:
        shown = {}
        for model in MODELS:
            _, response, _ = await caller.call("GET", f"/v1/models/{model}?schema=true")
            shown[model] = set(response["schema"]["properties"])
            assert {"prompt", "n", "size", "aspect_ratio", "resolution", "image", "output_format"} <= shown[model]
        assert [model for model in MODELS if "seed" in shown[model]] == [BANANA, BANANA_PRO, FLUX]
        assert [model for model in MODELS if "quality" in shown[model]] == ["gpt-image-1", MODEL, "gpt-image-2"]
        assert [model for model in MODELS if "input_fidelity" in shown[model]] == ["gpt-image-1", MODEL]
        _, response, _ = await caller.call("GET", f"/v1/models/{BANANA}-preview?schema=true")
        assert response["id"] == BANANA


async def test_prices_and_fields_change() -> None:
    async with open_lumenfall() as caller:
        changes = {
            "price_factors": {BANANA: 1.5, FLUX: 2.0},
            "told_prices": {FLUX: 0.03},
            "dropped_fields": {MODEL: ["quality"], BANANA: ["seed"]},
        }
        assert (await caller.call("POST", "/sandbox/catalog", json=changes))[:2] == (200, changes)
        dry, costs = {}, {}
        for model in (BANANA, FLUX, MODEL):
            body: dict[str, Any] = {"model": model, "prompt": "a boat", "size": "1:1", "quality": "low", "n": 2}
            path = "/openai/v1/images/generations?dryRun=true"
            dry[model] = (await caller.call("POST", path, json=body))[1]["total_cost_micros"]
            costs[model] = (await caller.generate(**body))[1]["metadata"]["cost"]
        assert dry == {BANANA: 201_000, FLUX: 60_000, MODEL: 266_010}
        assert costs == {BANANA: 0.201, FLUX: 0.12, MODEL: 0.26601}, "without its quality, the dearest is painted"
        for model, name in ((MODEL, "quality"), (BANANA, "seed")):
            _, response, _ = await caller.call("GET", f"/v1/models/{model}?schema=true")
            assert name not in response["schema"]["properties"]
        assert (await caller.generate(model=BANANA, seed="no number"))[0] == 200, "an unknown field is passed over"


async def test_a_large_picture_of_gpt_image_2_costs_more() -> None:
    async with open_lumenfall() as caller:
        path = "/openai/v1/images/generations?dryRun=true"
        asked = [
            {"quality": quality, "size": size}
            for quality in ("low", "high")
            for size in ("1024x1024", "3840x2160")
        ]
        body = {"model": "gpt-image-2", "prompt": "boat"}
        told = await asyncio.gather(*(caller.call("POST", path, json={**body, **one}) for one in asked))
        assert [one[1]["total_cost_micros"] for one in told] == [6_005, 11_135, 211_005, 400_265]
