"""The models of other makers at fal: Nano Banana, FLUX and Seedream, their fields, sizes and prices."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.sandbox.fal import fal_client_process, open_fal
from tests.support.sandbox.pictures import data_uri, picture_of

BANANA, BANANA_PRO = "fal-ai/nano-banana-2", "fal-ai/nano-banana-pro"
FLUX_2 = "fal-ai/flux-2-pro"
FLUX_3, FLUX_3_EDIT = "blackforestlabs/flux-3/text-to-image", "blackforestlabs/flux-3/edit-image"
LITE, PRO = (f"bytedance/seedream/v5/{name}/text-to-image" for name in ("lite", "pro"))
LITE_EDIT, PRO_EDIT = (f"bytedance/seedream/v5/{name}/edit" for name in ("lite", "pro"))

WIDE = data_uri(Image.new("RGB", (480, 320), "red"))
SMALL = data_uri(Image.new("RGB", (64, 64), "red"))

PAINTED: list[tuple[str, dict[str, Any], tuple[int, int], str, float]] = [
    # endpoint, parameters, size, type, dollars
    (BANANA, {}, (1024, 1024), "png", 0.08),
    (BANANA, {"aspect_ratio": "16:9", "resolution": "2K", "num_images": 2}, (2752, 1536), "png", 0.24),
    (BANANA, {"aspect_ratio": "1:8", "resolution": "0.5K", "seed": 7}, (192, 1536), "png", 0.06),
    (BANANA, {"enable_web_search": True, "thinking_level": "high"}, (1024, 1024), "png", 0.097),
    (f"{BANANA}/edit", {"image_urls": [WIDE], "output_format": "webp"}, (1264, 848), "webp", 0.08),
    (BANANA_PRO, {"aspect_ratio": "2:3", "output_format": "jpeg"}, (848, 1264), "jpeg", 0.15),
    (f"{BANANA_PRO}/edit", {"image_urls": [WIDE], "aspect_ratio": "1:1"}, (1024, 1024), "png", 0.15),
    (FLUX_2, {}, (1024, 768), "jpeg", 0.03),
    (FLUX_2, {"image_size": {"width": 1920, "height": 1088}, "output_format": "png"}, (1920, 1088), "png", 0.045),
    (f"{FLUX_2}/edit", {"image_urls": [WIDE]}, (480, 320), "jpeg", 0.045),
    (f"{FLUX_2}/edit", {"image_urls": [WIDE] * 3, "image_size": "square_hd"}, (1024, 1024), "jpeg", 0.075),
    (FLUX_3, {"aspect_ratio": "16:9"}, (1360, 768), "jpeg", 0.048),
    (FLUX_3, {"resolution": "512sq", "output_format": "png"}, (512, 512), "png", 0.041),
    (FLUX_3_EDIT, {"image_urls": [WIDE] * 10}, (1248, 832), "jpeg", 0.048),
    (LITE, {"image_size": "square_hd"}, (1920, 1920), "png", 0.035),
    (LITE_EDIT, {"image_urls": [WIDE]}, (2509, 1673), "png", 0.035),
    (PRO, {"image_size": "auto_1K"}, (1024, 1024), "jpeg", 0.0675),
    (PRO, {"image_size": {"width": 1536, "height": 1536}, "output_format": "png"}, (1536, 1536), "png", 0.0675),
    (
        PRO_EDIT,
        {"image_urls": [WIDE] * 3, "image_size": {"width": 2048, "height": 1600}},
        (2048, 1600),
        "jpeg",
        0.144,
    ),
]


async def test_each_model_paints_its_own_sizes_at_its_own_price() -> None:
    async with open_fal() as caller:
        outcomes = await asyncio.gather(*(caller.outcome(endpoint, **asked) for endpoint, asked, *_ in PAINTED))
        billed = {one.request_id: one.cost for one in caller.sandbox.requests.values()}
        for (endpoint, asked, size, kind, dollars), (code, response, headers) in zip(
            PAINTED, outcomes, strict=True
        ):
            assert code == 200, (endpoint, asked, response)
            assert len(response["images"]) == asked.get("num_images", 1)
            image = response["images"][0]
            picture = picture_of((await caller.call("GET", image["url"], headers={}))[1])
            assert picture.size == (image["width"], image["height"]) == size, (endpoint, asked)
            assert (picture.format, image["content_type"]) == (kind.upper(), f"image/{kind}")
            assert billed[headers["x-fal-request-id"]] == pytest.approx(dollars), (endpoint, asked)


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (BANANA, {"aspect_ratio": "7:5"}, "literal_error", "aspect_ratio"),
    (BANANA_PRO, {"aspect_ratio": "8:1"}, "literal_error", "aspect_ratio"),
    (BANANA_PRO, {"resolution": "0.5K"}, "literal_error", "resolution"),
    (BANANA, {"num_images": 5}, "less_than_equal", "num_images"),
    (BANANA, {"quality": "high"}, "extra_forbidden", "quality"),
    (f"{BANANA}/edit", {"image_urls": [WIDE], "mask_url": WIDE}, "extra_forbidden", "mask_url"),
    (BANANA, {"seed": "7"}, "int_type", "seed"),
    (FLUX_2, {"num_images": 1}, "extra_forbidden", "num_images"),
    (FLUX_2, {"output_format": "webp"}, "literal_error", "output_format"),
    (FLUX_2, {"image_size": {"width": 4096, "height": 2048}}, "value_error", "image_size"),
    (FLUX_2, {"image_size": "auto"}, "literal_error", "image_size"),
    (f"{FLUX_2}/edit", {"image_urls": []}, "too_short", "image_urls"),
    (FLUX_3, {"seed": 7}, "extra_forbidden", "seed"),
    (FLUX_3, {"resolution": "1K"}, "literal_error", "resolution"),
    (FLUX_3_EDIT, {"image_urls": [SMALL]}, "image_too_small", "image_urls"),
    (FLUX_3_EDIT, {"image_urls": [WIDE] * 11}, "too_long", "image_urls"),
    (LITE, {"output_format": "png"}, "extra_forbidden", "output_format"),
    (LITE, {"image_size": "auto_1K"}, "literal_error", "image_size"),
    (PRO, {"image_size": {"width": 1000, "height": 1000}}, "value_error", "image_size"),
    (PRO, {"image_size": {"width": 8192, "height": 256}}, "value_error", "image_size"),
    (PRO, {"num_images": 0}, "greater_than_equal", "num_images"),
]


async def test_each_model_refuses_what_it_lacks() -> None:
    async with open_fal() as caller:
        outcomes = await asyncio.gather(*(caller.outcome(endpoint, **body) for endpoint, body, _, _ in REFUSED))
        for (endpoint, body, kind, field), (code, response, headers) in zip(REFUSED, outcomes, strict=True):
            assert (code, headers["x-fal-billable-units"]) == (422, "0"), (endpoint, body)
            assert {entry["loc"][1] for entry in response["detail"]} == {field}, (endpoint, body)
            assert kind in [entry["type"] for entry in response["detail"]], (endpoint, body, response)


async def test_a_seed_repeats_its_picture_and_is_told_where_fal_tells_it() -> None:
    async with open_fal(one_picture=False) as caller:
        small = {"image_size": {"width": 64, "height": 64}}
        _, first, _ = await caller.outcome(FLUX_2, **small)
        asked = [first["seed"], 7, 7, 8]
        shown = [first] + [(await caller.outcome(FLUX_2, seed=seed, **small))[1] for seed in asked[:]]
        assert [one["seed"] for one in shown[1:]] == asked
        pictures = [(await caller.call("GET", one["images"][0]["url"], headers={}))[1] for one in shown]
        assert pictures[0] == pictures[1]
        assert pictures[2] == pictures[3] != pictures[4]
        _, banana, _ = await caller.outcome(BANANA, resolution="0.5K", seed=7)
        assert set(banana) == {"images", "description"}


async def test_units_times_their_price_are_the_bill() -> None:
    async with open_fal() as caller:
        for endpoint, body, unit, price, units in (
            (BANANA, {"resolution": "4K", "aspect_ratio": "8:1"}, "images", 0.08, "2"),
            (FLUX_2, {"image_size": {"width": 1920, "height": 1088}}, "megapixels", 0.03, "1.50000000"),
            (PRO, {"image_size": {"width": 2048, "height": 2048}}, "images", 0.0675, "2"),
        ):
            _, listed, _ = await caller.call("GET", "/v1/models/pricing", params={"endpoint_id": endpoint})
            assert (listed["prices"][0]["unit"], listed["prices"][0]["unit_price"]) == (unit, price)
            assert (await caller.outcome(endpoint, **body))[2]["x-fal-billable-units"] == units


async def test_fals_client_paints_and_edits_with_each_family(tmp_path: Path) -> None:
    async with fal_client_process(tmp_path) as client:
        lines = await client.run(
            f"""
            link = fal_client.upload_image(Image.new("RGB", (480, 320), "red"), "png")
            for endpoint, more in (
                ("{BANANA}", {{"aspect_ratio": "3:2", "resolution": "0.5K"}}),
                ("{FLUX_2}/edit", {{"image_urls": [link], "seed": 5}}),
                ("{FLUX_3_EDIT}", {{"image_urls": [link]}}),
                ("{PRO}", {{"image_size": "square_hd"}}),
            ):
                made = fal_client.subscribe(endpoint, {{"prompt": "a boat", **more}})
                show(made["images"][0]["width"], made["images"][0]["height"], made.get("seed"))
            """
        )
        assert lines == [[632, 424, None], [480, 320, 5], [1248, 832, None], [1024, 1024, None]]
