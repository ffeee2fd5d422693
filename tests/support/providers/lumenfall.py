"""Lumenfall's provider around its stand-in, for tests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bot.catalog.offers import Submit
from bot.domain.clock import real_time
from bot.domain.content import Content
from bot.domain.errors import ProviderError
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.pictures import InputPicture
from bot.domain.requests import ImageRequest
from bot.net.http import Timeouts
from bot.pictures.pictures import Pictures
from bot.ports import StoredResults
from bot.providers.lumenfall.provider import AT_ONCE, LumenfallProvider
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.server import LumenfallSandbox
from bot.settings import Settings
from tests.support.picture_processes import open_pictures
from tests.support.providers.deps import (
    CATALOG,
    LOCAL_HOSTS,
    SOURCE,
    input_picture,
    painted,
    provider_deps,
)

KEY = "lmnfl_easel.a-very-secret-part"
HURRIED = Timeouts(connect=2, read=0.5, total=1.0)
REQUEST = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5", quality="low", size="square")
EDIT = replace(REQUEST, sources=(SOURCE,))
MASK = input_picture(painted(mode="RGBA", colour=(0, 0, 0, 0)), filename="mask.png")


@dataclass
class LumenfallFixture:
    """The stand-in, and providers for it."""

    sandbox: LumenfallSandbox
    pictures: Pictures
    stack: AsyncExitStack
    """Closed before the stand-in, which otherwise waits for idle connections."""
    reported: list[Progress] = field(default_factory=list)
    """The progress that submits reported."""

    def lumenfall(
        self, *, at_once: int = AT_ONCE, extra: dict[str, Any] | None = None, **changes: Any
    ) -> LumenfallProvider:
        """A provider with changed deps, or changed settings, with or without their `lumenfall_`.

        `extra` are LUMENFALL_FIELDS, also those that the settings refuse.
        """
        settings: dict[str, Any] = {
            "lumenfall_api_key": KEY,
            "lumenfall_base_url": f"{self.sandbox.base_url}/",
            "lumenfall_media_hosts": LOCAL_HOSTS,
            "lumenfall_partials": 0,
        }
        for name, value in changes.items():
            settings[f"lumenfall_{name}" if f"lumenfall_{name}" in Settings.model_fields else name] = value
        unchecked = {"lumenfall_fields": extra or {}}
        deps = provider_deps(self.pictures, unchecked=unchecked, **settings)
        provider = LumenfallProvider(deps, at_once=at_once)
        self.stack.push_async_callback(provider.aclose)
        return provider

    def build_submit(
        self, request: ImageRequest = REQUEST, *inputs: InputPicture, mask: InputPicture | None = None, **more: Any
    ) -> Submit:
        provider_request = CATALOG.model(request.model).offer("lumenfall").translate(request)
        options = {"job_id": 7, "count": request.count, "submitted_at": real_time(), **more}
        return Submit(provider_request=provider_request, inputs=inputs, mask=mask, **options)

    async def submit(self, submit: Submit | None = None, **changes: Any) -> Ticket:
        return await self.lumenfall(**changes).submit(submit or self.build_submit(), self.reported.append)

    async def result(self, submit: Submit | None = None, **changes: Any) -> Finished:
        ticket = await self.submit(submit, **changes)
        return (await follow(self.lumenfall(**changes), ticket))[1]

    @property
    def request(self) -> GatewayRequest:
        """The only request that the stand-in accepted."""
        (request,) = self.sandbox.requests.values()
        return request

    def fault(self, name: str, **values: Any) -> None:
        self.sandbox.faults.set(name, **values)


def spool_of(ticket: Ticket) -> StoredResults:
    async def stored_results() -> tuple[Content, ...]:
        return ticket.results

    return stored_results


async def follow(
    lumenfall: LumenfallProvider, ticket: Ticket, stored_results: StoredResults | None = None
) -> tuple[list[Progress], Finished]:
    """All progress of a ticket, and its result."""
    stored = replace(ticket, results=())  # as the database gives it back
    spool = stored_results or spool_of(ticket)
    updates = [update async for update in lumenfall.follow(stored, REQUEST, spool)]
    last = updates[-1]
    assert isinstance(last, Finished)
    return [update for update in updates if isinstance(update, Progress)], last


@asynccontextmanager
async def open_fixture(**options: Any) -> AsyncIterator[LumenfallFixture]:
    async with AsyncExitStack() as stack:
        pictures = open_pictures()
        behaviour = {"key": KEY, "run_seconds": 0.01, "partial_seconds": 0.0, "one_picture": True, **options}
        sandbox = await stack.enter_async_context(LumenfallSandbox(**behaviour))
        providers = await stack.enter_async_context(AsyncExitStack())
        yield LumenfallFixture(sandbox, pictures, providers)


def assert_discreet(error: ProviderError) -> None:
    """The error holds neither a secret nor a text of a service or a member."""
    shown = f"{error.detail} {error.sentence} {error!r}"
    for secret in ("lmnfl", "secret", "fox", "http", "127.0.0.1", "expected string", "provider's"):
        assert secret not in shown
    assert re.fullmatch(r"[\w .,'-]*", error.detail)
    assert error.__cause__ is None
