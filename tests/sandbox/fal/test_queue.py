"""The states of a request in fal's queue, cancels and keys."""

import json

from PIL import Image

from tests.support.sandbox.fal import AUTH, EDIT, KEY, MODEL, open_fal
from tests.support.sandbox.pictures import data_uri, picture_of


async def test_states_have_fals_codes_and_shapes() -> None:
    async with open_fal(queue_seconds=0.5, run_seconds=0.1) as caller:
        submitted = await caller.submit()
        assert submitted["status"] == "IN_QUEUE"
        assert submitted["queue_position"] == 2
        assert submitted["status_url"].endswith(f"/{MODEL}/requests/{submitted['request_id']}/status")
        status, response, _ = await caller.call("GET", submitted["status_url"] + "/")
        assert (status, response["status"]) == (202, "IN_QUEUE")
        early, why, _ = await caller.call("GET", submitted["response_url"])
        assert (early, why) == (400, {"detail": "Request is still in progress"})
        done = await caller.finished(submitted)
        assert done["logs"] is None
        assert done["metrics"]["inference_time"] > 0
        assert "error" not in done
        for asked, expected in (("1", True), ("true", True), ("0", False), ("false", False)):
            _, response, _ = await caller.call("GET", submitted["status_url"], params={"logs": asked})
            assert bool(response["logs"]) is expected
        code, result, headers = await caller.call("GET", submitted["response_url"] + "/response/")
        assert code == 200
        assert headers["x-fal-billable-units"] == "1"
        (image,) = result["images"]
        code, content, headers = await caller.call("GET", image["url"], headers={})
        assert headers["Content-Type"] == image["content_type"] == "image/png"
        assert len(content) == image["file_size"]
        assert picture_of(content).size == (image["width"], image["height"]) == (1024, 1024)


async def test_an_edit_lives_under_owner_and_app_only() -> None:
    async with open_fal() as caller:
        submitted = await caller.submit(EDIT, image_urls=[data_uri(Image.new("RGB", (8, 8)))])
        assert "/edit" not in submitted["status_url"]
        wrong = submitted["status_url"].replace("/requests/", "/edit/requests/")
        status, response, headers = await caller.call("GET", wrong)
        assert status == 404
        assert response["detail"].startswith("Path ")
        assert headers["x-fal-billable-units"] == "0"


async def test_the_event_stream_has_only_new_log_lines_and_ends() -> None:
    async with open_fal(queue_seconds=0.6, run_seconds=0.2, heartbeat_seconds=0.02) as caller:
        submitted = await caller.submit()
        url = submitted["status_url"] + "/stream?logs=1"
        async with caller.http.get(url, headers=AUTH) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            text = (await response.read()).decode()
        events = [
            json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")
        ]
        assert [event["queue_position"] for event in events if event["status"] == "IN_QUEUE"] == [2, 1, 0]
        messages = [log["message"] for event in events for log in event.get("logs") or ()]
        assert len(messages) == len(set(messages)) == 3
        assert events[-1]["status"] == "COMPLETED"
        assert ": ping" in text


async def test_cancel_responses_by_state() -> None:
    async with open_fal(queue_seconds=30) as caller:
        queued = await caller.submit()
        assert (await caller.call("PUT", queued["cancel_url"]))[:2] == (200, {"status": "OK"})
        status = await caller.finished(queued)
        assert status["error_type"] == "client_cancelled"
        assert (await caller.call("PUT", queued["cancel_url"]))[:2] == (400, {"status": "ALREADY_COMPLETED"})
        unknown = f"/{MODEL}/requests/unknown/cancel"
        assert (await caller.call("PUT", unknown))[:2] == (404, {"status": "NOT_FOUND"})
        caller.sandbox.queue_seconds, caller.sandbox.run_seconds = 0.0, 30.0
        running = await caller.submit()
        seen = caller.sandbox.requests[running["request_id"]]
        while seen.state == "IN_QUEUE":
            await seen.changed.wait()
        response = await caller.call("PUT", running["cancel_url"] + "/")
        assert response[:2] == (202, {"status": "CANCELLATION_REQUESTED"})
        assert (await caller.call("GET", running["response_url"]))[0] == 499
        assert caller.sandbox.requests[running["request_id"]].cancelled


async def test_odd_cancel_responses() -> None:
    async with open_fal(queue_seconds=30) as caller:
        for status, body in ((200, {"success": True}), (400, {"detail": "done"}), (200, "OK"), (202, None)):
            submitted = await caller.submit()
            caller.sandbox.faults.set("cancel_answer", status=status, body=body, times=1)
            assert (await caller.call("PUT", submitted["cancel_url"]))[:2] == (status, body)
            assert caller.sandbox.requests[submitted["request_id"]].cancelled


async def test_a_key_is_required_and_never_stored() -> None:
    async with open_fal(key=KEY) as caller:
        for headers in (
            {},
            {"Authorization": KEY},
            {"Authorization": "Key x:y"},
            {"Authorization": f"Bearer {KEY}"},
        ):
            status, response, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=headers)
            assert (status, response) == (401, {"detail": "No user found for Key ID and Secret"})
        await caller.submit()
        _, state, _ = await caller.call("GET", "/sandbox/state")
        assert "a-secret" not in json.dumps(state)
        assert state["accepted"] == 1
        assert state["submits"] == 5
        assert [call["authorization"] for call in state["calls"]] == [None, "other", "Key", "Bearer", "Key"]
