"""The Oxen stand-in keeps Oxen's promises: the four ways of its page work against it, and so do its faults."""

import asyncio
import base64
import io
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops

from bot.sandbox import painter
from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.oxen.faults import FAULTS
from bot.sandbox.oxen.options import ErrorShape, SchemaName
from bot.sandbox.oxen.records import TERMINAL, Generation
from bot.sandbox.oxen.server import OxenSandbox

jsonschema: Any = import_module("jsonschema")  # it has no types
KEY = "an-oxen-key"
AUTH = {"Authorization": f"Bearer {KEY}"}
MODEL, NEXT = "gpt-image-1-5", "gpt-image-2"
ORDER: dict[str, Any] = {"model": MODEL, "prompt": "a boat"}
FAST: dict[str, Any] = {"queue_seconds": 0.02, "run_seconds": 0.02, "one_picture": True}
PLAIN: dict[str, Any] = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""For httpx: no proxies, and no reading of the certificates that plain http never needs."""
NOT_FOUND = {
    "error": {"type": "resource_not_found", "title": "The requested resource could not be found"},
    "status": "error",
    "status_message": "resource_not_found",
}


# --------------------------------------------------------------------------------- the page's ways, in our words


async def paint_and_wait(http: httpx.AsyncClient, api: str, order: dict[str, Any]) -> dict[str, Any]:
    """Sync: one call, and its answer has the picture's link."""
    answer = await http.post(f"{api}/ai/images/generate", json=order)
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


async def enqueue(http: httpx.AsyncClient, api: str, order: dict[str, Any]) -> str:
    """Async, first half: the id of the first generation."""
    answer = await http.post(f"{api}/ai/queue", json=order)
    answer.raise_for_status()
    return str(answer.json()["generations"][0]["generation_id"])


async def poll(http: httpx.AsyncClient, api: str, generation_id: str) -> dict[str, Any]:
    """Async, second half: ask until the row has come to its end."""
    async with asyncio.timeout(20):
        while True:
            row: dict[str, Any] = (await http.get(f"{api}/ai/queue/{generation_id}")).json()
            if row["status"] in {"succeeded", "failed", "cancelled"}:
                return row
            await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(http: httpx.AsyncClient, api: str) -> AsyncIterator[AsyncIterator[str]]:
    """Async with events: the stream's lines; who has its headers misses nothing from then on."""
    async with http.stream("GET", f"{api}/events", timeout=20) as answer:
        answer.raise_for_status()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield answer.aiter_lines()


async def completion(lines: AsyncIterator[str], generation_id: str) -> dict[str, Any]:
    """Read on until the stream tells of this generation."""
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and name == "media_generation_completed":
            told: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if told.get("generation_id") == generation_id:
                return told
    raise EOFError("the stream has ended")


# ------------------------------------------------------------------------------------------------------- helpers


@dataclass
class Caller:
    """A small HTTP client of the stand-in."""

    sandbox: OxenSandbox
    http: httpx.AsyncClient

    @property
    def api(self) -> str:
        return self.sandbox.base_url

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = await self.http.request(method, path if path.startswith("http") else self.api + path, **more)
        return answer.status_code, answer.json()

    async def submit(self, **more: Any) -> str:
        return await enqueue(self.http, self.api, {**ORDER, **more})

    async def outcome(self, **more: Any) -> dict[str, Any]:
        return await poll(self.http, self.api, await self.submit(**more))

    async def picture(self, row: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.http.get(row["result_url"], **more)

    async def reaches(self, generation_id: str, status: str) -> Generation:
        """Wait until the row is in this state."""
        row = self.sandbox.generations[generation_id]
        async with asyncio.timeout(20):
            while row.status != status:
                await row.changed.wait()
        return row


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Caller]:
    async with (
        OxenSandbox(**{**FAST, **options}) as sandbox,
        httpx.AsyncClient(headers=AUTH, **PLAIN, timeout=20) as http,
    ):
        yield Caller(sandbox, http)


