"""fal's webhooks, verified: a good one wakes whoever follows that request, who then asks fal for the result.

A webhook is a hint and never the truth: nothing of its body is used but the request's id.
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

import aiohttp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bot.domain.clock import Clock, Instant
from bot.domain.errors import ProviderError
from bot.providers.shared.http import Answer, Timeouts, exchange

SKEW = 300
"""Seconds by which a webhook's time may differ from ours."""
KEYS_LIVE = 24 * 3_600_000
"""Milliseconds: fal asks that its keys be kept no longer than a day."""
KEYS_PAUSE = 60_000
"""Milliseconds between two questions for the keys, whoever causes them."""
KEYS_LIMIT = 65_536
MOST_KEYS = 20

Wake = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedWebhook:
    """The signed part of a webhook."""

    request_id: str
    user_id: str
    timestamp: str
    signature: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self | None:
        """What its headers say; None where one is missing or malformed. The mapping must not mind case."""
        named = {name: headers.get(f"X-Fal-Webhook-{name}", "") for name in ("Request-Id", "User-Id")}
        stamp, signature = (headers.get(f"X-Fal-Webhook-{name}", "") for name in ("Timestamp", "Signature"))
        if not all(re.fullmatch(r"[!-~]{1,200}", value) for value in named.values()):
            return None
        if not re.fullmatch(r"[0-9]{1,12}", stamp) or not re.fullmatch(r"[0-9A-Fa-f]{128}", signature):
            return None
        return cls(
            request_id=named["Request-Id"],
            user_id=named["User-Id"],
            timestamp=stamp,
            signature=bytes.fromhex(signature),
        )

    def message(self, body: bytes) -> bytes:
        """What is signed."""
        parts = (self.request_id, self.user_id, self.timestamp, hashlib.sha256(body).hexdigest())
        return "\n".join(parts).encode()


class Webhooks:
    """Takes fal's webhooks at `url`, which is public; `receive` is given what arrives there."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        url: str,
        rest_url: str,
        clock: Clock,
        limits: Timeouts | None = None,
    ) -> None:
        self.url = url
        self._keys = _Keys(client, f"{rest_url.rstrip('/')}/.well-known/jwks.json", clock, limits or Timeouts())
        self._clock = clock
        self._seen: dict[tuple[str, str, bytes], int] = {}
        self._waiting: dict[str, list[Wake]] = defaultdict(list)

    @contextmanager
    def waking(self, request_id: str, wake: Wake) -> Iterator[None]:
        """Call `wake` for each good webhook about that request, as long as this lasts."""
        self._waiting[request_id].append(wake)
        try:
            yield
        finally:
            self._waiting[request_id].remove(wake)
            if not self._waiting[request_id]:
                del self._waiting[request_id]

    async def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        """The status to answer a webhook with: 200, 400 malformed, 401 not fal's or not now, 503 no keys."""
        letter = SignedWebhook.of(headers)
        if letter is None:
            return HTTPStatus.BAD_REQUEST
        if abs(self._clock.now() / 1000 - int(letter.timestamp)) > SKEW:
            return HTTPStatus.UNAUTHORIZED
        message = letter.message(body)
        good = await self._keys.signed(message, letter.signature)
        if good is None:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if not good or not self._first_time(letter):
            return HTTPStatus.UNAUTHORIZED
        said = _json(body)
        if not isinstance(said, dict):
            return HTTPStatus.BAD_REQUEST
        for request_id in {letter.request_id, str(said.get("request_id", ""))}:
            for wake in tuple(self._waiting.get(request_id, ())):
                wake()
        return HTTPStatus.OK

    def _first_time(self, letter: SignedWebhook) -> bool:
        """Whether this very letter is new. One whose time is too far off is refused before, so it is forgotten."""
        now = self._clock.now() / 1000
        self._seen = {known: stamp for known, stamp in self._seen.items() if now - stamp <= SKEW}
        known = (letter.request_id, letter.timestamp, letter.signature)
        if known in self._seen:
            return False
        self._seen[known] = int(letter.timestamp)
        return True


class _Keys:
    """fal's public keys, asked for when they are old or when a signature fits none of them."""

    def __init__(self, client: aiohttp.ClientSession, url: str, clock: Clock, limits: Timeouts) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._limits = limits
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._read_at: Instant | None = None
        self._asked_at: Instant | None = None
        self._asking = asyncio.Lock()

    async def signed(self, message: bytes, signature: bytes) -> bool | None:
        """Whether a published key signed it; None where there are no keys to tell by."""
        if self._fresh() and self._fits(message, signature):
            return True
        async with self._asking:
            # Whoever waited here may find them renewed.
            if self._fresh() and self._fits(message, signature):
                return True
            await self._renew()
        return self._fits(message, signature) if self._fresh() else None

    def _fresh(self) -> bool:
        return self._read_at is not None and self._clock.now() - self._read_at < KEYS_LIVE

    def _fits(self, message: bytes, signature: bytes) -> bool:
        return any(_verified(key, message, signature) for key in self._keys)

    async def _renew(self) -> None:
        now = self._clock.now()
        if self._asked_at is not None and now - self._asked_at < KEYS_PAUSE:
            return
        self._asked_at = now
        try:
            answer = await exchange(self._client, "GET", self._url, limits=self._limits, limit=KEYS_LIMIT)
        except ProviderError:
            return
        keys = _published(answer)
        if keys:
            self._keys, self._read_at = keys, now


def _verified(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _published(answer: Answer) -> tuple[Ed25519PublicKey, ...]:
    """The Ed25519 keys of a JSON Web Key Set (RFC 8037); others are passed over."""
    said = answer.json() if answer.good else None
    listed = said.get("keys") if isinstance(said, dict) else None
    found = [_key(item) for item in listed[:MOST_KEYS]] if isinstance(listed, list) else []
    return tuple(key for key in found if key is not None)


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
