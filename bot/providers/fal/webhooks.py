"""fal's webhooks, verified: a good one wakes the poller of that request, which then asks fal for the result.

A webhook is only a hint: nothing of its body is used but the request's id.
Source: https://docs.fal.ai/model-apis/model-endpoints/webhooks. Signed with Ed25519: the request id, the user id,
the time and the SHA-256 of the body in hexadecimal, joined by line breaks.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bot.domain.clock import Clock, Instant, elapsed
from bot.net.http import Timeouts, json_of, request

SKEW = 300.0
"""Seconds by which a webhook's time may differ from ours."""
KEY_LIFETIME = 24 * 3600.0
"""Seconds: fal asks that its keys be cached no longer than a day."""
KEY_REQUEST_PAUSE = 60.0
"""Seconds between two requests for the keys, so that forged webhooks cannot cause many."""
KEYS_LIMIT = 65_536
"""Bytes of the published list of keys."""
MAXIMUM_KEYS = 20

Wake = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedWebhook:
    """The signed part of a webhook."""

    request_id: str
    user_id: str
    timestamp: str
    signature: bytes

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> Self | None:
        """Read it from headers, whose names match in any case; None where one is missing or malformed."""
        ids = {name: headers.get(f"X-Fal-Webhook-{name}", "") for name in ("Request-Id", "User-Id")}
        stamp, signature = (headers.get(f"X-Fal-Webhook-{name}", "") for name in ("Timestamp", "Signature"))
        if not all(re.fullmatch(r"[!-~]{1,200}", value) for value in ids.values()):
            return None
        if not re.fullmatch(r"[0-9]{1,12}", stamp) or not re.fullmatch(r"[0-9A-Fa-f]{128}", signature):
            return None
        return cls(
            request_id=ids["Request-Id"],
            user_id=ids["User-Id"],
            timestamp=stamp,
            signature=bytes.fromhex(signature),
        )

    def message(self, body: bytes) -> bytes:
        """What is signed."""
        parts = (self.request_id, self.user_id, self.timestamp, hashlib.sha256(body).hexdigest())
        return "\n".join(parts).encode()


class Webhooks:
    """Verifies the webhooks that fal sends to `url`, which is public; `receive` handles each."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        url: str,
        rest_url: str,
        clock: Clock,
    ) -> None:
        self.url = url
        self._keys = _Keys(http, f"{rest_url}/.well-known/jwks.json", clock)
        self._clock = clock
        self._seen: dict[tuple[str, str, bytes], int] = {}
        """The seconds in a webhook's timestamp, by all that tells it from others."""
        self._waiting: dict[str, list[Wake]] = defaultdict(list)

    @contextmanager
    def waking(self, request_id: str, wake: Wake) -> Iterator[None]:
        """Within the block, call `wake` for each good webhook about that request."""
        self._waiting[request_id].append(wake)
        try:
            yield
        finally:
            self._waiting[request_id].remove(wake)
            if not self._waiting[request_id]:
                del self._waiting[request_id]

    async def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        """The status to respond with: 200; 400 malformed; 401 forged, old or repeated; 503 no keys of fal's."""
        webhook = SignedWebhook.parse(headers)
        if webhook is None:
            return HTTPStatus.BAD_REQUEST
        if abs(self._clock.now() / 1000 - int(webhook.timestamp)) > SKEW:
            return HTTPStatus.UNAUTHORIZED
        message = webhook.message(body)
        genuine = await self._keys.verify(message, webhook.signature)
        if genuine is None:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if not genuine or not self._first_time(webhook):
            return HTTPStatus.UNAUTHORIZED
        fields = _json(body)
        if not isinstance(fields, dict):
            return HTTPStatus.BAD_REQUEST
        for request_id in {webhook.request_id, str(fields.get("request_id", ""))}:
            for wake in tuple(self._waiting.get(request_id, ())):
                wake()
        return HTTPStatus.OK

    def _first_time(self, webhook: SignedWebhook) -> bool:
        """Whether this is no repetition. Webhooks outside `SKEW` are refused before, and not remembered."""
        now = self._clock.now() / 1000
        self._seen = {seen: stamp for seen, stamp in self._seen.items() if now - stamp <= SKEW}
        identity = (webhook.request_id, webhook.timestamp, webhook.signature)
        if identity in self._seen:
            return False
        self._seen[identity] = int(webhook.timestamp)
        return True


class _Keys:
    """fal's public keys, requested when they are old or when a signature matches none of them."""

    def __init__(self, http: httpx.AsyncClient, url: str, clock: Clock) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._read_at: Instant | None = None
        self._requested_at: Instant | None = None
        self._one_request = asyncio.Lock()

    async def verify(self, message: bytes, signature: bytes) -> bool | None:
        """Whether the signature is of one of fal's keys; None where fal's keys cannot be had."""
        if self._fresh() and self._matches(message, signature):
            return True
        async with self._one_request:
            # Another webhook may have renewed them meanwhile.
            if self._fresh() and self._matches(message, signature):
                return True
            await self._renew()
        return self._matches(message, signature) if self._fresh() else None

    def _fresh(self) -> bool:
        return self._read_at is not None and elapsed(self._read_at, self._clock.now()) < KEY_LIFETIME

    def _matches(self, message: bytes, signature: bytes) -> bool:
        return any(_verified(key, message, signature) for key in self._keys)

    async def _renew(self) -> None:
        now = self._clock.now()
        if self._requested_at is not None and elapsed(self._requested_at, now) < KEY_REQUEST_PAUSE:
            return
        self._requested_at = now
        try:
            response = await request(self._http, "GET", self._url, timeouts=Timeouts(), limit=KEYS_LIMIT)
        except (httpx.RequestError, httpx.InvalidURL):
            return
        keys = _published(response)
        if keys:
            self._keys, self._read_at = keys, now


def _verified(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _published(response: httpx.Response) -> tuple[Ed25519PublicKey, ...]:
    """The Ed25519 keys of a JSON Web Key Set (RFC 8037); others are passed over."""
    body = json_of(response) if response.is_success else None
    listed = body.get("keys") if isinstance(body, dict) else None
    keys = [_key(item) for item in listed[:MAXIMUM_KEYS]] if isinstance(listed, list) else []
    return tuple(key for key in keys if key is not None)


def _key(item: Any) -> Ed25519PublicKey | None:
    if not isinstance(item, dict) or item.get("kty") != "OKP" or item.get("crv") != "Ed25519":
        return None
    text = str(item.get("x", ""))
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        return None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
