"""The fal stand-in keeps fal's promises: fal's own client, unmodified, works against it, and so do its faults."""

import asyncio
import base64
import io
import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from PIL import Image, ImageChops, ImageStat

from bot.sandbox import painter
from bot.sandbox.fal.faults import FAULTS, fal_faults
from bot.sandbox.fal.files import PublicHosts
from bot.sandbox.fal.server import FalSandbox
from bot.sandbox.kit.broken_answers import bomb
from tests.support.sandbox.connect_proxy import ConnectProxy

KEY = "an-id:a-secret"
AUTH = {"Authorization": f"Key {KEY}"}
MODEL = "fal-ai/gpt-image-1.5"
EDIT = "fal-ai/gpt-image-1.5/edit"
FAST: dict[str, Any] = {"queue_seconds": 0.03, "run_seconds": 0.03, "one_picture": True}
REAL_HOSTS = ("queue.fal.run", "rest.fal.ai", "v3.fal.media")
RUN_HOST = "fal.run"


@dataclass
class Caller:
    """A small HTTP client of the stand-in."""

    sandbox: FalSandbox
    http: aiohttp.ClientSession

    async def call(self, method: str, url: str, **more: Any) -> tuple[int, Any, Any]:
        full = url if url.startswith("http") else self.sandbox.url + url
        async with self.http.request(method, full, **{"headers": AUTH, **more}) as answer:
            raw = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, json.loads(raw) if "json" in kind and raw else raw, answer.headers

    async def submit(self, endpoint: str = MODEL, **body: Any) -> dict[str, Any]:
        status, answer, headers = await self.call("POST", f"/{endpoint}", json={"prompt": "a boat", **body})
        assert status == 200, answer
        assert headers["x-fal-request-id"] == answer["request_id"]
        assert isinstance(answer, dict)
        return answer

    async def finished(self, submitted: dict[str, Any]) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                status, answer, _ = await self.call("GET", submitted["status_url"])
                assert (status == 200) == (answer["status"] == "COMPLETED")
                if status == 200:
                    assert isinstance(answer, dict)
                    return answer
                await asyncio.sleep(0.01)

    async def outcome(self, endpoint: str = MODEL, **body: Any) -> tuple[int, Any, Any]:
        submitted = await self.submit(endpoint, **body)
        await self.finished(submitted)
        return await self.call("GET", submitted["response_url"])


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Caller]:
    async with FalSandbox(**{**FAST, **options}) as sandbox, aiohttp.ClientSession() as http:
        yield Caller(sandbox, http)


