"""fal's webhooks: signatures, repeated attempts, and faults."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bot.sandbox.fal.server import FalSandbox
from tests.support.sandbox.fal import AUTH, MODEL, Caller, fal_client_process, open_fal

PAUSES = {"webhook_pauses": (0.01, 0.01)}


@dataclass
class Call:
    """One POST to the receiver."""

    headers: Mapping[str, str]
    raw: bytes
    status_then: str | None
    """The request's status at fal at that moment."""

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class WebhookReceiver:
    """Receives webhooks; responds with 200, or the next of `responses`, after `pause` seconds."""

    url: str = ""
    responses: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    watched: FalSandbox | None = None
    pause: float = 0

    async def take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        found = self.watched.requests.get(json.loads(raw)["request_id"]) if self.watched else None
        self.calls.append(Call(request.headers, raw, found.state if found else None))
        async with self.came:
            self.came.notify_all()
        await asyncio.sleep(self.pause)
        return web.Response(status=self.responses.pop(0) if self.responses else 200)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: len(self.calls) >= count)


@asynccontextmanager
async def receiver() -> AsyncIterator[WebhookReceiver]:
    made = WebhookReceiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook?job=7&of=me"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class WebhookSetup:
    """The stand-in, a client that calls it, and a receiver for its webhooks."""

    caller: Caller
    hook: WebhookReceiver

    @property
    def sandbox(self) -> FalSandbox:
        return self.caller.sandbox

    async def submit(self, url: str | None = None, **body: Any) -> dict[str, Any]:
        path = f"/{MODEL}?fal_webhook={quote(url or self.hook.url, safe='')}"
        status, response, _ = await self.caller.call("POST", path, json={"prompt": "a boat", **body})
        assert status == 200
        assert isinstance(response, dict)
        return response

    async def keys(self) -> list[dict[str, str]]:
        status, response, _ = await self.caller.call("GET", "/.well-known/jwks.json", headers={})
        assert status == 200
        found = response["keys"]
        assert isinstance(found, list)
        return found

    async def sent(self, count: int) -> None:
        """Wait until so many attempts are recorded, with their responses."""
        async with asyncio.timeout(10):
            while True:
                if len(self.sandbox.deliveries) >= count:
                    return
                await asyncio.sleep(0.005)


@asynccontextmanager
async def webhook_setup(**options: Any) -> AsyncIterator[WebhookSetup]:
    async with receiver() as hook, open_fal(**{**PAUSES, **options}) as caller:
        hook.watched = caller.sandbox
        yield WebhookSetup(caller, hook)


def has_valid_signature(call: Call, keys: list[dict[str, str]]) -> bool:
    """Verify the signature as fal documents it, except for the timestamp."""
    named = [call.headers[f"X-Fal-Webhook-{part}"] for part in ("Request-Id", "User-Id", "Timestamp")]
    message = "\n".join((*named, hashlib.sha256(call.raw).hexdigest())).encode()
    signature = bytes.fromhex(call.headers["X-Fal-Webhook-Signature"])
    for key in keys:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
        try:
            public.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


def clock_skew(call: Call) -> float:
    return int(call.headers["X-Fal-Webhook-Timestamp"]) - time.time()


async def test_a_webhook_has_the_signed_result() -> None:
    async with webhook_setup(user_id="a-user") as there:
        submitted = await there.submit()
        await there.hook.wait_for(1)
        (call,) = there.hook.calls
        result = (await there.caller.call("GET", submitted["response_url"]))[1]
        assert list(call.body) == ["error", "gateway_request_id", "payload", "request_id", "status"]
        assert call.body["payload"] == result
        assert (call.body["status"], call.body["error"]) == ("OK", None)
        assert call.body["request_id"] == submitted["request_id"] == call.headers["X-Fal-Webhook-Request-Id"]
        assert call.headers["X-Fal-Webhook-User-Id"] == "a-user"
        assert call.status_then == "COMPLETED"
        keys = await there.keys()
        assert [(key["kty"], key["crv"]) for key in keys] == [("OKP", "Ed25519")] * 2
        assert has_valid_signature(call, keys)
        assert abs(clock_skew(call)) < 10
        call.raw = call.raw.replace(b'"OK"', b'"KO"')
        assert not has_valid_signature(call, keys)


async def test_failures_and_cancels_are_sent_as_webhooks() -> None:
    async with webhook_setup() as there:
        await there.submit(num_images=9)
        await there.hook.wait_for(1)
        shown = there.hook.calls[0].body
        assert (shown["status"], shown["error"]) == ("ERROR", "Invalid status code: 422")
        assert shown["payload"]["detail"][0]["loc"] == ["body", "num_images"]
        there.sandbox.queue_seconds = 30
        submitted = await there.submit()
        await there.caller.call("PUT", submitted["cancel_url"])
        await there.hook.wait_for(2)
        assert there.hook.calls[1].body["payload"]["error_type"] == "client_cancelled"


async def test_a_refused_webhook_is_sent_again_and_recorded() -> None:
    async with webhook_setup() as there:
        there.hook.responses = [500, 302]
        await there.submit()
        await there.sent(3)
        _, state, _ = await there.caller.call("GET", "/sandbox/state")
        assert [(one["attempt"], one["status"]) for one in state["deliveries"]] == [(1, 500), (2, 302), (3, 200)]
        assert state["deliveries"][2]["body"]["status"] == "OK"
        keys = await there.keys()
        assert all(has_valid_signature(call, keys) for call in there.hook.calls)
        assert len({call.raw for call in there.hook.calls}) == 1


