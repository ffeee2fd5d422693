"""Oxen's provider around its stand-in, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.catalog.live import live_offer
from bot.catalog.offers import Submit
from bot.domain.clock import Clock, real_time
from bot.domain.content import Content
from bot.domain.errors import SubmitUnknown
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.pictures import InputPicture
from bot.domain.providers import ModelStatus
from bot.domain.requests import ImageRequest
from bot.pictures.pictures import Pictures
from bot.providers.oxen.provider import OxenProvider
from bot.sandbox.oxen.server import OxenSandbox
from bot.settings import Settings
from tests.support.picture_processes import open_pictures
from tests.support.providers.deps import (
    CATALOG,
    POLL_POLICY,
    SOURCE,
    clock_ahead,
    ignore_progress,
    no_stored_results,
    provider_deps,
)
from tests.support.raw_server import Respond, http

KEY = "oxen-a-very-secret-key"
NO_HOSTS = "nowhere.invalid"
HARDLY_POLLING = replace(POLL_POLICY, first=60, longest=60)
"""Polling alone would notice nothing within a test's time."""
MODEL = "gpt-image-1.5"
REQUEST = ImageRequest(prompt="a fox in the snow", model=MODEL, quality="auto")
EDIT = replace(REQUEST, sources=(SOURCE,))
EXTRA = ("quality", "background", "input_fidelity")


def responding_to_submits(response: bytes) -> Respond:
    """A service that responds so to submits, and with 503 to everything else."""
    return lambda line: response if line.startswith("POST") else http(503)


@dataclass
class OxenFixture:
    """The stand-in, and providers for it."""

    sandbox: OxenSandbox
    pictures: Pictures
    stack: AsyncExitStack
    """Closed before the stand-in, which otherwise waits for idle connections."""

    def oxen(self, *, events: bool = True, **changes: Any) -> OxenProvider:
        """A provider with changed deps, or changed settings, with or without their `oxen_`."""
        settings: dict[str, Any] = {
            "oxen_api_key": KEY,
            "oxen_base_url": f"{self.sandbox.base_url}/",
            "oxen_media_hosts": NO_HOSTS,
        }
        for name, value in changes.items():
            settings[f"oxen_{name}" if f"oxen_{name}" in Settings.model_fields else name] = value
        provider = OxenProvider(provider_deps(self.pictures, **settings), events=events)
        self.stack.push_async_callback(provider.aclose)
        return provider

    def build_submit(
        self, request: ImageRequest = REQUEST, *inputs: InputPicture, known: ModelStatus | None = None, **more: Any
    ) -> Submit:
        offer = CATALOG.at("oxen")[request.model]
        provider_request = (live_offer(offer, known) if known else offer).translate(request)
        options: dict[str, Any] = {"job_id": 1, "count": request.count, "submitted_at": real_time(), **more}
        return Submit(provider_request=provider_request, inputs=inputs, **options)

    async def result(self, request: ImageRequest = REQUEST, *inputs: InputPicture, **changes: Any) -> Finished:
        oxen = self.oxen(**changes)
        ticket = await oxen.submit(self.build_submit(request, *inputs), ignore_progress)
        return (await follow(oxen, ticket, request))[1]

    @property
    def body(self) -> dict[str, Any]:
        """The parameters of the only submit that the stand-in accepted."""
        (params,) = {json.dumps(dict(row.params)) for row in self.sandbox.generations.values()}
        body: dict[str, Any] = json.loads(params)
        return body


async def follow(
    oxen: OxenProvider, ticket: Ticket, request: ImageRequest = REQUEST
) -> tuple[list[Progress], Finished]:
    """All progress of a ticket, and its result."""

    async def stored_results() -> tuple[Content, ...]:
        return ticket.results

    async with asyncio.timeout(10):
        updates = [update async for update in oxen.follow(ticket, request, stored_results)]
    last = updates[-1]
    assert isinstance(last, Finished)
    return [update for update in updates if isinstance(update, Progress)], last


async def follow_until(oxen: OxenProvider, ticket: Ticket, note: str) -> None:
    """Follow until this note."""
    async with asyncio.timeout(10), aclosing(oxen.follow(ticket, REQUEST, no_stored_results)) as updates:
        async for update in updates:
            if isinstance(update, Progress) and update.note == note:
                return


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what happens in a server has no event of ours
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_fixture() -> AsyncIterator[OxenFixture]:
    async with AsyncExitStack() as stack:
        pictures = open_pictures()
        sandbox = OxenSandbox(key=KEY, queue_seconds=0.03, run_seconds=0.02, one_picture=True)
        await stack.enter_async_context(sandbox)
        providers = await stack.enter_async_context(AsyncExitStack())
        yield OxenFixture(sandbox, pictures, providers)


def envelope(kind: str, title: str) -> dict[str, Any]:
    return {"error": {"type": kind, "title": title}, "status": "error", "status_message": kind}


def later(seconds: float = 15.0) -> Clock:
    """A clock after whose start a submit must be listed."""
    return clock_ahead(seconds)


async def lose_submit(fixture: OxenFixture, oxen: OxenProvider, submit: Submit) -> None:
    """Submit, and lose the response."""
    fixture.sandbox.faults.set("submit_lost", times=1)
    with pytest.raises(SubmitUnknown):
        await oxen.submit(submit, ignore_progress)
