"""Everything around one case of the contract: a way, its provider, and what is done and asked with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest

from bot.catalog.offers import ProviderRequest, Submit
from bot.domain.clock import Clock, real_time
from bot.domain.errors import ProviderError
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.money import Money
from bot.domain.pictures import InputPicture, Picture
from bot.domain.requests import ImageRequest, Source
from bot.pictures import Pictures
from bot.ports import Provider
from bot.providers.shared.http import Timeouts, open_session
from tests.providers.contract.variant import Fault, Lack, Setting, Stage, Variant, opened
from tests.providers.contract.wire import Bend, between

SOURCE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
QUICK = Timeouts(connect=2, silence=0.3, total=0.8)
"""For answers that come too late."""
SETTLED = 60_000
"""Milliseconds after which every service knows whether a submit arrived."""


def given(content: bytes, *, name: str = "a.png", url: str | None = None) -> InputPicture:
    """A picture on its way to a service."""
    picture = Picture(content=content, content_type="image/png", filename=name, width=64, height=64)
    return InputPicture(picture=picture, url=url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a whole request came to, all submits together, after Easel's own conversion."""

    fit: ProviderRequest
    pictures: tuple[Picture, ...]
    parts: tuple[Finished, ...]

    @property
    def picture(self) -> Picture:
        """The only one."""
        (picture,) = self.pictures
        return picture