def picture_of(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def data_uri(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(painter.encode(image, "png")).decode()


RED = data_uri(Image.new("RGB", (64, 48), "red"))


# ------------------------------------------------------------------------------------------------- the page's ways


async def test_sync_gives_a_link() -> None:
    async with opened() as caller:
        body = await paint_and_wait(caller.http, caller.api, ORDER)
        assert body["model"] == MODEL
        assert abs(body["created"] - time.time()) < 60
        (image,) = body["images"]
        answer = await caller.http.get(image["url"])
        assert answer.headers["Content-Type"] == "image/png"
        assert picture_of(answer.content).size == (1024, 1024)


async def test_sync_gives_the_bytes_when_asked() -> None:
    async with opened() as caller:
        order = {**ORDER, "response_format": "b64_json", "output_format": "jpeg"}
        (image,) = (await paint_and_wait(caller.http, caller.api, order))["images"]
        assert picture_of(base64.b64decode(image["b64_json"])).format == "JPEG"


@pytest.mark.parametrize(
    ("path", "given"), [("/ai/images/generate", [RED]), ("/ai/images/edit", RED), ("/images/edit", [RED, RED])]
)
async def test_an_edit_follows_its_input(path: str, given: Any) -> None:
    async with opened() as caller:
        status, body = await caller.call("POST", path, json={**ORDER, "prompt": "snow", "input_image": given})
        assert status == 200
        picture = picture_of((await caller.http.get(body["images"][0]["url"])).content)
        assert picture.size == (1536, 1024)
        red, green, _ = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        assert red > green


async def test_an_edit_needs_an_input() -> None:
    async with opened() as caller:
        status, body = await caller.call("POST", "/ai/images/edit", json=ORDER)
        assert (status, body["error"]["title"]) == (400, "input_image is required")


async def test_enqueue_and_poll() -> None:
    async with opened() as caller:
        order = {**ORDER, "input_image": [RED], "output_format": "webp", "size": "portrait"}
        generation_id = await enqueue(caller.http, caller.api, order)
        row = await poll(caller.http, caller.api, generation_id)
        assert (row["status"], row["error_message"]) == ("succeeded", None)
        image = picture_of((await caller.picture(row)).content)
        assert (image.format, image.size) == ("WEBP", (1024, 1536))


async def test_who_listens_first_is_told() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        generation_id = await caller.submit()
        told = await completion(lines, generation_id)
        row = await poll(caller.http, caller.api, generation_id)
        assert told == {
            "generation_id": generation_id,
            "status": "succeeded",
            "media_type": "image",
            "model": MODEL,
            "url": row["result_url"],
        }


async def test_the_pages_own_order_misses_a_fast_job() -> None:
    async with opened(heartbeat_seconds=0.02) as caller:
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "succeeded")
        async with listening(caller.http, caller.api) as lines:
            heard = [await anext(lines) for _ in range(8)]
        assert set(heard) == {": keep-alive", ""}
        assert (await poll(caller.http, caller.api, generation_id))["status"] == "succeeded"


async def test_the_pages_own_order_hears_a_slow_job() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("slow_queue", seconds=0.5)
        generation_id = await caller.submit()
        async with listening(caller.http, caller.api) as lines:
            assert (await completion(lines, generation_id))["status"] == "succeeded"


# --------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("status", ["queued", "processing", "succeeded"])
async def test_a_row_has_oxens_fields_in_each_state(status: str) -> None:
    async with opened() as caller:
        if status != "succeeded":
            caller.sandbox.faults.set("stuck", body=status)
        generation_id = await caller.submit(size="landscape")
        await caller.reaches(generation_id, status)
        _, row = await caller.call("GET", f"/ai/queue/{generation_id}")
        always = {
            "generation_id": generation_id,
            "model_name": MODEL,
            "prompt": "a boat",
            "media_type": "image",
            "status": status,
            "size": "landscape",
            "error_message": None,
        }
        assert row | always == row
        assert isinstance(row["enqueued_at"], int)
        assert (row["started_at"] is None) == (status == "queued")
        assert (row["completed_at"] is None) == (status != "succeeded")
        assert (row["result_url"] is None) == (status != "succeeded")


async def test_each_picture_is_a_row_of_its_own() -> None:
    async with opened(one_picture=False) as caller:
        _, body = await caller.call("POST", "/ai/queue", json={**ORDER, "num_generations": 2})
        ids = [entry["generation_id"] for entry in body["generations"]]
        assert [entry["status"] for entry in body["generations"]] == ["queued", "queued"]
        assert len(set(ids)) == 2
        rows = [await poll(caller.http, caller.api, each) for each in ids]
        first, second = [picture_of((await caller.picture(row)).content) for row in rows]
        assert ImageChops.difference(first.convert("RGB"), second.convert("RGB")).getbbox()
        assert "num_generations" not in rows[0]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"prompt": ""}, "Prompt cannot be empty"),
        ({"prompt": None}, "Prompt cannot be empty"),
        ({"prompt": "x" * 32_001}, "'prompt': longer than 32000 characters"),
        ({"prompt": "a Forbidden thing"}, "rejected by the safety system"),
        ({"size": "1024x1024"}, "'size': must be one of auto, square, portrait, landscape"),
        ({"output_format": "gif"}, "'output_format': must be one of webp, jpeg, png"),
        ({"output_format": 3}, "'output_format': expected a string"),
        ({"quality": "low"}, "Unknown parameter: 'quality'."),
        ({"input_image": []}, "'input_image': expected 1 to 16 items"),
        ({"input_image": [RED] * 17}, "'input_image': expected 1 to 16 items"),
        ({"input_image": [1]}, "'input_image': expected an array of strings"),
        ({"input_image": ["data:image/png;base64,AAAA"]}, "Failed to load the image"),
        ({"input_image": ["nowhere"]}, "Failed to download"),
    ],
)
async def test_bad_parameters_fail_the_row_late_and_a_sync_call_at_once(more: dict[str, Any], text: str) -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        generation_id = await caller.submit(**more)
        row = await poll(caller.http, caller.api, generation_id)
        assert (row["status"], row["result_url"]) == ("failed", None)
        assert text in row["error_message"]
        told = await completion(lines, generation_id)
        assert told.pop("error") == row["error_message"]
        assert told == {"generation_id": generation_id, "status": "failed", "media_type": "image"}
        status, body = await caller.call("POST", "/ai/images/generate", json={**ORDER, **more})
        assert status == 400
        assert text in body["error"]["title"]


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        *(
            ({"num_generations": count}, 400, "num_generations must be an integer between 1 and 4")
            for count in (0, 5, "2", True, 1.5)
        ),
        ({"model": "gpt-image-1"}, 404, "Model not found: gpt-image-1"),
        ({"model": None}, 400, "model is required"),
        ({"model": "gpt-4o-mini"}, 415, ":unsupported_media_type"),
    ],
)
async def test_what_is_refused_at_once(more: dict[str, Any], status: int, text: str) -> None:
    async with opened() as caller:
        got, body = await caller.call("POST", "/ai/queue", json={**ORDER, **more})
        assert (got, body["error"]["title"], body["status"]) == (status, text, "error")
        assert not caller.sandbox.generations


