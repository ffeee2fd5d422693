"""fal's provider around its stand-in, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bot.catalog.offers import Submit
from bot.domain.clock import real_time
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.pictures import InputPicture
from bot.domain.requests import ImageRequest
from bot.net.hosts import AllowedHosts
from bot.net.http import open_client
from bot.pictures.pictures import Pictures
from bot.providers.fal.provider import FalProvider
from bot.providers.shared.downloads import Downloads
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.server import FalSandbox
from bot.settings import Settings
from tests.support.picture_processes import open_pictures
from tests.support.providers.deps import (
    CATALOG,
    LOCAL_HOSTS,
    POLL_POLICY,
    REQUEST,
    ignore_progress,
    no_stored_results,
    provider_deps,
)
from tests.support.raw_server import Respond, http

KEY = "me:a-very-secret-key"
LOCAL = AllowedHosts.parse(LOCAL_HOSTS)
NGINX = b"<html><center>nginx</center></html>"


def build_submit(
    request: ImageRequest = REQUEST, *inputs: InputPicture, mask: InputPicture | None = None, job_id: int = 1
) -> Submit:
    provider_request = CATALOG.at("fal")[request.model].translate(request)
    return Submit(job_id=job_id, provider_request=provider_request, count=request.count, inputs=inputs, mask=mask)


def finished_queue(result: Any, status: Any = None, **headers: str) -> Respond:
    """A queue whose only request is over."""
    state = status or {"status": "COMPLETED"}
    return lambda line: http(200, state) if "status_url" in line else http(200, result, **headers)


def ticket_at(url: str, count: int = 1, **more: Any) -> Ticket:
    links = {name: f"{url}/{name}" for name in ("status_url", "response_url", "cancel_url")}
    data = {"request_id": "r1", "submitted_at": real_time(), **links, **more}
    return Ticket(provider="fal", data=data, count=count)


@dataclass
class FalFixture:
    """The stand-in, and providers for it. They poll, unless a test says otherwise."""

    sandbox: FalSandbox
    pictures: Pictures
    stack: AsyncExitStack
    """Closed before the stand-in, which otherwise waits for idle connections."""

    def fal(self, **changes: Any) -> FalProvider:
        """A provider with changed deps, or changed settings, with or without their `fal_`."""
        settings: dict[str, Any] = {
            "fal_key": KEY,
            "fal_queue_url": f"{self.sandbox.url}/",
            "fal_rest_url": f"{self.sandbox.url}/",
            "fal_api_url": f"{self.sandbox.url}/v1/",
            "fal_media_hosts": LOCAL_HOSTS,
            "fal_stream": False,
        }
        for name, value in changes.items():
            settings[f"fal_{name}" if f"fal_{name}" in Settings.model_fields else name] = value
        provider = FalProvider(provider_deps(self.pictures, **settings))
        self.stack.push_async_callback(provider.aclose)
        return provider

    def downloads(self, **changes: Any) -> Downloads:
        """Downloads from any port of this machine, or from other `hosts`."""
        hosts = changes.pop("hosts", LOCAL)
        http = open_client(hosts=hosts)
        self.stack.push_async_callback(http.aclose)
        return Downloads(http, hosts, self.pictures, POLL_POLICY, **changes)

    async def submit(
        self,
        request: ImageRequest = REQUEST,
        *inputs: InputPicture,
        mask: InputPicture | None = None,
        **changes: Any,
    ) -> Ticket:
        return await self.fal(**changes).submit(build_submit(request, *inputs, mask=mask), ignore_progress)

    async def result(
        self,
        request: ImageRequest = REQUEST,
        *inputs: InputPicture,
        mask: InputPicture | None = None,
        **changes: Any,
    ) -> Finished:
        fal = self.fal(**changes)
        ticket = await fal.submit(build_submit(request, *inputs, mask=mask), ignore_progress)
        return (await follow(fal, ticket, request))[1]

    @property
    def request(self) -> QueueRequest:
        """The only request that the stand-in accepted."""
        (request,) = self.sandbox.requests.values()
        return request

    @property
    def body(self) -> dict[str, Any]:
        """Its input."""
        assert isinstance(self.request.shown, dict)
        return self.request.shown

    def paths(self) -> list[str]:
        """Method and path of each call, oldest first, without request ids."""
        calls = [f"{call['method']} {call['path']}" for call in self.sandbox.calls]
        for request_id in self.sandbox.requests:
            calls = [call.replace(request_id, "…") for call in calls]
        return calls


@asynccontextmanager
async def open_fixture(**options: Any) -> AsyncIterator[FalFixture]:
    async with AsyncExitStack() as stack:
        pictures = open_pictures()
        quick = {"key": KEY, "queue_seconds": 0.03, "run_seconds": 0.02, "one_picture": True}
        sandbox = await stack.enter_async_context(FalSandbox(**{**quick, **options}))
        providers = await stack.enter_async_context(AsyncExitStack())
        yield FalFixture(sandbox, pictures, providers)


async def follow(
    fal: FalProvider, ticket: Ticket, request: ImageRequest = REQUEST
) -> tuple[list[Progress], Finished]:
    """All progress of a ticket, and its result."""
    updates = [update async for update in fal.follow(ticket, request, no_stored_results)]
    last = updates[-1]
    assert isinstance(last, Finished)
    return [update for update in updates if isinstance(update, Progress)], last


async def follow_until(fal: FalProvider, ticket: Ticket, note: str) -> None:
    """Follow until a note begins so."""
    async with aclosing(fal.follow(ticket, REQUEST, no_stored_results)) as updates:
        async for update in updates:
            if isinstance(update, Progress) and update.note.startswith(note):
                return
