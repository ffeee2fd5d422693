"""Submits a job's work to providers, in order, and writes a ticket down after each accepted submit.

A submit whose response was lost is reconciled, never sent again blindly. Only work that was certainly not accepted
goes to another provider.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from bot.catalog.offers import ProviderRequest
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
    SubmitFailed,
    SubmitUnknown,
    SubmitUnreadable,
    UnsupportedRequest,
)
from bot.domain.jobs import Ticket
from bot.domain.pictures import InputPicture
from bot.domain.providers import ProviderState
from bot.domain.requests import ImageRequest
from bot.routing.succession import resolve_model
from bot.storage import jobs, model_statuses, spool, submits
from bot.worker.context import UNKNOWN_SIZE, ClaimedJob, ShuttingDown
from bot.worker.lost_submits import LostSubmits, submit_of

log = logging.getLogger(__name__)


class Submission:
    """All submits of one claimed job."""

    def __init__(self, claimed: ClaimedJob) -> None:
        self._claimed = claimed
        self._context = claimed.context
        self._lost = LostSubmits(claimed)

    async def complete(self) -> None:
        """Submit until providers have accepted all pictures, or at least some that can be delivered.

        Raises:
            ProviderError: no provider accepted anything; its class says whether to try later.
            Refused: the request cannot be done any more.
        """
        claimed = self._claimed
        while claimed.job.accepted < claimed.job.request.count:
            try:
                await self._submit_part()
            except (ProviderError, Refused) as error:
                if not claimed.job.tickets and self._is_had_elsewhere(error):
                    continue
                if not claimed.job.tickets or self._may_wait(error):
                    raise
                log.info("job %d: goes on with a part of its pictures: %s", claimed.job.id, error)
                claimed.interruptible = True
                if claimed.shutting_down:
                    raise ShuttingDown from None
                return
            if claimed.shutting_down:
                raise ShuttingDown
            if claimed.cancel_requested.is_set():
                return

    def _may_wait(self, error: Exception) -> bool:
        patience = self._context.retry_policy.submit
        return isinstance(error, ProviderBusy | SubmitUnknown) and self._claimed.waited < patience

    async def _submit_part(self) -> None:
        """One accepted submit, at the first provider that accepts it."""
        claimed, router = self._claimed, self._context.router
        if claimed.job.submitted_at is not None and (found := await self._lost.reconcile()) is not None:
            await self._save_ticket(found)
            return
        candidates = await self._candidates()
        if claimed.job.submitted_at is not None:
            # The lost submit may have been accepted, so it is sent again there, and nowhere else.
            candidates = tuple(each for each in candidates if each.provider == claimed.job.provider)
            if not candidates:
                raise ProviderError("The image service did not confirm your request.", detail="no answer")
        errors: dict[str, ProviderError] = {}
        while candidate := router.next_provider(candidates, errors):
            try:
                ticket = await self._submit_or_ask(candidate)
            except ProviderError as error:
                await self._handle_refusal(candidate, error)
                errors[candidate.provider] = error
                continue
            except BaseException:  # our own refusal, or cancelled: no outcome is known, so another job may probe
                router.probe_inconclusive(candidate.provider, candidate.request.model)
                raise
            if router.succeeded(candidate.provider, candidate.request.model):
                log.warning("%s takes work again", candidate.provider)
            await self._save_ticket(ticket)
            return
        raise self._combined_error(candidates, errors)

    def _combined_error(
        self, candidates: Sequence[ProviderRequest], errors: Mapping[str, ProviderError]
    ) -> ProviderError:
        """The error to raise when no provider accepted the job.

        A busy or paused provider is worth waiting for, so its error wins; but a job that waits does not know
        afterwards which provider must not be asked again.
        """
        router = self._context.router
        unreadable = [error for error in errors.values() if isinstance(error, SubmitUnreadable)]
        if unreadable:
            return unreadable[0]
        paused = [
            each for each in candidates if router.state(each.provider, each.request.model) is ProviderState.PAUSED
        ]
        busy = [error for error in errors.values() if isinstance(error, ProviderBusy)]
        if busy:
            waits = [error.retry_after for error in busy if error.retry_after is not None]
            # A provider that names no time is asked again at our own pace.
            soonest = None if len(waits) < len(busy) else min(waits)
            if soonest is not None and paused:
                soonest = min(soonest, router.pause(paused))
            return ProviderBusy(busy[0].sentence, detail=busy[0].detail, retry_after=soonest)
        if paused or not errors:
            return ProviderBusy(detail="paused", retry_after=router.pause(paused or candidates))
        return list(errors.values())[-1]

    async def _handle_refusal(self, candidate: ProviderRequest, error: ProviderError) -> None:
        """Note what an error says of the provider; returns where another provider may be asked.

        Raises:
            ProviderError: `error`, where none may.
        """
        router = self._context.router
        if isinstance(error, JobCancelled):
            router.probe_inconclusive(candidate.provider, candidate.request.model)
            raise error
        if not isinstance(error, SubmitUnknown | InvalidResponse):
            # Certainly not accepted, so there is nothing to reconcile any more.
            self._claimed.job = replace(self._claimed.job, submitted_at=None)
        if not error.may_fail_over and not isinstance(error, SubmitUnknown):
            # The provider is well; it refused this request.
            router.succeeded(candidate.provider, candidate.request.model)
            raise error
        if isinstance(error, ModelRetired):
            router.succeeded(candidate.provider, candidate.request.model)
            await self._retire(candidate, error.kind)
        elif router.failed(candidate.provider, candidate.request.model, error):
            if isinstance(error, ProviderMisconfigured):
                log.error("a service needs its operator: %s: %s", candidate.provider, error.detail)
            else:
                log.warning("%s failed several times and is paused: %s", candidate.provider, error.detail)
        if not error.may_fail_over:
            raise error
        if isinstance(error, ProviderBusy):
            self._claimed.failed_at.add(candidate.provider)
        log.info("job %d: not accepted by %s: %s", self._claimed.job.id, candidate.provider, error.detail)

    async def _retire(self, candidate: ProviderRequest, kind: str | None) -> None:
        context, model = self._context, candidate.request.model
        if kind is not None:
            context.router.retired_kinds.add((candidate.provider, model, kind))
            log.warning("%s no longer has %s for requests of the kind %s", candidate.provider, model, kind)
            return
        context.router.retire(candidate.provider, model)
        await context.database.write(model_statuses.retire(candidate.provider, model, context.clock.now()))
        log.warning("%s no longer has %s", candidate.provider, model)

    # Candidates

    async def _candidates(self) -> tuple[ProviderRequest, ...]:
        """The providers that may be asked, in order: none that may cost more than was reserved."""
        job, router = self._claimed.job, self._context.router
        orders = self._claimed.orders
        model = resolve_model(router, job.request.model, orders, job.request)
        if model != job.request.model and not job.tickets:
            former = job.request.instead_of or job.request.model
            await self._switch(replace(job.request, model=model, instead_of=former))
        elif router.lost_a_provider(model) and not job.tickets and not self._affordable():
            # The providers that were cheap enough no longer have the model; those that do cost more.
            await self._switch(job.request)
        if not (affordable := self._affordable()):
            dearer = router.candidates(self._claimed.job.request, orders)[0].highest_cost()
            raise PriceExceeded(detail=f"{dearer} of {self._claimed.job.reserved.money}")
        return affordable

    def _affordable(self) -> tuple[ProviderRequest, ...]:
        job = self._claimed.job
        candidates = self._context.router.candidates(job.request, self._claimed.orders)
        return tuple(each for each in candidates if each.highest_cost() <= job.reserved.money)

    async def _switch(self, request: ImageRequest) -> None:
        """Reserve what another request in the job's place costs, and write both down."""
        job, context = self._claimed.job, self._context
        price = context.router.price(context.router.candidates(request, self._claimed.orders))
        switched = await context.database.write(jobs.switch_model(job, request, price, context.default_limit))
        # `submitted_at` may have been cleared here only; the database follows with the next submit.
        self._claimed.job = replace(switched, submitted_at=job.submitted_at)

    def _is_had_elsewhere(self, error: Exception) -> bool:
        """Whether a model that is gone has a successor, or a provider that was too dear has it still."""
        router, request, orders = self._context.router, self._claimed.job.request, self._claimed.orders
        model = resolve_model(router, request.model, orders, request)
        able = router.can_do(replace(request, model=model), orders)
        if isinstance(error, UnsupportedRequest):
            return able  # another job has found out meanwhile that the model is gone
        return isinstance(error, ModelRetired) and (able or model != request.model)

    # One submit

    async def _submit(self, candidate: ProviderRequest) -> Ticket:
        claimed, context = self._claimed, self._context
        job, provider = claimed.job, context.provider(candidate.provider)
        size = sum(source.size or UNKNOWN_SIZE for source in job.request.pictures)
        async with (
            context.submit_slots.get(candidate.provider, nullcontext()),
            context.source_budget.room(size) if size else nullcontext(),
        ):
            inputs, mask = await self._inputs(candidate)
            if claimed.cancel_requested.is_set() and not job.tickets:
                raise JobCancelled
            claimed.interruptible = False
            now, again = context.clock.now(), job.submitted_at is not None
            if again:
                log.warning("job %d: is submitted once more; %s may bill it twice", job.id, job.provider)
                await claimed.fenced(submits.submit_again(job, candidate.provider, self._lost.cost, now))
            else:
                await claimed.fenced(submits.begin_submit(job, candidate.provider, now))
            job = claimed.job = replace(
                job, provider=candidate.provider, submitted_at=now, resubmits=job.resubmits + int(again)
            )
            return await provider.submit(submit_of(job, candidate, inputs, mask), claimed.report)

    async def _submit_or_ask(self, candidate: ProviderRequest) -> Ticket:
        """One submit. A provider whose response does not say enough is asked at once."""
        try:
            return await self._submit(candidate)
        except SubmitFailed as failed:
            error: SubmitFailed | SubmitUnknown = failed
        except SubmitUnknown as unknown:
            if not unknown.garbled:
                raise
            error = unknown
        if (ticket := await self._lost.ask_at_once(error)) is not None:
            return ticket
        raise error

    async def _save_ticket(self, ticket: Ticket) -> None:
        claimed = self._claimed
        await claimed.fenced(submits.save_ticket(claimed.job, ticket))
        # Its results are in the spool now, and are read from there once there is room for them.
        tickets = (*claimed.job.tickets, replace(ticket, results=()))
        claimed.job = replace(claimed.job, tickets=tickets, submitted_at=None)
        claimed.interruptible = True

    async def _inputs(self, candidate: ProviderRequest) -> tuple[list[InputPicture], InputPicture | None]:
        """Read the request's pictures and its mask, and check what only their bytes show."""
        context, request = self._context, self._claimed.job.request
        if not request.pictures:
            return [], None
        spooled = await context.database.read(spool.uploads(self._claimed.job.id))
        inputs = []
        url: str | None
        for number, source in enumerate(request.pictures):
            if number in spooled:
                content, url = spooled[number], source.url
            else:
                fetched = await context.delivery.read(source, MAXIMUM_SOURCE_BYTES)
                content, url = fetched.content, fetched.url
            picture = await context.pictures.inspect(content, filename=source.filename)
            if (wanted := candidate.operation.source_size) is not None:
                picture = await context.pictures.fit(picture, wanted.least_side, wanted.most_area)
            # The link does not lead to a picture that was converted here, such as an animation's first frame.
            unchanged = picture.stored is content and url is not None and context.delivery.is_fresh(url)
            inputs.append(InputPicture(picture=picture, url=url if unchanged else None))
        if request.mask is None:
            return inputs, None
        *pictures, given = inputs
        white = candidate.operation.mask_edits == "white"
        mask = await context.pictures.check_mask(given.picture, pictures[0].picture, white=white)
        return pictures, InputPicture(picture=mask, url=given.url if mask is given.picture else None)
