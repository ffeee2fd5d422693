"""OpenAI's own client, unmodified, against Lumenfall's stand-in."""

import asyncio
import base64
import json
from typing import Any

import openai
import pytest
from PIL import Image, ImageChops, ImageStat

from bot.sandbox.lumenfall.models import MODELS
from bot.sandbox.lumenfall.schema import FORMATS
from tests.support.sandbox.lumenfall import LOW, MODEL, PHOTO, REQUEST, file_of, open_lumenfall
from tests.support.sandbox.pictures import picture_of


def decoded(text: str | None) -> Image.Image:
    return picture_of(base64.b64decode(text or "", validate=True))


HOLE = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
HOLE.paste((0, 0, 0, 0), (0, 0, 128, 256))


async def test_openais_client_generates_links_that_anyone_may_fetch() -> None:
    async with open_lumenfall() as caller:
        response = await caller.openai.images.with_raw_response.generate(**REQUEST, n=2)
        result = response.parse()
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
        assert response.headers["X-Lumenfall-Request-Id"] == record.request_id
        assert (response.headers["X-Lumenfall-Provider"], response.headers["X-Lumenfall-Model"]) == (
            "openai",
            MODEL,
        )


async def test_a_response_has_the_provider_and_the_price() -> None:
    async with open_lumenfall(includes_usage=True) as caller:
        result = await caller.openai.images.generate(**REQUEST)
        shown = result.to_dict()
        assert shown["size"] == "1024x1024"
        assert str(shown["id"]).startswith("req_")
        metadata: Any = shown["metadata"]
        assert metadata["executed_model"] == f"openai/{MODEL}"
        assert (metadata["model"], metadata["provider"], metadata["provider_name"]) == (MODEL, "openai", "OpenAI")
        assert (metadata["cost"], metadata["cost_currency"]) == (LOW / 1_000_000, "USD")
        assert metadata["attempts"] == [{"provider": "openai", "status": "success"}]
        assert result.usage is not None
        assert (result.usage.input_tokens, result.usage.output_tokens) == (2, 272)


@pytest.mark.parametrize("kind", FORMATS)
async def test_openais_client_gets_base64_in_each_format(kind: Any) -> None:
    async with open_lumenfall() as caller:
        more = {"response_format": "b64_json", "output_format": kind, "size": "1536x1024"}
        result = await caller.openai.images.generate(**{**REQUEST, **more})
        assert result.data is not None
        image = decoded(result.data[0].b64_json)
        assert (image.format, image.size) == (kind.upper(), (1536, 1024))
        assert not caller.sandbox.state()["files"]["count"]


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "avif"])
async def test_a_transparent_background_is_transparent(kind: Any) -> None:
    async with open_lumenfall() as caller:
        more = {"response_format": "b64_json", "output_format": kind, "background": "transparent"}
        result = await caller.openai.images.generate(**{**REQUEST, **more})
        assert result.data is not None
        assert decoded(result.data[0].b64_json).convert("RGBA").getchannel("A").getextrema() == (0, 255)


async def test_compression_makes_smaller_pictures() -> None:
    async with open_lumenfall() as caller:
        sizes = []
        for compression in (10, 90):
            more = {"response_format": "b64_json", "output_format": "jpeg", "output_compression": compression}
            result = await caller.openai.images.generate(**{**REQUEST, **more})
            assert result.data is not None
            assert decoded(result.data[0].b64_json).format == "JPEG"
            sizes.append(len(str(result.data[0].b64_json)))
        assert sizes[0] < sizes[1] / 2


async def test_openais_client_edits_only_where_the_mask_is_open() -> None:
    async with open_lumenfall() as caller:
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
    async with open_lumenfall() as caller:
        tall = file_of(Image.new("RGB", (80, 120), "red"), "WEBP")
        result = await caller.openai.images.edit(model=MODEL, prompt="snow", image=tall, quality="low", n=2)
        assert result.data is not None
        assert len(result.data) == 2
        _, content, _ = await caller.call("GET", str(result.data[0].url), headers={})
        assert picture_of(content).size == (1024, 1536)
        assert [file["field"] for file in caller.sandbox.state()["requests"][0]["files"]] == ["image"]


