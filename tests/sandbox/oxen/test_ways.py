"""The four ways of using Oxen's API, as its pages show them."""

import base64
import time
from typing import Any

import httpx
import pytest

from tests.support.sandbox.oxen import (
    MODEL,
    RED,
    REQUEST,
    enqueue,
    event_lines,
    open_oxen,
    poll,
    wait_for_completion,
)
from tests.support.sandbox.pictures import picture_of


async def paint_and_wait(http: httpx.AsyncClient, api: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Sync: one call, and its response has the picture's link."""
    response = await http.post(f"{api}/ai/images/generate", json=payload)
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


async def test_sync_gives_a_link() -> None:
    async with open_oxen() as caller:
        body = await paint_and_wait(caller.http, caller.api, REQUEST)
        assert body["model"] == MODEL
        assert abs(body["created"] - time.time()) < 60
        (image,) = body["images"]
        response = await caller.http.get(image["url"])
        assert response.headers["Content-Type"] == "image/png"
        assert picture_of(response.content).size == (1024, 1024)


async def test_sync_gives_the_bytes_on_request() -> None:
    async with open_oxen() as caller:
        payload = {**REQUEST, "response_format": "b64_json", "output_format": "jpeg"}
        (image,) = (await paint_and_wait(caller.http, caller.api, payload))["images"]
        assert picture_of(base64.b64decode(image["b64_json"])).format == "JPEG"


@pytest.mark.parametrize(
    ("path", "given"), [("/ai/images/generate", [RED]), ("/ai/images/edit", RED), ("/images/edit", [RED, RED])]
)
async def test_an_edit_follows_its_input(path: str, given: Any) -> None:
    async with open_oxen() as caller:
        status, body = await caller.call("POST", path, json={**REQUEST, "prompt": "snow", "input_image": given})
        assert status == 200
        picture = picture_of((await caller.http.get(body["images"][0]["url"])).content)
        assert picture.size == (1536, 1024)
        red, green, _ = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        assert red > green


async def test_an_edit_needs_an_input() -> None:
    async with open_oxen() as caller:
        status, body = await caller.call("POST", "/ai/images/edit", json=REQUEST)
        assert (status, body["error"]["title"]) == (400, "input_image is required")


async def test_enqueue_and_poll() -> None:
    async with open_oxen() as caller:
        payload = {**REQUEST, "input_image": [RED], "output_format": "webp", "size": "portrait"}
        generation_id = await enqueue(caller.http, caller.api, payload)
        row = await poll(caller.http, caller.api, generation_id)
        assert (row["status"], row["error_message"]) == ("succeeded", None)
        image = picture_of((await caller.picture(row)).content)
        assert (image.format, image.size) == ("WEBP", (1024, 1536))


async def test_an_open_stream_receives_the_completion() -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        generation_id = await caller.submit()
        event = await wait_for_completion(lines, generation_id)
        row = await poll(caller.http, caller.api, generation_id)
        assert event == {
            "generation_id": generation_id,
            "status": "succeeded",
            "media_type": "image",
            "model": MODEL,
            "url": row["result_url"],
        }


async def test_a_stream_opened_after_the_submit_misses_a_fast_row() -> None:
    async with open_oxen(heartbeat_seconds=0.02) as caller:
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "succeeded")
        async with event_lines(caller.http, caller.api) as lines:
            received = [await anext(lines) for _ in range(8)]
        assert set(received) == {": keep-alive", ""}
        assert (await poll(caller.http, caller.api, generation_id))["status"] == "succeeded"


async def test_a_stream_opened_after_the_submit_receives_a_slow_row() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("slow_queue", seconds=0.5)
        generation_id = await caller.submit()
        async with event_lines(caller.http, caller.api) as lines:
            assert (await wait_for_completion(lines, generation_id))["status"] == "succeeded"
