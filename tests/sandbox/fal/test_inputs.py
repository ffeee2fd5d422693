"""Input checks, input pictures, uploads, and the retention of results."""

import json
from typing import Any

import pytest
from PIL import Image, ImageChops

from bot.sandbox import painter
from tests.support.sandbox.fal import AUTH, EDIT, MODEL, open_fal
from tests.support.sandbox.pictures import data_uri, picture_of


@pytest.mark.parametrize(
    ("endpoint", "body", "kind", "loc"),
    [
        (MODEL, {"quality": "auto"}, "literal_error", ["body", "quality"]),
        (MODEL, {"image_size": "auto"}, "literal_error", ["body", "image_size"]),
        (MODEL, {"num_images": 5}, "less_than_equal", ["body", "num_images"]),
        (MODEL, {"prompt": ""}, "string_too_short", ["body", "prompt"]),
        (MODEL, {"mask_image_url": "x"}, "extra_forbidden", ["body", "mask_image_url"]),
        (EDIT, {}, "missing", ["body", "image_urls"]),
        (EDIT, {"image_urls": []}, "too_short", ["body", "image_urls"]),
        (
            "fal-ai/gpt-image-1/text-to-image",
            {"input_fidelity": "low"},
            "extra_forbidden",
            ["body", "input_fidelity"],
        ),
        (
            "fal-ai/gpt-image-1/edit-image",
            {"image_urls": ["nowhere"]},
            "file_download_error",
            ["body", "image_urls", 0],
        ),
        (EDIT, {"image_urls": ["data:image/png;base64,AAAA"]}, "image_load_error", ["body", "image_urls", 0]),
        (MODEL, {"prompt": "a Forbidden thing"}, "content_policy_violation", ["body", "prompt"]),
        (MODEL, {"background": "transparent", "output_format": "jpeg"}, "value_error", ["body", "output_format"]),
    ],
)
async def test_bad_input_is_accepted_and_its_422_comes_with_the_result(
    endpoint: str, body: dict[str, Any], kind: str, loc: list[str | int]
) -> None:
    async with open_fal() as caller:
        submitted = await caller.submit(endpoint, **body)
        status = await caller.finished(submitted)
        assert status["error_type"] == kind
        code, response, headers = await caller.call("GET", submitted["response_url"])
        assert code == 422
        assert (response["detail"][0]["type"], response["detail"][0]["loc"]) == (kind, loc)
        assert headers["X-Fal-Retryable"] == "false"
        assert headers["x-fal-billable-units"] == "0"


async def test_bad_input_can_be_refused_at_submit() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("submit_invalid")
        status, response, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x", "num_images": 0})
        assert (status, response["detail"][0]["type"]) == (422, "greater_than_equal")
        assert not caller.sandbox.requests


async def test_an_edit_obeys_its_mask_and_changes_the_rest() -> None:
    source = painter.paint("a lake", (1024, 1024), noise=0)
    mask = Image.new("RGBA", source.size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (256, 256, 768, 768))
    async with open_fal(one_picture=False) as caller:
        urls = {"image_urls": [data_uri(source)], "mask_image_url": data_uri(mask)}
        code, response, _ = await caller.outcome(EDIT, **urls | {"prompt": "night"})
        assert code == 200
        _, content, _ = await caller.call("GET", response["images"][0]["url"], headers={})
        different = ImageChops.difference(picture_of(content).convert("RGB"), source).getbbox()
        assert different is not None
        assert different[0] >= 256
        assert different[3] <= 768
        shown = json.dumps(caller.sandbox.state()["requests"])
        assert "base64,<" in shown
        assert len(shown) < 2_000
        small = data_uri(Image.new("RGBA", (8, 8)))
        code, response, _ = await caller.outcome(EDIT, **urls | {"mask_image_url": small})
        assert (code, response["detail"][0]["loc"]) == (422, ["body", "mask_image_url"])


async def test_sources_are_fetched_over_http_and_from_the_map() -> None:
    picture = painter.encode(Image.new("RGB", (16, 16), "red"), "png")
    async with open_fal() as files:
        _, token, _ = await files.call("POST", "/storage/auth/token?storage_type=fal-cdn-v3", json={})
        auth = {"Authorization": f"{token['token_type']} {token['token']}", "Content-Type": "image/png"}
        _, stored, _ = await files.call("POST", "/files/upload", data=picture, headers=auth)
        mapped = stored["access_url"].replace(files.sandbox.url, "https://pictures.invalid")
        async with open_fal(url_map={"https://pictures.invalid": files.sandbox.url}) as caller:
            for url in (stored["access_url"], mapped):
                assert (await caller.outcome(EDIT, image_urls=[url]))[0] == 200
            code, response, _ = await caller.outcome(EDIT, image_urls=[stored["access_url"] + "x"])
            assert (code, response["detail"][0]["type"]) == (422, "file_download_error")


async def test_both_upload_routes_check_their_keys() -> None:
    async with open_fal() as caller:
        assert (await caller.call("POST", "/files/upload", data=b"x"))[0] == 401
        assert (await caller.call("POST", "/storage/upload/initiate", json={}, headers={}))[0] == 401
        payload = {"file_name": "a.png", "content_type": "image/png"}
        _, places, _ = await caller.call("POST", "/storage/upload/initiate?storage_type=gcs", json=payload)
        assert (await caller.call("GET", places["file_url"]))[0] == 404
        wrong = {"Content-Type": "image/jpeg"}
        assert (await caller.call("PUT", places["upload_url"], data=b"abc", headers=wrong))[0] == 403
        right = {"Content-Type": "image/png"}
        assert (await caller.call("PUT", places["upload_url"], data=b"abc", headers=right))[0] == 200
        assert (await caller.call("GET", places["file_url"], headers={}))[1] == b"abc"


async def test_results_expire_sooner_when_they_are_large() -> None:
    async with open_fal() as caller:
        submitted = [await caller.submit(), await caller.submit(sync_mode=True)]
        unstored = {**AUTH, "X-Fal-Store-IO": "0"}
        submitted.append((await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=unstored))[1])
        for each in submitted:
            await caller.finished(each)
        for seconds, expected in ((0, [200, 200, 200]), (361, [200, 404, 200]), (3_600, [200, 404, 404])):
            await caller.call("POST", "/sandbox/clock", json={"advance": seconds})
            codes = [(await caller.call("GET", each["response_url"]))[0] for each in submitted]
            assert codes == expected
