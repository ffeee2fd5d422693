"""One job's way, from claimed to delivered, or its money back.

Everything that a crash may interrupt is written down before it is waited for; every write is fenced by the
claim. Zero rows changed mean that the job belongs to somebody else by now: the errand drops it in silence.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import NoReturn

from bot.catalog.offers import Unsupported
from bot.domain.errors import (
    ChannelUnavailable,
    DeliveryError,
    DiscordBusy,
    EaselError,
    GenerationTimeout,
    JobCancelled,
    ProviderBusy,
    ProviderError,
    Refused,
    ResultLost,
    StorageError,
    SubmitUnknown,
)
from bot.domain.jobs import Finished, Job, JobState, Progress
from bot.domain.money import Amount
from bot.domain.providers import CancelResult
from bot.storage import jobs, submits
from bot.worker.context import ClaimedJob, LeaseLost, ShuttingDown, WorkerContext
from bot.worker.results import ResultPoller
from bot.worker.submission import Submission

log = logging.getLogger(__name__)

BUG_ATTEMPTS = 5
"""Claims after which a job whose posting fails for an unknown reason is given up."""


class JobRunner:
    """Carries one claimed job. `run` raises nothing but `StorageError` and cancellation."""

    def __init__(self, job: Job, shop: WorkerContext) -> None:
        self._claim = ClaimedJob(job, shop)
        self._shop = shop
        self._ending = False

    @property
    def job(self) -> Job:
        """The job as it stands."""
        return self._claim.job

    @property
    def interruptible(self) -> bool:
        """Whether a shutdown may simply drop the errand here."""
        return self._claim.interruptible

    def leave(self) -> None:
        """The process stops: give the job back at the next point where that is possible."""
        self._claim.leaving = True

    def request_cancel(self) -> None:
        """The member pressed Cancel."""
        self._claim.cancel_asked.set()

    async def run(self) -> None:
        """Bring the job to its end, or put it back for later."""
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._keep_lease()), group.create_task(self._tell_news())]
                await self._guarded()
                for task in beside:
                    task.cancel()
        except* LeaseLost:
            log.info("job %d: taken over by another worker", self.job.id)
        except* StorageError as group_error:
            raise group_error.exceptions[0] from None
        except* ShuttingDown:
            await self.release()
        except* Exception:
            # A bug while it ended: its money is settled, or the next claim goes on. The others keep painting.
            log.exception("job %d: left where it stands", self.job.id)

    async def release(self) -> None:
        """Give the job back at once, as a process does that stops."""
        now = self._shop.clock.now()
        await self._shop.database.write(jobs.reschedule(self.job, now, now, not_submitted=False))

    async def _keep_lease(self) -> None:
        lease = self._shop.patience.lease
        while True:
            await asyncio.sleep(lease / 3)
            renewed = await self._shop.database.write(
                jobs.renew_lease(self.job, int(lease * 1000), self._shop.clock.now())
            )
            if renewed is None and self._ending:
                return  # the job has ended; what is left to tidy up needs no lease
            if renewed is None:
                raise LeaseLost
            self._claim.refresh(renewed)

    async def _guarded(self) -> None:
        """The one place that turns what happened to a job into its end."""
        try:
            await self._steps()
        except (LeaseLost, StorageError, ShuttingDown):
            raise
        except ProviderBusy as error:
            await self._later(error, error.retry_after)
        except (SubmitUnknown, DiscordBusy) as error:
            await self._later(error, None, submitted=isinstance(error, SubmitUnknown))
        except JobCancelled:
            await self._end(jobs.Outcome(state=JobState.CANCELLED), sentence="Cancelled. Nothing was charged.")
        except ChannelUnavailable as error:
            log.warning("job %d: %s", self.job.id, error.sentence)
            await self._fail(error)
        except (Refused, ProviderError) as error:
            await self._fail(error)
        except Exception as error:
            # A bug. The message may hold a link or a key, so only its place and kind are written.
            log.exception("job %d: unexpected %s", self.job.id, type(error).__name__)
            await self._unexpected(error)

    async def _steps(self) -> None:
        job = self.job
        if job.state is JobState.DELIVERING and await self._settle_if_posted():
            return
        if self._shop.clock.now() >= job.expires_at:
            await self._give_up()
        if self._claim.cancel_asked.is_set() and not job.tickets:
            raise JobCancelled
        if job.state is not JobState.DELIVERING:
            await Submission(self._claim).complete()
        await self._follow()

    async def _give_up(self) -> NoReturn:
        if self.job.tickets:
            answer = await ResultPoller(self._claim).cancel()
            log.warning("job %d: given up after its patience ended (cancel: %s)", self.job.id, answer)
        raise GenerationTimeout

    # Following

    async def _follow(self) -> None:
        """Wait for the pictures while listening for a cancel, then deliver."""
        following = ResultPoller(self._claim)
        follower = asyncio.create_task(self._until_delivered(following))
        watcher = asyncio.create_task(self._cancel_at_services(following))
        try:
            await asyncio.wait({follower, watcher}, return_when=asyncio.FIRST_COMPLETED)
            dropped = watcher.done() and watcher.result() is CancelResult.REMOVED
            # A service that says so although it finished has lost: the picture is on its way.
            if dropped and not follower.done() and self.job.state is not JobState.DELIVERING:
                raise JobCancelled
            await follower
        finally:
            for task in (follower, watcher):
                task.cancel()
            await asyncio.gather(follower, watcher, return_exceptions=True)

    async def _cancel_at_services(self, following: ResultPoller) -> CancelResult:
        await self._claim.cancel_asked.wait()
        return await following.cancel()

    async def _until_delivered(self, following: ResultPoller) -> None:
        shop = self._shop
        remaining = max(0.0, (self.job.expires_at - shop.clock.now()) / 1000)
        async with following.opened():
            try:
                async with asyncio.timeout(remaining):
                    await following.until_painted()
            except TimeoutError:
                await self._give_up()
            async with shop.delivering[self.job.tickets[0].provider]:
                ending = await self._deliver(*await following.finished())
            # What follows holds no picture any more, so it holds up no other delivery.
            await self._end(ending)

    # The card

    async def _tell_news(self) -> None:
        """Bring the card up to date every few seconds, with the latest that is known by then."""
        told = None
        while True:
            await asyncio.sleep(self._shop.patience.card)
            news = self._claim.news
            if news is not None and news != told and self.job.state is JobState.RUNNING:
                told = news
                await self._show(told)

    async def _show(self, progress: Progress) -> None:
        if self.job.reply.card_id is None:
            # The job may have been claimed before its card was there.
            self._claim.refresh(await self._shop.database.read(jobs.get(self.job.id)))
        await self._shop.delivery.show_progress(self.job, replace(progress, changes=self._changes()))

    def _changes(self) -> tuple[str, ...]:
        """What the service that was asked last does differently than asked."""
        if self.job.provider is None:
            return ()
        try:
            return self._shop.routes.fit(self.job.request, self.job.provider).changes
        except Unsupported:
            return ()

    # Delivering

    async def _deliver(self, finished: Finished, charge: Amount) -> jobs.Outcome:
        """Post the pictures; returns how the job is to end."""
        shop = self._shop
        finished = await shop.delivery.prepare(self.job, finished)
        charge = replace(charge, images=min(charge.images, len(finished.pictures) + len(finished.links)))
        self._claim.interruptible = False
        await self._claim.fenced(jobs.begin_delivery(self.job, charge, shop.clock.now()))
        since = self.job.delivering_at or shop.clock.now()
        self._claim.job = replace(self.job, state=JobState.DELIVERING, delivering_at=since, charged=charge)
        message_id = await self._post(finished)
        return jobs.Outcome(state=JobState.DONE, charged=charge, result_message_id=message_id)

    async def _post(self, finished: Finished) -> int:
        """Post once; when the answer is lost, look before trying again."""
        try:
            async with asyncio.timeout(self._shop.patience.post):
                return await self._post_or_find(finished)
        except TimeoutError:
            raise DiscordBusy("Discord did not take the picture in time.") from None

    async def _post_or_find(self, finished: Finished) -> int:
        wait = 0.5
        while True:
            try:
                return await self._shop.delivery.post_result(self.job, finished)
            except DiscordBusy as error:
                log.info("job %d: %s", self.job.id, error)
            found = await self._shop.delivery.find_result(self.job)
            if found is not None:
                return found
            await asyncio.sleep(wait)
            wait *= 2

    async def _settle_if_posted(self) -> bool:
        found = await self._shop.delivery.find_result(self.job)
        if found is None:
            return False
        await self._end(jobs.Outcome(state=JobState.DONE, charged=self.job.charged, result_message_id=found))
        return True

    # Ending

    async def _later(self, error: EaselError, seconds: float | None, *, submitted: bool = False) -> None:
        """Put the job back, or give it up once nobody accepted it for too long."""
        shop, now = self._shop, self._shop.clock.now()
        accepted = bool(self.job.tickets) or submitted or isinstance(error, DeliveryError)
        if not accepted and now - self.job.created_at > shop.patience.submit * 1000:
            await self._fail(error)
            return
        patience = shop.patience
        backoff = min(patience.longest_retry, patience.first_retry * 2 ** min(self.job.attempts - 1, 10))
        wait = seconds if seconds is not None else backoff * random.uniform(0.8, 1.2)  # noqa: S311
        due = now + int(min(wait, patience.longest_retry * 5) * 1000)
        log.info("job %d: again in %.1f s: %s", self.job.id, wait, error)
        not_submitted = self.job.submitted_at is None
        kept = await shop.database.write(jobs.reschedule(self.job, due, now, not_submitted=not_submitted))
        shop.database.wake()  # so that the worker knows when it is due
        if kept and not isinstance(error, DeliveryError):
            await self._show(Progress(note=f"{error.sentence} Trying again soon."))

    async def _fail(self, error: EaselError) -> None:
        charged = Amount()
        if isinstance(error, ChannelUnavailable):
            # The member pays nothing for what nobody can see; the operator's money is gone all the same.
            charged = Amount(money=self.job.charged.money)
        ending = jobs.Outcome(state=JobState.FAILED, charged=charged, error=type(error).__name__)
        await self._end(ending, sentence=f"{error.sentence} Nothing was charged.")
        if isinstance(error, ResultLost):
            cost = error.cost or self.job.reserved.money
            await self._shop.database.write(submits.note_double_cost(self.job, cost, self._shop.clock.now()))

    async def _unexpected(self, error: Exception) -> None:
        if self.job.state is JobState.DELIVERING:
            # It may stand in the channel all the same.
            if await self._settle_if_posted():
                return
            if self.job.attempts < BUG_ATTEMPTS:
                await self._later(DiscordBusy(type(error).__name__), None, submitted=True)
                return
        code = f"{self.job.id % 1_000_000:06d}"
        sentence = f"Something went wrong on our side (code {code}). Nothing was charged."
        await self._end(jobs.Outcome(state=JobState.FAILED, error=type(error).__name__), sentence=sentence)

    async def _end(self, ending: jobs.Outcome, sentence: str | None = None) -> None:
        """End the job and settle its money, then tidy up in Discord."""
        shop = self._shop
        self._claim.interruptible = False
        self._ending = True
        ended = await shop.database.write(jobs.finish(self.job, ending, shop.clock.now()))
        if ended is None:
            raise LeaseLost
        self._claim.refresh(ended)
        seconds = (shop.clock.now() - self.job.created_at) / 1000
        log.info(
            "job %d: %s, %d of %d pictures, %s, after %.1f s%s",
            self.job.id,
            ending.state,
            ending.charged.images,
            self.job.request.count,
            ending.charged.money,
            seconds,
            f" ({ending.error})" if ending.error else "",
        )
        reserved = self.job.reserved.money
        if ending.charged.money > reserved:
            log.warning("job %d: cost %s, reserved %s", self.job.id, ending.charged.money, reserved)
        await shop.delivery.remove_card(self.job)
        if sentence is not None:
            await shop.delivery.send_failure(self.job, sentence)
