"""One claimed job, from its claim to its delivery or its failure.

Everything that a crash may interrupt is written down before it is waited for, and every write is fenced by the
claim: zero rows changed mean that another claim holds the job, and the runner drops it without a word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from bot.domain.choices import AlternativeModel
from bot.domain.clock import elapsed, later
from bot.domain.errors import (
    Bug,
    ChannelUnavailable,
    DeliveryError,
    DeliveryTimeout,
    DiscordBusy,
    EaselError,
    GenerationTimeout,
    JobCancelled,
    ProviderBusy,
    ProviderError,
    Refused,
    ResultLost,
    ResultUnreachable,
    StorageError,
    SubmitUnknown,
)
from bot.domain.jobs import Finished, Job, JobState, Progress
from bot.domain.money import Amount
from bot.domain.providers import CancelResult, ProviderOrder
from bot.pictures.budget import on_behalf_of
from bot.storage import jobs, submits
from bot.worker.alternatives import alternative_for
from bot.worker.context import ClaimedJob, LeaseLost, ShuttingDown, WorkerContext
from bot.worker.posting import Posting
from bot.worker.results import ResultPoller
from bot.worker.submission import Submission

log = logging.getLogger(__name__)

BUG_ATTEMPTS = 5
"""Claims after which a job whose posting fails for an unknown reason is given up."""
NOT_FETCHED = "The image service painted this, but Easel could not fetch it yet."


class JobRunner:
    """Runs one claimed job. `run` raises nothing but `StorageError` and cancellation."""

    def __init__(self, job: Job, context: WorkerContext, orders: Sequence[ProviderOrder]) -> None:
        self._claimed = ClaimedJob(job, context, orders)
        self._posting = Posting(self._claimed)
        self._context = context
        self._finished = False

    @property
    def job(self) -> Job:
        """The job as it stands."""
        return self._claimed.job

    @property
    def interruptible(self) -> bool:
        """Whether a shutdown may drop the job here."""
        return self._claimed.interruptible

    def stop_soon(self) -> None:
        """Give the job back at the next point where that is possible: the process stops."""
        self._claimed.shutting_down = True

    def request_cancel(self) -> None:
        """The member pressed Cancel."""
        self._claimed.cancel_requested.set()

    async def run(self) -> None:
        """Bring the job to its end, or reschedule it."""
        on_behalf_of.set(self.job.requester.user_id)
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._keep_lease()), group.create_task(self._report_progress())]
                await self._run_guarded()
                for task in background:
                    task.cancel()
        except* LeaseLost:
            log.info("job %d: taken over by another worker", self.job.id)
        except* StorageError as group_error:
            raise group_error.exceptions[0] from None
        except* ShuttingDown:
            await self.release()
        except* Exception:
            # A bug while the job ended: its money is settled, or its next claim continues. Other jobs go on.
            log.exception("job %d: left where it stands", self.job.id)

    async def release(self) -> None:
        """Give the job back at once, for another process to claim."""
        now = self._context.clock.now()
        job = self._claimed.with_waited()
        await self._context.database.write(jobs.reschedule(job, now, forget_submit=False))

    async def _keep_lease(self) -> None:
        lease = self._context.retry_policy.lease
        while True:
            await asyncio.sleep(lease / 3)
            renewed = await self._context.database.write(
                jobs.renew_lease(self._claimed.with_waited(), lease, self._context.clock.now())
            )
            if renewed is None and self._finished:
                return  # the job has ended, and tidying up needs no lease
            if renewed is None:
                raise LeaseLost
            self._claimed.refresh(renewed)

    async def _run_guarded(self) -> None:
        """The one place that turns an error of a job into its outcome."""
        try:
            await self._steps()
        except (LeaseLost, StorageError, ShuttingDown):
            raise
        except ProviderBusy as error:
            await self._reschedule(error, error.retry_after)
        except (SubmitUnknown, DiscordBusy) as error:
            await self._reschedule(error, None, submitted=isinstance(error, SubmitUnknown))
        except JobCancelled as error:
            self._note_unfetched()
            await self._finish(jobs.Outcome(state=JobState.CANCELLED), error)
        except ChannelUnavailable as error:
            log.warning("job %d: %s", self.job.id, error.sentence)
            await self._fail(error)
        except (Refused, ProviderError) as error:
            await self._fail(error)
        except Exception as error:
            # A bug. Its message may hold a link or a key, so only its place and class are logged.
            log.exception("job %d: unexpected %s", self.job.id, type(error).__name__)
            await self._unexpected(error)

    async def _steps(self) -> None:
        job = self.job
        if job.state is JobState.DELIVERING and (posted := await self._posting.find()) is not None:
            await self._finish(posted)
            return
        if self._claimed.cancel_requested.is_set() and (not job.tickets or job.fetch_failed):
            raise JobCancelled
        if job.state is not JobState.DELIVERING:
            await Submission(self._claimed).complete()
        await self._follow()

    async def _give_up(self) -> NoReturn:
        result = await ResultPoller(self._claimed).cancel()
        log.warning("job %d: given up, it took too long (cancel: %s)", self.job.id, result)
        raise GenerationTimeout

    # Results

    async def _follow(self) -> None:
        """Wait for the pictures, or for a cancel; then deliver."""
        delivery = asyncio.create_task(self._until_delivered())
        cancel = asyncio.create_task(self._cancel_at_providers())
        try:
            await asyncio.wait({delivery, cancel}, return_when=asyncio.FIRST_COMPLETED)
            removed = cancel.done() and cancel.result() is CancelResult.REMOVED
            # A provider may say "removed" although it has finished: then the picture is being delivered.
            if removed and not delivery.done() and self.job.state is not JobState.DELIVERING:
                raise JobCancelled
            while not delivery.done():
                await asyncio.wait({delivery}, timeout=self._context.retry_policy.cancel)
                if self._claimed.fetching and not delivery.done():
                    raise JobCancelled
            await delivery
        finally:
            for task in (delivery, cancel):
                task.cancel()
            await asyncio.gather(delivery, cancel, return_exceptions=True)

    async def _cancel_at_providers(self) -> CancelResult:
        await self._claimed.cancel_requested.wait()
        return await ResultPoller(self._claimed).cancel()

    async def _until_delivered(self) -> None:
        claimed = self._claimed
        # Where the time was up before this claim, the job is looked at once more: it may be finished by now.
        for seconds in (claimed.patience_left, self._context.retry_policy.last_look):
            poller = ResultPoller(claimed)
            async with poller.opened():
                try:
                    async with asyncio.timeout(seconds):
                        await poller.wait_until_generated()
                except TimeoutError:
                    continue
                claimed.generated = True
                await self._deliver_generated(poller)
                return
        await self._give_up()

    async def _deliver_generated(self, poller: ResultPoller) -> None:
        async with self._context.delivery_slots[self.job.tickets[0].provider].room(1):
            outcome = await self._posting.post(*await self._fetched(poller))
        # The pictures are out of memory now, so the slot is free for another delivery.
        await self._finish(outcome)

    async def _fetched(self, poller: ResultPoller) -> tuple[Finished, Amount]:
        """The pictures, and what they cost.

        Raises:
            ResultUnreachable: they have been out of reach for too long.
            JobCancelled: they are out of reach, and the member does not want them any more.
        """
        claimed, policy = self._claimed, self._context.retry_policy
        patience = self.job.patience if self.job.fetch_failed else claimed.waited + policy.fetch
        claimed.fetching = self.job.state is not JobState.DELIVERING
        try:
            async with asyncio.timeout(max(policy.last_look, patience - claimed.waited)):
                return await poller.finished()
        except (ProviderBusy, TimeoutError) as error:
            claimed.job = replace(self.job, fetch_failed=True, patience=patience)
            if claimed.fetching and claimed.cancel_requested.is_set():
                raise JobCancelled from None
            if not claimed.patience_left:
                self._note_unfetched()
                raise ResultUnreachable from None
            detail, asked = "the pictures come too slowly", None
            if isinstance(error, ProviderBusy):
                detail, asked = error.detail, error.retry_after
            raise ProviderBusy(NOT_FETCHED, detail=detail, retry_after=asked) from None
        finally:
            claimed.fetching = False

    # The card

    async def _report_progress(self) -> None:
        """Bring the card up to date every few seconds, with the latest progress."""
        shown = None
        while True:
            await asyncio.sleep(self._context.retry_policy.card)
            progress = self._claimed.progress
            if progress is not None and progress != shown and self.job.state is JobState.RUNNING:
                shown = progress
                await self._show(shown)

    async def _show(self, progress: Progress) -> None:
        if self.job.reply.card_id is None:
            # The job may have been claimed before its card was there.
            self._claimed.refresh(await self._context.database.read(jobs.get(self.job.id)))
        at_provider = self._claimed.provider_request(self.job.provider) if self.job.provider else None
        if at_provider is not None:
            # As the provider of the last submit does it.
            progress = replace(progress, changes=at_provider.changes, quality=at_provider.quality)
        await self._context.delivery.show_progress(self.job, progress)

    # Outcomes

    async def _reschedule(self, error: EaselError, seconds: float | None, *, submitted: bool = False) -> None:
        """Put the job back for later, or fail it where no provider has accepted it for too long."""
        context, now = self._context, self._context.clock.now()
        accepted = bool(self.job.tickets) or submitted or isinstance(error, DeliveryError)
        if not accepted and self._claimed.waited > context.retry_policy.submit:
            await self._fail(error)
            return
        if not self._claimed.patience_left:
            await self._fail(DeliveryTimeout() if self.job.state is JobState.DELIVERING else GenerationTimeout())
            return
        wait = context.retry_policy.wait(self.job.attempts, seconds)
        log.info("job %d: again in %.1f s: %s", self.job.id, wait, error)
        job = self._claimed.with_waited(more=wait)
        unit = jobs.reschedule(job, later(now, wait), forget_submit=job.submitted_at is None)
        rescheduled = await context.database.write(unit)
        context.database.wake()  # so that the worker knows when it is due
        if rescheduled and not isinstance(error, DeliveryError):
            await self._show(Progress(note=f"{error.sentence} Trying again soon."))

    async def _fail(self, error: EaselError) -> None:
        charged = Amount()
        if isinstance(error, ChannelUnavailable | DeliveryTimeout):
            # The member pays nothing for pictures that cannot be seen, although the operator has paid for them.
            charged = Amount(money=self.job.charged.money)
        alternative = alternative_for(self._claimed, error)
        outcome = jobs.Outcome(
            state=JobState.FAILED,
            charged=charged,
            error=type(error).__name__,
            alternative=alternative,
        )
        await self._finish(outcome, error, alternative)
        if isinstance(error, ResultLost):
            cost = error.cost or self.job.reserved.money
            await self._context.database.write(submits.note_double_cost(self.job, cost, self._context.clock.now()))

    def _note_unfetched(self) -> None:
        """Note for the operator what pictures may have cost that were generated and never fetched."""
        if self._claimed.generated:
            self._claimed.notes.append(f"never fetched: {self.job.reserved.money} may have been paid for nothing")

    async def _unexpected(self, error: Exception) -> None:
        if self.job.state is JobState.DELIVERING:
            # The pictures may be in the channel all the same.
            if (posted := await self._posting.find()) is not None:
                await self._finish(posted)
                return
            if self.job.attempts < BUG_ATTEMPTS:
                await self._reschedule(DiscordBusy(type(error).__name__), None, submitted=True)
                return
        await self._finish(jobs.Outcome(state=JobState.FAILED, error=type(error).__name__), Bug(self.job.id))

    async def _finish(
        self,
        outcome: jobs.Outcome,
        error: EaselError | None = None,
        alternative: AlternativeModel | None = None,
    ) -> None:
        """End the job and settle its money, then tidy up in Discord.

        An `error` is told to the member, with the offer of an `alternative`.
        """
        context = self._context
        self._claimed.interruptible = False
        self._finished = True
        outcome = replace(outcome, notes=tuple(self._claimed.notes))
        ended = await context.database.write(jobs.finish(self.job, outcome, context.clock.now()))
        if ended is None:
            raise LeaseLost
        self._claimed.refresh(ended)
        seconds = elapsed(self.job.created_at, context.clock.now())
        log.info(
            "job %d: %s, %d of %d pictures, %s, after %.1f s%s",
            self.job.id,
            outcome.state,
            outcome.charged.images,
            self.job.request.count,
            outcome.charged.money,
            seconds,
            f" ({outcome.error})" if outcome.error else "",
        )
        reserved = self.job.reserved.money
        if outcome.charged.money > reserved:
            log.warning("job %d: cost %s, reserved %s", self.job.id, outcome.charged.money, reserved)
        await self._tidy_up(error, alternative)

    async def _tidy_up(self, error: EaselError | None, alternative: AlternativeModel | None) -> None:
        """Leave nothing of the progress in Discord. What a crash prevents is done at the next start."""
        context = self._context
        removed = await context.delivery.remove_card(self.job)
        if error is not None:
            await context.delivery.send_failure(self.job, error, alternative)
        if removed:
            context.tidied.add(self.job.id)
            if error is not None:
                context.database.wake()  # a member who was told must not be told again