@pytest.mark.parametrize("content", [b"{", b"[]", b""])
async def test_a_body_that_is_no_object_is_refused(content: bytes) -> None:
    async with opened() as caller:
        assert (await caller.call("POST", "/ai/queue", content=content))[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ai/queue/nobody"),
        ("DELETE", "/ai/queue/nobody"),
        ("POST", "/ai/queue/nobody/retry"),
        ("GET", "/ai/generations/nobody"),
        ("GET", "/nothing/here"),
    ],
)
async def test_what_is_unknown_has_the_404_envelope(method: str, path: str) -> None:
    async with opened() as caller:
        assert await caller.call(method, path) == (404, NOT_FOUND)


async def test_the_queue_lists_what_is_active_unless_a_status_is_asked_for() -> None:
    async with opened() as caller:
        done = await caller.submit(target_repo="pictures")
        await caller.reaches(done, "succeeded")
        caller.sandbox.faults.set("stuck", times=1)
        stuck = await caller.submit(model=NEXT, resolution="1K")
        await caller.reaches(stuck, "processing")
        for query, expected in (
            ({}, [stuck]),
            ({"status": "succeeded"}, [done]),
            ({"status": "processing"}, [stuck]),
            ({"status": "succeeded", "model": NEXT}, []),
            ({"model": NEXT}, [stuck]),
            ({"media_type": "video"}, []),
            ({"namespace": "easel"}, [stuck]),
            ({"namespace": "somebody"}, []),
            ({"status": "succeeded", "repo": "pictures"}, [done]),
            ({"folder": "elsewhere"}, []),
        ):
            _, body = await caller.call("GET", "/ai/queue", params=query)
            assert [row["generation_id"] for row in body["generations"]] == expected, query
            assert body["count"] == len(expected)


async def test_users_see_neither_rows_nor_events_of_others() -> None:
    async with opened() as caller:
        other = {"Authorization": "Bearer another"}
        async with (
            httpx.AsyncClient(headers=other, **PLAIN) as stranger,
            listening(stranger, caller.api) as lines,
        ):
            mine = await caller.submit()
            await caller.reaches(mine, "succeeded")
            theirs = await enqueue(stranger, caller.api, ORDER)
            heard = []
            async for line in lines:
                heard.append(line)
                if theirs in line:
                    break
            assert mine not in "".join(heard)
            assert (await stranger.get(f"{caller.api}/ai/queue/{mine}")).status_code == 404
            assert (await stranger.get(f"{caller.api}/ai/generations")).json()["total_entries"] == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": KEY}, {"Authorization": "Bearer other"}])
async def test_a_key_is_asked_for_and_never_kept(headers: dict[str, str]) -> None:
    async with opened(key=KEY) as caller:
        await caller.outcome()
        async with httpx.AsyncClient(headers=headers, **PLAIN) as stranger:
            for path in ("/ai/queue", "/ai/models", "/events", "/users/me", "/ai/generations"):
                answer = await stranger.get(caller.api + path)
                assert (answer.status_code, answer.json()["status_message"]) == (401, "unauthenticated")
            assert (await stranger.post(caller.api + "/ai/queue", json=ORDER)).status_code == 401
            state = (await stranger.get(caller.sandbox.url + "/sandbox/state")).json()
        assert (state["submits"], state["accepted"]) == (2, 1)
        assert KEY not in json.dumps(state)
        assert {call["status"] for call in state["calls"]} >= {200, 401}


async def test_a_row_repeats_what_was_submitted_and_the_state_has_no_pictures_bytes() -> None:
    async with opened() as caller:
        row = await caller.outcome(input_image=[RED])
        assert row["input_image"] == [RED]
        shown = json.dumps(caller.sandbox.state())
        assert "base64,<" in shown
        assert RED[30:80] not in shown
        caller.sandbox.whole_echo = False
        _, row = await caller.call("GET", f"/ai/queue/{row['generation_id']}")
        assert row["input_image"][0].startswith("data:image/png;base64,<")


# ----------------------------------------------------------------------------------------------- cancel and retry


@pytest.mark.parametrize("state", ["queued", "processing"])
async def test_a_cancelled_row_stays_and_nobody_is_told(state: str) -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("stuck", body=state, times=1)
        generation_id = await caller.submit()
        await caller.reaches(generation_id, state)
        told = await caller.call("DELETE", f"/ai/queue/{generation_id}")
        assert told == (200, {"status": "success", "generation_id": generation_id})
        row = await poll(caller.http, caller.api, generation_id)
        assert (row["status"], row["result_url"], row["error_message"]) == ("cancelled", None, None)
        after = await caller.submit()
        heard = []
        async for line in lines:
            heard.append(line)
            if after in line:
                break
        assert generation_id not in "".join(heard)
        _, body = await caller.call("GET", f"/ai/generations/{generation_id}")
        assert body["generation"]["cost"] is None


