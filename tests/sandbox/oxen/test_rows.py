"""The rows of Oxen's queue: fields, parameters, filters, users and keys."""

import json
from typing import Any

import httpx
import pytest
from PIL import ImageChops

from tests.support.sandbox.oxen import (
    KEY,
    MODEL,
    NEXT,
    NOT_FOUND,
    PLAIN,
    RED,
    REQUEST,
    enqueue,
    event_lines,
    open_oxen,
    poll,
    wait_for_completion,
)
from tests.support.sandbox.pictures import picture_of


@pytest.mark.parametrize("status", ["queued", "processing", "succeeded"])
async def test_a_row_has_oxens_fields_in_each_state(status: str) -> None:
    async with open_oxen() as caller:
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
    async with open_oxen(one_picture=False) as caller:
        _, body = await caller.call("POST", "/ai/queue", json={**REQUEST, "num_generations": 2})
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
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        generation_id = await caller.submit(**more)
        row = await poll(caller.http, caller.api, generation_id)
        assert (row["status"], row["result_url"]) == ("failed", None)
        assert text in row["error_message"]
        event = await wait_for_completion(lines, generation_id)
        assert event.pop("error") == row["error_message"]
        assert event == {"generation_id": generation_id, "status": "failed", "media_type": "image"}
        status, body = await caller.call("POST", "/ai/images/generate", json={**REQUEST, **more})
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
async def test_submits_that_are_refused_at_once(more: dict[str, Any], status: int, text: str) -> None:
    async with open_oxen() as caller:
        got, body = await caller.call("POST", "/ai/queue", json={**REQUEST, **more})
        assert (got, body["error"]["title"], body["status"]) == (status, text, "error")
        assert not caller.sandbox.generations


@pytest.mark.parametrize("content", [b"{", b"[]", b""])
async def test_a_body_that_is_no_object_is_refused(content: bytes) -> None:
    async with open_oxen() as caller:
        assert (await caller.call("POST", "/ai/queue", content=content))[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ai/queue/unknown"),
        ("DELETE", "/ai/queue/unknown"),
        ("POST", "/ai/queue/unknown/retry"),
        ("GET", "/ai/generations/unknown"),
        ("GET", "/nothing/here"),
    ],
)
async def test_an_unknown_row_or_path_has_the_404_envelope(method: str, path: str) -> None:
    async with open_oxen() as caller:
        assert await caller.call(method, path) == (404, NOT_FOUND)


async def test_the_queue_lists_active_rows_unless_the_query_has_a_status() -> None:
    async with open_oxen() as caller:
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
    async with open_oxen() as caller:
        other = {"Authorization": "Bearer another"}
        async with (
            httpx.AsyncClient(headers=other, **PLAIN) as stranger,
            event_lines(stranger, caller.api) as lines,
        ):
            mine = await caller.submit()
            await caller.reaches(mine, "succeeded")
            theirs = await enqueue(stranger, caller.api, REQUEST)
            received = []
            async for line in lines:
                received.append(line)
                if theirs in line:
                    break
            assert mine not in "".join(received)
            assert (await stranger.get(f"{caller.api}/ai/queue/{mine}")).status_code == 404
            assert (await stranger.get(f"{caller.api}/ai/generations")).json()["total_entries"] == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": KEY}, {"Authorization": "Bearer other"}])
async def test_a_key_is_required_and_never_stored(headers: dict[str, str]) -> None:
    async with open_oxen(key=KEY) as caller:
        await caller.outcome()
        async with httpx.AsyncClient(headers=headers, **PLAIN) as stranger:
            models = await stranger.get(caller.api + "/ai/models")
            assert models.status_code == (401 if headers else 200), "a wrong key is refused, none is needed"
            for path in ("/ai/queue", "/events", "/users/me", "/ai/generations"):
                response = await stranger.get(caller.api + path)
                assert (response.status_code, response.json()["status_message"]) == (401, "unauthenticated")
            assert (await stranger.post(caller.api + "/ai/queue", json=REQUEST)).status_code == 401
            state = (await stranger.get(caller.sandbox.url + "/sandbox/state")).json()
        assert (state["submits"], state["accepted"]) == (2, 1)
        assert KEY not in json.dumps(state)
        assert {call["status"] for call in state["calls"]} >= {200, 401}


async def test_a_row_repeats_its_parameters_and_the_state_has_no_pictures() -> None:
    async with open_oxen() as caller:
        row = await caller.outcome(input_image=[RED])
        assert row["input_image"] == [RED]
        shown = json.dumps(caller.sandbox.state())
        assert "base64,<" in shown
        assert RED[30:80] not in shown
        caller.sandbox.whole_echo = False
        _, row = await caller.call("GET", f"/ai/queue/{row['generation_id']}")
        assert row["input_image"][0].startswith("data:image/png;base64,<")
