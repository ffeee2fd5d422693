"""The Lumenfall stand-in keeps its promises: OpenAI's own client, unmodified, works against it, faults and all."""

import asyncio
import base64
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import openai
import pytest
from PIL import Image, ImageChops, ImageStat

from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.lumenfall.faults import FAULTS
from bot.sandbox.lumenfall.options import PublicHosts
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.schema import FORMATS
from bot.sandbox.lumenfall.server import LumenfallSandbox

KEY = "lmnfl_an-id.a-secret"
AUTH = {"Authorization": f"Bearer {KEY}"}
MODEL = "gpt-image-1.5"
FAST: dict[str, Any] = {"run_seconds": 0.02, "partial_seconds": 0.01, "one_picture": True, "key": KEY}
ORDER: dict[str, Any] = {"model": MODEL, "prompt": "a boat", "size": "1024x1024", "quality": "low"}
TRACE = "0123456789abcdef0123456789abcdef"
LOW = 9_000 + 2 * 5
"""What ORDER costs in micro-dollars: a picture, and two tokens of text."""


@dataclass
class Caller:
    """OpenAI's client and a small HTTP client of the stand-in."""

    sandbox: LumenfallSandbox
    http: aiohttp.ClientSession
    openai: openai.AsyncOpenAI

    async def call(self, method: str, url: str, **more: Any) -> tuple[int, Any, Any]:
        full = url if url.startswith("http") else self.sandbox.url + url
        async with self.http.request(method, full, **{"headers": AUTH, **more}) as answer:
            raw = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, json.loads(raw) if "json" in kind and raw else raw, answer.headers

    async def generate(self, *, headers: dict[str, str] | None = None, **body: Any) -> tuple[int, Any, Any]:
        more = {"json": {**ORDER, **body}, "headers": {**AUTH, **(headers or {})}}
        return await self.call("POST", "/openai/v1/images/generations", **more)

    async def edit(self, *files: tuple[str, bytes], **body: Any) -> tuple[int, Any, Any]:
        form = aiohttp.FormData()
        for name, value in {**ORDER, **body}.items():
            form.add_field(name, str(value))
        for name, content in files:
            form.add_field(name, content, filename=f"{name}.png", content_type="image/png")
        return await self.call("POST", "/openai/v1/images/edits", data=form)

    async def history(self, **query: str) -> Any:
        status, answer, _ = await self.call("GET", "/v1/requests", params=query)
        assert status == 200, answer
        return answer["data"]

    async def accepted(self) -> GatewayRequest:
        """The first request, as soon as work on it began."""
        async with asyncio.timeout(10):
            while not self.sandbox.requests:  # noqa: ASYNC110 - what counts is what the other side has seen
                await asyncio.sleep(0.005)
        return next(iter(self.sandbox.requests.values()))

    def set(self, name: str, **values: Any) -> None:
        self.sandbox.faults.set(name, **{"times": 1, **values})


@asynccontextmanager
async def opened(*, retries: int = 0, **options: Any) -> AsyncIterator[Caller]:
    async with (
        LumenfallSandbox(**{**FAST, **options}) as sandbox,
        aiohttp.ClientSession() as http,
        openai.AsyncOpenAI(api_key=KEY, base_url=sandbox.base_url, max_retries=retries, timeout=10) as client,
    ):
        yield Caller(sandbox, http, client)


