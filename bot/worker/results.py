"""Waits for the results of all tickets of a job, and puts them together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from bot.catalog.offers import ProviderRequest
from bot.domain.content import Content
from bot.domain.errors import (
    InvalidResponse,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    ResultLost,
    TicketLost,
)
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.money import Amount, Money
from bot.domain.pictures import Picture
from bot.domain.providers import CancelResult
from bot.ports import Provider
from bot.routing.succession import succession_notice
from bot.storage import spool
from bot.worker.context import ClaimedJob

log = logging.getLogger(__name__)

IMPLAUSIBLE = 20
"""A cost of more than so many times the highest price is a garbled figure."""

Updates = AsyncGenerator[Progress | Finished, None]


@dataclass(slots=True)
class _Part:
    """A ticket, and how far its work has come."""

    ticket: Ticket
    updates: Updates
    finished: Finished | None = None
    error: ProviderError | None = None


class ResultPoller:
    """All of a job's tickets: their progress, their pictures, their cancellation."""

    def __init__(self, claimed: ClaimedJob) -> None:
        self._claimed = claimed
        self._context = claimed.context
        self._parts: list[_Part] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Begin to follow every ticket; in the end, what the providers opened for it is closed."""
        job = self._claimed.job
        async with AsyncExitStack() as stack:
            for number, ticket in enumerate(job.tickets):
                part = _Part(ticket, _no_updates())
                self._parts.append(part)
                try:
                    stored_results = partial(self._stored_results, number)
                    part.updates = self._provider(ticket).follow(ticket, job.request, stored_results)
                except ProviderMisconfigured as error:
                    part.error = error
                await stack.enter_async_context(aclosing(part.updates))
            yield

    def _provider(self, ticket: Ticket) -> Provider:
        try:
            return self._context.provider(ticket.provider)
        except ProviderMisconfigured as error:
            log.error("a service needs its operator: %s", error.detail)
            raise

    async def _stored_results(self, number: int) -> tuple[Content, ...]:
        return await self._context.database.read(spool.stored_results(self._claimed.job.id, number))

    async def wait_until_generated(self) -> None:
        """Report progress until every part is generated or has failed.

        Raises:
            ProviderBusy: a part has to wait.
            ProviderError: all parts have failed; the first one's error.
        """
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(self._follow(part, only_until_generated=True))
        self._raise_if_nothing_is_left()

    async def _follow(self, part: _Part, *, only_until_generated: bool = False) -> None:
        """Take a part's updates until its pictures are fetched, or only until they are generated."""
        if part.error is not None or part.finished is not None:
            return
        try:
            async for update in part.updates:
                if isinstance(update, Finished):
                    part.finished = update
                    return
                if only_until_generated and update.fraction == 1.0:
                    return
                self._claimed.report(update)
            part.error = InvalidResponse(detail="the updates ended without pictures")
        except ProviderError as error:
            self._fail(part, error)

    def _fail(self, part: _Part, error: ProviderError) -> None:
        part.error = error
        provider = part.ticket.provider
        if isinstance(error, InvalidResponse | TicketLost):
            self._note_loss(part, error.cost if isinstance(error, InvalidResponse) else None)
        if not isinstance(error, ProviderMisconfigured):
            return
        if self._context.router.failed(provider, self._claimed.job.request.model, error):
            log.error("a service needs its operator: %s: %s", provider, error.detail)

    def _note_loss(self, part: _Part, cost: Money | None) -> None:
        """Tell the operator what a part's pictures cost that nobody gets; `cost` is the provider's own figure."""
        job, provider = self._claimed.job, part.ticket.provider
        if cost is None:
            price = job.reserved.money.share(part.ticket.count, job.request.count)
            self._claimed.notes.append(f"{provider}: {price} may have been paid for pictures that cannot be used")
        elif cost > Money():
            self._claimed.notes.append(f"{provider}: {cost} was paid for pictures that cannot be used")

    def _raise_if_nothing_is_left(self) -> None:
        """Return while a part can still be delivered; a busy provider is worth waiting for."""
        errors = [part.error for part in self._parts if part.error is not None]
        busy = next((error for error in errors if isinstance(error, ProviderBusy)), None)
        if busy is not None:
            raise busy
        if errors and len(errors) == len(self._parts):
            raise errors[0]

    async def finished(self) -> tuple[Finished, Amount]:
        """Fetch the pictures, convert those that the provider could not, and add up what they cost."""
        for part in self._parts:
            await self._follow(part)
        self._raise_if_nothing_is_left()
        request = self._claimed.job.request
        pictures: list[Picture] = []
        notes: dict[str, None] = dict.fromkeys(self._succession_notice())
        cost, quality, seeds = Money(), None, [request.seed]
        for part in self._parts:
            if part.finished is None:
                if isinstance(part.error, ResultLost):
                    self._note_loss(part, part.error.cost)
                continue
            provider_request = self._claimed.provider_request(part.ticket.provider, part.ticket.count)
            converted = [await self._converted(picture, provider_request) for picture in part.finished.pictures]
            pictures += converted
            notes.update(dict.fromkeys(_changes(provider_request)))
            if provider_request is not None and quality != "":
                quality = provider_request.quality
            notes.update(dict.fromkeys(_not_converted(converted, provider_request)))
            cost += self._cost(part, part.finished, provider_request)
            seeds.append(part.finished.seed)
        images = min(len(pictures), request.count)
        if images < request.count:
            notes[f"The service painted {images} of {request.count} pictures."] = None
        seed = next((seed for seed in seeds if seed is not None), None)
        note = " ".join(notes)
        finished = Finished(pictures=tuple(pictures), cost=cost, note=note, quality=quality, seed=seed)
        return finished, Amount(images=images, money=cost)

    async def _converted(self, picture: Picture, provider_request: ProviderRequest | None) -> Picture:
        """The picture in the format that the member asked for."""
        if provider_request is None or provider_request.convert_to is None:
            return picture
        quality = provider_request.request.compression if provider_request.compress else None
        if quality is None and picture.content_type == f"image/{provider_request.convert_to}":
            return picture
        converted = await self._context.pictures.convert(picture, provider_request.convert_to, quality)
        return replace(converted, url=picture.url)

    def _cost(self, part: _Part, finished: Finished, provider_request: ProviderRequest | None) -> Money:
        """What the provider says, else our estimate; nothing where the catalogue has changed since the submit.

        An estimate is within what was reserved, also where the provider tells a higher price by now.
        """
        if provider_request is None:
            return finished.cost or Money()
        highest = max(provider_request.highest_cost(), Money(1))
        if finished.cost is not None and finished.cost <= highest * IMPLAUSIBLE:
            return finished.cost
        job = self._claimed.job
        if finished.cost is not None:
            provider = provider_request.provider
            log.warning("job %d: %s reports an implausible cost of %s", job.id, provider, finished.cost)
        reserved = job.reserved.money.share(part.ticket.count, job.request.count)
        return min(provider_request.likely_cost(len(finished.pictures)), reserved)

    def _succession_notice(self) -> list[str]:
        request = self._claimed.job.request
        if request.instead_of is None:
            return []
        return [succession_notice(self._context.router, request.instead_of, request.model)]

    async def cancel(self) -> CancelResult:
        """Ask every provider to drop its part: removed only if all are, too late if one is."""
        results = set()
        for ticket in self._claimed.job.tickets:
            try:
                results.add(await self._context.provider(ticket.provider).cancel(ticket))
            except ProviderError as error:
                log.info("job %d: a cancel failed: %s", self._claimed.job.id, error.detail)
                results.add(CancelResult.REQUESTED)
        if results == {CancelResult.REMOVED}:
            return CancelResult.REMOVED
        return CancelResult.TOO_LATE if CancelResult.TOO_LATE in results else CancelResult.REQUESTED


async def _no_updates() -> Updates:
    none: tuple[Progress, ...] = ()
    for update in none:
        yield update


def _changes(provider_request: ProviderRequest | None) -> list[str]:
    changes = provider_request.changes if provider_request else ()
    return [f"{change[:1].upper()}{change[1:]}." for change in changes]


def _not_converted(pictures: Sequence[Picture], provider_request: ProviderRequest | None) -> list[str]:
    kind = provider_request.convert_to if provider_request else None
    if kind is None or all(picture.content_type == f"image/{kind}" for picture in pictures):
        return []
    return [f"Too large to become {kind.upper()}, so it stays as it was painted."]
