"""Finds out what became of a submit whose response was lost, says little, or cannot be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from bot.catalog.offers import ProviderRequest, Submit
from bot.domain.clock import elapsed
from bot.domain.errors import ProviderError, ResultLost, SubmitFailed, SubmitUnknown, SubmitUnreadable
from bot.domain.jobs import Job, Ticket
from bot.domain.money import Money
from bot.domain.pictures import InputPicture
from bot.storage import submits
from bot.worker.context import ClaimedJob

log = logging.getLogger(__name__)


class LostSubmits:
    """The submits of one claimed job that have no ticket."""

    def __init__(self, claimed: ClaimedJob) -> None:
        self._claimed = claimed
        self._context = claimed.context
        self.cost: Money | None = None
        """What the lost submit was billed at; None where it is not known."""

    async def reconcile(self) -> Ticket | None:
        """The ticket of the submit whose response was lost; None where the work may be submitted (again).

        Raises:
            SubmitUnknown: the provider may still tell.
            ProviderError: it was sent again before, and that response was lost as well.
        """
        claimed, context = self._claimed, self._context
        try:
            ticket = await self._find()
        except ResultLost as lost:
            self.cost = lost.cost
        except SubmitUnknown as unknown:
            # Neither a clock that jumps ahead nor a stop of the bot makes it give up asking.
            waited = min(claimed.waited, elapsed(claimed.job.submitted_at or 0, context.clock.now()))
            if not unknown.final and waited < context.retry_policy.submit:
                raise
        else:
            if ticket is None:
                claimed.job = replace(claimed.job, submitted_at=None)
            return ticket
        if claimed.job.resubmits:
            raise ProviderError("The image service did not confirm your request, twice.", detail="no answer twice")
        return None

    async def ask_at_once(self, error: SubmitFailed | SubmitUnknown) -> Ticket | None:
        """The ticket of a submit that was answered with this error, if the provider has accepted it all the same.

        None where the error stands. What the provider may have billed is then noted.

        Raises:
            SubmitUnknown: it may still tell.
            SubmitUnreadable: it accepted the work and cannot be asked for it, now or ever.
            ProviderError: it tells why it refused the work.
        """
        if isinstance(error, SubmitFailed) and error.certain:
            return None
        try:
            async with asyncio.timeout(self._context.retry_policy.ask):
                return await self._find()
        except ResultLost as lost:
            if self._claimed.job.resubmits or not isinstance(error, SubmitFailed):
                raise SubmitUnknown(detail=f"{error.detail}, {lost.detail}") from None
            cost = lost.cost or self._claimed.job.reserved.money
            await self._forget(f"a lost answer: {cost} was paid for pictures that were lost", resubmits=1)
            return None
        except (SubmitUnknown, TimeoutError) as unknown:
            if isinstance(unknown, SubmitUnknown) and unknown.under_way:
                raise
            final = isinstance(unknown, SubmitUnknown) and unknown.final
        provider, price = self._claimed.job.provider, self._claimed.job.reserved.money
        if isinstance(error, SubmitFailed):
            await self._forget(f"{provider} answered {error.detail}: {price} may have been billed")
            return None
        if not final:
            raise error
        await self._forget(f"{provider} gave an unreadable answer: {price} may have been paid for nothing")
        raise SubmitUnreadable(detail=error.detail)

    async def _forget(self, note: str, *, resubmits: int = 0) -> None:
        """Nothing more can be learnt of the submit: leave it to the operator's ledger."""
        claimed, now = self._claimed, self._context.clock.now()
        job = claimed.job
        log.warning("job %d: %s", job.id, note)
        await claimed.fenced(submits.forget_submit(job, note, now, resubmits=resubmits))
        claimed.job = replace(job, submitted_at=None, resubmits=job.resubmits + resubmits)

    async def _find(self) -> Ticket | None:
        name = self._claimed.job.provider or ""
        provider = self._context.providers.get(name)
        # A provider that is asked no more may have the work all the same.
        candidate = self._claimed.provider_request(name)
        if candidate is None or provider is None:
            raise SubmitUnknown(detail=f"{name} is not asked any more", final=True)
        others = await self._context.database.read(submits.tickets_at(name))
        return await provider.reconcile(submit_of(self._claimed.job, candidate), others)


def submit_of(
    job: Job,
    candidate: ProviderRequest,
    inputs: Sequence[InputPicture] = (),
    mask: InputPicture | None = None,
) -> Submit:
    """The job's next submit at a provider."""
    count = min(candidate.operation.count.most, job.request.count - job.accepted)
    return Submit(
        job_id=job.id,
        part=len(job.tickets),
        provider_request=candidate,
        count=count,
        inputs=tuple(inputs),
        mask=mask,
        submitted_at=job.submitted_at or 0,
        price_limit=job.reserved.money.share(count, job.request.count),
    )