async def test_cancelling_a_finished_row_changes_nothing() -> None:
    async with opened() as caller:
        row = await caller.outcome()
        status, body = await caller.call("DELETE", f"/ai/queue/{row['generation_id']}")
        assert (status, body["status"]) == (200, "success")
        assert await poll(caller.http, caller.api, row["generation_id"]) == row


async def test_a_cancel_can_come_too_late() -> None:
    async with opened(run_seconds=0.3) as caller:
        caller.sandbox.faults.set("cancel_ignored")
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "processing")
        assert (await caller.call("DELETE", f"/ai/queue/{generation_id}"))[0] == 200
        assert (await poll(caller.http, caller.api, generation_id))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("status", "body"), [(200, {"success": True}), (404, NOT_FOUND), (200, "OK"), (202, None)]
)
async def test_odd_cancel_answers(status: int, body: Any) -> None:
    async with opened(queue_seconds=30) as caller:
        generation_id = await caller.submit()
        caller.sandbox.faults.set("cancel_answer", status=status, body=body)
        assert await caller.call("DELETE", f"/ai/queue/{generation_id}") == (status, body)
        assert caller.sandbox.generations[generation_id].status == "cancelled"


async def test_the_other_shape_of_a_cancel() -> None:
    async with opened(queue_seconds=30) as caller:
        generation_id = await caller.submit()
        caller.sandbox.faults.set("cancel_other")
        for _ in range(2):
            told = await caller.call("DELETE", f"/ai/queue/{generation_id}")
            assert told == (200, {"generation_id": generation_id, "status": "cancelled"})


async def test_retry_ends_a_row_and_begins_a_copy() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("stuck", times=1)
        stuck = await caller.submit(size="square")
        status, body = await caller.call("POST", f"/ai/queue/{stuck}/retry")
        assert (status, body["retried_from_id"]) == (200, stuck)
        row = await poll(caller.http, caller.api, body["generation_id"])
        assert (row["status"], row["size"], row["retried_from_id"]) == ("succeeded", "square", stuck)
        assert caller.sandbox.generations[stuck].status == "cancelled"
        assert (await caller.call("POST", f"/ai/queue/{row['generation_id']}/retry"))[0] == 400


# ------------------------------------------------------------------------------------- costs, models, credits


async def test_costs_are_decimal_text_and_null_when_nothing_was_charged() -> None:
    async with opened() as caller:
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
    async with opened() as caller:
        caller.sandbox.faults.set("charged_anyway", times=1)
        path = f"/ai/generations/{(await caller.outcome(size='huge'))['generation_id']}"
        caller.sandbox.faults.set("cost_missing", times=1)
        caller.sandbox.faults.set("cost_garbage", times=1)
        costs = [(await caller.call("GET", path))[1]["generation"]["cost"] for _ in range(3)]
        assert costs == [None, "about four cents", "0.04"]


@pytest.mark.parametrize("schema_name", ["json_request_schema", "request_schema"])
async def test_a_model_shows_its_schema_and_its_price(schema_name: SchemaName) -> None:
    async with opened(schema_name=schema_name, extra_fields=("quality", "user")) as caller:
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
    async with opened() as caller:
        for query, expected in (
            ("", {MODEL, NEXT, "gpt-4o-mini"}),
            ("/search?search=image", {MODEL, NEXT}),
            ("/search?search=x", set()),
        ):
            _, body = await caller.call("GET", f"/ai/models{query}")
            assert {model["id"] for model in body["data"]} == expected


@pytest.mark.parametrize(
    ("more", "size", "cost"),
    [
        ({"resolution": "1K", "quality": "low"}, (1024, 576), "0.01"),
        ({"resolution": "1K", "aspect_ratio": "2:3", "quality": "medium"}, (683, 1024), "0.05"),
        ({"resolution": "1K", "aspect_ratio": "auto", "input_image": [RED]}, (1024, 768), "0.2"),
    ],
)
async def test_the_next_model_has_fields_and_prices_of_its_own(
    more: dict[str, Any], size: tuple[int, int], cost: str
) -> None:
    async with opened() as caller:
        row = await caller.outcome(model=NEXT, **more)
        assert picture_of((await caller.picture(row)).content).size == size
        _, body = await caller.call("GET", f"/ai/generations/{row['generation_id']}")
        assert body["generation"]["cost"] == cost


async def test_the_next_models_mask_is_white_where_it_edits() -> None:
    source = painter.paint("a lake", (512, 512), noise=0)
    mask = Image.new("RGB", source.size, "black")
    mask.paste("white", (128, 128, 384, 384))
    async with opened(one_picture=False) as caller:
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
    async with opened(cost_per_image_grid=grid, extra_fields=("quality",)) as caller:
        costs = []
        for more in ({"quality": "low"}, {"size": "square"}, {"size": "landscape"}, {"quality": "auto"}):
            row = await caller.outcome(**more)
            _, body = await caller.call("GET", f"/ai/generations/{row['generation_id']}")
            costs.append(body["generation"]["cost"])
        assert costs == ["0.009", "0.133", "0.2", "0.133"]
        assert (await caller.call("GET", f"/ai/models/{MODEL}"))[1]["pricing"]["cost_per_image_grid"] == grid