def picture_of(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def decoded(text: str | None) -> Image.Image:
    return picture_of(base64.b64decode(text or "", validate=True))


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PHOTO = file_of(Image.radial_gradient("L").convert("RGB"))
MASK = file_of(Image.new("RGBA", (256, 256), (0, 0, 0, 255)))
HOLE = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
HOLE.paste((0, 0, 0, 0), (0, 0, 128, 256))


# --------------------------------------------------------------------------------------- OpenAI's own client


async def test_openais_client_generates_links_that_anyone_may_fetch() -> None:
    async with opened() as caller:
        answer = await caller.openai.images.with_raw_response.generate(**ORDER, n=2)
        result = answer.parse()
        assert result.data is not None
        assert len(result.data) == 2
        assert result.data[0].revised_prompt == "a boat, in fine detail"
        assert result.data[1].revised_prompt is None
        for item in result.data:
            status, content, headers = await caller.call("GET", str(item.url), headers={})
            assert (status, headers["Content-Type"]) == (200, "image/png")
            assert picture_of(content).size == (1024, 1024)
        assert caller.sandbox.calls[-1]["authorization"] is None
        (record,) = caller.sandbox.requests.values()
        assert answer.headers["X-Lumenfall-Request-Id"] == record.request_id
        assert (answer.headers["X-Lumenfall-Provider"], answer.headers["X-Lumenfall-Model"]) == ("openai", MODEL)


async def test_the_answer_tells_who_did_it_and_the_price() -> None:
    async with opened(tells_usage=True) as caller:
        result = await caller.openai.images.generate(**ORDER)
        told = result.to_dict()
        assert told["size"] == "1024x1024"
        assert str(told["id"]).startswith("req_")
        metadata: Any = told["metadata"]
        assert metadata["executed_model"] == f"openai/{MODEL}"
        assert (metadata["model"], metadata["provider"], metadata["provider_name"]) == (MODEL, "openai", "OpenAI")
        assert (metadata["cost"], metadata["cost_currency"]) == (LOW / 1_000_000, "USD")
        assert metadata["attempts"] == [{"provider": "openai", "status": "success"}]
        assert result.usage is not None
        assert (result.usage.input_tokens, result.usage.output_tokens) == (2, 272)


@pytest.mark.parametrize("kind", FORMATS)
async def test_openais_client_gets_base64_in_each_format(kind: Any) -> None:
    async with opened() as caller:
        more = {"response_format": "b64_json", "output_format": kind, "size": "1536x1024"}
        result = await caller.openai.images.generate(**{**ORDER, **more})
        assert result.data is not None
        image = decoded(result.data[0].b64_json)
        assert (image.format, image.size) == (kind.upper(), (1536, 1024))
        assert not caller.sandbox.state()["files"]["count"]


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "avif"])
async def test_a_transparent_background_is_transparent(kind: Any) -> None:
    async with opened() as caller:
        more = {"response_format": "b64_json", "output_format": kind, "background": "transparent"}
        result = await caller.openai.images.generate(**{**ORDER, **more})
        assert result.data is not None
        assert decoded(result.data[0].b64_json).convert("RGBA").getchannel("A").getextrema() == (0, 255)


async def test_compression_makes_smaller_pictures() -> None:
    async with opened() as caller:
        sizes = []
        for compression in (10, 90):
            more = {"response_format": "b64_json", "output_format": "jpeg", "output_compression": compression}
            result = await caller.openai.images.generate(**{**ORDER, **more})
            assert result.data is not None
            assert decoded(result.data[0].b64_json).format == "JPEG"
            sizes.append(len(str(result.data[0].b64_json)))
        assert sizes[0] < sizes[1] / 2


async def test_openais_client_edits_only_where_the_mask_is_open() -> None:
    async with opened() as caller:
        images = [("a.png", PHOTO, "image/png"), ("b.jpg", file_of(picture_of(PHOTO), "JPEG"), "image/jpeg")]
        result = await caller.openai.images.edit(
            model=MODEL,
            prompt="night",
            image=images,
            mask=("mask.png", file_of(HOLE), "image/png"),
            response_format="b64_json",
            input_fidelity="high",
            quality="low",
        )
        assert result.data is not None
        edited, source = decoded(result.data[0].b64_json), picture_of(PHOTO).resize((1024, 1024))
        difference = ImageChops.difference(edited.convert("RGB"), source)
        changed, kept = difference.crop((0, 0, 500, 1024)), difference.crop((524, 0, 1024, 1024))
        assert max(ImageStat.Stat(changed).mean) > 10 > max(ImageStat.Stat(kept).mean)
        (record,) = caller.sandbox.requests.values()
        assert [file["field"] for file in record.files] == ["image[]", "image[]", "mask"]
        assert record.files[0] == {
            "field": "image[]",
            "name": "a.png",
            "type": "image/png",
            "bytes": len(PHOTO),
        }
        assert record.cost_micros == 9_000 + 2 * 5 + 2 * 3_050 * 8


async def test_openais_client_edits_one_picture_into_its_own_shape() -> None:
    async with opened() as caller:
        tall = file_of(Image.new("RGB", (80, 120), "red"), "WEBP")
        result = await caller.openai.images.edit(model=MODEL, prompt="snow", image=tall, quality="low", n=2)
        assert result.data is not None
        assert len(result.data) == 2
        _, content, _ = await caller.call("GET", str(result.data[0].url), headers={})
        assert picture_of(content).size == (1024, 1536)
        assert [file["field"] for file in caller.sandbox.state()["requests"][0]["files"]] == ["image"]


async def test_openais_client_streams_a_generation() -> None:
    async with opened(stream_metadata=True) as caller:
        stream = await caller.openai.images.generate(**ORDER, stream=True, partial_images=2)
        events = [event async for event in stream]
        assert [event.type for event in events] == [
            "image_generation.partial_image",
            "image_generation.partial_image",
            "image_generation.completed",
        ]
        partials = [event.partial_image_index for event in events if event.type.endswith("partial_image")]
        assert partials == [0, 1]
        pictures = [decoded(event.b64_json).convert("RGB") for event in events]
        assert {picture.size for picture in pictures} == {(1024, 1024)}
        away = [max(ImageStat.Stat(ImageChops.difference(each, pictures[2])).rms) for each in pictures]
        assert away[0] > away[1] > away[2] == 0
        last: Any = events[-1]
        assert (last.usage.input_tokens, last.usage.output_tokens, last.usage.total_tokens) == (2, 272, 274)
        assert (last.size, last.quality, last.output_format) == ("1024x1024", "low", "png")
        assert last.metadata["cost"] == LOW / 1_000_000
        assert caller.sandbox.state()["billed_micros"] == LOW


