"""The signatures of fal's webhooks, and the keys to verify them with."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multidict import CIMultiDict

from bot.domain.clock import Clock, real_time
from bot.net.http import open_client
from bot.providers.fal.webhooks import Webhooks
from tests.support.raw_server import RespondingServer, closed_port, http, responding


@dataclass
class MovableClock:
    """A clock that can be put forward."""

    seconds: float = 0

    def now(self) -> int:
        return real_time() + int(self.seconds * 1000)


@dataclass
class Sender:
    """Signs as fal does, or nearly."""

    keys: list[Ed25519PrivateKey] = field(default_factory=lambda: [Ed25519PrivateKey.generate()])
    now: int = field(default_factory=lambda: real_time() // 1000)

    def key_set(self, *others: Any) -> dict[str, Any]:
        public = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()) for key in self.keys]
        known = [{"kty": "OKP", "crv": "Ed25519", "x": key.rstrip(b"=").decode()} for key in public]
        return {"keys": [*others, *known]}

    def headers(self, body: bytes, request_id: str = "r1", **changes: str) -> CIMultiDict[str]:
        stamp = str(self.now)
        message = "\n".join((request_id, "user", stamp, hashlib.sha256(body).hexdigest()))
        headers = {
            "Request-Id": request_id,
            "User-Id": "user",
            "Timestamp": stamp,
            "Signature": self.keys[0].sign(message.encode()).hex(),
        }
        named = {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return CIMultiDict({f"x-fal-webhook-{name}": value for name, value in named.items()})


@dataclass
class SignatureFixture:
    """Webhooks, and the server that has the keys to verify them."""

    sender: Sender
    ahead: MovableClock
    keys: RespondingServer
    webhooks: Webhooks

    async def receive(self, body: bytes = b'{"request_id": "r1"}', **changes: str) -> int:
        return await self.webhooks.receive(self.sender.headers(body, **changes), body)


@pytest.fixture
async def fixture() -> AsyncIterator[SignatureFixture]:
    sender, ahead = Sender(), MovableClock()
    async with responding(http(200, sender.key_set())) as keys, open_client(base_urls=[keys.url]) as client:
        clock = Clock(now=ahead.now)
        webhooks = Webhooks(client, url="https://easel.example/fal", rest_url=keys.url, clock=clock)
        yield SignatureFixture(sender, ahead, keys, webhooks)


async def test_a_good_webhook_wakes_each_poller_of_its_request(fixture: SignatureFixture) -> None:
    woken: list[str] = []
    with (
        fixture.webhooks.waking("r1", lambda: woken.append("first")),
        fixture.webhooks.waking("r1", lambda: woken.append("second")),
        fixture.webhooks.waking("r2", lambda: woken.append("stranger")),
    ):
        assert await fixture.receive() == 200
    assert woken == ["first", "second"]


async def test_a_webhook_about_a_request_that_is_named_only_inside_wakes_it(fixture: SignatureFixture) -> None:
    woken: list[str] = []
    with fixture.webhooks.waking("r1", lambda: woken.append("first")):
        assert await fixture.receive(request_id="another-try") == 200
    assert woken == ["first"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Request_Id": ""},
        {"Request_Id": "x" * 201},
        {"Request_Id": "a b"},
        {"User_Id": ""},
        {"Timestamp": ""},
        {"Timestamp": "-1"},
        {"Timestamp": "1" * 13},
        {"Timestamp": "٣"},
        {"Signature": ""},
        {"Signature": "zz" * 64},
        {"Signature": "ab" * 63},
    ],
)
async def test_a_malformed_webhook_is_refused_before_keys_are_requested(
    fixture: SignatureFixture, changes: dict[str, Any]
) -> None:
    assert await fixture.receive(**changes) == 400
    assert fixture.keys.heads == []


@pytest.mark.parametrize(
    "changes",
    [{"Request_Id": "r2"}, {"User_Id": "other"}, {"Signature": "ab" * 64}, {"Timestamp": "1"}],
)
async def test_a_webhook_that_was_changed_is_refused(fixture: SignatureFixture, changes: dict[str, Any]) -> None:
    woken: list[str] = []
    with fixture.webhooks.waking("r1", lambda: woken.append("woken")):
        assert await fixture.receive(**changes) == 401
        assert await fixture.webhooks.receive(fixture.sender.headers(b"{}"), b"{ }") == 401
    assert woken == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"r1"', b"[" * 100_000, b"\xff"])
async def test_a_signed_webhook_without_json_is_malformed(fixture: SignatureFixture, body: bytes) -> None:
    assert await fixture.receive(body) == 400


async def test_a_webhook_is_taken_once_and_forgotten_when_its_time_is_over(fixture: SignatureFixture) -> None:
    assert await fixture.receive() == 200
    assert await fixture.receive() == 401
    fixture.ahead.seconds = 299
    assert await fixture.receive() == 401
    fixture.ahead.seconds = 310
    assert await fixture.receive() == 401
    fixture.sender.now += 310
    assert await fixture.receive() == 200
    assert len(fixture.webhooks._seen) == 1


async def test_two_of_the_same_at_once_count_once(fixture: SignatureFixture) -> None:
    letters = await asyncio.gather(*(fixture.receive() for _ in range(5)))
    assert sorted(letters) == [200, 401, 401, 401, 401]
    assert len(fixture.keys.heads) == 1


async def test_keys_are_cached_for_a_day_at_most(fixture: SignatureFixture) -> None:
    assert await fixture.receive() == 200
    for hours, reads in ((23, 1), (25, 2)):
        fixture.ahead.seconds = hours * 3600
        fixture.sender.now = fixture.ahead.now() // 1000
        assert await fixture.receive() == 200
        assert len(fixture.keys.heads) == reads
    # A day later they are no longer published, and the cached ones are too old.
    fixture.keys.respond = lambda _: b""
    fixture.ahead.seconds = 50 * 3600
    fixture.sender.now = fixture.ahead.now() // 1000
    assert await fixture.receive() == 503


async def test_any_published_key_will_do_and_odd_ones_do_not_matter(fixture: SignatureFixture) -> None:
    fixture.sender.keys.append(Ed25519PrivateKey.generate())
    odd = [5, {}, {"kty": "RSA", "n": "x"}, {"kty": "OKP", "crv": "Ed25519"}]
    odd += [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in ("", "AAAA", "!", 7, "é")]
    response = http(200, fixture.sender.key_set(*odd))
    fixture.keys.respond = lambda _: response
    assert await fixture.receive() == 200
    fixture.sender.keys.reverse()
    assert await fixture.receive() == 200


@pytest.mark.parametrize(
    "response",
    [b"", http(500), http(200, []), http(200, {"keys": 5}), http(200, {"keys": []}), http(200, b"x" * 70_000)],
)
async def test_a_response_without_keys_is_no_key_set(fixture: SignatureFixture, response: bytes) -> None:
    fixture.keys.respond = lambda _: response
    assert await fixture.receive() == 503
    reads = len(fixture.keys.heads)
    assert await fixture.receive() == 503
    assert len(fixture.keys.heads) == reads
    good = http(200, fixture.sender.key_set())
    fixture.keys.respond = lambda _: good
    fixture.ahead.seconds = 61
    assert await fixture.receive() == 200


async def test_a_key_server_that_is_not_there_is_no_reason_to_fall(fixture: SignatureFixture) -> None:
    away = f"http://127.0.0.1:{closed_port()}"
    async with open_client(base_urls=[away]) as client:
        webhooks = Webhooks(client, url="https://easel.example/fal", rest_url=away, clock=Clock())
        body = json.dumps({"request_id": "r1"}).encode()
        assert await webhooks.receive(fixture.sender.headers(body), body) == 503