async def test_credits_run_out() -> None:
    async with opened(credits=0.1) as caller:
        refused = await caller.call("POST", "/ai/queue", json={**ORDER, "num_generations": 3})
        assert (refused[0], refused[1]["error"]["title"]) == (402, "Insufficient credits")
        # Two submits that could each be paid, but not both.
        ids = [
            entry["generation_id"]
            for _ in range(2)
            for entry in (await caller.call("POST", "/ai/queue", json={**ORDER, "num_generations": 2}))[1][
                "generations"
            ]
        ]
        rows = [await poll(caller.http, caller.api, each) for each in ids]
        assert sorted(row["status"] for row in rows) == ["failed", "failed", "succeeded", "succeeded"]
        assert {row["error_message"] for row in rows} == {None, "Insufficient credits"}
        _, me = await caller.call("GET", "/users/me")
        assert me["user"]["credits"] == "0.02"


# ------------------------------------------------------------------------------------------------- submit faults


async def test_faults_and_the_clock_are_set_over_http() -> None:
    async with opened() as caller:
        faults = f"{caller.sandbox.url}/sandbox/faults"
        order = {"set": [{"name": "submit_error", "status": 503, "times": 2}, {"name": "no_credit"}]}
        status, body = await caller.call("POST", faults, json=order)
        assert (status, len(body["on"])) == (200, 2)
        assert set(body["known"]) == set(FAULTS)
        for expected in (503, 503, 402):
            assert (await caller.call("POST", "/ai/queue", json=ORDER))[0] == expected
        await caller.call("POST", faults, json={"clear": True})
        assert not (await caller.call("GET", faults))[1]["on"]
        for bad in ({"set": [{"name": "nonsense"}]}, {"set": [{"name": "stuck", "x": 1}]}, {"do": 1}, [1]):
            assert (await caller.call("POST", faults, json=bad))[0] == 400
        clock = f"{caller.sandbox.url}/sandbox/clock"
        _, body = await caller.call("POST", clock, json={"advance": 1_000})
        assert body["now"] - time.time() == pytest.approx(1_000, abs=60)
        assert (await caller.call("POST", clock, json={}))[0] == 400


@pytest.mark.parametrize("path", ["/ai/queue", "/ai/images/generate"])
@pytest.mark.parametrize(
    ("name", "more", "status", "text"),
    [
        ("submit_error", {"status": 500}, 500, "Internal Server Error"),
        ("submit_error", {"status": 503, "retry_after": "3", "body": "busy"}, 503, "busy"),
        ("submit_html", {}, 502, "nginx"),
        ("submit_rate_limited", {"retry_after": "7"}, 429, "Too many requests"),
        ("submit_rate_limited", {}, 429, "Too many requests"),
        ("submit_empty", {}, 200, '{"generations":[],"error":"The generation could not be queued"}'),
        ("no_credit", {}, 402, "Insufficient credits"),
        ("no_credit", {"status": 403}, 403, "Insufficient credits"),
        ("no_credit_text", {}, 400, '{"error":"Insufficient credits"}'),
        ("model_gone", {}, 404, f"Model not found: {MODEL}"),
        ("unauthorized", {}, 401, "unauthenticated"),
    ],
)
async def test_submits_that_accept_nothing(
    path: str, name: str, more: dict[str, Any], status: int, text: str
) -> None:
    async with opened() as caller:
        caller.sandbox.faults.set(name, times=1, **more)
        answer = await caller.http.post(caller.api + path, json=ORDER)
        assert answer.status_code == status
        assert text in answer.text
        assert answer.headers.get("Retry-After") == more.get("retry_after")
        assert not caller.sandbox.generations
        assert (await caller.http.post(caller.api + path, json=ORDER)).status_code == 200


async def test_a_connection_that_is_dropped_before_anything_is_accepted() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("submit_refused", times=1)
        with pytest.raises(httpx.TransportError):
            await caller.submit()
        assert not caller.sandbox.generations


@pytest.mark.parametrize("path", ["/ai/queue", "/ai/images/generate"])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("submit_lost", httpx.TransportError),
        ("submit_reset", httpx.TransportError),
        ("submit_truncated", json.JSONDecodeError),
        ("submit_error_late", httpx.HTTPStatusError),
        ("submit_slow", httpx.ReadTimeout),
    ],
)
async def test_a_lost_answer_leaves_accepted_work_and_a_resend_pays_twice(
    path: str, name: str, error: type[Exception]
) -> None:
    async with opened() as caller:
        caller.sandbox.faults.set(name, times=1, seconds=30)
        wait = httpx.Timeout(20, read=0.5 if name == "submit_slow" else 20)
        with pytest.raises(error):
            (await caller.http.post(caller.api + path, json=ORDER, timeout=wait)).raise_for_status().json()
        (row,) = caller.sandbox.generations.values()
        await caller.reaches(row.generation_id, "succeeded")
        assert caller.sandbox.state()["duplicates"] == []
        assert (await caller.http.post(caller.api + path, json=ORDER)).status_code == 200
        (pair,) = caller.sandbox.state()["duplicates"]
        assert pair == list(caller.sandbox.generations)