@dataclass
class ContractWorld:
    """A way with its stand-in running. Tickets only ever pass through JSON, and pictures through the spool."""

    way: Variant
    client: aiohttp.ClientSession
    pictures: Pictures
    stack: AsyncExitStack
    caplog: pytest.LogCaptureFixture
    told: list[Progress] = field(default_factory=list)
    """What was told while a submit was waited for."""
    spool: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    broken: list[tuple[Fault, tuple[str, ...]]] = field(default_factory=list)

    # What there is

    def lacks(self, name: Lack) -> str | None:
        """Why a case cannot exist here; None where it can."""
        return self.way.lacks.get(name)

    def breaks(self, fault: Fault, **values: Any) -> None:
        """From now on this goes wrong; that it really did is seen to in the end."""
        switches = self.way.faults[fault]
        for name, fixed in switches:
            self.way.board.set(name, **{**fixed, **values})
        if switches:
            self.broken.append((fault, tuple(name for name, _ in switches)))

    def heals(self) -> None:
        """Nothing goes wrong any more."""
        self.way.board.clear()

    def check(self) -> None:
        """A fault that never struck proves nothing."""
        for fault, names in self.broken:
            assert any(self.way.board.struck.get(name) for name in names), f"{fault} never struck"

    def provider(
        self, *, at: str | None = None, key: str | None = None, limits: Timeouts | None = None, later: int = 0
    ) -> Provider:
        """A provider of its own; `at` is another origin, `later` are milliseconds that its clock is ahead."""
        return self.way.provider(
            Setting(
                client=self.client,
                pictures=self.pictures,
                origin=at or self.way.url,
                key=key or self.way.key,
                limits=limits,
                clock=Clock(now=lambda: real_time() + later),
                stack=self.stack,
            )
        )

    def request(self, **changes: Any) -> ImageRequest:
        """A small wish."""
        usual = {"prompt": "a fox in the snow", "quality": "low", "size": "square", "output_format": "jpeg"}
        return ImageRequest(model=self.way.model, **{**usual, **changes})

    def fit(self, request: ImageRequest) -> ProviderRequest:
        """How the request is put to the service."""
        return self.way.offers[request.model].fit(request)

    def order(self, request: ImageRequest | None = None, *inputs: InputPicture, **more: Any) -> Submit:
        """The first submit of a request, with what was reserved for it."""
        fit = self.fit(request or self.request())
        count = fit.submits[0]
        reserved = Money(-(-fit.most() * count // fit.request.count))
        options = {"job_id": 7, "count": count, "submitted_at": real_time(), "most": reserved}
        return Submit(fit=fit, inputs=inputs, **{**options, **more})

    # What is done

    async def submit(self, order: Submit | None = None, provider: Provider | None = None) -> Ticket:
        """A ticket as the database gives it back."""
        ticket = await (provider or self.provider()).submit(order or self.order(), self.told.append)
        return self.stored(ticket)

    def stored(self, ticket: Ticket) -> Ticket:
        """Its JSON alone; the bytes that it keeps go to the spool."""
        text = json.dumps(ticket.data)
        self.spool[text] = ticket.kept
        return replace(ticket, data=json.loads(text), kept=())

    async def news(
        self, ticket: Ticket, request: ImageRequest | None = None, provider: Provider | None = None
    ) -> tuple[list[Progress], Finished]:
        """All news of a ticket, to its end."""

        async def kept() -> tuple[bytes, ...]:
            return self.spool.get(json.dumps(ticket.data), ())

        followed = (provider or self.provider()).follow(ticket, request or self.request(), kept)
        async with aclosing(followed) as items:
            news = [item async for item in items]
        last = news[-1]
        assert isinstance(last, Finished)
        return [item for item in news if isinstance(item, Progress)], last

    async def finished(
        self, ticket: Ticket, request: ImageRequest | None = None, provider: Provider | None = None
    ) -> Finished:
        """The pictures of a ticket."""
        return (await self.news(ticket, request, provider))[1]

    async def deliver(self, request: ImageRequest | None = None, *inputs: InputPicture, **more: Any) -> Delivery:
        """The whole request: every submit it takes, and the format made here where the service lacks it."""
        request = request or self.request()
        fit, provider = self.fit(request), self.provider()
        parts = []
        for part, count in enumerate(fit.submits):
            ticket = await self.submit(
                self.order(request, *inputs, part=part, count=count, **more), provider=provider
            )
            parts.append(await self.finished(ticket, request, provider))
        found = [picture for finished in parts for picture in finished.pictures]
        if fit.made_here is not None:
            quality = request.compression if fit.compress_here else None
            found = [await self.pictures.convert(picture, fit.made_here, quality) for picture in found]
        return Delivery(fit=fit, pictures=tuple(found), parts=tuple(parts))

    async def error(self, order: Submit | None = None, *, provider: Provider | None = None) -> ProviderError:
        """What goes wrong, at the submit or after it. Whatever it is, nothing is sent twice."""
        order, provider = order or self.order(), provider or self.provider()
        with pytest.raises(ProviderError) as caught:
            await self.finished(await self.submit(order, provider), order.fit.request, provider)
        assert self.way.submits <= 1, "a submit is never repeated"
        return caught.value

    async def submit_error(
        self, order: Submit | None = None, *, provider: Provider | None = None
    ) -> ProviderError:
        """What goes wrong at the submit."""
        with pytest.raises(ProviderError) as caught:
            await self.submit(order, provider)
        assert self.way.submits <= 1, "a submit is never repeated"
        return caught.value

    async def until(self, stage: Stage) -> None:
        """Wait until the stand-in is so far."""
        async with asyncio.timeout(5):
            while self.way.stage != stage:  # noqa: ASYNC110 - what happens in a server has no event of ours
                await asyncio.sleep(0.005)

    # Who else is on the wire

    @asynccontextmanager
    async def bent(self, bend: Bend) -> AsyncIterator[str]:
        """An origin that passes everything on to the stand-in, and bends what comes back."""
        async with between(self.way.url, bend) as origin:
            self.way.publish_at(origin)
            yield origin


@asynccontextmanager
async def open_house(way: Variant, caplog: pytest.LogCaptureFixture) -> AsyncIterator[ContractWorld]:
    """The stand-in, the client and the threads; closed in the opposite order, providers first."""
    async with AsyncExitStack() as stack:
        pictures = Pictures()
        stack.callback(pictures.close)
        await stack.enter_async_context(opened(way))
        client = await stack.enter_async_context(open_session(100, ssl=False))
        providers = await stack.enter_async_context(AsyncExitStack())
        house = ContractWorld(way, client, pictures, providers, caplog)
        yield house
        house.check()
