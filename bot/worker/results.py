"""Waits for a job's tickets, however many there are, as if they were one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from bot.catalog.offers import ProviderRequest, Unsupported
from bot.domain.errors import InvalidResponse, ProviderBusy, ProviderError, ProviderMisconfigured
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.money import Amount, Money
from bot.domain.pictures import Picture
from bot.domain.providers import CancelResult
from bot.ports import Provider
from bot.storage import spool
from bot.worker.context import ClaimedJob

log = logging.getLogger(__name__)

ABSURD = 20
"""A cost of so many times what was reserved is a garbled figure."""

News = AsyncGenerator[Progress | Finished, None]


@dataclass(slots=True)
class _Part:
    """A ticket on its way."""

    part: int
    ticket: Ticket
    news: News
    finished: Finished | None = None
    error: ProviderError | None = None


class ResultPoller:
    """All of a job's tickets: their news, their pictures, their cancel."""

    def __init__(self, claim: ClaimedJob) -> None:
        self._claim = claim
        self._shop = claim.shop
        self._pieces: list[_Part] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Begin to follow; whatever happens, every service's news is closed in the end."""
        job = self._claim.job
        async with AsyncExitStack() as stack:
            for part, ticket in enumerate(job.tickets):
                kept = partial(self._kept, part)
                piece = _Part(part, ticket, _nothing())
                self._pieces.append(piece)
                try:
                    piece.news = self._provider(ticket).follow(ticket, job.request, kept)
                except ProviderMisconfigured as error:
                    piece.error = error
                await stack.enter_async_context(aclosing(piece.news))
            yield

    def _provider(self, ticket: Ticket) -> Provider:
        try:
            return self._shop.provider(ticket.provider)
        except ProviderMisconfigured as error:
            log.error("a service needs its operator: %s", error.detail)
            raise

    async def _kept(self, part: int) -> tuple[bytes, ...]:
        return await self._shop.database.read(spool.stored_results(self._claim.job.id, part))

    async def until_painted(self) -> None:
        """Pass the news on until every piece is painted or has failed.

        Raises:
            ProviderError: all have failed, the first one's; ProviderBusy as soon as one piece has to wait.
        """
        async with asyncio.TaskGroup() as group:
            for piece in self._pieces:
                group.create_task(self._until_painted(piece))
        self._judge()

    async def _until_painted(self, piece: _Part) -> None:
        if piece.error is not None:
            return
        try:
            async for item in piece.news:
                if isinstance(item, Finished):
                    piece.finished = item
                    return
                if item.fraction == 1.0:
                    return
                self._claim.tell(item)
            piece.error = InvalidResponse(detail="the service's news ended without pictures")
        except ProviderError as error:
            self._failed(piece, error)

    def _failed(self, piece: _Part, error: ProviderError) -> None:
        piece.error = error
        name = piece.ticket.provider
        if isinstance(error, ProviderMisconfigured) and self._shop.routes.failed(name, error):
            log.error("a service needs its operator: %s: %s", name, error.detail)

    def _judge(self) -> None:
        """Go on as long as something is left to deliver; what only has to wait is worth waiting for."""
        errors = [piece.error for piece in self._pieces if piece.error is not None]
        busy = next((error for error in errors if isinstance(error, ProviderBusy)), None)
        if busy is not None:
            raise busy
        if errors and len(errors) == len(self._pieces):
            raise errors[0]

    async def finished(self) -> tuple[Finished, Amount]:
        """Fetch the pictures, make what the services do not, and say what it all cost."""
        for piece in self._pieces:
            if piece.error is None and piece.finished is None:
                await self._fetch(piece)
        self._judge()
        request = self._claim.job.request
        pictures: list[Picture] = []
        links: list[str] = []
        notes: dict[str, None] = dict.fromkeys(self._succession())
        cost = Money()
        for piece in self._pieces:
            if piece.finished is None:
                continue
            fit = self._fit(piece.ticket)
            found = [await self._made(picture, fit) for picture in piece.finished.pictures]
            pictures += found
            links += piece.finished.links
            notes.update(dict.fromkeys(_sentences(fit)))
            cost += self._cost(piece.finished, fit)
        images = min(len(pictures) + len(links), request.count)
        if images < request.count:
            notes[f"The service painted {images} of {request.count} pictures."] = None
        finished = Finished(pictures=tuple(pictures), cost=cost, note=" ".join(notes), links=tuple(links))
        return finished, Amount(images=images, money=cost)

    async def _fetch(self, piece: _Part) -> None:
        try:
            async for item in piece.news:
                if isinstance(item, Finished):
                    piece.finished = item
                    return
            piece.error = InvalidResponse(detail="the service's news ended without pictures")
        except ProviderError as error:
            self._failed(piece, error)

    def _fit(self, ticket: Ticket) -> ProviderRequest | None:
        """How the request was put to the service; None where the catalogue has changed since."""
        request = replace(self._claim.job.request, count=ticket.count)
        try:
            return self._shop.routes.fit(request, ticket.provider)
        except Unsupported:
            return None

    async def _made(self, picture: Picture, fit: ProviderRequest | None) -> Picture:
        """The picture in the format that was asked for, where the service has no such format."""
        if fit is None or fit.made_here is None:
            return picture
        quality = fit.request.compression if fit.compress_here else None
        made = await self._shop.pictures.convert(picture, fit.made_here, quality)
        return replace(made, url=picture.url)

    def _cost(self, finished: Finished, fit: ProviderRequest | None) -> Money:
        cost = finished.cost
        if cost is not None and fit is not None and cost.micros > ABSURD * max(fit.most(), 1):
            log.warning(
                "job %d: %s tells a cost of %s, which is not believed", self._claim.job.id, fit.provider, cost
            )
            cost = None
        if cost is not None:
            return cost
        return Money(fit.likely(len(finished.pictures) + len(finished.links))) if fit else Money()

    def _succession(self) -> list[str]:
        request = self._claim.job.request
        if request.instead_of is None:
            return []
        return [self._shop.routes.succession(request.instead_of, request.model)]

    async def cancel(self) -> CancelResult:
        """Ask every service to drop its piece: removed only if all are, too late if one is."""
        answers = set()
        for ticket in self._claim.job.tickets:
            try:
                answers.add(await self._shop.provider(ticket.provider).cancel(ticket))
            except ProviderError as error:
                log.info("job %d: a cancel was not taken: %s", self._claim.job.id, error.detail)
                answers.add(CancelResult.ASKED)
        if answers == {CancelResult.REMOVED}:
            return CancelResult.REMOVED
        return CancelResult.TOO_LATE if CancelResult.TOO_LATE in answers else CancelResult.ASKED


async def _nothing() -> News:
    no_news: tuple[Progress, ...] = ()
    for item in no_news:
        yield item


def _sentences(fit: ProviderRequest | None) -> list[str]:
    return [f"{change[:1].upper()}{change[1:]}." for change in fit.changes] if fit else []