async def test_what_was_lost_is_found_in_the_list() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("submit_lost", times=1)
        with pytest.raises(httpx.TransportError):
            await caller.submit(prompt="a very special boat")
        (lost,) = caller.sandbox.generations
        await caller.reaches(lost, "succeeded")
        _, body = await caller.call("GET", "/ai/queue", params={"model": MODEL, "status": "succeeded"})
        assert [row["generation_id"] for row in body["generations"]] == [lost]
        assert body["generations"][0]["prompt"] == "a very special boat"


async def test_odd_submit_answers() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("submit_processing", times=1)
        _, body = await caller.call("POST", "/ai/queue", json=ORDER)
        assert body["generations"][0]["status"] == "processing"
        answers: list[Any] = [[], {"generations": [{}]}, None, "ok"]
        for odd in answers:
            caller.sandbox.faults.set("submit_odd", body=odd, times=1)
            assert await caller.call("POST", "/ai/queue", json=ORDER) == (200, odd)
        assert len(caller.sandbox.generations) == 5


@pytest.mark.parametrize(
    ("shape", "place"),
    [
        ("title", ("error", "title")),
        ("detail", ("error", "detail")),
        ("message", ("error", "message")),
        ("text", ("error",)),
        ("error_message", ("error_message",)),
    ],
)
async def test_where_a_refusal_has_its_text(shape: ErrorShape, place: tuple[str, ...]) -> None:
    async with opened(error_shape=shape) as caller:
        _, body = await caller.call("POST", "/ai/queue", json={**ORDER, "num_generations": 9})
        for part in place:
            body = body[part]
        assert body == "num_generations must be an integer between 1 and 4"
        assert await caller.call("GET", "/ai/queue/nobody") == (404, NOT_FOUND)


async def test_a_model_is_gone_from_a_day_on() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("model_gone", endpoint=MODEL, since="2999-01-01")
        await caller.submit()
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        status, body = await caller.call("POST", "/ai/queue", json=ORDER)
        assert (status, body["error"]["title"]) == (404, f"Model not found: {MODEL}")
        assert (await caller.call("GET", f"/ai/models/{MODEL}"))[0] == 404
        _, body = await caller.call("GET", "/ai/models")
        assert MODEL not in {model["id"] for model in body["data"]}
        assert (await caller.outcome(model=NEXT, resolution="1K"))["status"] == "succeeded"


# --------------------------------------------------------------------------------------------------- run, status


async def test_mixed_outcomes_of_one_submit() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("fail_some", count=2, body="The model had a hiccup", times=1)
        _, body = await caller.call("POST", "/ai/queue", json={**ORDER, "num_generations": 4})
        ids = [entry["generation_id"] for entry in body["generations"]]
        rows = [await poll(caller.http, caller.api, each) for each in ids]
        assert [row["status"] for row in rows] == ["succeeded", "succeeded", "failed", "failed"]
        assert rows[3]["error_message"] == "The model had a hiccup"


@pytest.mark.parametrize(
    ("name", "more", "text", "status"),
    [
        ("run_error", {"body": "upstream timed out"}, "upstream timed out", 500),
        ("run_error", {"status": 429}, "Internal Server Error", 429),
        ("no_credit_row", {}, "Insufficient credits", 402),
    ],
)
async def test_a_run_that_fails(name: str, more: dict[str, Any], text: str, status: int) -> None:
    async with opened() as caller:
        caller.sandbox.faults.set(name, **more)
        row = await caller.outcome()
        assert (row["status"], row["error_message"]) == ("failed", text)
        got, body = await caller.call("POST", "/ai/images/generate", json=ORDER)
        assert (got, body["error"]["title"]) == (status, text)


async def test_rows_that_disappear() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("row_gone_running", times=1)
        caller.sandbox.faults.set("slow_run", seconds=0.5, times=1)
        running = await caller.submit()
        assert await caller.call("GET", f"/ai/queue/{running}") == (404, NOT_FOUND)
        await caller.reaches(running, "succeeded")
        assert (await caller.call("GET", f"/ai/queue/{running}"))[0] == 404
        done = (await caller.outcome())["generation_id"]
        caller.sandbox.faults.set("row_gone_done")
        assert (await caller.call("GET", f"/ai/queue/{done}"))[0] == 404
        assert (await caller.call("GET", "/ai/queue", params={"status": "succeeded"}))[1]["count"] == 0
        # The history still knows it, picture and all.
        _, body = await caller.call("GET", f"/ai/generations/{done}")
        assert (await caller.picture(body["generation"])).status_code == 200