async def test_openais_client_streams_an_edit() -> None:
    async with opened() as caller:
        stream = await caller.openai.images.edit(
            model=MODEL, prompt="night", image=PHOTO, output_format="jpeg", stream=True, partial_images=1
        )
        events = [event async for event in stream]
        assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
        assert [decoded(event.b64_json).format for event in events] == ["JPEG", "JPEG"]


async def test_a_stream_that_is_refused_is_an_error_and_no_stream() -> None:
    async with opened() as caller:
        with pytest.raises(openai.BadRequestError, match="safety system"):
            await caller.openai.images.generate(**{**ORDER, "prompt": "forbidden fruit"}, stream=True)


async def test_streams_may_be_ignored() -> None:
    async with opened(streams=False) as caller:
        status, answer, _ = await caller.generate(stream=True, partial_images=2)
        assert (status, list(answer["data"][0])) == (200, ["url", "revised_prompt"])


@pytest.mark.parametrize(
    ("fault", "values", "kind", "code"),
    [
        ("invalid_request", {"body": "no"}, openai.BadRequestError, "INVALID_REQUEST"),
        ("content_policy", {}, openai.BadRequestError, "CONTENT_POLICY_VIOLATION"),
        ("unauthorized", {}, openai.AuthenticationError, "AUTHENTICATION_FAILED"),
        ("insufficient_balance", {}, openai.APIStatusError, "INSUFFICIENT_BALANCE"),
        ("model_not_found", {}, openai.NotFoundError, "MODEL_NOT_FOUND"),
        ("model_disabled", {}, openai.NotFoundError, "MODEL_DISABLED"),
        ("rate_limited", {"retry_after": "7"}, openai.RateLimitError, "RATE_LIMITED"),
        ("exhausted", {}, openai.InternalServerError, "ALL_PROVIDERS_EXHAUSTED"),
        ("hidden_moderation", {}, openai.InternalServerError, "ALL_PROVIDERS_EXHAUSTED"),
        ("upstream_error", {"status": 400, "body": "x"}, openai.BadRequestError, "UPSTREAM_ERROR"),
        ("upstream_error", {"status": 503}, openai.InternalServerError, "UPSTREAM_ERROR"),
        ("internal_error", {}, openai.InternalServerError, "INTERNAL_ERROR"),
    ],
)
async def test_errors_are_openais_own_classes(
    fault: str, values: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    async with opened() as caller:
        caller.set(fault, **values)
        with pytest.raises(kind) as caught:
            await caller.openai.images.generate(**ORDER)
        assert caught.value.code == code
        assert caught.value.type
        assert caught.value.response.headers.get("Retry-After") == values.get("retry_after")
        if fault == "hidden_moderation":
            assert "safety system" in caught.value.message
        assert caller.sandbox.state()["billed_micros"] == 0
        if code != "AUTHENTICATION_FAILED":
            (record,) = await caller.history()
            assert record["error_code"] == code
            assert record["id"] == caught.value.response.headers["X-Lumenfall-Request-Id"]
            ours = code in ("ALL_PROVIDERS_EXHAUSTED", "UPSTREAM_ERROR", "INTERNAL_ERROR")
            assert record["status"] == ("upstream_failure" if ours else "rejected")


async def test_openais_client_pays_twice_when_an_answer_is_lost() -> None:
    async with opened(retries=1) as caller:
        caller.set("lost")
        await caller.openai.images.generate(**ORDER, user="job-7")
        state = caller.sandbox.state()
        assert (state["submits"], state["accepted"], state["billed_micros"]) == (2, 2, 2 * LOW)
        assert [len(ids) for ids in state["duplicates"]] == [2]
        first, second = caller.sandbox.requests.values()
        assert (first.lost, second.lost) == (True, False)
        assert (first.status, second.status) == ("completed", "completed")
        assert [call["status"] for call in state["calls"]] == [None, 200]
        assert second.headers["x-stainless-retry-count"] == "1"


async def test_a_connection_that_was_refused_is_safe_to_try_again() -> None:
    async with opened(retries=1) as caller:
        caller.set("refused")
        await caller.openai.images.generate(**ORDER)
        state = caller.sandbox.state()
        assert (state["submits"], state["accepted"], state["duplicates"]) == (2, 1, [])


async def test_openais_client_and_spoilt_answers() -> None:
    async with opened() as caller:
        for fault, kind in (
            ("answer_truncated", json.JSONDecodeError),
            ("answer_reset", openai.APIConnectionError),
            ("lost", openai.APIConnectionError),
            ("ingress", openai.InternalServerError),
        ):
            caller.set(fault)
            with pytest.raises(kind):
                await caller.openai.images.generate(**ORDER)
        assert caller.sandbox.state()["billed_micros"] == 3 * LOW
        caller.set("answer_type")
        result = await caller.openai.images.generate(**ORDER)
        assert result.data is not None


@pytest.mark.parametrize(("cancels", "status", "cost"), [(False, "completed", LOW), (True, "cancelled", 0)])
async def test_work_goes_on_when_its_caller_hangs_up_or_ends(cancels: bool, status: str, cost: int) -> None:
    async with opened(run_seconds=1, cancels_on_disconnect=cancels) as caller:
        asking = asyncio.create_task(caller.openai.images.generate(**ORDER))
        record = await caller.accepted()
        asking.cancel()
        await asyncio.wait_for(record.finished.wait(), 10)
        assert (record.status, record.lost, record.cost_micros) == (status, True, cost)
        assert caller.sandbox.state()["billed_micros"] == cost
        assert not record.pictures


async def test_openais_client_lists_models_until_one_is_switched_off() -> None:
    async with opened() as caller:
        assert [model.id async for model in caller.openai.models.list()] == ["gpt-image-1", MODEL]
        assert (await caller.openai.models.retrieve(MODEL)).owned_by == "openai"
        caller.sandbox.faults.set("model_disabled", endpoint=MODEL, since="2999-01-01")
        await caller.openai.images.generate(**ORDER)
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        assert [model.id async for model in caller.openai.models.list()] == ["gpt-image-1"]
        for act in (caller.openai.models.retrieve(MODEL), caller.openai.images.generate(**ORDER)):
            with pytest.raises(openai.NotFoundError):
                await act
        await caller.openai.images.generate(**{**ORDER, "model": "gpt-image-1"})


# ------------------------------------------------------------------------------------------------- the order


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
    async with opened() as caller:
        _, answer, _ = await caller.generate(**asked, output_format="jpeg")
        assert answer["size"] == f"{size[0]}x{size[1]}"
        _, content, _ = await caller.call("GET", answer["data"][0]["url"], headers={})
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
async def test_what_is_wrong_is_refused_and_free(wrong: dict[str, Any]) -> None:
    async with opened() as caller:
        status, answer, headers = await caller.generate(**wrong)
        assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
        assert set(answer["error"]) == {"message", "type", "code"}
        assert headers["X-Lumenfall-Request-Id"].startswith("req_")
        assert not caller.sandbox.requests
        assert (await caller.history())[0]["status"] == "rejected"


async def test_the_prompt_cap_can_be_lowered() -> None:
    async with opened(prompt_cap=1_000) as caller:
        assert (await caller.generate(prompt="x" * 1_000))[0] == 200
        status, answer, _ = await caller.generate(prompt="x" * 1_001)
        assert status == 400
        assert "Too big: expected string to have <=1000 characters" in answer["error"]["message"]


async def test_generations_take_json_and_edits_multipart() -> None:
    async with opened() as caller:
        for path, body in (
            ("edits", {"json": ORDER}),
            ("generations", {"data": aiohttp.FormData({"prompt": "x"})}),
            ("generations", {"data": b"{", "headers": {**AUTH, "Content-Type": "application/json"}}),
            ("generations", {"json": [1]}),
        ):
            status, answer, _ = await caller.call("POST", f"/openai/v1/images/{path}", **body)
            assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


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
    async with opened() as caller:
        status, answer, _ = await caller.edit(*files)
        assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
        assert not caller.sandbox.requests


async def test_unknown_parameters_pass_and_secrets_are_not_kept() -> None:
    async with opened() as caller:
        status, _, _ = await caller.generate(style="vivid", seed=[1], openai_api_key="sk-hidden", user="job-1")
        assert status == 200
        status, _, _ = await caller.edit(("image[]", PHOTO), ("mask", MASK), style="vivid", n=1)
        assert status == 200
        drawn, edited = caller.sandbox.state()["requests"]
        assert (drawn["fields"]["style"], drawn["fields"]["seed"], drawn["user"]) == ("vivid", [1], "job-1")
        assert edited["fields"]["style"] == "vivid"
        told = json.dumps(caller.sandbox.state())
        assert "sk-hidden" not in told
        assert "a-secret" not in told
        assert base64.b64encode(PHOTO[:60]).decode() not in told


async def test_a_key_is_asked_for_everywhere() -> None:
    async with opened() as caller:
        get = ("/openai/v1/models", f"/openai/v1/models/{MODEL}", f"/v1/models/{MODEL}", "/v1/balance")
        paths = [("GET", path) for path in (*get, "/v1/requests", "/v1/requests/req_1")]
        paths += [("POST", "/openai/v1/images/generations"), ("DELETE", "/v1/requests/req_1/payloads")]
        for method, path in paths:
            for given in (None, KEY, f"Key {KEY}", "Bearer lmnfl_other.secret", "Bearer sk-1"):
                headers = {"Authorization": given} if given else {}
                status, answer, _ = await caller.call(method, path, headers=headers)
                assert (status, answer["error"]["code"]) == (401, "AUTHENTICATION_FAILED")
        caller.sandbox.key = None
        headers = {"Authorization": "Bearer lmnfl_other.secret"}
        assert (await caller.call("GET", "/v1/balance", headers=headers))[0] == 200
        assert KEY not in json.dumps(caller.sandbox.state())


async def test_routes_take_turns_and_may_be_forced() -> None:
    async with opened(routes=("fal", "replicate")) as caller:
        told = [(await caller.generate())[1]["metadata"]["provider_name"] for _ in range(3)]
        assert told == ["fal.ai", "Replicate", "fal.ai"]
        _, answer, headers = await caller.generate(model=f"fal/{MODEL}", sync_mode=True)
        assert (headers["X-Lumenfall-Provider"], headers["X-Lumenfall-Model"]) == ("fal", MODEL)
        assert answer["data"][0]["url"].startswith("data:image/png;base64,")
        assert (await caller.generate(model=f"vertex/{MODEL}"))[1]["error"]["code"] == "MODEL_NOT_FOUND"
        caller.sandbox.accepts_prefix = False
        assert (await caller.generate(model=f"fal/{MODEL}"))[0] == 404
        caller.set("failover")
        attempts = (await caller.generate())[1]["metadata"]["attempts"]
        assert [each["status"] for each in attempts] == ["failed", "success"]


# ------------------------------------------------------------------------------------------ money and memory


async def test_a_dry_run_tells_the_price_in_two_shapes_and_is_free() -> None:
    async with opened() as caller:
        path = "/openai/v1/images/generations?dryRun=true"
        order = {**ORDER, "model": "gpt-image-1", "quality": "medium", "size": "1536x1024", "n": 3}
        _, answer, _ = await caller.call("POST", path, json=order)
        assert (answer["estimated"], answer["provider"], answer["currency"]) == (True, "openai", "USD")
        assert answer["total_cost_micros"] == 3 * 63_000 + 10
        assert answer["components"][0] == {
            "type": "output",
            "metric": "image",
            "quantity": 3,
            "billable_quantity": 3,
            "unit_price": 0.063,
            "total_cost": 189_000,
        }
        caller.sandbox.dry_run_in_metadata = True
        _, answer, _ = await caller.call("POST", path, json=order)
        assert "total_cost_micros" not in answer
        assert answer["metadata"]["cost"] == 0.18901
        assert (await caller.call("POST", path, json={**order, "quality": "auto"}))[0] == 400
        state = caller.sandbox.state()
        assert (state["submits"], state["requests"], state["billed_micros"]) == (0, [], 0)


async def test_a_dry_run_of_an_edit_costs_what_the_edit_costs() -> None:
    async with opened() as caller:
        form = aiohttp.FormData(ORDER)
        form.add_field("image", PHOTO, filename="a.png", content_type="image/png")
        _, answer, _ = await caller.call("POST", "/openai/v1/images/edits?dryRun=true", data=form)
        assert [part["metric"] for part in answer["components"]] == ["image", "text_token", "image_token"]
        _, real, _ = await caller.edit(("image", PHOTO))
        assert real["metadata"]["cost"] == answer["total_cost_micros"] / 1_000_000


async def test_the_balance_falls_and_ends() -> None:
    async with opened(balance=0.01) as caller:
        expected = {"object": "balance", "billing_type": "prepaid"}
        _, answer, _ = await caller.call("GET", "/v1/balance")
        assert answer == {**expected, "available": {"amount": 0.01, "currency": "usd"}}
        assert (await caller.generate())[0] == 200
        status, answer, _ = await caller.generate()
        assert (status, answer["error"]["code"]) == (402, "INSUFFICIENT_BALANCE")
        assert answer["error"]["message"] == "Insufficient balance: $0.01 required, $0.00 available"
        caller.sandbox.balance = None
        assert (await caller.generate())[0] == 200
        _, answer, _ = await caller.call("GET", "/v1/balance")
        assert (answer["billing_type"], answer["available"]["amount"]) == ("postpaid", None)


async def test_work_in_hand_counts_against_the_balance() -> None:
    async with opened(balance=0.01, run_seconds=0.2) as caller:
        results = await asyncio.gather(caller.generate(), caller.generate())
        assert sorted(status for status, _, _ in results) == [200, 402]


async def test_the_history_finds_a_lost_request_by_its_trace() -> None:
    async with opened(run_seconds=0.8) as caller:
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
    async with opened() as caller:
        for number in range(5):
            await caller.generate(user=f"job-{number}")
        seen, url = [], "/v1/requests?limit=2&summary=true"
        while url:
            _, answer, _ = await caller.call("GET", url)
            assert answer["summary"] == {"total_cost": 5 * LOW / 1_000_000, "currency": "usd", "count": 5}
            seen += [record["user"] for record in answer["data"]]
            last, url = answer, answer["next_page_url"]
        assert seen == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
        _, answer, _ = await caller.call("GET", last["previous_page_url"])
        assert [record["user"] for record in answer["data"]] == ["job-2", "job-1"]
        both = {"starting_after": "x", "ending_before": "y"}
        for query in ({"limit": "0"}, {"limit": "101"}, {"starting_after": "x"}, both, {"created_after": "now"}):
            assert (await caller.call("GET", "/v1/requests", params=query))[0] == 400


async def test_the_history_is_filtered() -> None:
    async with opened() as caller:
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


async def test_payloads_are_kept_when_asked_and_can_be_purged() -> None:
    async with opened(stores_payloads=True) as caller:
        _, answer, _ = await caller.generate(response_format="b64_json")
        path = f"/v1/requests/{answer['id']}"
        _, record, _ = await caller.call("GET", path)
        (item,) = record["payloads"]["response"]["data"]
        _, content, _ = await caller.call("GET", item["url"], headers={})
        assert content == base64.b64decode(answer["data"][0]["b64_json"])
        assert (await caller.call("DELETE", f"{path}/payloads"))[0] == 200
        assert (await caller.call("GET", item["url"], headers={}))[0] == 404
        assert (await caller.call("GET", path))[1]["payloads"] is None


async def test_links_expire_and_may_begin_elsewhere() -> None:
    async with opened(url_seconds=3_600) as caller:
        _, answer, _ = await caller.generate()
        url = answer["data"][0]["url"]
        caller.sandbox.age(3_599)
        assert (await caller.call("GET", url, headers={}))[0] == 200
        await caller.call("POST", "/sandbox/clock", json={"advance": 2})
        assert (await caller.call("GET", url, headers={}))[0] == 404
        caller.sandbox.hosts = PublicHosts(media="https://media.lumenfall.ai")
        _, answer, _ = await caller.generate()
        assert answer["data"][0]["url"].startswith("https://media.lumenfall.ai/files/")


async def test_a_mock_is_free_and_leaves_no_trace() -> None:
    async with opened(run_seconds=30) as caller:
        for mode in ("mock", "replay-or-mock"):
            _, answer, headers = await caller.generate(headers={"X-Lumenfall-Replay": mode}, n=2)
            assert (answer["metadata"]["cost"], headers["X-Lumenfall-Provider"]) == (0, "mock")
            _, content, _ = await caller.call("GET", answer["data"][1]["url"], headers={})
            assert picture_of(content).size == (1024, 1024)
        status, answer, _ = await caller.generate(headers={"X-Lumenfall-Replay": "replay-or-error"})
        assert (status, answer["error"]["code"]) == (404, "RECORDING_NOT_FOUND")
        assert (await caller.generate(headers={"X-Lumenfall-Replay": "nonsense"}))[0] == 400
        assert caller.sandbox.state()["billed_micros"] == 0
        assert not caller.sandbox.requests


async def test_a_model_tells_its_parameters() -> None:
    async with opened() as caller:
        _, answer, _ = await caller.call("GET", f"/v1/models/{MODEL}?schema=true")
        assert answer["schema"]["required"] == ["model", "prompt"]
        assert answer["schema"]["properties"]["n"]["maximum"] == 10
        assert "schema" not in (await caller.call("GET", f"/v1/models/{MODEL}"))[1]
        assert (await caller.call("GET", "/v1/models/nobody"))[0] == 404


# ---------------------------------------------------------------------------------------------------- faults


async def test_faults_are_set_counted_and_cleared_over_http() -> None:
    async with opened() as caller:
        order = {"set": [{"name": "internal_error", "status": 503, "times": 2}, {"name": "rate_limited"}]}
        status, answer, _ = await caller.call("POST", "/sandbox/faults", json=order)
        assert (status, len(answer["on"])) == (200, 2)
        assert set(answer["known"]) == set(FAULTS)
        assert (await caller.generate())[0] == 429
        await caller.call("POST", "/sandbox/faults", json={"clear": ["rate_limited"]})
        assert [(await caller.generate())[0] for _ in range(3)] == [503, 503, 200]
        _, answer, _ = await caller.call("GET", "/sandbox/faults")
        assert answer["struck"] == {"internal_error": 2, "rate_limited": 1}
        for bad in ({"set": [{"name": "nonsense"}]}, {"set": [{"name": "cdn_redirect"}]}, [1]):
            assert (await caller.call("POST", "/sandbox/faults", json=bad))[0] == 400
        assert (await caller.call("POST", "/sandbox/clock", json={}))[0] == 400
        _, state, _ = await caller.call("GET", "/sandbox/state")
        assert (state["submits"], state["accepted"]) == (4, 3)


async def test_error_envelopes_of_other_days() -> None:
    async with opened() as caller:
        for shape in (None, "nested"):
            caller.set("flat_errors", body=shape)
            _, answer, _ = await caller.generate(quality="auto")
            told = answer["error"] if shape else answer
            assert told["error_code"] == "INVALID_REQUEST"
            assert told["message"].startswith("quality:")


async def test_an_ingress_page_has_no_request_id_and_accepts_nothing() -> None:
    async with opened() as caller:
        caller.set("ingress", status=504)
        status, answer, headers = await caller.generate()
        assert (status, answer[:6], "X-Lumenfall-Request-Id" in headers) == (504, b"<html>", False)
        assert caller.sandbox.state()["requests"] == []


async def test_a_failed_run_may_cost_something() -> None:
    async with opened() as caller:
        caller.set("exhausted", body="all tired")
        caller.set("failure_billed", size=1_234)
        status, answer, _ = await caller.generate()
        assert (status, answer["error"]["message"]) == (502, "all tired")
        (record,) = await caller.history()
        assert (record["status"], record["cost"]) == ("upstream_failure", 0.001234)
        assert record["error_message"] == "all tired"


@pytest.mark.parametrize("kind", ["history", "dry_run"])
async def test_spoilt_answers_then_the_right_one(kind: str) -> None:
    async with opened() as caller:

        async def ask() -> tuple[int, Any, Any]:
            if kind == "history":
                return await caller.call("GET", "/v1/requests")
            return await caller.call("POST", "/openai/v1/images/generations?dryRun=true", json=ORDER)

        for name in ("error", "html", "truncated", "reset"):
            caller.set(f"{kind}_{name}")
        assert (await ask())[0] == 500
        status, answer, _ = await ask()
        assert (status, answer[:6]) == (200, b"<html>")
        with pytest.raises(json.JSONDecodeError):
            await ask()
        with pytest.raises(aiohttp.ClientError):
            await ask()
        caller.set(f"{kind}_slow", seconds=0.2)
        begun = time.monotonic()
        assert (await ask())[0] == 200
        assert time.monotonic() - begun >= 0.2


async def test_answers_that_come_late_slowly_or_strangely() -> None:
    async with opened() as caller:
        caller.set("answer_html")
        assert (await caller.generate())[1][:6] == b"<html>"
        caller.set("answer_html", status=524)
        assert (await caller.generate())[0] == 524
        caller.set("answer_huge", size=100_000)
        assert int((await caller.generate())[2]["Content-Length"]) >= 100_000
        odd: tuple[Any, ...] = ({"data": None}, [], "text", None, {"error": {"message": "no"}})
        for body in odd:
            caller.set("answer_odd", body=body, status=200)
            assert (await caller.generate())[:2] == (200, body)
        caller.set("answer_trickle", size=200, seconds=0.01)
        assert (await caller.generate())[1]["data"][0]["url"]
        begun = time.monotonic()
        caller.set("answer_slow", seconds=0.2)
        assert (await caller.generate())[0] == 200
        assert time.monotonic() - begun >= 0.2
        assert caller.sandbox.state()["billed_micros"] == 10 * LOW


async def test_answers_without_what_they_should_have() -> None:
    async with opened() as caller:
        caller.set("no_metadata")
        assert "metadata" not in (await caller.generate())[1]
        garbage: tuple[Any, ...] = (None, -1, "0.1", {})
        for cost in garbage:
            caller.set("garbage_cost", body=cost)
            told = (await caller.generate())[1]["metadata"]["cost"]
            assert told == ("a lot" if cost is None else cost)
        caller.set("no_pictures")
        assert (await caller.generate())[1]["data"] == []
        caller.set("empty_item")
        assert (await caller.generate())[1]["data"] == [{}]
        caller.set("not_base64")
        assert (await caller.generate(response_format="b64_json"))[1]["data"][0]["b64_json"] == "%%%"
        caller.set("fewer_pictures")
        _, answer, _ = await caller.generate(n=3)
        assert (len(answer["data"]), answer["metadata"]["cost"]) == (2, (2 * 9_000 + 10) / 1_000_000)
        caller.set("foreign_picture", url="https://elsewhere.invalid/a.png")
        assert (await caller.generate())[1]["data"][0]["url"] == "https://elsewhere.invalid/a.png"


async def test_pictures_that_are_not_what_they_should_be() -> None:
    async with opened() as caller:
        for name, more in (("wrong_type", {}), ("not_a_picture", {}), ("bomb", {"count": 20_000})):
            caller.set(name, **more)
            _, answer, _ = await caller.generate()
            _, content, headers = await caller.call("GET", answer["data"][0]["url"], headers={})
            assert headers["Content-Type"] == "image/png"
            if name == "wrong_type":
                assert picture_of(content).format == "JPEG"
            elif name == "not_a_picture":
                assert content.startswith(b"<html>")
            else:
                assert content == bomb(20_000)


async def test_pictures_are_filled_up() -> None:
    async with opened(picture_bytes=2_000_000) as caller:
        for kind in ("png", "jpeg"):
            _, answer, _ = await caller.generate(output_format=kind)
            _, content, _ = await caller.call("GET", answer["data"][0]["url"], headers={})
            assert 2_000_000 <= len(content) < 2_000_020
            assert picture_of(content).format == kind.upper()


async def test_troubles_of_the_media_host() -> None:
    async with opened() as caller:
        _, answer, _ = await caller.generate()
        url = answer["data"][0]["url"]
        caller.set("cdn_redirect", url="http://elsewhere.invalid/")
        status, _, headers = await caller.call("GET", url, allow_redirects=False)
        assert (status, headers["Location"]) == (302, "http://elsewhere.invalid/")
        caller.set("cdn_reset")
        with pytest.raises(aiohttp.ClientError):
            await caller.call("GET", url)
        caller.set("cdn_huge", size=1_000_000)
        assert len((await caller.call("GET", url))[1]) == 1_000_000
        caller.set("cdn_slow", size=8, seconds=0.01)
        with pytest.raises(TimeoutError):
            await caller.call("GET", url, timeout=aiohttp.ClientTimeout(total=0.1))
        caller.set("cdn_type")
        assert (await caller.call("GET", url))[2]["Content-Type"] == "text/html"
        for status in (404, 410, 503):
            caller.set("cdn_error", status=status)
            assert (await caller.call("GET", url))[0] == status
        assert (await caller.call("GET", url))[0] == 200


async def test_streams_that_break() -> None:
    async with opened() as caller:

        async def types() -> list[str]:
            stream = await caller.openai.images.generate(**ORDER, stream=True, partial_images=1)
            return [event.type async for event in stream]

        caller.set("stream_cut")
        assert await types() == ["image_generation.partial_image"]
        for fault, kind in (
            ("stream_reset", openai.APIConnectionError),
            ("stream_garbled", json.JSONDecodeError),
            ("stream_error", openai.APIError),
        ):
            caller.set(fault)
            with pytest.raises(kind):
                await types()
        begun = time.monotonic()
        caller.set("stream_stall", seconds=0.2)
        assert len(await types()) == 2
        assert time.monotonic() - begun >= 0.2
        assert all(record.status == "completed" for record in caller.sandbox.requests.values())


@pytest.mark.parametrize("status", ["processing", "pending"])
async def test_work_that_is_stuck_stays_so_in_the_history(status: str) -> None:
    async with opened() as caller:
        caller.set("stuck", body=status)
        asking = asyncio.create_task(caller.openai.with_options(timeout=0.3).images.generate(**ORDER))
        record = await caller.accepted()
        with pytest.raises(openai.APITimeoutError):
            await asking
        _, told, _ = await caller.call("GET", f"/v1/requests/{record.request_id}")
        assert (told["status"], told["cost"], told["duration_ms"]) == (status, 0, None)


async def test_a_history_that_is_late_stale_or_broken() -> None:
    async with opened() as caller:
        _, answer, _ = await caller.generate()
        caller.sandbox.faults.set("history_late", seconds=30)
        assert await caller.history() == []
        assert (await caller.call("GET", f"/v1/requests/{answer['id']}"))[0] == 404
        caller.sandbox.age(31)
        assert len(await caller.history()) == 1
        caller.set("history_stale")
        (record,) = await caller.history()
        assert (record["status"], record["cost"]) == ("processing", 0)
        for fault, path in (("balance_error", "/v1/balance"), ("models_error", "/openai/v1/models")):
            caller.set(fault, status=503)
            assert (await caller.call("GET", path))[0] == 503
            assert (await caller.call("GET", path))[0] == 200


async def test_as_its_own_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    command = (sys.executable, "-m", "bot.sandbox.lumenfall", "--port", "0", "--one-picture")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as http, http.get(f"{url}/sandbox/state") as answer:
        assert (await answer.json())["accepted"] == 0
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert time.monotonic() - begun < 5
