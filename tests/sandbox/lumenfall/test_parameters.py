"""Parameters, input files, keys and routes."""

import base64
import json
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.support.sandbox.lumenfall import AUTH, KEY, MODEL, PHOTO, REQUEST, file_of, open_lumenfall
from tests.support.sandbox.pictures import picture_of

MASK = file_of(Image.new("RGBA", (256, 256), (0, 0, 0, 255)))


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"size": "1024x1536"}, (1024, 1536)),
        ({"size": "1254x836"}, (1254, 836)),
        ({"size": "1200x1100"}, (1200, 1100)),
        ({"size": "16:9"}, (1536, 1024)),
        ({"size": None, "aspect_ratio": "9:16", "resolution": "4K"}, (1024, 1536)),
        ({"size": "1024x1024", "aspect_ratio": "3:2"}, (1024, 1024)),
        ({"size": None}, (1024, 1024)),
    ],
)
async def test_sizes_and_shapes_are_matched(asked: dict[str, Any], size: tuple[int, int]) -> None:
    async with open_lumenfall() as caller:
        _, response, _ = await caller.generate(**asked, output_format="jpeg")
        assert response["size"] == f"{size[0]}x{size[1]}"
        _, content, _ = await caller.call("GET", response["data"][0]["url"], headers={})
        assert picture_of(content).size == size


@pytest.mark.parametrize(
    "wrong",
    [
        {"quality": "auto"},
        {"quality": "hd"},
        {"size": "auto"},
        {"size": "512x512"},
        {"size": "1:0"},
        {"aspect_ratio": "wide"},
        {"resolution": "big"},
        {"n": 0},
        {"n": 11},
        {"n": "2"},
        {"prompt": ""},
        {"prompt": None},
        {"model": None},
        {"output_format": "tiff"},
        {"output_format": "jpeg", "background": "transparent"},
        {"background": "auto"},
        {"moderation": "auto"},
        {"output_compression": 101},
        {"partial_images": 4},
        {"response_format": "png"},
        {"prompt": "x" * 32_001},
    ],
)
async def test_invalid_parameters_are_refused_and_free(wrong: dict[str, Any]) -> None:
    async with open_lumenfall() as caller:
        status, response, headers = await caller.generate(**wrong)
        assert (status, response["error"]["code"]) == (400, "INVALID_REQUEST")
        assert set(response["error"]) == {"message", "type", "code"}
        assert headers["X-Lumenfall-Request-Id"].startswith("req_")
        assert not caller.sandbox.requests
        assert (await caller.history())[0]["status"] == "rejected"


async def test_the_prompt_cap_can_be_lowered() -> None:
    async with open_lumenfall(prompt_cap=1_000) as caller:
        assert (await caller.generate(prompt="x" * 1_000))[0] == 200
        status, response, _ = await caller.generate(prompt="x" * 1_001)
        assert status == 400
        assert "Too big: expected string to have <=1000 characters" in response["error"]["message"]


async def test_generations_take_json_and_edits_multipart() -> None:
    async with open_lumenfall() as caller:
        for path, body in (
            ("edits", {"json": REQUEST}),
            ("generations", {"data": aiohttp.FormData({"prompt": "x"})}),
            ("generations", {"data": b"{", "headers": {**AUTH, "Content-Type": "application/json"}}),
            ("generations", {"json": [1]}),
        ):
            status, response, _ = await caller.call("POST", f"/openai/v1/images/{path}", **body)
            assert (status, response["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "files",
    [
        (),
        (("mask", MASK),),
        (("image", PHOTO), ("image", PHOTO)),
        (("image", PHOTO), ("image[]", PHOTO)),
        tuple(("image[]", PHOTO) for _ in range(11)),
        (("image", b"not a picture"),),
        (("image", file_of(Image.new("RGB", (8, 8)), "BMP")),),
        (("image", PHOTO), ("mask", PHOTO)),
        (("image", PHOTO), ("mask", file_of(Image.new("RGBA", (8, 8))))),
        (("image", PHOTO), ("mask", file_of(Image.new("RGBA", (256, 256)), "WEBP"))),
    ],
)
async def test_files_that_an_edit_cannot_use(files: tuple[tuple[str, bytes], ...]) -> None:
    async with open_lumenfall() as caller:
        status, response, _ = await caller.edit(*files)
        assert (status, response["error"]["code"]) == (400, "INVALID_REQUEST")
        assert not caller.sandbox.requests


async def test_unknown_parameters_are_accepted_and_secrets_not_stored() -> None:
    async with open_lumenfall() as caller:
        status, _, _ = await caller.generate(style="vivid", seed=[1], openai_api_key="sk-hidden", user="job-1")
        assert status == 200
        status, _, _ = await caller.edit(("image[]", PHOTO), ("mask", MASK), style="vivid", n=1)
        assert status == 200
        drawn, edited = caller.sandbox.state()["requests"]
        assert (drawn["fields"]["style"], drawn["fields"]["seed"], drawn["user"]) == ("vivid", [1], "job-1")
        assert edited["fields"]["style"] == "vivid"
        shown = json.dumps(caller.sandbox.state())
        assert "sk-hidden" not in shown
        assert "a-secret" not in shown
        assert base64.b64encode(PHOTO[:60]).decode() not in shown


async def test_a_key_is_required_everywhere() -> None:
    async with open_lumenfall() as caller:
        get = ("/openai/v1/models", f"/openai/v1/models/{MODEL}", f"/v1/models/{MODEL}", "/v1/balance")
        paths = [("GET", path) for path in (*get, "/v1/requests", "/v1/requests/req_1")]
        paths += [("POST", "/openai/v1/images/generations"), ("DELETE", "/v1/requests/req_1/payloads")]
        for method, path in paths:
            for given in (None, KEY, f"Key {KEY}", "Bearer lmnfl_other.secret", "Bearer sk-1"):
                headers = {"Authorization": given} if given else {}
                status, response, _ = await caller.call(method, path, headers=headers)
                assert (status, response["error"]["code"]) == (401, "AUTHENTICATION_FAILED")
        caller.sandbox.key = None
        headers = {"Authorization": "Bearer lmnfl_other.secret"}
        assert (await caller.call("GET", "/v1/balance", headers=headers))[0] == 200
        assert KEY not in json.dumps(caller.sandbox.state())


async def test_routes_take_turns_and_may_be_forced() -> None:
    async with open_lumenfall(routes=("fal", "replicate")) as caller:
        shown = [(await caller.generate())[1]["metadata"]["provider_name"] for _ in range(3)]
        assert shown == ["fal.ai", "Replicate", "fal.ai"]
        _, response, headers = await caller.generate(model=f"fal/{MODEL}", sync_mode=True)
        assert (headers["X-Lumenfall-Provider"], headers["X-Lumenfall-Model"]) == ("fal", MODEL)
        assert response["data"][0]["url"].startswith("data:image/png;base64,")
        assert (await caller.generate(model=f"vertex/{MODEL}"))[1]["error"]["code"] == "MODEL_NOT_FOUND"
        caller.sandbox.accepts_prefix = False
        assert (await caller.generate(model=f"fal/{MODEL}"))[0] == 404
        caller.set("failover")
        attempts = (await caller.generate())[1]["metadata"]["attempts"]
        assert [each["status"] for each in attempts] == ["failed", "success"]