async def test_rows_live_for_a_day_when_told_so() -> None:
    async with opened(row_ttl_seconds=86_400) as caller:
        row = await caller.outcome()
        for seconds, expected in ((86_000, 200), (500, 404)):
            caller.sandbox.age(seconds)
            assert (await caller.call("GET", f"/ai/queue/{row['generation_id']}"))[0] == expected


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("status", "GET", "/ai/queue/{}"),
        ("list", "GET", "/ai/queue"),
        ("cancel", "DELETE", "/ai/queue/{}"),
        ("cost", "GET", "/ai/generations/{}"),
        ("cost", "GET", "/ai/generations"),
        ("models", "GET", f"/ai/models/{MODEL}"),
        ("models", "GET", "/ai/models"),
        ("me", "GET", "/users/me"),
    ],
)
async def test_spoilt_answers_then_the_right_one(kind: str, method: str, path: str) -> None:
    async with opened() as caller:
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "succeeded")
        path, faults = path.format(generation_id), caller.sandbox.faults
        for name in ("html", "odd", "truncated", "reset"):
            faults.set(f"{kind}_{name}", times=1, body=[7])
        faults.set(f"{kind}_error", times=1, status=429, retry_after="5")
        refused = await caller.http.request(method, caller.api + path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert (await caller.http.request(method, caller.api + path)).text.startswith("<html>")
        assert await caller.call(method, path) == (200, [7])
        with pytest.raises(json.JSONDecodeError):
            await caller.call(method, path)
        with pytest.raises(httpx.TransportError):
            await caller.call(method, path)
        faults.set(f"{kind}_slow", seconds=30, times=1)
        with pytest.raises(httpx.ReadTimeout):
            await caller.call(method, path, timeout=httpx.Timeout(20, read=0.1))
        assert (await caller.call(method, path))[0] == 200


# --------------------------------------------------------------------------------------------------------- events


async def test_events_are_compact_and_share_the_stream_with_others() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        generation_id = await caller.submit()
        heard = []
        async for line in lines:
            heard.append(line)
            if generation_id in line:
                break
        assert heard[-2] == "event: media_generation_completed"
        assert f'"generation_id":"{generation_id}"' in heard[-1]
        names = [line.removeprefix("event: ") for line in heard if line.startswith("event: ")]
        assert len(set(names)) == 2
        assert not [line for line in heard if line.startswith("id:")]
        caller.sandbox.broadcast("anything", "no JSON at all")
        assert [await anext(lines) for _ in range(3)] == ["", "event: anything", "data: no JSON at all"]
        assert caller.sandbox.state()["events"] == {"open": 1, "opened": 1, "told": 1}


async def test_events_that_are_refused_or_end_at_once() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("events_refused", status=502, times=1)
        assert (await caller.http.get(f"{caller.api}/events")).status_code == 502
        caller.sandbox.faults.set("events_ended", times=1)
        answer = await caller.http.get(f"{caller.api}/events")
        assert (answer.status_code, answer.text) == (200, "")


async def test_events_that_are_never_told() -> None:
    async with (
        opened(heartbeat_seconds=0.02, foreign_events=False) as caller,
        listening(caller.http, caller.api) as lines,
    ):
        caller.sandbox.faults.set("events_silent")
        assert (await caller.outcome())["status"] == "succeeded"
        assert {await anext(lines) for _ in range(12)} == {": keep-alive", ""}


async def test_events_that_come_late() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_late", seconds=0.4)
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "succeeded")
        assert caller.sandbox.state()["events"]["told"] == 0
        await completion(lines, generation_id)
        assert caller.sandbox.state()["events"]["told"] == 1


async def test_events_that_are_garbled() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_garbled", times=1)
        generation_id = await caller.submit()
        with pytest.raises(json.JSONDecodeError):
            await completion(lines, generation_id)


async def test_events_that_break_off() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_cut", times=1)
        generation_id = await caller.submit()
        with pytest.raises(httpx.TransportError):
            await completion(lines, generation_id)


async def test_events_that_say_the_wrong_thing() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_wrong", times=1)
        generation_id = await caller.submit()
        assert (await completion(lines, generation_id))["status"] == "failed"
        assert (await poll(caller.http, caller.api, generation_id))["status"] == "succeeded"


