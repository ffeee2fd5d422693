"""Gives a job's work to services: whoever is next in order, once each, and a ticket written down after each.

A lost answer is asked about, never sent again blindly. What certainly was not accepted may go elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

from bot.catalog.offers import ProviderRequest, Submit, Unsupported
from bot.domain.checks import MAXIMUM_SOURCE_BYTES
from bot.domain.errors import (
    InvalidResponse,
    JobCancelled,
    ModelRetired,
    PriceExceeded,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    Refused,
    ResultLost,
    SubmitUnknown,
)
from bot.domain.jobs import Ticket
from bot.domain.money import Money
from bot.domain.pictures import InputPicture
from bot.storage import jobs, notes, spool, submits
from bot.storage import provider_orders as routes
from bot.worker.context import UNKNOWN_SIZE, ClaimedJob, ShuttingDown

log = logging.getLogger(__name__)


class Submission:
    """One job's submits."""

    def __init__(self, claim: ClaimedJob) -> None:
        self._claim = claim
        self._shop = claim.shop
        self._lost_cost: Money | None = None

    async def complete(self) -> None:
        """Submit until services have taken on all that was asked for, or at least a part that can be delivered.

        Raises:
            ProviderError: nothing was taken on; or later, or once more.
            Refused: what is asked for cannot be done any more.
        """
        claim = self._claim
        while claim.job.accepted < claim.job.request.count:
            try:
                await self._next()
            except (ProviderError, Refused) as error:
                if isinstance(error, ModelRetired) and not claim.job.tickets and await self._has_successor():
                    continue
                if not claim.job.tickets or self._may_wait(error):
                    raise
                log.info("job %d: goes on with a part of its pictures: %s", claim.job.id, error)
                claim.interruptible = True
                if claim.leaving:
                    raise ShuttingDown from None
                return
            if claim.leaving:
                raise ShuttingDown
            if claim.cancel_asked.is_set():
                return

    def _may_wait(self, error: Exception) -> bool:
        waited = self._shop.clock.now() - self._claim.job.created_at
        return isinstance(error, ProviderBusy | SubmitUnknown) and waited < self._shop.patience.submit * 1000

    async def _next(self) -> None:
        """One submit, at the first service that takes it."""
        claim, routing = self._claim, self._shop.routes
        if claim.job.submitted_at is not None and (found := await self._reconciled()) is not None:
            await self._save(found)
            return
        fits = await self._fits()
        if claim.job.submitted_at is not None:
            # Nobody knows what became of the lost one: it is sent once more there, and nowhere else.
            fits = tuple(fit for fit in fits if fit.provider == claim.job.provider)
            if not fits:
                raise ProviderError("The image service did not confirm your request.", detail="no answer")
        refusals: dict[str, ProviderError] = {}
        while fit := routing.next(fits, refusals):
            try:
                ticket = await self._submit(fit)
            except ProviderError as error:
                await self._failed(fit, error)
                refusals[fit.provider] = error
                continue
            except BaseException:  # a refusal of ours, a cancelled task: the service was not heard
                routing.probe_inconclusive(fit.provider)
                raise
            if routing.succeeded(fit.provider):
                log.warning("%s takes work again", fit.provider)
            await self._save(ticket)
            return
        raise self._untaken(fits, refusals)

    def _untaken(self, fits: tuple[ProviderRequest, ...], refusals: Mapping[str, ProviderError]) -> ProviderError:
        """Why nobody took it: who is only busy, or rests, is worth waiting for, whatever the others said."""
        routing = self._shop.routes
        resting = [fit for fit in fits if routing.state(fit.provider) == "resting"]
        busy = [error for error in refusals.values() if isinstance(error, ProviderBusy)]
        if busy:
            waits = [error.retry_after for error in busy if error.retry_after is not None]
            soonest = None if len(waits) < len(busy) else min(waits)  # who names no time is asked at our own pace
            if soonest is not None and resting:
                soonest = min(soonest, routing.pause(resting))
            return ProviderBusy(busy[0].sentence, detail=busy[0].detail, retry_after=soonest)
        if resting or not refusals:
            return ProviderBusy(detail="a service rests", retry_after=routing.pause(resting or fits))
        return list(refusals.values())[-1]

    async def _failed(self, fit: ProviderRequest, error: ProviderError) -> None:
        """Note what a service's refusal says of the service; returns where another may be asked."""
        routing = self._shop.routes
        if isinstance(error, JobCancelled):
            routing.probe_inconclusive(fit.provider)
            raise error
        if not isinstance(error, SubmitUnknown | InvalidResponse):
            # Certainly not taken, so there is nothing to ask about any more.
            self._claim.job = replace(self._claim.job, submitted_at=None)
        if not error.elsewhere and not isinstance(error, SubmitUnknown):
            routing.succeeded(fit.provider)  # it answered, and refused this one
            raise error
        if isinstance(error, ModelRetired):
            routing.succeeded(fit.provider)
            await self._retire(fit)
        elif routing.failed(fit.provider, error):
            if isinstance(error, ProviderMisconfigured):
                log.error("a service needs its operator: %s: %s", fit.provider, error.detail)
            else:
                log.warning(
                    "%s fails again and again and is left alone for a while: %s", fit.provider, error.detail
                )
        if not error.elsewhere:
            raise error
        log.info("job %d: not taken by %s: %s", self._claim.job.id, fit.provider, error.detail)

    async def _retire(self, fit: ProviderRequest) -> None:
        model = fit.request.model
        self._shop.routes.retired.add((fit.provider, model))
        await self._shop.database.write(notes.retire(fit.provider, model, self._shop.clock.now()))
        log.warning("%s no longer has %s", fit.provider, model)

    # What is asked of whom

    async def _fits(self) -> tuple[ProviderRequest, ...]:
        """The services that may be asked, in order: none that may cost more than was reserved."""
        job, routing = self._claim.job, self._shop.routes
        own = await self._shop.database.read(routes.orders(job.requester.guild_id))
        model = routing.resolve(job.request.model, own)
        if model != job.request.model and not job.tickets:
            request = replace(job.request, model=model, instead_of=job.request.instead_of or job.request.model)
            price = routing.price(routing.fits(request, own))
            unit = jobs.switch_model(job, request, price, self._shop.default_rule, self._shop.clock.now())
            written = await self._shop.database.write(unit)
            # What was certainly not taken is forgotten here, and in the database with the next submit.
            job = self._claim.job = replace(written, submitted_at=job.submitted_at)
        fits = routing.fits(job.request, own)
        affordable = tuple(fit for fit in fits if fit.most() <= job.reserved.money.micros)
        if not affordable:
            raise PriceExceeded(detail=f"{fits[0].most()} of {job.reserved.money.micros}")
        return affordable

    async def _has_successor(self) -> bool:
        request = self._claim.job.request
        own = await self._shop.database.read(routes.orders(self._claim.job.requester.guild_id))
        return self._shop.routes.resolve(request.model, own) != request.model

    # Submitting

    async def _submit(self, fit: ProviderRequest) -> Ticket:
        claim, shop = self._claim, self._shop
        job, provider = claim.job, shop.provider(fit.provider)
        async with (
            shop.turns.get(fit.provider, nullcontext()),
            shop.preparing[fit.provider].room(_size(fit)) if job.request.pictures else nullcontext(),
        ):
            inputs, mask = await self._inputs()
            if claim.cancel_asked.is_set() and not job.tickets:
                raise JobCancelled
            claim.interruptible = False
            now, again = shop.clock.now(), job.submitted_at is not None
            if again:
                log.warning("job %d: is submitted once more; %s may bill it twice", job.id, job.provider)
                await claim.fenced(submits.submit_again(job, fit.provider, self._lost_cost, now))
            else:
                await claim.fenced(submits.begin_submit(job, fit.provider, now, again=False))
            job = claim.job = replace(
                job, provider=fit.provider, submitted_at=now, resubmits=job.resubmits + int(again)
            )
            return await provider.submit(self._order(fit, tuple(inputs), mask), claim.tell)

    def _order(
        self, fit: ProviderRequest, inputs: tuple[InputPicture, ...] = (), mask: InputPicture | None = None
    ) -> Submit:
        job = self._claim.job
        count = min(fit.verb.count.most, job.request.count - job.accepted)
        return Submit(
            job_id=job.id,
            part=len(job.tickets),
            fit=fit,
            count=count,
            inputs=inputs,
            mask=mask,
            submitted_at=job.submitted_at or 0,
            most=Money(-(-job.reserved.money.micros * count // job.request.count)),
        )

    async def _save(self, ticket: Ticket) -> None:
        claim = self._claim
        await claim.fenced(submits.save_ticket(claim.job, ticket, self._shop.clock.now()))
        # What it keeps is in the spool by now, and is read from there when there is room for it.
        tickets = (*claim.job.tickets, replace(ticket, kept=()))
        claim.job = replace(claim.job, tickets=tickets, submitted_at=None)
        claim.interruptible = True

    async def _inputs(self) -> tuple[list[InputPicture], InputPicture | None]:
        """Read what the job points at and check what only the bytes show."""
        job, shop = self._claim.job, self._shop
        request = job.request
        if not request.pictures:
            return [], None
        spooled = await shop.database.read(spool.uploads(job.id))
        inputs = []
        url: str | None
        for number, source in enumerate(request.pictures):
            if number in spooled:
                content, url = spooled[number], source.url
            else:
                fetched = await shop.delivery.read(source, MAXIMUM_SOURCE_BYTES)
                content, url = fetched.content, fetched.url
            picture = await shop.pictures.inspect(content, filename=source.filename)
            # A picture that was converted on the way (an animation's first frame) is not what the link leads to.
            good = url if picture.content is content and self._fresh(url) else None
            inputs.append(InputPicture(picture=picture, url=good))
        if request.mask is None:
            return inputs, None
        mask = await shop.pictures.check_mask(inputs[-1].picture, inputs[0].picture)
        return inputs[:-1], InputPicture(picture=mask, url=inputs[-1].url if mask is inputs[-1].picture else None)

    def _fresh(self, url: str | None) -> bool:
        return url is not None and self._shop.delivery.is_fresh(url)

    # Lost answers

    async def _reconciled(self) -> Ticket | None:
        """What became of the submit whose answer was lost; None where the work may be submitted (again).

        Raises:
            SubmitUnknown: the service may still tell.
            ProviderError: it was sent again once before, and nobody knows about that one either.
        """
        claim, shop = self._claim, self._shop
        try:
            ticket = await self._asked_about()
        except ResultLost as lost:
            self._lost_cost = lost.cost
        except SubmitUnknown as unknown:
            waited = shop.clock.now() - (claim.job.submitted_at or 0)
            if not unknown.final and waited < shop.patience.submit * 1000:
                raise
        else:
            if ticket is None:
                claim.job = replace(claim.job, submitted_at=None)
            return ticket
        if claim.job.resubmits:
            raise ProviderError("The image service did not confirm your request, twice.", detail="no answer twice")
        return None

    async def _asked_about(self) -> Ticket | None:
        name = self._claim.job.provider or ""
        provider = self._shop.providers.get(name)
        try:
            # Also where the service is not asked any more: it may have the work all the same.
            fit = self._shop.routes.fit(self._claim.job.request, name)
        except Unsupported:
            fit = None
        if fit is None or provider is None:
            raise SubmitUnknown(detail=f"{name} is not asked any more", final=True)
        others = await self._shop.database.read(submits.tickets_at(name))
        return await provider.reconcile(self._order(fit), others)


def _size(fit: ProviderRequest) -> int:
    return sum(source.size or UNKNOWN_SIZE for source in fit.request.pictures)