async def test_an_unreachable_receiver_is_given_up() -> None:
    async with webhook_setup() as there:
        await there.submit(url="http://127.0.0.1:9/nobody")
        await there.sent(3)
        assert [one.status for one in there.sandbox.deliveries] == [None] * 3
        assert there.sandbox.deliveries[0].error == "ClientConnectorError"


async def test_a_slow_receiver_is_not_waited_for() -> None:
    async with webhook_setup(webhook_seconds=0.05, webhook_pauses=()) as there:
        there.hook.pause = 0.3
        await there.submit()
        await there.sent(1)
        assert there.sandbox.deliveries[0].status is None
        assert "Timeout" in str(there.sandbox.deliveries[0].error)


async def test_keys_rotate_and_the_one_before_stays_for_a_while() -> None:
    async with webhook_setup() as there:
        await there.submit()
        await there.hook.wait_for(1)
        before = await there.keys()
        there.sandbox.rotate_keys()
        after = await there.keys()
        assert after[1] == before[0]
        assert has_valid_signature(there.hook.calls[0], after)
        await there.submit()
        await there.hook.wait_for(2)
        assert has_valid_signature(there.hook.calls[1], after)
        assert not has_valid_signature(there.hook.calls[1], before)
        _, rotated, _ = await there.caller.call("POST", "/sandbox/keys/rotate")
        assert not has_valid_signature(there.hook.calls[0], rotated["keys"])
        there.sandbox.faults.set("jwks_error", status=503, times=1)
        assert (await there.caller.call("GET", "/.well-known/jwks.json"))[0] == 503


async def test_forged_and_skewed_webhooks() -> None:
    async with webhook_setup() as there:
        there.sandbox.faults.set("webhook_forged", times=1)
        there.sandbox.faults.set("webhook_skewed", seconds=-900, times=1)
        there.hook.responses = [401]
        await there.submit()
        await there.hook.wait_for(2)
        keys = await there.keys()
        assert [has_valid_signature(call, keys) for call in there.hook.calls] == [False, True]
        assert -910 < clock_skew(there.hook.calls[0]) < -890
        assert abs(clock_skew(there.hook.calls[1])) < 10
        there.sandbox.faults.set("webhook_skewed", seconds=400)
        await there.submit()
        await there.hook.wait_for(3)
        assert has_valid_signature(there.hook.calls[2], keys)
        assert clock_skew(there.hook.calls[2]) > 390


async def test_a_webhook_that_comes_twice_or_empty() -> None:
    async with webhook_setup() as there:
        there.sandbox.faults.set("webhook_twice", times=1)
        await there.submit()
        await there.sent(2)
        first, second = there.hook.calls
        assert (first.raw, first.headers) == (second.raw, second.headers)
        there.sandbox.faults.set("webhook_payload_null", times=1)
        await there.submit()
        await there.hook.wait_for(3)
        shown = there.hook.calls[2].body
        assert (shown["status"], shown["payload"]) == ("OK", None)
        assert "not JSON serializable" in shown["payload_error"]


async def test_a_webhook_that_is_early_or_late_or_never_comes() -> None:
    async with webhook_setup() as there:
        faults = there.sandbox.faults
        faults.set("webhook_early", seconds=0.4, times=1)
        submitted = await there.submit()
        await there.hook.wait_for(1)
        assert there.hook.calls[0].status_then == "IN_PROGRESS"
        assert (await there.caller.call("GET", submitted["response_url"]))[0] == 400
        await there.caller.finished(submitted)
        assert (await there.caller.call("GET", submitted["response_url"]))[1] == there.hook.calls[0].body[
            "payload"
        ]
        faults.set("webhook_never", times=1)
        faults.set("webhook_slow", seconds=0.1, times=1)
        never, late = await there.submit(), await there.submit()
        await there.caller.finished(never)
        await there.caller.finished(late)
        await there.sent(2)
        finished = there.sandbox.requests[late["request_id"]].finished_at
        assert finished is not None
        assert there.sandbox.deliveries[1].at - finished >= 0.09
        assert [call.body["request_id"] for call in there.hook.calls[1:]] == [late["request_id"]]


@pytest.mark.parametrize("url", ["ftp://here.invalid/", "nonsense", "https://"])
async def test_a_webhook_must_be_a_web_address(url: str) -> None:
    async with open_fal() as caller:
        path = f"/{MODEL}?fal_webhook={quote(url, safe='')}"
        status, response, _ = await caller.call("POST", path, json={"prompt": "x"}, headers=AUTH)
        assert (status, response["error_type"]) == (400, "bad_request")


async def test_fals_client_asks_for_a_webhook(tmp_path: Path) -> None:
    async with receiver() as hook, fal_client_process(tmp_path) as client:
        lines = await client.run(
            f"""
            import httpx
            handle = fal_client.submit("{MODEL}", {{"prompt": "a boat"}}, webhook_url={hook.url!r})
            show(handle.request_id, handle.get(), httpx.get("https://rest.fal.ai/.well-known/jwks.json").json())
            """
        )
        await hook.wait_for(1)
        request_id, result, published = lines[0]
        (call,) = hook.calls
        assert (call.body["request_id"], call.body["payload"]) == (request_id, result)
        assert has_valid_signature(call, published["keys"])
        assert client.sandbox.deliveries[0].url == hook.url