async def test_events_of_others_in_a_flood() -> None:
    async with opened() as caller, listening(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("events_flood", count=50, times=1)
        generation_id = await caller.submit()
        heard = 0
        async for line in lines:
            heard += line.startswith("event: ")
            if generation_id in line:
                break
        assert heard == 52


async def test_a_listener_that_leaves_is_forgotten() -> None:
    async with opened() as caller:
        async with listening(caller.http, caller.api):
            assert caller.sandbox.listeners == 1
        async with asyncio.timeout(10):
            while caller.sandbox.listeners:
                await caller.call("GET", "/ai/queue")
        assert (await caller.outcome())["status"] == "succeeded"


# ------------------------------------------------------------------------------------------------ inputs, results


async def test_inputs_are_fetched_over_http_and_must_be_public() -> None:
    async with opened(results_need_key=False) as hub:
        public = (await hub.outcome())["result_url"]
        mapped = public.replace(hub.sandbox.url, "https://pictures.invalid")
        async with opened(url_map={"https://pictures.invalid": hub.sandbox.url}) as caller:
            for url in (public, mapped):
                assert (await caller.outcome(input_image=[url]))["status"] == "succeeded"
            hub.sandbox.faults.set("cdn_error", status=403, times=1)
            row = await caller.outcome(input_image=[public])
            assert row["error_message"].endswith(f"403 Client Error: Forbidden for url: {public}")
            hub.sandbox.results_need_key = True
            row = await caller.outcome(input_image=[RED, public])
            assert row["error_message"].endswith(f"401 Client Error: Unauthorized for url: {public}")


async def test_results_need_the_key_and_expire() -> None:
    async with opened(result_seconds=3_600) as caller:
        row = await caller.outcome()
        url = row["result_url"]
        assert url.startswith(f"{caller.api}/repos/easel/")
        async with httpx.AsyncClient(**PLAIN) as stranger:
            assert (await stranger.get(url)).status_code == 401
            caller.sandbox.results_need_key = False
            assert (await stranger.get(url)).headers["Content-Type"] == "image/png"
        caller.sandbox.age(3_601)
        assert (await caller.picture(row)).status_code == 404
        assert (await poll(caller.http, caller.api, row["generation_id"]))["status"] == "succeeded"


async def test_results_elsewhere_must_not_be_told_the_key() -> None:
    async with opened(results_elsewhere=True) as caller:
        row = await caller.outcome()
        answer = await caller.picture(row)
        assert answer.status_code == 302
        place = answer.headers["Location"]
        assert place.startswith(caller.sandbox.elsewhere_url)
        assert caller.sandbox.elsewhere_url != caller.sandbox.url
        good = await caller.picture(row, follow_redirects=True)  # httpx drops the key at another origin
        assert picture_of(good.content).format == "PNG"
        assert (len(caller.sandbox.elsewhere_calls), caller.sandbox.leaked_keys) == (1, 0)
        await caller.http.get(place)
        assert caller.sandbox.leaked_keys == 1
        assert caller.sandbox.elsewhere_calls[-1]["authorization"] == "Bearer"
        assert KEY not in json.dumps(caller.sandbox.state())


async def test_troubles_with_a_download() -> None:
    async with opened() as caller:
        row, faults = await caller.outcome(), caller.sandbox.faults
        faults.set("cdn_redirect", url="http://elsewhere.invalid/", times=1)
        assert (await caller.picture(row)).headers["Location"] == "http://elsewhere.invalid/"
        faults.set("cdn_loop")
        with pytest.raises(httpx.TooManyRedirects):
            await caller.picture(row, follow_redirects=True)
        faults.clear()
        faults.set("cdn_reset", times=1)
        with pytest.raises(httpx.TransportError):
            await caller.picture(row)
        faults.set("cdn_huge", size=1_000_000, times=1)
        answer = await caller.picture(row)
        assert (len(answer.content), "Content-Length" in answer.headers) == (1_000_000, False)
        faults.set("cdn_slow", size=8, seconds=0.01, times=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await caller.picture(row)
        faults.set("cdn_type", times=1)
        assert (await caller.picture(row)).headers["Content-Type"].startswith("text/html")
        faults.set("cdn_error", times=1)
        assert (await caller.picture(row)).status_code == 404
        assert (await caller.picture(row)).status_code == 200


@pytest.mark.parametrize(
    ("name", "more"), [("wrong_type", {}), ("not_a_picture", {}), ("bomb", {"count": 20_000})]
)
async def test_pictures_that_are_not_what_they_should_be(name: str, more: dict[str, int]) -> None:
    async with opened() as caller:
        caller.sandbox.faults.set(name, times=1, **more)
        answer = await caller.picture(await caller.outcome())
        assert answer.headers["Content-Type"] == "image/png"
        if name == "wrong_type":
            assert picture_of(answer.content).format == "JPEG"
        elif name == "not_a_picture":
            assert answer.content.startswith(b"<html>")
        else:
            assert answer.content == bomb(20_000)


async def test_links_that_lead_elsewhere_or_nowhere() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("foreign_picture", url="https://elsewhere.invalid/a.png", times=1)
        assert (await caller.outcome())["result_url"] == "https://elsewhere.invalid/a.png"
        caller.sandbox.faults.set("result_missing", times=1)
        row = await caller.outcome()
        assert (row["status"], row["result_url"]) == ("succeeded", None)


async def test_pictures_are_filled_up_and_the_oldest_go_first() -> None:
    async with opened(picture_bytes=2_000_000, store_bytes=3_000_000, one_picture=False) as caller:
        rows = [await caller.outcome(prompt=prompt) for prompt in ("sea", "snow")]
        codes = [(await caller.picture(row)).status_code for row in rows]
        assert codes == [404, 200]
        assert 2_000_000 <= len((await caller.picture(rows[1])).content) < 2_000_020


async def test_what_is_not_strict_passes_over_unknown_fields() -> None:
    async with opened(strict=False) as caller:
        row = await caller.outcome(quality="low", nonsense=True)
        assert (row["status"], row["quality"], row["nonsense"]) == ("succeeded", "low", True)
        assert row["status"] in TERMINAL


async def test_as_its_own_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    command = (sys.executable, "-m", "bot.sandbox.oxen", "--port", "0", "--one-picture", "--credits", "5")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with httpx.AsyncClient(**PLAIN) as http, http.stream("GET", f"{url}/api/events", headers=AUTH):
        assert (await http.get(f"{url}/sandbox/state")).json()["credits"] == 5
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert time.monotonic() - begun < 5
