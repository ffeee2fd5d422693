"""fal's webhooks: the signed call to whoever gave `fal_webhook`, and the keys to verify it with."""

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.schema import shortened
from bot.sandbox.fal.wire import FalError, platform_failure, reply

_DELIVERIES_KEPT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt: what was sent and what the receiver made of it."""

    request_id: str
    url: str
    at: float
    """Seconds since 1970, by the real clock."""
    attempt: int
    """From 1; a replay has the number of what it replays."""
    headers: dict[str, str]
    body: bytes
    status: int | None
    """What the receiver answered; None: nothing, `error` says why."""
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For GET /sandbox/state, without pictures."""
        return {
            "request_id": self.request_id,
            "url": self.url,
            "at": self.at,
            "attempt": self.attempt,
            "headers": self.headers,
            "body": shortened(json.loads(self.body)),
            "status": self.status,
            "error": self.error,
        }


class SigningKeys:
    """Two published keys, the newer of which signs, and one that nobody publishes."""

    def __init__(self) -> None:
        self._keys = [_Key(), _Key()]
        self._stranger = _Key()

    def rotate(self) -> None:
        """A new key signs from now on; the one before it stays published, the oldest does not."""
        self._keys = [_Key(), self._keys[0]]

    def sign(self, message: bytes, *, forged: bool = False) -> str:
        """The signature in hexadecimal."""
        return (self._stranger if forged else self._keys[0]).private.sign(message).hex()

    def as_json(self) -> dict[str, Any]:
        """The JSON Web Key Set."""
        return {"keys": [key.as_json() for key in self._keys]}


class Webhooks:
    """Sends them, remembers what became of them, and publishes the keys."""

    def __init__(self, desk: FalContext, session: aiohttp.ClientSession, keys: SigningKeys) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=_DELIVERIES_KEPT)
        self._desk = desk
        self._session = session
        self._keys = keys
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up what is still on its way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def published(self, _: web.Request) -> web.StreamResponse:
        """GET /.well-known/jwks.json, on the rest host."""
        if fault := self._desk.strike("jwks_error"):
            raise platform_failure(fault.status or 500, "Internal Server Error")
        return reply(self._keys.as_json(), headers={"Cache-Control": "public, max-age=86400"})

    def send(self, request: QueueRequest) -> None:
        """Tell the end of a finished request, on a task of its own."""
        if request.webhook is None:
            return
        task = asyncio.create_task(self.deliver(request, request.result, request.failure))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(
        self, request: QueueRequest, result: dict[str, Any] | None, failure: FalError | None
    ) -> None:
        """Try until the receiver answers 2xx or the attempts are used up."""
        options, strike = self._desk.options, partial(self._desk.strike, endpoint=request.endpoint)
        if request.webhook is None or strike("webhook_never"):
            return
        if fault := strike("webhook_slow"):
            await asyncio.sleep(fault.seconds if fault.seconds is not None else 1)
        body = self._body(request, result, failure)
        for attempt, pause in enumerate((*options.webhook_pauses, None), 1):
            headers = self._headers(request, body)
            taken = await self._post(request, attempt, headers, body)
            if taken and strike("webhook_twice"):
                await self._post(request, attempt, headers, body)
            if taken or pause is None:
                return
            await asyncio.sleep(pause)

    def _body(self, request: QueueRequest, result: dict[str, Any] | None, failure: FalError | None) -> bytes:
        body: dict[str, Any] = {
            "error": f"Invalid status code: {failure.status}" if failure else None,
            "gateway_request_id": request.request_id,
            "payload": failure.body if failure else result,
            "request_id": request.request_id,
            "status": "ERROR" if failure else "OK",
        }
        if fault := self._desk.strike("webhook_payload_null", request.endpoint):
            reason = (
                "Response payload is not JSON serializable. Either return a JSON serializable object or use sync"
            )
            body |= {"payload": None, "payload_error": str(fault.body or reason)}
        return json.dumps(body, sort_keys=True).encode()

    def _headers(self, request: QueueRequest, body: bytes) -> dict[str, str]:
        moment = time.time()  # the receiver compares it with its own clock, which nobody puts forward
        if fault := self._desk.strike("webhook_skewed", request.endpoint):
            moment += fault.seconds if fault.seconds is not None else -301
        user, stamp, digest = self._desk.options.user_id, str(int(moment)), hashlib.sha256(body).hexdigest()
        message = "\n".join((request.request_id, user, stamp, digest)).encode()
        forged = self._desk.strike("webhook_forged", request.endpoint) is not None
        return {
            "Content-Type": "application/json",
            "X-Fal-Webhook-Request-Id": request.request_id,
            "X-Fal-Webhook-User-Id": user,
            "X-Fal-Webhook-Timestamp": stamp,
            "X-Fal-Webhook-Signature": self._keys.sign(message, forged=forged),
        }

    async def _post(self, request: QueueRequest, attempt: int, headers: dict[str, str], body: bytes) -> bool:
        url, limit = request.webhook or "", aiohttp.ClientTimeout(total=self._desk.options.webhook_seconds)
        begun, status, error = time.time(), None, None
        post = self._session.post(url, data=body, headers=headers, timeout=limit, allow_redirects=False)
        try:
            async with post as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
            error = type(problem).__name__
        delivery = Delivery(
            request_id=request.request_id,
            url=url,
            at=begun,
            attempt=attempt,
            headers=headers,
            body=body,
            status=status,
            error=error,
        )
        self.deliveries.append(delivery)
        return status is not None and 200 <= status < 300


class _Key:
    """One Ed25519 key and its name."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()
        self._name = secrets.token_hex(8)

    def as_json(self) -> dict[str, str]:
        """Its public half (RFC 8037)."""
        public = base64.urlsafe_b64encode(self.private.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self._name, "x": public}