def picture_of(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def data_uri(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(painter.encode(image, "png")).decode()


# ------------------------------------------------------------------------------------------ fal's own client


@dataclass
class FalClientProcess:
    """Runs fal_client, as installed, in a process whose proxy and certificates lead to the stand-in."""

    sandbox: FalSandbox
    forwarder: ConnectProxy
    ca_file: Path

    def way(self) -> dict[str, str]:
        """The environment that leads httpx, and with it fal_client, to the stand-in."""
        return {"HTTPS_PROXY": self.forwarder.url, "SSL_CERT_FILE": str(self.ca_file)}

    async def run(self, script: str, key: str = KEY) -> list[Any]:
        """Each line the script prints, read as JSON."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.ca_file.parent),
            "FAL_KEY": key,
            **self.way(),
        }
        head = "import io, json, fal_client\nfrom PIL import Image\n"
        head += "show = lambda *values: print(json.dumps(values))\n"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", head + textwrap.dedent(script), env=environment, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def at_the_real_hosts(folder: Path, **options: Any) -> AsyncIterator[FalClientProcess]:
    """A stand-in that answers under fal's own names; `folder` takes the certificate."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    names = (*REAL_HOSTS, RUN_HOST)
    authority.issue_cert(*names).configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    queue, rest, cdn, run = (f"https://{name}" for name in names)
    hosts = PublicHosts(queue=queue, rest=rest, cdn=cdn, run=run)
    async with (
        FalSandbox(ssl_context=context, hosts=hosts, key=KEY, **{**FAST, **options}) as sandbox,
        ConnectProxy(sandbox.port, names) as forwarder,
    ):
        yield FalClientProcess(sandbox, forwarder, ca_file)


@pytest.fixture
async def real_client(tmp_path: Path) -> AsyncIterator[FalClientProcess]:
    async with at_the_real_hosts(tmp_path, queue_seconds=0.4, run_seconds=0.3) as client:
        yield client


async def test_fals_client_submits_follows_and_fetches(real_client: FalClientProcess) -> None:
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
    assert set(real_client.forwarder.asked) == {"queue.fal.run"}


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
    assert set(real_client.forwarder.asked) == set(REAL_HOSTS)


async def test_fals_client_understands_cancels_and_errors(real_client: FalClientProcess) -> None:
    real_client.sandbox.faults.set("slow_queue", seconds=30, times=1)
    lines = await real_client.run(
        """
        model = "fal-ai/gpt-image-1.5"
        handle = fal_client.submit(model, {"prompt": "a boat"})
        handle.cancel()
        status = handle.status()
        show(type(status).__name__, status.error_type)
        for act in (handle.cancel, handle.get, lambda: fal_client.cancel(model, "nobody")):
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


async def test_fals_client_pays_twice_when_an_answer_is_lost(real_client: FalClientProcess) -> None:
    real_client.sandbox.faults.set("submit_lost", times=1)
    await real_client.run('fal_client.subscribe("fal-ai/gpt-image-1.5", {"prompt": "a boat"})')
    state = real_client.sandbox.state()
    assert state["submits"] == 2
    assert len(state["duplicates"]) == 1
    assert len(state["duplicates"][0]) == 2


async def test_fals_client_with_a_wrong_key_is_told_so(real_client: FalClientProcess) -> None:
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


# ------------------------------------------------------------------------------------------------- the queue


async def test_states_have_fals_codes_and_shapes() -> None:
    async with opened(queue_seconds=0.5, run_seconds=0.1) as caller:
        submitted = await caller.submit()
        assert submitted["status"] == "IN_QUEUE"
        assert submitted["queue_position"] == 2
        assert submitted["status_url"].endswith(f"/{MODEL}/requests/{submitted['request_id']}/status")
        status, answer, _ = await caller.call("GET", submitted["status_url"] + "/")
        assert (status, answer["status"]) == (202, "IN_QUEUE")
        early, why, _ = await caller.call("GET", submitted["response_url"])
        assert (early, why) == (400, {"detail": "Request is still in progress"})
        done = await caller.finished(submitted)
        assert done["logs"] is None
        assert done["metrics"]["inference_time"] > 0
        assert "error" not in done
        for asked, expected in (("1", True), ("true", True), ("0", False), ("false", False)):
            _, answer, _ = await caller.call("GET", submitted["status_url"], params={"logs": asked})
            assert bool(answer["logs"]) is expected
        code, result, headers = await caller.call("GET", submitted["response_url"] + "/response/")
        assert code == 200
        assert headers["x-fal-billable-units"] == "1"
        (image,) = result["images"]
        code, content, headers = await caller.call("GET", image["url"], headers={})
        assert headers["Content-Type"] == image["content_type"] == "image/png"
        assert len(content) == image["file_size"]
        assert picture_of(content).size == (image["width"], image["height"]) == (1024, 1024)


async def test_an_edit_lives_under_owner_and_app_only() -> None:
    async with opened() as caller:
        submitted = await caller.submit(EDIT, image_urls=[data_uri(Image.new("RGB", (8, 8)))])
        assert "/edit" not in submitted["status_url"]
        wrong = submitted["status_url"].replace("/requests/", "/edit/requests/")
        status, answer, headers = await caller.call("GET", wrong)
        assert status == 404
        assert answer["detail"].startswith("Path ")
        assert headers["x-fal-billable-units"] == "0"


async def test_the_event_stream_has_only_new_log_lines_and_ends() -> None:
    async with opened(queue_seconds=0.6, run_seconds=0.2, heartbeat_seconds=0.02) as caller:
        submitted = await caller.submit()
        url = submitted["status_url"] + "/stream?logs=1"
        async with caller.http.get(url, headers=AUTH) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            text = (await answer.read()).decode()
        events = [
            json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")
        ]
        assert [event["queue_position"] for event in events if event["status"] == "IN_QUEUE"] == [2, 1, 0]
        messages = [log["message"] for event in events for log in event.get("logs") or ()]
        assert len(messages) == len(set(messages)) == 3
        assert events[-1]["status"] == "COMPLETED"
        assert ": ping" in text


async def test_cancel_answers_by_state() -> None:
    async with opened(queue_seconds=30) as caller:
        queued = await caller.submit()
        assert (await caller.call("PUT", queued["cancel_url"]))[:2] == (200, {"status": "OK"})
        status = await caller.finished(queued)
        assert status["error_type"] == "client_cancelled"
        assert (await caller.call("PUT", queued["cancel_url"]))[:2] == (400, {"status": "ALREADY_COMPLETED"})
        nobody = f"/{MODEL}/requests/nobody/cancel"
        assert (await caller.call("PUT", nobody))[:2] == (404, {"status": "NOT_FOUND"})
        caller.sandbox.queue_seconds, caller.sandbox.run_seconds = 0.0, 30.0
        running = await caller.submit()
        seen = caller.sandbox.requests[running["request_id"]]
        while seen.state == "IN_QUEUE":
            await seen.changed.wait()
        answer = await caller.call("PUT", running["cancel_url"] + "/")
        assert answer[:2] == (202, {"status": "CANCELLATION_REQUESTED"})
        assert (await caller.call("GET", running["response_url"]))[0] == 499
        assert caller.sandbox.requests[running["request_id"]].cancelled


async def test_odd_cancel_answers() -> None:
    async with opened(queue_seconds=30) as caller:
        for status, body in ((200, {"success": True}), (400, {"detail": "done"}), (200, "OK"), (202, None)):
            submitted = await caller.submit()
            caller.sandbox.faults.set("cancel_answer", status=status, body=body, times=1)
            assert (await caller.call("PUT", submitted["cancel_url"]))[:2] == (status, body)
            assert caller.sandbox.requests[submitted["request_id"]].cancelled


async def test_a_key_is_asked_for_and_never_kept() -> None:
    async with opened(key=KEY) as caller:
        for headers in (
            {},
            {"Authorization": KEY},
            {"Authorization": "Key x:y"},
            {"Authorization": f"Bearer {KEY}"},
        ):
            status, answer, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=headers)
            assert (status, answer) == (401, {"detail": "No user found for Key ID and Secret"})
        await caller.submit()
        _, state, _ = await caller.call("GET", "/sandbox/state")
        assert "a-secret" not in json.dumps(state)
        assert state["accepted"] == 1
        assert state["submits"] == 5
        assert [call["authorization"] for call in state["calls"]] == [None, "other", "Key", "Bearer", "Key"]


# ------------------------------------------------------------------------------------------ inputs and errors


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
    async with opened() as caller:
        submitted = await caller.submit(endpoint, **body)
        status = await caller.finished(submitted)
        assert status["error_type"] == kind
        code, answer, headers = await caller.call("GET", submitted["response_url"])
        assert code == 422
        assert (answer["detail"][0]["type"], answer["detail"][0]["loc"]) == (kind, loc)
        assert headers["X-Fal-Retryable"] == "false"
        assert headers["x-fal-billable-units"] == "0"


async def test_bad_input_can_be_refused_at_submit() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("submit_invalid")
        status, answer, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x", "num_images": 0})
        assert (status, answer["detail"][0]["type"]) == (422, "greater_than_equal")
        assert not caller.sandbox.requests


async def test_an_edit_obeys_its_mask_and_changes_the_rest() -> None:
    source = painter.paint("a lake", (1024, 1024), noise=0)
    mask = Image.new("RGBA", source.size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (256, 256, 768, 768))
    async with opened(one_picture=False) as caller:
        urls = {"image_urls": [data_uri(source)], "mask_image_url": data_uri(mask)}
        code, answer, _ = await caller.outcome(EDIT, **urls | {"prompt": "night"})
        assert code == 200
        _, content, _ = await caller.call("GET", answer["images"][0]["url"], headers={})
        different = ImageChops.difference(picture_of(content).convert("RGB"), source).getbbox()
        assert different is not None
        assert different[0] >= 256
        assert different[3] <= 768
        shown = json.dumps(caller.sandbox.state()["requests"])
        assert "base64,<" in shown
        assert len(shown) < 2_000
        small = data_uri(Image.new("RGBA", (8, 8)))
        code, answer, _ = await caller.outcome(EDIT, **urls | {"mask_image_url": small})
        assert (code, answer["detail"][0]["loc"]) == (422, ["body", "mask_image_url"])


async def test_sources_are_fetched_over_http_and_from_the_map() -> None:
    picture = painter.encode(Image.new("RGB", (16, 16), "red"), "png")
    async with opened() as files:
        _, token, _ = await files.call("POST", "/storage/auth/token?storage_type=fal-cdn-v3", json={})
        auth = {"Authorization": f"{token['token_type']} {token['token']}", "Content-Type": "image/png"}
        _, stored, _ = await files.call("POST", "/files/upload", data=picture, headers=auth)
        mapped = stored["access_url"].replace(files.sandbox.url, "https://pictures.invalid")
        async with opened(url_map={"https://pictures.invalid": files.sandbox.url}) as caller:
            for url in (stored["access_url"], mapped):
                assert (await caller.outcome(EDIT, image_urls=[url]))[0] == 200
            code, answer, _ = await caller.outcome(EDIT, image_urls=[stored["access_url"] + "x"])
            assert (code, answer["detail"][0]["type"]) == (422, "file_download_error")


async def test_both_upload_routes_mind_their_keys() -> None:
    async with opened() as caller:
        assert (await caller.call("POST", "/files/upload", data=b"x"))[0] == 401
        assert (await caller.call("POST", "/storage/upload/initiate", json={}, headers={}))[0] == 401
        order = {"file_name": "a.png", "content_type": "image/png"}
        _, places, _ = await caller.call("POST", "/storage/upload/initiate?storage_type=gcs", json=order)
        assert (await caller.call("GET", places["file_url"]))[0] == 404
        wrong = {"Content-Type": "image/jpeg"}
        assert (await caller.call("PUT", places["upload_url"], data=b"abc", headers=wrong))[0] == 403
        right = {"Content-Type": "image/png"}
        assert (await caller.call("PUT", places["upload_url"], data=b"abc", headers=right))[0] == 200
        assert (await caller.call("GET", places["file_url"], headers={}))[1] == b"abc"


async def test_results_expire_sooner_when_they_are_large() -> None:
    async with opened() as caller:
        submitted = [await caller.submit(), await caller.submit(sync_mode=True)]
        unstored = {**AUTH, "X-Fal-Store-IO": "0"}
        submitted.append((await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=unstored))[1])
        for each in submitted:
            await caller.finished(each)
        for seconds, expected in ((0, [200, 200, 200]), (361, [200, 404, 200]), (3_600, [200, 404, 404])):
            await caller.call("POST", "/sandbox/clock", json={"advance": seconds})
            codes = [(await caller.call("GET", each["response_url"]))[0] for each in submitted]
            assert codes == expected


# ---------------------------------------------------------------------------------------------------- faults


async def test_faults_are_set_counted_and_cleared_over_http() -> None:
    async with opened() as caller:
        order = {"set": [{"name": "submit_error", "status": 503, "times": 2}, {"name": "locked"}]}
        status, answer, _ = await caller.call("POST", "/sandbox/faults", json=order)
        assert (status, len(answer["on"])) == (200, 2)
        assert set(answer["known"]) == set(FAULTS)
        for expected in (503, 503, 403):
            status, answer, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
            assert status == expected
        assert answer["detail"].startswith("User is locked. Reason: Exhausted balance.")
        assert (await caller.call("POST", "/storage/auth/token", json={}))[0] == 403
        await caller.call("POST", "/sandbox/faults", json={"clear": True})
        await caller.submit()
        for bad in ({"set": [{"name": "nonsense"}]}, {"set": [{"name": "locked", "x": 1}]}, {"do": 1}, [1]):
            assert (await caller.call("POST", "/sandbox/faults", json=bad))[0] == 400


async def test_submits_that_accept_nothing() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("submit_ingress", times=1)
        status, answer, headers = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert (status, b"nginx" in answer, "x-fal-request-id" in headers) == (502, True, False)
        caller.sandbox.faults.set("submit_rate_limited", retry_after="7", times=1)
        status, _, headers = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert (status, headers["Retry-After"]) == (429, "7")
        caller.sandbox.faults.set("submit_rate_limited", times=1)
        status, _, headers = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert (status, "Retry-After" in headers) == (429, False)
        caller.sandbox.faults.set("submit_refused", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.call("POST", f"/{MODEL}", json={"prompt": "x"})
        assert not caller.sandbox.requests


async def test_a_lost_answer_leaves_accepted_work() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("submit_lost", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.call("POST", f"/{MODEL}", json={"prompt": "a boat"})
        assert len(caller.sandbox.requests) == 1
        assert caller.sandbox.state()["duplicates"] == []
        await caller.submit()
        assert len(caller.sandbox.state()["duplicates"]) == 1


async def test_a_model_is_gone_from_a_day_on() -> None:
    async with opened() as caller:
        gone = {"detail": "This model is no longer available"}
        caller.sandbox.faults.set("model_gone", endpoint=MODEL, since="2999-01-01", body=gone)
        await caller.submit()
        caller.sandbox.age(1_000 * 365.25 * 86_400)
        assert (await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}))[:2] == (404, gone)
        await caller.submit("fal-ai/gpt-image-1/text-to-image")
        assert (await caller.call("POST", "/fal-ai/unknown", json={}))[0] == 404


@pytest.mark.parametrize("kind", ["status", "result"])
async def test_spoilt_answers_then_the_right_one(kind: str) -> None:
    async with opened() as caller:
        submitted = await caller.submit()
        await caller.finished(submitted)
        url = submitted["status_url" if kind == "status" else "response_url"]
        for name in ("error", "html", "truncated", "reset"):
            caller.sandbox.faults.set(f"{kind}_{name}", times=1)
        status, answer, headers = await caller.call("GET", url)
        assert (status, answer["error_type"], headers["X-Fal-Error-Type"]) == (500, *["internal_error"] * 2)
        status, answer, _ = await caller.call("GET", url)
        assert (status, answer[:6]) == (200, b"<html>")
        with pytest.raises(json.JSONDecodeError):
            await caller.call("GET", url)
        with pytest.raises(aiohttp.ClientError):
            await caller.call("GET", url)
        assert (await caller.call("GET", url))[0] == 200


async def test_failures_with_and_without_an_error_in_the_status() -> None:
    async with opened() as caller:
        caller.sandbox.faults.set("run_error", status=503, error_type="runner_disconnected", body="gone")
        submitted = await caller.submit()
        assert (await caller.finished(submitted))["error_type"] == "runner_disconnected"
        code, answer, _ = await caller.call("GET", submitted["response_url"])
        assert (code, answer) == (503, {"detail": "gone", "error_type": "runner_disconnected"})
        caller.sandbox.faults.set("hidden_error")
        submitted = await caller.submit()
        assert "error" not in await caller.finished(submitted)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 503
        caller.sandbox.faults.clear()
        caller.sandbox.faults.set("model_error", status=500, error_type="downstream_service_unavailable")
        code, answer, headers = await caller.outcome()
        assert (code, headers["X-Fal-Retryable"]) == (500, "true")


async def test_pictures_that_are_not_what_they_should_be() -> None:
    async with opened() as caller:
        for name, more in (("wrong_type", {}), ("not_a_picture", {}), ("bomb", {"count": 20_000})):
            caller.sandbox.faults.set(name, times=1, **more)
            _, answer, _ = await caller.outcome()
            _, content, headers = await caller.call("GET", answer["images"][0]["url"], headers={})
            assert headers["Content-Type"] == "image/png"
            if name == "wrong_type":
                assert picture_of(content).format == "JPEG"
            elif name == "not_a_picture":
                assert content.startswith(b"<html>")
            else:
                assert content == bomb(20_000)
                assert len(content) < 100_000
        caller.sandbox.faults.set("fewer_pictures", times=1)
        assert len((await caller.outcome(num_images=4))[1]["images"]) == 3
        caller.sandbox.faults.set("foreign_picture", url="https://elsewhere.invalid/a.png", times=1)
        assert (await caller.outcome())[1]["images"][0]["url"] == "https://elsewhere.invalid/a.png"


async def test_cdn_troubles() -> None:
    async with opened() as caller:
        _, answer, _ = await caller.outcome()
        url = answer["images"][0]["url"]
        faults = caller.sandbox.faults
        faults.set("cdn_redirect", url="http://elsewhere.invalid/", times=1)
        status, _, headers = await caller.call("GET", url, allow_redirects=False)
        assert (status, headers["Location"]) == (302, "http://elsewhere.invalid/")
        faults.set("cdn_reset", times=1)
        with pytest.raises(aiohttp.ClientError):
            await caller.call("GET", url)
        faults.set("cdn_huge", size=1_000_000, times=1)
        _, content, headers = await caller.call("GET", url)
        assert (len(content), "Content-Length" in headers) == (1_000_000, False)
        faults.set("cdn_slow", size=8, seconds=0.01, times=1)
        with pytest.raises(TimeoutError):
            await caller.call("GET", url, timeout=aiohttp.ClientTimeout(total=0.1))
        faults.set("cdn_type", body="text/html", times=1)
        assert (await caller.call("GET", url))[2]["Content-Type"] == "text/html"
        faults.set("cdn_error", status=503, times=1)
        assert (await caller.call("GET", url))[0] == 503
        assert (await caller.call("GET", url))[0] == 200


async def test_the_rest_of_the_switches() -> None:
    async with opened() as caller:
        faults = caller.sandbox.faults
        faults.set("foreign_urls", url="https://elsewhere.invalid", times=1)
        assert (await caller.submit())["status_url"].startswith("https://elsewhere.invalid/fal-ai/")
        faults.set("submit_in_progress", times=1)
        submitted = await caller.submit()
        assert submitted["status"] == "IN_PROGRESS"
        await caller.finished(submitted)
        faults.set("result_early", times=1)
        faults.set("result_expired", times=1)
        faults.set("result_huge", size=100_000, times=1)
        assert (await caller.call("GET", submitted["response_url"]))[0] == 400
        assert (await caller.call("GET", submitted["response_url"]))[0] == 404
        assert int((await caller.call("GET", submitted["response_url"]))[2]["Content-Length"]) >= 100_000
        faults.set("stuck", times=1)
        stuck = await caller.submit()
        faults.set("stream_cut", times=1)
        text = (await caller.call("GET", stuck["status_url"] + "/stream"))[1]
        assert text.count(b"data: ") == 1
        assert (await caller.call("GET", stuck["status_url"]))[0] == 202
        with pytest.raises(ValueError, match="needs url"):
            faults.set("cdn_redirect")


async def test_a_start_timeout_is_obeyed() -> None:
    async with opened(queue_seconds=30) as caller:
        headers = {**AUTH, "X-Fal-Request-Start-Timeout": "0.1"}
        _, submitted, _ = await caller.call("POST", f"/{MODEL}", json={"prompt": "x"}, headers=headers)
        await caller.finished(submitted)
        code, answer, headers = await caller.call("GET", submitted["response_url"])
        assert (code, answer["error_type"]) == (504, "request_timeout")
        assert headers["X-Fal-Request-Timeout-Type"] == "user"


def test_failing_at_random_repeats_with_its_seed() -> None:
    def draws(seed: int) -> list[bool]:
        faults = fal_faults(seed)
        faults.set("locked", probability=0.5)
        return [faults.strike("locked") is not None for _ in range(40)]

    assert draws(7) == draws(7) != draws(8)
    assert 5 < sum(draws(7)) < 35


async def test_as_its_own_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    command = (sys.executable, "-m", "bot.sandbox.fal", "--port", "0", "--one-picture")
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


# --------------------------------------------------------------------------------------------------- painter


def test_painting_is_deterministic_and_each_picture_its_own() -> None:
    first = painter.paint("a fox in the snow", (256, 256))
    assert first.tobytes() == painter.paint("a fox in the snow", (256, 256)).tobytes()
    assert first.tobytes() != painter.paint("a fox in the snow", (256, 256), index=1).tobytes()
    assert first.tobytes() != painter.paint("a fox in the rain", (256, 256)).tobytes()
    clear = painter.paint("a fox in the snow", (256, 256), transparent=True)
    assert clear.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("prompt", ["snow", "night", "a boat", "pencil sketch", "zyx", "sunset", "aurora", "rain"])
def test_an_edit_changes_the_picture_and_keeps_its_shape(prompt: str) -> None:
    source = painter.paint("a lighthouse", (256, 256))
    changed = painter.edit(source, prompt)
    assert changed.size == source.size
    difference = ImageStat.Stat(ImageChops.difference(source, changed)).mean
    assert 3 < max(difference) < 140
    assert changed.tobytes() == painter.edit(source, prompt).tobytes()


def test_a_mask_must_fit() -> None:
    source = Image.new("RGB", (8, 8))
    for mask in (Image.new("RGBA", (4, 4)), Image.new("RGB", (8, 8))):
        with pytest.raises(ValueError, match="mask"):
            painter.edit(source, "snow", mask=mask)


@pytest.mark.parametrize("kind", painter.FORMATS)
def test_pictures_are_encoded_and_filled_up(kind: str) -> None:
    image = painter.paint("sea", (128, 128))
    assert picture_of(painter.encode(image, kind)).format == kind.upper()
    if kind == "webp":
        with pytest.raises(ValueError, match="padded"):
            painter.encode(image, kind, pad_to=1_500_000)
    else:
        padded = painter.encode(image, kind, pad_to=1_500_000)
        assert 1_500_000 <= len(padded) < 1_500_020
        assert picture_of(padded).size == (128, 128)
