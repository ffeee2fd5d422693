"""fal's webhooks: signed calls to the URL in `fal_webhook`, and the keys to verify them (fal: webhooks)."""

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
from bot.sandbox.fal.wire import FalError, json_response, platform_error
from bot.sandbox.kit.records import redact
from bot.sandbox.kit.tasks import BackgroundTasks

_DELIVERIES_KEPT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt at a webhook: the request, and the receiver's response."""

    request_id: str
    url: str
    at: float
    """Seconds since 1970, by the real clock."""
    attempt: int
    """From 1; a repeated delivery has the number of the original."""
    headers: dict[str, str]
    body: bytes
    status: int | None
    """HTTP status of the receiver's response; None: none came, and `error` says why."""
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For GET /sandbox/state, without pictures."""
        return {
            "request_id": self.request_id,
            "url": self.url,
            "at": self.at,
            "attempt": self.attempt,
            "headers": self.headers,
            "body": redact(json.loads(self.body)),
            "status": self.status,
            "error": self.error,
        }


class SigningKeys:
    """Two published keys, of which the newer signs, and an unpublished one for forged signatures."""

    def __init__(self) -> None:
        self._keys = [_Key(), _Key()]
        self._unpublished = _Key()

    def rotate(self) -> None:
        """A new key signs from now on; the one before it stays published, the oldest does not."""
        self._keys = [_Key(), self._keys[0]]

    def sign(self, message: bytes, *, forged: bool = False) -> str:
        """The signature in hexadecimal."""
        return (self._unpublished if forged else self._keys[0]).private.sign(message).hex()

    def as_json(self) -> dict[str, Any]:
        """The JSON Web Key Set."""
        return {"keys": [key.as_json() for key in self._keys]}


class Webhooks:
    """Sends webhooks, records each attempt, and publishes the keys."""

    def __init__(self, context: FalContext, session: aiohttp.ClientSession, keys: SigningKeys) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=_DELIVERIES_KEPT)
        self._context = context
        self._session = session
        self._keys = keys
        self._tasks = BackgroundTasks()

    async def close(self) -> None:
        """Stop the deliveries that are not finished."""
        await self._tasks.close()

    async def jwks(self, _: web.Request) -> web.StreamResponse:
        """GET /.well-known/jwks.json, on the rest host."""
        if fault := self._context.strike("jwks_error"):
            raise platform_error(fault.status or 500, "Internal Server Error")
        return json_response(self._keys.as_json(), headers={"Cache-Control": "public, max-age=86400"})

    def send(self, request: QueueRequest) -> None:
        """Start the delivery of a finished request's result, as a background task."""
        if request.webhook is None:
            return
        self._tasks.start(self.deliver(request, request.result, request.failure))

    async def deliver(
        self, request: QueueRequest, result: dict[str, Any] | None, failure: FalError | None
    ) -> None:
        """Try until the receiver responds with 2xx or the attempts are used up."""
        options, strike = self._context.options, partial(self._context.strike, model=request.endpoint)
        if request.webhook is None or strike("webhook_never"):
            return
        if fault := strike("webhook_slow"):
            await asyncio.sleep(fault.seconds_or(1))
        body = self._body(request, result, failure)
        for attempt, pause in enumerate((*options.webhook_pauses, None), 1):
            headers = self._headers(request, body)
            received = await self._post(request, attempt, headers, body)
            if received and strike("webhook_twice"):
                await self._post(request, attempt, headers, body)
            if received or pause is None:
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
        if fault := self._context.strike("webhook_payload_null", request.endpoint):
            reason = (
                "Response payload is not JSON serializable. Either return a JSON serializable object or use sync"
            )
            body |= {"payload": None, "payload_error": str(fault.body or reason)}
        return json.dumps(body, sort_keys=True).encode()

    def _headers(self, request: QueueRequest, body: bytes) -> dict[str, str]:
        moment = time.time()  # the receiver compares it with the real time, whatever `age` did
        if fault := self._context.strike("webhook_skewed", request.endpoint):
            moment += fault.seconds_or(-301)
        user, stamp, digest = self._context.options.user_id, str(int(moment)), hashlib.sha256(body).hexdigest()
        message = "\n".join((request.request_id, user, stamp, digest)).encode()
        forged = self._context.strike("webhook_forged", request.endpoint) is not None
        return {
            "Content-Type": "application/json",
            "X-Fal-Webhook-Request-Id": request.request_id,
            "X-Fal-Webhook-User-Id": user,
            "X-Fal-Webhook-Timestamp": stamp,
            "X-Fal-Webhook-Signature": self._keys.sign(message, forged=forged),
        }

    async def _post(self, request: QueueRequest, attempt: int, headers: dict[str, str], body: bytes) -> bool:
        url, limit = request.webhook or "", aiohttp.ClientTimeout(total=self._context.options.webhook_seconds)
        begun, status, error = time.time(), None, None
        post = self._session.post(url, data=body, headers=headers, timeout=limit, allow_redirects=False)
        try:
            async with post as response:
                status = response.status
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
    """One Ed25519 key and its key id."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()
        self._name = secrets.token_hex(8)

    def as_json(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 8037)."""
        public = base64.urlsafe_b64encode(self.private.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self._name, "x": public}
