"""What one case of the contract works with: a variant, its providers, and the steps of a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bot.catalog.offers import ProviderRequest, Submit
from bot.domain.clock import real_time
from bot.domain.content import Content
from bot.domain.errors import ProviderError
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.pictures import InputPicture, Picture
from bot.domain.requests import ImageRequest
from bot.net.http import Timeouts
from bot.pictures.pictures import Pictures
from bot.ports import Provider
from tests.providers.contract.variant import Fault, Lack, Stage, Variant, opened
from tests.support.picture_processes import open_pictures
from tests.support.providers.deps import clock_ahead
from tests.support.raw_server import Change, changing_proxy

HURRIED = Timeouts(connect=2, read=0.3, total=0.8)
"""For responses that come too late."""
SETTLED = 60.0
"""Seconds after which every service knows whether a submit arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The result of a whole request, all submits together, after Easel's own conversion."""

    provider_request: ProviderRequest
    pictures: tuple[Picture, ...]
    parts: tuple[Finished, ...]

    @property
    def picture(self) -> Picture:
        """The only one."""
        (picture,) = self.pictures
        return picture


@dataclass
class ContractWorld:
    """A variant with its stand-in running. Tickets pass through JSON, and pictures through the spool."""

    variant: Variant
    pictures: Pictures
    stack: AsyncExitStack
    caplog: pytest.LogCaptureFixture
    reported: list[Progress] = field(default_factory=list)
    """The progress that submits reported."""
    spool: dict[str, tuple[Content, ...]] = field(default_factory=dict)
    broken: list[tuple[Fault, tuple[str, ...]]] = field(default_factory=list)

    # The surroundings

    def lacks(self, name: Lack) -> str | None:
        """Why a case cannot exist here; None where it can."""
        return self.variant.lacks.get(name)

    def breaks(self, fault: Fault, **values: Any) -> None:
        """From now on this goes wrong; `check` sees that it really did."""
        switches = self.variant.faults[fault]
        for name, fixed in switches:
            self.variant.sandbox.faults.set(name, **{**fixed, **values})
        if switches:
            self.broken.append((fault, tuple(name for name, _ in switches)))

    def heals(self) -> None:
        """Nothing goes wrong any more."""
        self.variant.sandbox.faults.clear()

    def check(self) -> None:
        """See that every fault has struck: one that has not proves nothing."""
        for fault, names in self.broken:
            assert any(self.variant.sandbox.faults.struck.get(name) for name in names), f"{fault} never struck"

    def provider(
        self,
        *,
        at: str | None = None,
        key: str | None = None,
        timeouts: Timeouts | None = None,
        ahead: float = 0,
        **more: Any,
    ) -> Provider:
        """A provider of its own; `at` is another origin, `ahead` are seconds that its clock is ahead."""
        deps = {"key": key, "timeouts": timeouts, "clock": clock_ahead(ahead), **more}
        provider = self.variant.build(self.variant.deps(self.pictures, origin=at, **deps))
        self.stack.push_async_callback(provider.aclose)
        return provider

    def request(self, **changes: Any) -> ImageRequest:
        """A small request."""
        variant = self.variant
        usual = {"prompt": "a fox in the snow", "quality": variant.quality, "size": variant.size}
        return ImageRequest(model=variant.model, **{"output_format": "jpeg", **usual, **changes})

    @property
    def chooses_shape(self) -> bool:
        """Whether the service alone chooses the pictures' shape."""
        sizing = self.variant.offers[self.variant.model].imagine.size
        return not (sizing.known or sizing.custom or sizing.ratios)

    def provider_request(self, request: ImageRequest) -> ProviderRequest:
        """The request as the provider is sent it."""
        return self.variant.offers[request.model].translate(request)

    def build_submit(self, request: ImageRequest | None = None, *inputs: InputPicture, **more: Any) -> Submit:
        """The first submit of a request, with what was reserved for it."""
        provider_request = self.provider_request(request or self.request())
        count = provider_request.counts[0]
        reserved = provider_request.highest_cost().share(count, provider_request.request.count)
        options = {"job_id": 7, "count": count, "submitted_at": real_time(), "price_limit": reserved}
        return Submit(provider_request=provider_request, inputs=inputs, **{**options, **more})

    # Steps

    async def submit(self, submit: Submit | None = None, provider: Provider | None = None) -> Ticket:
        """A ticket as the database gives it back."""
        ticket = await (provider or self.provider()).submit(submit or self.build_submit(), self.reported.append)
        return self.stored(ticket)

    def stored(self, ticket: Ticket) -> Ticket:
        """Its JSON alone; its results go to the spool."""
        text = json.dumps(ticket.data)
        self.spool[text] = ticket.results
        return replace(ticket, data=json.loads(text), results=())

    async def updates(
        self, ticket: Ticket, request: ImageRequest | None = None, provider: Provider | None = None
    ) -> tuple[list[Progress], Finished]:
        """All progress of a ticket, and its result."""

        async def stored_results() -> tuple[Content, ...]:
            return self.spool.get(json.dumps(ticket.data), ())

        followed = (provider or self.provider()).follow(ticket, request or self.request(), stored_results)
        async with aclosing(followed) as items:
            updates = [item async for item in items]
        last = updates[-1]
        assert isinstance(last, Finished)
        return [item for item in updates if isinstance(item, Progress)], last

    async def finished(
        self, ticket: Ticket, request: ImageRequest | None = None, provider: Provider | None = None
    ) -> Finished:
        """The pictures of a ticket."""
        return (await self.updates(ticket, request, provider))[1]

    async def deliver(self, request: ImageRequest | None = None, *inputs: InputPicture, **more: Any) -> Delivery:
        """The whole request: every submit it takes, and the format made here where the service lacks it."""
        request = request or self.request()
        provider_request, provider = self.provider_request(request), self.provider()
        parts = []
        for part, count in enumerate(provider_request.counts):
            ticket = await self.submit(
                self.build_submit(request, *inputs, part=part, count=count, **more), provider=provider
            )
            parts.append(await self.finished(ticket, request, provider))
        pictures = [picture for finished in parts for picture in finished.pictures]
        if provider_request.convert_to is not None:
            quality = request.compression if provider_request.compress else None
            pictures = [
                await self.pictures.convert(picture, provider_request.convert_to, quality) for picture in pictures
            ]
        return Delivery(provider_request=provider_request, pictures=tuple(pictures), parts=tuple(parts))

    async def error(self, submit: Submit | None = None, *, provider: Provider | None = None) -> ProviderError:
        """What goes wrong, at the submit or after it. Whatever it is, nothing is sent twice."""
        submit, provider = submit or self.build_submit(), provider or self.provider()
        with pytest.raises(ProviderError) as caught:
            await self.finished(await self.submit(submit, provider), submit.provider_request.request, provider)
        assert self.variant.sandbox.submits <= 1, "a submit is never repeated"
        return caught.value

    async def submit_error(
        self, submit: Submit | None = None, *, provider: Provider | None = None
    ) -> ProviderError:
        """What goes wrong at the submit."""
        with pytest.raises(ProviderError) as caught:
            await self.submit(submit, provider)
        assert self.variant.sandbox.submits <= 1, "a submit is never repeated"
        return caught.value

    async def until(self, stage: Stage) -> None:
        """Wait until the stand-in has got this far."""
        async with asyncio.timeout(5):
            while self.variant.stage != stage:  # noqa: ASYNC110 - what happens in a server has no event of ours
                await asyncio.sleep(0.005)

    # A proxy

    @asynccontextmanager
    async def changing(self, change: Change) -> AsyncIterator[str]:
        """An origin that passes everything on to the stand-in, and changes the responses."""
        async with changing_proxy(self.variant.sandbox.url, change) as origin:
            self.variant.publish_at(origin)
            yield origin


@asynccontextmanager
async def open_world(variant: Variant, caplog: pytest.LogCaptureFixture) -> AsyncIterator[ContractWorld]:
    """The stand-in and the providers; closed in the opposite order."""
    async with AsyncExitStack() as stack:
        pictures = open_pictures()
        await stack.enter_async_context(opened(variant))
        providers = await stack.enter_async_context(AsyncExitStack())
        world = ContractWorld(variant, pictures, providers, caplog)
        yield world
        world.check()
