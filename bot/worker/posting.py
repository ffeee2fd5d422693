"""Posts a job's pictures in its channel, once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from bot.domain.errors import DiscordBusy, InvalidResponse
from bot.domain.jobs import Finished, JobState
from bot.domain.money import Amount
from bot.storage import jobs
from bot.worker.context import ClaimedJob

log = logging.getLogger(__name__)


class Posting:
    """The posting of one claimed job's pictures."""

    def __init__(self, claimed: ClaimedJob) -> None:
        self._claimed = claimed
        self._context = claimed.context

    async def post(self, finished: Finished, cost: Amount) -> jobs.Outcome:
        """Write down that the pictures are about to be posted, then post them; returns the job's outcome.

        Raises:
            InvalidResponse: they cannot be posted.
            DiscordBusy: Discord does not say whether it took them.
            ChannelUnavailable: they may not be posted there.
            LeaseLost: another claim holds the job.
        """
        claimed, context = self._claimed, self._context
        try:
            finished = await context.delivery.prepare(claimed.job, finished)
        except InvalidResponse:
            claimed.notes.append(f"{cost.money} was paid for pictures that cannot be posted")
            raise
        cost = replace(cost, images=min(cost.images, len(finished.pictures) + len(finished.links)))
        claimed.interruptible = False
        now, job = context.clock.now(), claimed.job
        if job.state is not JobState.DELIVERING:
            job = replace(job, patience=claimed.waited + context.retry_policy.deliver)
        await claimed.fenced(jobs.begin_delivery(job, cost, now))
        since = job.delivering_at or now
        claimed.job = replace(job, state=JobState.DELIVERING, delivering_at=since, charged=cost)
        try:
            async with asyncio.timeout(context.retry_policy.post):
                return self._posted(await self._post_or_find(finished))
        except TimeoutError:
            raise DiscordBusy("Discord did not take the picture in time.") from None

    async def find(self) -> jobs.Outcome | None:
        """The outcome of a job whose pictures are in the channel already.

        Raises:
            DiscordBusy: the channel's messages could not be read.
        """
        found = await self._context.delivery.find_result(self._claimed.job)
        return None if found is None else self._posted(found)

    async def _post_or_find(self, finished: Finished) -> int:
        """Post once; where Discord's response is lost, look for the message before posting again."""
        wait = 0.5
        while True:
            try:
                return await self._context.delivery.post_result(self._claimed.job, finished)
            except DiscordBusy as error:
                log.info("job %d: %s", self._claimed.job.id, error)
            found = await self._context.delivery.find_result(self._claimed.job)
            if found is not None:
                return found
            await asyncio.sleep(wait)
            wait *= 2

    def _posted(self, message_id: int) -> jobs.Outcome:
        return jobs.Outcome(state=JobState.DONE, charged=self._claimed.job.charged, result_message_id=message_id)
