"""fal's webhooks, from the stand-in through the listener to whoever follows the request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multidict import CIMultiDict

from bot.domain.clock import Clock, real_time
from bot.domain.errors import GenerationFailed, PromptRejected, ProviderError
from bot.domain.jobs import Finished
from bot.net.webhook_server import WebhookServer
from bot.providers.fal.provider import FalProvider
from bot.providers.fal.webhooks import Webhooks
from bot.providers.shared.http import open_session
from bot.providers.shared.polling import PollPolicy
from tests.support.providers.fal import (
    ASKED,
    PACE,
    FalFixture,
    Wire,
    all_news,
    closed_port,
    http,
    nothing_kept,
    open_house,
    order,
    silent,
    wire,
)

CALM = PollPolicy(first=30, longest=30, jitter=0)
"""Polls so rarely that only a webhook can be what brought the picture."""


@pytest.fixture
async def house() -> AsyncIterator[FalFixture]:
    async with open_house(webhook_pauses=(0.01, 0.01, 0.01, 0.01)) as opened:
        yield opened


@dataclass
class MovableClock:
    """A clock that can be put forward."""

    seconds: float = 0

    def now(self) -> int:
        return real_time() + int(self.seconds * 1000)


@dataclass
class WebhookFixture:
    """The whole way: stand-in, listener, webhooks, provider."""

    house: FalFixture
    ahead: MovableClock
    webhooks: Webhooks
    fal: FalProvider
    statuses: asyncio.Queue[int]

    async def painted(self) -> Finished:
        async with asyncio.timeout(5):
            ticket = await self.fal.submit(order(), silent)
            return (await all_news(self.fal, ticket))[1]

    async def answered(self, count: int) -> list[int]:
        """What the next so many webhooks were answered."""
        async with asyncio.timeout(5):
            return [await self.statuses.get() for _ in range(count)]

    def key_reads(self) -> list[dict[str, Any]]:
        return [call for call in self.house.sandbox.calls if call["path"] == "/.well-known/jwks.json"]


@asynccontextmanager
async def open_post(house: FalFixture, **changes: Any) -> AsyncIterator[WebhookFixture]:
    ahead, statuses = MovableClock(), asyncio.Queue[int]()
    clock = Clock(now=ahead.now)

    async def receive(headers: Mapping[str, str], body: bytes) -> int:
        status = await webhooks.receive(headers, body)
        statuses.put_nowait(status)
        return status

    async with WebhookServer("127.0.0.1", 0, {"/fal": receive}) as listener:
        url = f"http://127.0.0.1:{listener.port}/fal?for=easel&sure=yes"
        webhooks = Webhooks(house.client, url=url, rest_url=f"{house.sandbox.url}/", clock=clock)
        fal = house.fal(**{"webhooks": webhooks, "clock": clock, "pace": CALM, **changes})
        yield WebhookFixture(house, ahead, webhooks, fal, statuses)


# From one end to the other


async def test_a_webhook_brings_the_picture_long_before_the_next_poll(house: FalFixture) -> None:
    async with open_post(house) as post:
        assert len((await post.painted()).pictures) == 1
        assert house.request.webhook == post.webhooks.url
        assert house.request.counts == {"status": 1, "result": 1}
        assert await post.answered(1) == [200]
        (read,) = post.key_reads()
        assert read["authorization"] is None


async def test_a_webhook_helps_where_the_stream_is_silent(house: FalFixture) -> None:
    house.sandbox.faults.set("stream_silent")
    async with open_post(house, streams=True) as post:
        assert len((await post.painted()).pictures) == 1
        assert house.request.counts == {"stream": 1, "result": 1}


async def test_a_webhook_that_comes_before_the_result_is_only_a_hint(house: FalFixture) -> None:
    house.sandbox.faults.set("webhook_early", seconds=0.1)
    async with open_post(house, pace=PACE) as post:
        assert len((await post.painted()).pictures) == 1
        assert house.request.counts["result"] >= 2


async def test_without_the_webhook_polling_brings_the_picture(house: FalFixture) -> None:
    house.sandbox.faults.set("webhook_never")
    async with open_post(house, pace=PACE) as post:
        assert len((await post.painted()).pictures) == 1
        assert post.statuses.empty()


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("model_error", "content_policy_violation", PromptRejected),
        ("run_error", "internal_error", GenerationFailed),
    ],
)
async def test_a_webhook_about_a_failure_lets_the_result_speak(
    house: FalFixture, name: str, kind: str, error: type[ProviderError], hidden: bool
) -> None:
    house.sandbox.faults.set(name, error_type=kind)
    if hidden:
        house.sandbox.faults.set("hidden_error")
    # Where the status is silent about it, a failure is looked at three times: `trouble` is the pace of that.
    async with open_post(house, pace=replace(CALM, trouble=0.01)) as post:
        with pytest.raises(error):
            await post.painted()


async def test_a_webhook_without_its_payload_is_good_enough(house: FalFixture) -> None:
    house.sandbox.faults.set("webhook_payload_null")
    async with open_post(house) as post:
        assert len((await post.painted()).pictures) == 1


async def test_a_webhook_that_is_too_big_is_done_without(house: FalFixture) -> None:
    house.sandbox.picture_bytes = 1_000_000
    asked = order()
    inline = replace(asked, fit=replace(asked.fit, fields={**asked.fit.fields, "sync_mode": True}))
    async with open_post(house, pace=PACE) as post:
        ticket = await post.fal.submit(inline, silent)
        assert len((await all_news(post.fal, ticket))[1].pictures) == 1
        assert post.statuses.empty()


@pytest.mark.parametrize(
    ("name", "values"),
    [("webhook_forged", {}), ("webhook_skewed", {}), ("webhook_skewed", {"seconds": 302})],
)
async def test_a_bad_webhook_is_refused_and_the_good_one_after_it_is_not(
    house: FalFixture, name: str, values: dict[str, Any]
) -> None:
    house.sandbox.faults.set(name, times=1, **values)
    async with open_post(house) as post:
        assert len((await post.painted()).pictures) == 1
        assert await post.answered(2) == [401, 200]
        assert house.request.counts["result"] == 1


@pytest.mark.parametrize("seconds", [-295, 295])
async def test_a_clock_that_is_a_little_off_does_not_matter(house: FalFixture, seconds: float) -> None:
    house.sandbox.faults.set("webhook_skewed", seconds=seconds)
    async with open_post(house) as post:
        assert len((await post.painted()).pictures) == 1


async def test_nothing_but_forged_webhooks_wake_nobody(house: FalFixture) -> None:
    house.sandbox.faults.set("webhook_forged")
    async with open_post(house, pace=PACE) as post:
        assert len((await post.painted()).pictures) == 1
        assert await post.answered(5) == [401] * 5
        assert len(post.key_reads()) == 1


async def test_a_webhook_that_comes_again_is_refused(house: FalFixture) -> None:
    house.sandbox.faults.set("webhook_twice")
    async with open_post(house) as post:
        assert len((await post.painted()).pictures) == 1
        assert await post.answered(2) == [200, 401]


async def test_keys_are_read_once_and_again_when_fal_changes_them(house: FalFixture) -> None:
    async with open_post(house) as post:
        await post.painted()
        await post.painted()
        assert len(post.key_reads()) == 1
        house.sandbox.rotate_keys()
        post.ahead.seconds = 61
        await post.painted()
        assert len(post.key_reads()) == 2
        assert await post.answered(3) == [200, 200, 200]


async def test_changed_keys_are_not_asked_for_twice_a_minute(house: FalFixture) -> None:
    async with open_post(house, pace=PACE) as post:
        await post.painted()
        house.sandbox.rotate_keys()
        await post.painted()
        assert await post.answered(6) == [200, *[401] * 5]
        assert len(post.key_reads()) == 1


async def test_without_keys_nobody_can_tell_and_fal_is_asked_to_come_again(house: FalFixture) -> None:
    house.sandbox.faults.set("jwks_error")
    async with open_post(house, pace=PACE) as post:
        await post.painted()
        assert await post.answered(5) == [503] * 5
        house.sandbox.faults.clear()
        post.ahead.seconds = 61
        await post.painted()
        assert await post.answered(1) == [200]
        assert len(post.key_reads()) == 2


async def test_nobody_is_woken_any_more_who_has_left(house: FalFixture) -> None:
    house.sandbox.faults.set("slow_run", seconds=0.2)
    async with open_post(house, pace=PACE) as post:
        ticket = await post.fal.submit(order(), silent)
        async with aclosing(post.fal.follow(ticket, ASKED, nothing_kept)) as news:
            await anext(news)
            assert len(post.webhooks._waiting) == 1
        assert not post.webhooks._waiting
        assert await post.answered(1) == [200]


async def test_without_webhooks_none_are_asked_for(house: FalFixture) -> None:
    await house.submit()
    assert house.request.webhook is None


# What is verified


@dataclass
class Sender:
    """Signs as fal does, or nearly."""

    keys: list[Ed25519PrivateKey] = field(default_factory=lambda: [Ed25519PrivateKey.generate()])
    now: int = field(default_factory=lambda: real_time() // 1000)

    def key_set(self, *others: Any) -> dict[str, Any]:
        public = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()) for key in self.keys]
        known = [{"kty": "OKP", "crv": "Ed25519", "x": key.rstrip(b"=").decode()} for key in public]
        return {"keys": [*others, *known]}

    def letter(self, body: bytes, request_id: str = "r1", **changes: str) -> CIMultiDict[str]:
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
    """Webhooks whose keys come from a wire."""

    sender: Sender
    ahead: MovableClock
    keys: Wire
    webhooks: Webhooks

    async def receive(self, body: bytes = b'{"request_id": "r1"}', **changes: str) -> int:
        return await self.webhooks.receive(self.sender.letter(body, **changes), body)


@pytest.fixture
async def lobby() -> AsyncIterator[SignatureFixture]:
    sender, ahead = Sender(), MovableClock()
    async with open_session(5, ssl=False) as client, wire(http(200, sender.key_set())) as keys:
        clock = Clock(now=ahead.now)
        webhooks = Webhooks(client, url="https://easel.example/fal", rest_url=keys.url, clock=clock)
        yield SignatureFixture(sender, ahead, keys, webhooks)


async def test_a_good_letter_wakes_each_who_waits_for_it(lobby: SignatureFixture) -> None:
    woken: list[str] = []
    with (
        lobby.webhooks.waking("r1", lambda: woken.append("first")),
        lobby.webhooks.waking("r1", lambda: woken.append("second")),
        lobby.webhooks.waking("r2", lambda: woken.append("stranger")),
    ):
        assert await lobby.receive() == 200
    assert woken == ["first", "second"]


async def test_a_letter_about_a_request_that_is_named_only_inside_wakes_it(lobby: SignatureFixture) -> None:
    woken: list[str] = []
    with lobby.webhooks.waking("r1", lambda: woken.append("first")):
        assert await lobby.receive(request_id="another-try") == 200
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
async def test_a_malformed_letter_is_refused_before_anything_is_asked(
    lobby: SignatureFixture, changes: dict[str, Any]
) -> None:
    assert await lobby.receive(**changes) == 400
    assert lobby.keys.heard == []


@pytest.mark.parametrize(
    "changes",
    [{"Request_Id": "r2"}, {"User_Id": "other"}, {"Signature": "ab" * 64}, {"Timestamp": "1"}],
)
async def test_a_letter_that_was_changed_is_refused(lobby: SignatureFixture, changes: dict[str, Any]) -> None:
    woken: list[str] = []
    with lobby.webhooks.waking("r1", lambda: woken.append("woken")):
        assert await lobby.receive(**changes) == 401
        assert await lobby.webhooks.receive(lobby.sender.letter(b"{}"), b"{ }") == 401
    assert woken == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"r1"', b"[" * 100_000, b"\xff"])
async def test_a_signed_letter_that_says_nothing_is_malformed(lobby: SignatureFixture, body: bytes) -> None:
    assert await lobby.receive(body) == 400


async def test_a_letter_is_taken_once_and_forgotten_when_its_time_is_over(lobby: SignatureFixture) -> None:
    assert await lobby.receive() == 200
    assert await lobby.receive() == 401
    lobby.ahead.seconds = 299
    assert await lobby.receive() == 401
    lobby.ahead.seconds = 310
    assert await lobby.receive() == 401
    lobby.sender.now += 310
    assert await lobby.receive() == 200
    assert len(lobby.webhooks._seen) == 1


async def test_two_of_the_same_at_once_count_once(lobby: SignatureFixture) -> None:
    letters = await asyncio.gather(*(lobby.receive() for _ in range(5)))
    assert sorted(letters) == [200, 401, 401, 401, 401]
    assert len(lobby.keys.heard) == 1


async def test_keys_are_kept_for_a_day_at_most(lobby: SignatureFixture) -> None:
    assert await lobby.receive() == 200
    for hours, reads in ((23, 1), (25, 2)):
        lobby.ahead.seconds = hours * 3600
        lobby.sender.now = lobby.ahead.now() // 1000
        assert await lobby.receive() == 200
        assert len(lobby.keys.heard) == reads
    # A day later nobody tells them any more: what was known is too old to go by.
    lobby.keys.reply = lambda _: b""
    lobby.ahead.seconds = 50 * 3600
    lobby.sender.now = lobby.ahead.now() // 1000
    assert await lobby.receive() == 503


async def test_any_published_key_will_do_and_odd_ones_do_not_matter(lobby: SignatureFixture) -> None:
    lobby.sender.keys.append(Ed25519PrivateKey.generate())
    odd = [5, {}, {"kty": "RSA", "n": "x"}, {"kty": "OKP", "crv": "Ed25519"}]
    odd += [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in ("", "AAAA", "!", 7, "é")]
    answer = http(200, lobby.sender.key_set(*odd))
    lobby.keys.reply = lambda _: answer
    assert await lobby.receive() == 200
    lobby.sender.keys.reverse()
    assert await lobby.receive() == 200


@pytest.mark.parametrize(
    "answer",
    [b"", http(500), http(200, []), http(200, {"keys": 5}), http(200, {"keys": []}), http(200, b"x" * 70_000)],
)
async def test_an_answer_without_keys_is_none(lobby: SignatureFixture, answer: bytes) -> None:
    lobby.keys.reply = lambda _: answer
    assert await lobby.receive() == 503
    heard = len(lobby.keys.heard)
    assert await lobby.receive() == 503
    assert len(lobby.keys.heard) == heard
    good = http(200, lobby.sender.key_set())
    lobby.keys.reply = lambda _: good
    lobby.ahead.seconds = 61
    assert await lobby.receive() == 200


async def test_a_key_server_that_is_not_there_is_no_reason_to_fall(lobby: SignatureFixture) -> None:
    async with open_session(5, ssl=False) as client:
        away = f"http://127.0.0.1:{closed_port()}"
        webhooks = Webhooks(client, url="https://easel.example/fal", rest_url=away, clock=Clock())
        body = json.dumps({"request_id": "r1"}).encode()
        assert await webhooks.receive(lobby.sender.letter(body), body) == 503
