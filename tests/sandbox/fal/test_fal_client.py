"""fal's own client, unmodified, against fal's stand-in."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.sandbox.fal import MODEL, REAL_HOSTS, RUN_HOST, FalClientProcess, fal_client_process


@pytest.fixture
async def real_client(tmp_path: Path) -> AsyncIterator[FalClientProcess]:
    async with fal_client_process(tmp_path, queue_seconds=0.4, run_seconds=0.3) as client:
        yield client


async def test_fals_client_submits_polls_and_downloads(real_client: FalClientProcess) -> None:
    lines = await real_client.run(
        """
        arguments = {"prompt": "a boat", "num_images": 2}
        def update(status):
            show("update", type(status).__name__, getattr(status, "position", getattr(status, "logs", None)))
        result = fal_client.subscribe(
            "fal-ai/gpt-image-1.5", arguments, with_logs=True, interval=0.02, on_queue_update=update)
        show(result)
        handle = fal_client.submit("fal-ai/gpt-image-1.5", arguments)
        show(handle.status().__class__.__name__, handle.get(), handle.status().logs)
        again = fal_client.result("fal-ai/gpt-image-1.5", handle.request_id)
        show(again == handle.get())
        """
    )
    updates = [line[1:] for line in lines if line[0] == "update"]
    positions = [detail for name, detail in updates if name == "Queued"]
    assert positions == sorted(positions, reverse=True)
    assert 0 < positions[0] <= 2
    assert any(name == "InProgress" and detail[0]["message"] for name, detail in updates)
    assert updates[-1][0] == "Completed"
    result = next(line for line in lines if isinstance(line[0], dict))[0]
    assert len(result["images"]) == 2
    assert all(image["url"].startswith("https://v3.fal.media/files/") for image in result["images"])
    assert lines[-2][0] == "Queued"
    assert lines[-2][1]["images"][0]["width"] == 1024
    assert lines[-2][2] is None
    assert lines[-1] == [True]
    assert set(real_client.proxy.requested_hosts) == {"queue.fal.run"}


async def test_fals_client_uploads_and_edits(real_client: FalClientProcess) -> None:
    lines = await real_client.run(
        """
        import httpx
        picture = Image.new("RGB", (64, 64), (200, 40, 40))
        links = [
            fal_client.upload(b"some bytes", "text/plain", "note.txt"),
            fal_client.upload_image(picture, "png"),
            fal_client.upload(b"other bytes", "text/plain", repository="fal"),
        ]
        show([httpx.get(link).content.decode("latin-1")[:11] for link in links])
        result = fal_client.subscribe(
            "fal-ai/gpt-image-1.5/edit", {"prompt": "snow", "image_urls": [links[1]], "output_format": "jpeg"})
        body = httpx.get(result["images"][0]["url"])
        show(body.headers["content-type"], Image.open(io.BytesIO(body.content)).format)
        """
    )
    assert lines[0] == [["some bytes", "\x89PNG\r\n\x1a\n\0\0\0", "other bytes"]]
    assert lines[1] == ["image/jpeg", "JPEG"]
    assert set(real_client.proxy.requested_hosts) == set(REAL_HOSTS)


async def test_fals_client_understands_cancels_and_errors(real_client: FalClientProcess) -> None:
    real_client.sandbox.faults.set("slow_queue", seconds=30, times=1)
    lines = await real_client.run(
        """
        model = "fal-ai/gpt-image-1.5"
        handle = fal_client.submit(model, {"prompt": "a boat"})
        handle.cancel()
        status = handle.status()
        show(type(status).__name__, status.error_type)
        for act in (handle.cancel, handle.get, lambda: fal_client.cancel(model, "unknown")):
            try:
                act()
            except fal_client.FalClientHTTPError as error:
                show(error.status_code, error.error_type)
        for arguments in ({"prompt": "forbidden fruit"}, {"prompt": "x", "quality": "auto"}):
            try:
                fal_client.subscribe(model, arguments)
            except fal_client.FalClientHTTPError as error:
                show(error.status_code, error.message[0]["type"], error.message[0]["loc"])
        """
    )
    assert lines == [
        ["Completed", "client_cancelled"],
        [400, None],
        [499, "client_cancelled"],
        [404, None],
        [422, "content_policy_violation", ["body", "prompt"]],
        [422, "literal_error", ["body", "quality"]],
    ]


async def test_fals_client_pays_twice_when_an_response_is_lost(real_client: FalClientProcess) -> None:
    real_client.sandbox.faults.set("submit_lost", times=1)
    await real_client.run('fal_client.subscribe("fal-ai/gpt-image-1.5", {"prompt": "a boat"})')
    state = real_client.sandbox.state()
    assert state["submits"] == 2
    assert len(state["duplicates"]) == 1
    assert len(state["duplicates"][0]) == 2


async def test_fals_client_with_a_wrong_key_gets_a_401(real_client: FalClientProcess) -> None:
    lines = await real_client.run(
        """
        try:
            fal_client.submit("fal-ai/gpt-image-1.5", {"prompt": "a boat"})
        except fal_client.FalClientHTTPError as error:
            show(error.status_code, error.message)
        """,
        key="an-id:another",
    )
    assert lines == [[401, "No user found for Key ID and Secret"]]
    assert "another" not in json.dumps(real_client.sandbox.state())


async def test_fals_client_reads_events_and_the_stream(tmp_path: Path) -> None:
    async with fal_client_process(tmp_path, queue_seconds=0.4, run_seconds=0.3, heartbeat_seconds=0.02) as client:
        lines = await client.run(
            f"""
            from httpx_sse import connect_sse
            client = fal_client.SyncClient()
            handle = client.submit("{MODEL}", {{"prompt": "a boat"}}, priority="low", hint="here")
            logs = [[log["message"] for log in getattr(event, "logs", None) or ()]
                for event in handle.iter_events(with_logs=True, interval=0.02)]
            show(logs)
            handle = client.submit("{MODEL}", {{"prompt": "a boat"}})
            with connect_sse(client._client, "GET", handle.status_url + "/stream?logs=1") as source:
                shown = [event.json() for event in source.iter_sse()]
            show([each["status"] for each in shown])
            show([log["message"] for each in shown for log in each.get("logs") or ()])
            """
        )
        polled, states, streamed = (line[0] for line in lines)
        assert polled[-1] == streamed == ["Running on the painter", "Painting 1 of 1", "Done"]
        assert all(len(before) <= len(after) for before, after in pairwise(polled))
        assert sorted(set(states), key=states.index) == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
        first = next(iter(client.sandbox.requests.values()))
        assert first.headers["x-fal-queue-priority"] == "low"
        assert first.headers["x-fal-runner-hint"] == "here"


async def test_fals_async_client_subscribes_cancels_and_times_out(tmp_path: Path) -> None:
    async with fal_client_process(tmp_path, queue_seconds=0.3) as client:
        client.sandbox.faults.set("slow_queue", seconds=30, endpoint="openai/gpt-image-2")
        lines = await client.run(
            f"""
            import asyncio
            async def main():
                client, seen = fal_client.AsyncClient(), []
                result = await client.subscribe("{MODEL}", {{"prompt": "a boat"}}, with_logs=True, interval=0.02,
                    on_queue_update=lambda status: seen.append(type(status).__name__))
                show(sorted(set(seen), key=seen.index), len(result["images"]))
                slow = "openai/gpt-image-2"
                handle = await client.submit(slow, {{"prompt": "x"}})
                await handle.cancel()
                show((await handle.status()).error_type)
                handle = await client.submit(slow, {{"prompt": "x"}}, start_timeout=1.1)
                try:
                    await handle.get(interval=0.02)
                except fal_client.FalClientHTTPError as error:
                    show(error.status_code, error.error_type, error.response_headers["x-fal-request-timeout-type"])
                await (await client._client).aclose()
            asyncio.run(main())
            """
        )
        assert lines[0][0][0] == "Queued"
        assert (lines[0][0][-1], lines[0][1]) == ("Completed", 1)
        assert lines[1:] == [["client_cancelled"], [504, "request_timeout", "user"]]
        assert list(client.sandbox.requests.values())[-1].headers["x-fal-request-timeout"] == "1.1"


async def test_fals_client_runs_directly_and_finds_no_stream_of_pictures(tmp_path: Path) -> None:
    async with fal_client_process(tmp_path) as client:
        lines = await client.run(
            f"""
            show(len(fal_client.run("{MODEL}", {{"prompt": "a boat", "num_images": 2}})["images"]))
            try:
                list(fal_client.stream("{MODEL}", {{"prompt": "a boat"}}))
            except Exception as error:
                show(type(error).__name__)
            """
        )
        assert lines == [[2], ["SSEError"]]
        assert set(client.proxy.requested_hosts) == {RUN_HOST}
        assert [request.direct for request in client.sandbox.requests.values()] == [True]
        assert client.sandbox.state()["calls"][-1]["status"] == 404
