"""fal's webhooks, from the stand-in through the webhook server to the poller of the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.domain.clock import Clock, real_time
from bot.domain.errors import GenerationFailed, PromptRejected, ProviderError
from bot.domain.jobs import Finished
from bot.net.webhook_server import WebhookServer
from bot.providers.fal.provider import FalProvider
from bot.providers.shared.polling import PollPolicy
from tests.support.providers.deps import POLL_POLICY, REQUEST, ignore_progress, no_stored_results
from tests.support.providers.fal import FalFixture, build_submit, follow, open_fixture

HARDLY_POLLING = PollPolicy(first=30, longest=30, jitter=0)
"""Polls so rarely that only a webhook can have brought the picture."""


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture(webhook_pauses=(0.01, 0.01, 0.01, 0.01)) as opened:
        yield opened


@dataclass
class MovableClock:
    """A clock that can be put forward."""

    seconds: float = 0

    def now(self) -> int:
        return real_time() + int(self.seconds * 1000)


@dataclass
class WebhookFixture:
    """A provider with webhooks, and the statuses that they were responded to with."""

    fixture: FalFixture
    ahead: MovableClock
    url: str
    fal: FalProvider
    statuses: asyncio.Queue[int]

    async def painted(self) -> Finished:
        async with asyncio.timeout(5):
            ticket = await self.fal.submit(build_submit(), ignore_progress)
            return (await follow(self.fal, ticket))[1]

    async def answered(self, count: int) -> list[int]:
        """The statuses for the next webhooks."""
        async with asyncio.timeout(5):
            return [await self.statuses.get() for _ in range(count)]

    def key_reads(self) -> list[dict[str, Any]]:
        return [call for call in self.fixture.sandbox.calls if call["path"] == "/.well-known/jwks.json"]


@asynccontextmanager
async def open_webhooks(fixture: FalFixture, **changes: Any) -> AsyncIterator[WebhookFixture]:
    ahead, statuses = MovableClock(), asyncio.Queue[int]()
    clock = Clock(now=ahead.now)

    async def receive(headers: Mapping[str, str], body: bytes) -> int:
        assert fal.webhooks is not None
        status = await fal.webhooks.receive(headers, body)
        statuses.put_nowait(status)
        return status

    async with WebhookServer("127.0.0.1", 0, {"/fal": receive}) as listener:
        url = f"http://127.0.0.1:{listener.port}/fal?for=easel&sure=yes"
        fal = fixture.fal(**{"webhook_url": url, "clock": clock, "poll_policy": HARDLY_POLLING, **changes})
        yield WebhookFixture(fixture, ahead, url, fal, statuses)


# From the stand-in to the picture


async def test_a_webhook_brings_the_picture_long_before_the_next_poll(fixture: FalFixture) -> None:
    async with open_webhooks(fixture) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert fixture.request.webhook == opened.url
        assert fixture.request.counts == {"status": 1, "result": 1}
        assert await opened.answered(1) == [200]
        (read,) = opened.key_reads()
        assert read["authorization"] is None


async def test_a_webhook_helps_where_the_stream_is_silent(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("stream_silent")
    async with open_webhooks(fixture, stream=True) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert fixture.request.counts == {"stream": 1, "result": 1}


async def test_a_webhook_that_comes_before_the_result_is_only_a_hint(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("webhook_early", seconds=0.1)
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert fixture.request.counts["result"] >= 2


async def test_without_the_webhook_polling_brings_the_picture(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("webhook_never")
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert opened.statuses.empty()


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("model_error", "content_policy_violation", PromptRejected),
        ("run_error", "internal_error", GenerationFailed),
    ],
)
async def test_a_webhook_about_a_failure_lets_the_result_speak(
    fixture: FalFixture, name: str, kind: str, error: type[ProviderError], hidden: bool
) -> None:
    fixture.sandbox.faults.set(name, error_type=kind)
    if hidden:
        fixture.sandbox.faults.set("hidden_error")
    # A failure that the status does not show is read three times, `first_retry` seconds apart.
    async with open_webhooks(fixture, poll_policy=replace(HARDLY_POLLING, first_retry=0.01)) as opened:
        with pytest.raises(error):
            await opened.painted()


async def test_a_webhook_without_its_payload_is_good_enough(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("webhook_payload_null")
    async with open_webhooks(fixture) as opened:
        assert len((await opened.painted()).pictures) == 1


async def test_a_webhook_that_is_too_big_is_done_without(fixture: FalFixture) -> None:
    fixture.sandbox.picture_bytes = 1_000_000
    image_request = build_submit()
    inline = replace(
        image_request,
        provider_request=replace(
            image_request.provider_request, fields={**image_request.provider_request.fields, "sync_mode": True}
        ),
    )
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        ticket = await opened.fal.submit(inline, ignore_progress)
        assert len((await follow(opened.fal, ticket))[1].pictures) == 1
        assert opened.statuses.empty()


@pytest.mark.parametrize(
    ("name", "values"),
    [("webhook_forged", {}), ("webhook_skewed", {}), ("webhook_skewed", {"seconds": 302})],
)
async def test_a_bad_webhook_is_refused_and_the_good_one_after_it_is_not(
    fixture: FalFixture, name: str, values: dict[str, Any]
) -> None:
    fixture.sandbox.faults.set(name, times=1, **values)
    async with open_webhooks(fixture) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert await opened.answered(2) == [401, 200]
        assert fixture.request.counts["result"] == 1


@pytest.mark.parametrize("seconds", [-295, 295])
async def test_a_clock_that_is_a_little_off_does_not_matter(fixture: FalFixture, seconds: float) -> None:
    fixture.sandbox.faults.set("webhook_skewed", seconds=seconds)
    async with open_webhooks(fixture) as opened:
        assert len((await opened.painted()).pictures) == 1


async def test_forged_webhooks_wake_no_poller(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("webhook_forged")
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert await opened.answered(5) == [401] * 5
        assert len(opened.key_reads()) == 1


async def test_a_webhook_that_comes_again_is_refused(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("webhook_twice")
    async with open_webhooks(fixture) as opened:
        assert len((await opened.painted()).pictures) == 1
        assert await opened.answered(2) == [200, 401]


async def test_keys_are_read_once_and_again_when_fal_changes_them(fixture: FalFixture) -> None:
    async with open_webhooks(fixture) as opened:
        await opened.painted()
        await opened.painted()
        assert len(opened.key_reads()) == 1
        fixture.sandbox.rotate_keys()
        opened.ahead.seconds = 61
        await opened.painted()
        assert len(opened.key_reads()) == 2
        assert await opened.answered(3) == [200, 200, 200]


async def test_changed_keys_are_not_requested_twice_a_minute(fixture: FalFixture) -> None:
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        await opened.painted()
        fixture.sandbox.rotate_keys()
        await opened.painted()
        assert await opened.answered(6) == [200, *[401] * 5]
        assert len(opened.key_reads()) == 1


async def test_without_keys_fal_is_told_to_send_the_webhook_again(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("jwks_error")
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        await opened.painted()
        assert await opened.answered(5) == [503] * 5
        fixture.sandbox.faults.clear()
        opened.ahead.seconds = 61
        await opened.painted()
        assert await opened.answered(1) == [200]
        assert len(opened.key_reads()) == 2


async def test_a_poller_that_has_ended_is_no_longer_woken(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_run", seconds=0.2)
    async with open_webhooks(fixture, poll_policy=POLL_POLICY) as opened:
        ticket = await opened.fal.submit(build_submit(), ignore_progress)
        webhooks = opened.fal.webhooks
        assert webhooks is not None
        async with aclosing(opened.fal.follow(ticket, REQUEST, no_stored_results)) as updates:
            await anext(updates)
            assert len(webhooks._waiting) == 1
        assert not webhooks._waiting
        assert await opened.answered(1) == [200]


async def test_without_webhooks_none_are_requested(fixture: FalFixture) -> None:
    await fixture.submit()
    assert fixture.request.webhook is None
