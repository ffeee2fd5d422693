"""fal's other models: BYOK, gpt-image-2, billable units, and the end of a model."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.sandbox import painter
from bot.sandbox.fal.wire import units_text
from tests.support.sandbox.fal import (
    BYOK,
    BYOK_EDIT,
    EDIT,
    MODEL,
    ONE,
    ONE_EDIT,
    TWO,
    TWO_EDIT,
    fal_client_process,
    open_fal,
)
from tests.support.sandbox.pictures import data_uri, picture_of

THEIR_KEY = "sk-someone-elses-key"

SMALL = data_uri(Image.new("RGB", (64, 64), "red"))


# ------------------------------------------------------------------------------------------------------------ byok


@pytest.mark.parametrize(
    ("endpoint", "body", "text", "images", "output"),
    [
        (BYOK, {"quality": "low", "image_size": "1024x1024"}, 12, 0, 272),
        (BYOK, {"quality": "medium", "image_size": "1024x1536", "num_images": 2}, 12, 0, 3_168),
        (BYOK, {"image_size": "1536x1024"}, 12, 0, 6_208),
        (BYOK_EDIT, {"quality": "medium", "image_urls": [SMALL, SMALL]}, 12, 6_100, 1_056),
        (BYOK_EDIT, {"quality": "high", "image_urls": [SMALL], "input_fidelity": "low"}, 12, 135, 4_160),
    ],
)
async def test_byok_results_have_openais_usage(
    endpoint: str, body: dict[str, Any], text: int, images: int, output: int
) -> None:
    async with open_fal() as caller:
        asked = {**body, "prompt": "a very small", "openai_api_key": THEIR_KEY}
        code, response, _ = await caller.outcome(endpoint, **asked)
        assert (code, len(response["images"])) == (200, body.get("num_images", 1))
        assert response["usage"] == {
            "input_tokens": text + images,
            "output_tokens": output,
            "total_tokens": text + images + output,
            "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        }
        code, response, _ = await caller.outcome(endpoint.removesuffix("/byok"), **body)
        assert (code, "usage" in response) == (200, False)


async def test_byok_requires_the_openai_key_and_never_stores_it() -> None:
    async with open_fal() as caller:
        for body, kind in (({}, "missing"), ({"openai_api_key": ""}, "too_short")):
            code, response, _ = await caller.outcome(BYOK, **body)
            assert (code, response["detail"][0]["type"]) == (422, kind)
            assert response["detail"][0]["loc"] == ["body", "openai_api_key"]
        code, response, _ = await caller.outcome(ONE, openai_api_key=THEIR_KEY)
        assert (code, response["detail"][0]["type"]) == (422, "extra_forbidden")
        shown = [response, (await caller.outcome(BYOK, prompt=7, openai_api_key=[THEIR_KEY]))[1]]
        shown.append((await caller.outcome(BYOK, openai_api_key=THEIR_KEY))[1])
        shown.append(caller.sandbox.state())
        assert THEIR_KEY not in json.dumps(shown)
        assert all(request.body is None for request in caller.sandbox.requests.values())
        assert "<hidden>" in json.dumps(shown[-1])


SIZES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({}, (1024, 768)),
    ({"image_size": "portrait_4_3"}, (768, 1024)),
    ({"image_size": "landscape_16_9"}, (1024, 576)),
    ({"image_size": "portrait_16_9"}, (576, 1024)),
    ({"image_size": "square_hd"}, (1024, 1024)),
    ({"image_size": "square"}, (512, 512)),
    ({"image_size": {"width": 1024, "height": 640}}, (1024, 640)),
    ({"image_size": {"width": 1408, "height": 480}, "quality": "auto"}, (1408, 480)),
]


# ----------------------------------------------------------------------------------------------------- gpt-image-2


async def test_gpt_image_2_paints_the_requested_size() -> None:
    async with open_fal() as caller:
        outcomes = await asyncio.gather(
            *(caller.outcome(TWO, output_format="webp", **asked) for asked, _ in SIZES)
        )
        for (_, size), (code, response, _) in zip(SIZES, outcomes, strict=True):
            assert code == 200
            (image,) = response["images"]
            _, content, _ = await caller.call("GET", image["url"], headers={})
            assert picture_of(content).size == (image["width"], image["height"]) == size


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (TWO, {"image_size": "1024x1024"}, "literal_error", "image_size"),
    (TWO, {"image_size": {"width": 1000, "height": 1024}}, "multiple_of", "image_size"),
    (TWO, {"image_size": {"width": 3856, "height": 2048}}, "less_than_equal", "image_size"),
    (TWO, {"image_size": {"width": 2048, "height": 640}}, "value_error", "image_size"),
    (TWO, {"image_size": {"width": 512, "height": 512}}, "value_error", "image_size"),
    (TWO, {"image_size": {"width": 3840, "height": 2176}}, "value_error", "image_size"),
    (TWO, {"image_size": {"width": 1024}}, "missing", "image_size"),
    (TWO, {"background": "none"}, "literal_error", "background"),
    (TWO, {"background": "transparent", "output_format": "jpeg"}, "value_error", "output_format"),
    (TWO_EDIT, {"image_urls": [SMALL], "background": "opaque"}, "extra_forbidden", "background"),
    (TWO, {"image_urls": [SMALL]}, "extra_forbidden", "image_urls"),
    (TWO_EDIT, {"image_urls": [SMALL], "input_fidelity": "high"}, "extra_forbidden", "input_fidelity"),
    (TWO_EDIT, {"image_urls": [SMALL], "mask_image_url": SMALL}, "extra_forbidden", "mask_image_url"),
    (TWO_EDIT, {"image_urls": [SMALL] * 17}, "too_long", "image_urls"),
    (TWO_EDIT, {"image_urls": [SMALL], "mask_url": SMALL}, "value_error", "mask_url"),
    (TWO_EDIT, {}, "missing", "image_urls"),
]


async def test_gpt_image_2_refuses_unknown_parameters_and_sizes() -> None:
    async with open_fal() as caller:
        outcomes = await asyncio.gather(*(caller.outcome(endpoint, **body) for endpoint, body, _, _ in REFUSED))
        for (_, body, kind, field), (code, response, headers) in zip(REFUSED, outcomes, strict=True):
            assert (code, headers["x-fal-billable-units"]) == (422, "0"), body
            assert {entry["loc"][1] for entry in response["detail"]} == {field}, body
            assert kind in [entry["type"] for entry in response["detail"]], body


async def test_gpt_image_2_edits_within_its_mask() -> None:
    source = painter.paint("a lake", (512, 512), noise=0)
    mask = Image.new("RGBA", source.size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (128, 128, 384, 384))
    async with open_fal() as caller:
        body = {"image_urls": [data_uri(source)], "mask_url": data_uri(mask), "image_size": "square"}
        submitted = await caller.submit(TWO_EDIT, prompt="night", **body)
        assert f"/openai/gpt-image-2/requests/{submitted['request_id']}" in submitted["response_url"]
        await caller.finished(submitted)
        code, response, _ = await caller.call("GET", submitted["response_url"])
        assert code == 200
        _, content, _ = await caller.call("GET", response["images"][0]["url"], headers={})
        edited = picture_of(content).convert("RGB")
        assert edited.getpixel((10, 10)) == source.getpixel((10, 10))
        assert edited.crop((128, 128, 384, 384)).tobytes() != source.crop((128, 128, 384, 384)).tobytes()


# -------------------------------------------------------------------------------------- pictures, units, last days


@pytest.mark.parametrize("endpoint", [MODEL, EDIT, TWO_EDIT])
async def test_sync_mode_returns_data_uris(endpoint: str) -> None:
    async with open_fal() as caller:
        sources = {} if endpoint == MODEL else {"image_urls": [SMALL]}
        code, response, _ = await caller.outcome(
            endpoint, sync_mode=True, output_format="jpeg", num_images=2, **sources
        )
        assert (code, len(response["images"])) == (200, 2)
        for image in response["images"]:
            head, _, data = image["url"].partition(",")
            assert head == "data:image/jpeg;base64"
            content = base64.b64decode(data)
            assert (len(content), picture_of(content).format) == (image["file_size"], "JPEG")
        assert caller.sandbox.state()["files"]["count"] == 0


async def test_pictures_can_come_as_file_data_beside_a_dead_link() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("file_data", times=1)
        _, response, _ = await caller.outcome(num_images=2)
        for image in response["images"]:
            assert picture_of(base64.b64decode(image["file_data"])).size == (1024, 1024)
            assert (await caller.call("GET", image["url"], headers={}))[0] == 404
        assert "file_data" not in json.dumps((await caller.outcome())[1])


async def test_billable_units_count_pictures_or_dollars() -> None:
    async with open_fal() as caller:
        assert (await caller.outcome(num_images=3))[2]["x-fal-billable-units"] == "3"
        caller.sandbox.dollar_units = True
        for endpoint, body, units in (
            (ONE, {"quality": "low", "image_size": "1024x1024"}, "0.02000000"),
            (ONE_EDIT, {"quality": "medium", "image_urls": [SMALL], "image_size": "1024x1024"}, "0.06000000"),
            (MODEL, {"quality": "medium", "num_images": 2}, "0.06804000"),
            (TWO, {"quality": "low"}, "0.00410000"),
            (TWO, {"quality": "medium", "image_size": "square_hd", "num_images": 2}, "0.10540000"),
            (TWO_EDIT, {"image_urls": [SMALL], "image_size": {"width": 2560, "height": 1440}}, "0.22950000"),
            (BYOK, {"openai_api_key": THEIR_KEY}, "0"),
        ):
            assert (await caller.outcome(endpoint, **body))[2]["x-fal-billable-units"] == units
        caller.sandbox.faults.set("result_units", body="plenty", times=1)
        assert (await caller.outcome())[2]["x-fal-billable-units"] == "plenty"
        caller.sandbox.faults.set("result_units", times=1)
        assert "x-fal-billable-units" not in (await caller.outcome())[2]
    assert [units_text(units) for units in (0, 2.0, 0.25)] == ["0", "2", "0.25000000"]


async def test_a_model_can_end_while_its_work_runs_or_after() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("run_gone", endpoint=MODEL, times=1)
        submitted = await caller.submit()
        assert (await caller.finished(submitted))["error_type"] == "deprecated"
        code, response, headers = await caller.call("GET", submitted["response_url"])
        assert (code, response["error_type"], headers["X-Fal-Error-Type"]) == (404, "deprecated", "deprecated")
        caller.sandbox.faults.set("result_gone", endpoint=MODEL, since="2999-01-01", status=410, body="Over.")
        submitted = await caller.submit()
        assert "error" not in await caller.finished(submitted)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 200
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        code, response, _ = await caller.call("GET", submitted["response_url"])
        assert (code, response) == (410, {"detail": "Over.", "error_type": "deprecated"})
        assert (await caller.outcome(TWO))[0] == 200


async def test_fals_client_brings_its_key_and_paints_with_gpt_image_2(tmp_path: Path) -> None:
    async with fal_client_process(tmp_path) as client:
        lines = await client.run(
            f"""
            asked = {{"prompt": "a boat", "quality": "low", "openai_api_key": "{THEIR_KEY}"}}
            show(fal_client.subscribe("{BYOK}", asked)["usage"])
            try:
                fal_client.subscribe("{BYOK}", {{"prompt": "a boat"}})
            except fal_client.FalClientHTTPError as error:
                show(error.status_code, error.message[0]["loc"])
            link = fal_client.upload_image(Image.new("RGB", (64, 64), "red"), "png")
            masks = fal_client.upload_image(Image.new("RGBA", (64, 64)), "png", repository="fal")
            size = {{"width": 1024, "height": 640}}
            made = fal_client.subscribe("{TWO}", {{"prompt": "a boat", "image_size": size}})
            edited = fal_client.submit(
                "{TWO_EDIT}",
                {{"prompt": "snow", "image_urls": [link], "mask_url": masks, "image_size": "square_hd"}})
            again = fal_client.result("{TWO_EDIT}", edited.request_id)
            show([each["images"][0]["width"] for each in (made, edited.get(), again)])
            """
        )
        assert lines[0][0]["output_tokens"] == 272
        assert lines[1:] == [[422, ["body", "openai_api_key"]], [[1024, 1024, 1024]]]
        assert THEIR_KEY not in json.dumps(client.sandbox.state())