async def test_openais_client_streams_a_generation() -> None:
    async with open_lumenfall(stream_metadata=True) as caller:
        stream = await caller.openai.images.generate(**REQUEST, stream=True, partial_images=2)
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
    async with open_lumenfall() as caller:
        stream = await caller.openai.images.edit(
            model=MODEL, prompt="night", image=PHOTO, output_format="jpeg", stream=True, partial_images=1
        )
        events = [event async for event in stream]
        assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
        assert [decoded(event.b64_json).format for event in events] == ["JPEG", "JPEG"]


async def test_a_stream_that_is_refused_is_an_error_and_no_stream() -> None:
    async with open_lumenfall() as caller:
        with pytest.raises(openai.BadRequestError, match="safety system"):
            await caller.openai.images.generate(**{**REQUEST, "prompt": "forbidden fruit"}, stream=True)


async def test_streams_may_be_ignored() -> None:
    async with open_lumenfall(streams=False) as caller:
        status, response, _ = await caller.generate(stream=True, partial_images=2)
        assert (status, list(response["data"][0])) == (200, ["url", "revised_prompt"])


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
    async with open_lumenfall() as caller:
        caller.set(fault, **values)
        with pytest.raises(kind) as caught:
            await caller.openai.images.generate(**REQUEST)
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


async def test_openais_client_pays_twice_when_an_response_is_lost() -> None:
    async with open_lumenfall(retries=1) as caller:
        caller.set("lost")
        await caller.openai.images.generate(**REQUEST, user="job-7")
        state = caller.sandbox.state()
        assert (state["submits"], state["accepted"], state["billed_micros"]) == (2, 2, 2 * LOW)
        assert [len(ids) for ids in state["duplicates"]] == [2]
        first, second = caller.sandbox.requests.values()
        assert (first.lost, second.lost) == (True, False)
        assert (first.status, second.status) == ("completed", "completed")
        assert [call["status"] for call in state["calls"]] == [None, 200]
        assert second.headers["x-stainless-retry-count"] == "1"


async def test_a_connection_that_was_refused_is_safe_to_try_again() -> None:
    async with open_lumenfall(retries=1) as caller:
        caller.set("refused")
        await caller.openai.images.generate(**REQUEST)
        state = caller.sandbox.state()
        assert (state["submits"], state["accepted"], state["duplicates"]) == (2, 1, [])


async def test_openais_client_and_broken_responses() -> None:
    async with open_lumenfall() as caller:
        for fault, kind in (
            ("answer_truncated", json.JSONDecodeError),
            ("answer_reset", openai.APIConnectionError),
            ("lost", openai.APIConnectionError),
            ("ingress", openai.InternalServerError),
        ):
            caller.set(fault)
            with pytest.raises(kind):
                await caller.openai.images.generate(**REQUEST)
        assert caller.sandbox.state()["billed_micros"] == 3 * LOW
        caller.set("answer_type")
        result = await caller.openai.images.generate(**REQUEST)
        assert result.data is not None


@pytest.mark.parametrize(("cancels", "status", "cost"), [(False, "completed", LOW), (True, "cancelled", 0)])
async def test_a_run_goes_on_or_stops_when_the_client_disconnects(cancels: bool, status: str, cost: int) -> None:
    async with open_lumenfall(run_seconds=1, cancels_on_disconnect=cancels) as caller:
        asking = asyncio.create_task(caller.openai.images.generate(**REQUEST))
        record = await caller.accepted()
        asking.cancel()
        await asyncio.wait_for(record.finished.wait(), 10)
        assert (record.status, record.lost, record.cost_micros) == (status, True, cost)
        assert caller.sandbox.state()["billed_micros"] == cost
        assert not record.pictures


async def test_openais_client_lists_models_until_one_is_switched_off() -> None:
    async with open_lumenfall() as caller:
        assert [model.id async for model in caller.openai.models.list()] == [*MODELS]
        assert (await caller.openai.models.retrieve(MODEL)).owned_by == "openai"
        caller.sandbox.faults.set("model_disabled", endpoint=MODEL, since="2999-01-01")
        await caller.openai.images.generate(**REQUEST)
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        assert [model.id async for model in caller.openai.models.list()] == [m for m in MODELS if m != MODEL]
        for act in (caller.openai.models.retrieve(MODEL), caller.openai.images.generate(**REQUEST)):
            with pytest.raises(openai.NotFoundError):
                await act
        await caller.openai.images.generate(**{**REQUEST, "model": "gpt-image-1"})
