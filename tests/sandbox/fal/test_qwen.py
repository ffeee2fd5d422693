"""Qwen Image 2 at fal: its fields, sizes and price."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.sandbox.fal import fal_client_process, open_fal
from tests.support.sandbox.pictures import data_uri, picture_of

MODEL, EDIT = "fal-ai/qwen-image-2/text-to-image", "fal-ai/qwen-image-2/edit"
WIDE, SMALL, LONG = (data_uri(Image.new("RGB", size, "red")) for size in ((640, 480), (640, 320), (5_008, 512)))

PAINTED: list[tuple[str, dict[str, Any], tuple[int, int], str, float]] = [
    # endpoint, parameters, size, type, dollars
    (MODEL, {}, (1024, 1024), "png", 0.035),
    (MODEL, {"image_size": "portrait_16_9", "num_images": 4, "output_format": "jpeg"}, (576, 1024), "jpeg", 0.14),
    (MODEL, {"image_size": {"width": 2688, "height": 1536}, "seed": 5}, (2688, 1536), "png", 0.035),
    (EDIT, {"image_urls": [WIDE], "output_format": "webp"}, (640, 480), "webp", 0.035),
    (EDIT, {"image_urls": [WIDE] * 3, "image_size": "square_hd"}, (1024, 1024), "png", 0.035),
]
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (MODEL, {"prompt": "a" * 801}, "string_too_long", "prompt"),
    (MODEL, {"negative_prompt": "a" * 501}, "string_too_long", "negative_prompt"),
    (MODEL, {"num_images": 5}, "less_than_equal", "num_images"),
    (MODEL, {"image_size": {"width": 2049, "height": 2048}}, "value_error", "image_size"),
    (MODEL, {"image_size": {"width": 511, "height": 512}}, "value_error", "image_size"),
    (MODEL, {"quality": "high"}, "extra_forbidden", "quality"),
    (MODEL, {"image_urls": [WIDE]}, "extra_forbidden", "image_urls"),
    (EDIT, {"image_urls": []}, "too_short", "image_urls"),
    (EDIT, {"image_urls": [WIDE] * 4}, "too_long", "image_urls"),
    (EDIT, {"image_urls": [WIDE], "mask_url": WIDE}, "extra_forbidden", "mask_url"),
    (EDIT, {"image_urls": [WIDE, SMALL]}, "image_too_small", "image_urls"),
    (EDIT, {"image_urls": [LONG]}, "image_too_large", "image_urls"),
]


async def test_it_paints_its_sizes_at_one_price() -> None:
    async with open_fal() as caller:
        outcomes = await asyncio.gather(*(caller.outcome(endpoint, **asked) for endpoint, asked, *_ in PAINTED))
        billed = {one.request_id: one.cost for one in caller.sandbox.requests.values()}
        for (_, asked, size, kind, dollars), (code, response, headers) in zip(PAINTED, outcomes, strict=True):
            assert (code, len(response["images"])) == (200, asked.get("num_images", 1)), response
            picture = picture_of((await caller.call("GET", response["images"][0]["url"], headers={}))[1])
            assert (picture.size, picture.format) == (size, kind.upper())
            assert response["seed"] == asked.get("seed", response["seed"])
            assert billed[headers["x-fal-request-id"]] == pytest.approx(dollars)


async def test_it_refuses_what_it_lacks() -> None:
    async with open_fal() as caller:
        outcomes = await asyncio.gather(*(caller.outcome(endpoint, **body) for endpoint, body, _, _ in REFUSED))
        for (_, body, kind, field), (code, response, _) in zip(REFUSED, outcomes, strict=True):
            assert code == 422, body
            assert {entry["loc"][1] for entry in response["detail"]} == {field}, body
            assert kind in [entry["type"] for entry in response["detail"]], response


async def test_fals_client_paints_and_edits(tmp_path: Path) -> None:
    async with fal_client_process(tmp_path) as client:
        lines = await client.run(
            f"""
            link = fal_client.upload_image(Image.new("RGB", (640, 480), "red"), "png")
            for endpoint, more in (("{MODEL}", {{"seed": 5}}), ("{EDIT}", {{"image_urls": [link]}})):
                made = fal_client.subscribe(endpoint, {{"prompt": "a boat", **more}})
                show(made["images"][0]["width"], made["images"][0]["height"])
            """
        )
        assert lines == [[1024, 1024], [640, 480]]
