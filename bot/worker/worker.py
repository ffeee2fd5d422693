"""Claims jobs and runs them: waits for work, passes cancels on, stops in good order."""

from __future__ import annotations

import asyncio
import logging

from bot.domain.clock import elapsed
from bot.domain.errors import Interrupted, StorageError
from bot.domain.jobs import JobState
from bot.storage import jobs, provider_orders, retries, spool
from bot.worker.context import WorkerContext
from bot.worker.runner import JobRunner

log = logging.getLogger(__name__)

LONGEST_WAIT = 5.0
"""Seconds between two looks for work, at most."""
SHORTEST_WAIT = 0.02


class Worker:
    """One per process; `stop` ends `run`."""

    def __init__(self, *, name: str, context: WorkerContext, jobs_at_once: int, grace: float) -> None:
        self._name = name
        self._context = context
        self._jobs_at_once = jobs_at_once
        self._grace = grace
        self._runners: dict[asyncio.Task[None], JobRunner] = {}
        self._stopping = False

    def stop(self) -> None:
        """Claim nothing more; `run` returns once the jobs that cannot be interrupted are done."""
        self._stopping = True
        self._context.database.wake()

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            StorageError: the database is away; the process's supervisor starts it again.
        """
        await self._context.database.hold_worker(self._name)
        await self._take_over()
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch_workers(), name="worker-watcher")
                while not self._stopping:
                    for runner in await self._claim():
                        task = group.create_task(runner.run(), name=f"job-{runner.job.id}")
                        self._runners[task] = runner
                        task.add_done_callback(self._runner_ended)
                    await self._pass_on_cancels()
                    await self._note_tidied()
                    await self._context.database.wait_for_work(await self._seconds_until_due())
                watcher.cancel()
                await self._wind_down()
                await self._note_tidied()
        except* StorageError as group_error:
            raise group_error.exceptions[0] from None

    async def _watch_workers(self) -> None:
        while True:
            await self._tidy_up()
            await asyncio.sleep(LONGEST_WAIT)
            await self._take_over()

    async def _take_over(self) -> None:
        """Free the jobs of processes that have ended without giving them back."""
        context = self._context
        holders = await context.database.read(jobs.leaseholders())
        for worker in await context.database.ended_workers(holders):
            count = await context.database.write(jobs.expire_leases(worker, context.clock.now()))
            if count:
                log.warning("%s has ended without giving back its jobs; %d go on here", worker, count)
                context.database.wake()

    async def _tidy_up(self) -> None:
        """Do for processes that have ended what they could not do: remove cards, tell members what failed.

        Uploads of failed jobs go as well, once they were kept for long enough.
        """
        context = self._context
        left = await context.database.read(jobs.untidy())
        ended = await context.database.ended_workers({job.worker for job in left if job.worker is not None})
        for job in left:
            if job.worker is not None and job.worker not in ended:
                continue
            if not await context.delivery.remove_card(job):
                continue
            if job.state is JobState.FAILED:
                await context.delivery.send_failure(job, Interrupted())
            await context.database.write(jobs.tidied([job.id]))
        if expired := await context.database.read(retries.expired_uploads(context.clock.now())):
            await context.database.write(spool.forget(expired))

    async def _note_tidied(self) -> None:
        tidied = set(self._context.tidied)
        if tidied:
            await self._context.database.write(jobs.tidied(tidied))
            self._context.tidied.difference_update(tidied)

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        was_full = len(self._runners) >= self._jobs_at_once
        del self._runners[task]
        if was_full:
            self._context.database.wake()

    async def _claim(self) -> list[JobRunner]:
        free = self._jobs_at_once - len(self._runners)
        if free <= 0:
            return []
        context = self._context
        running = [runner.job.id for runner in self._runners.values()]
        lease, now = context.retry_policy.lease, context.clock.now()
        unit = jobs.claim(self._name, free, lease, now, context.database.skip_locked, running)
        claimed = await context.database.write(unit)
        guilds = {job.requester.guild_id for job in claimed}
        orders = await context.database.read(provider_orders.orders_of(guilds)) if guilds else {}
        return [JobRunner(job, context, orders[job.requester.guild_id]) for job in claimed]

    async def _seconds_until_due(self) -> float:
        """Seconds until the next job is due, as far as one is known."""
        if len(self._runners) >= self._jobs_at_once:
            return LONGEST_WAIT
        due = await self._context.database.read(jobs.next_due())
        if due is None:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(SHORTEST_WAIT, elapsed(self._context.clock.now(), due)))

    async def _pass_on_cancels(self) -> None:
        cancelled = set(await self._context.database.read(jobs.with_cancel_requested(self._name)))
        for runner in self._runners.values():
            if runner.job.id in cancelled:
                runner.request_cancel()

    async def _wind_down(self) -> None:
        """Drop what can be interrupted, let deliveries finish within the grace period, give the rest back."""
        dropped = [(task, runner) for task, runner in self._runners.items() if runner.interruptible]
        for task, _ in dropped:
            task.cancel()
        busy = [task for task, runner in self._runners.items() if not runner.interruptible]
        for task in busy:
            self._runners[task].stop_soon()
        if busy:
            log.info("waiting up to %.0f s for %d deliveries", self._grace, len(busy))
            _, late = await asyncio.wait(busy, timeout=self._grace)
            dropped += [(task, self._runners[task]) for task in late]
            for task in late:
                task.cancel()
        if dropped:
            await asyncio.wait([task for task, _ in dropped])
        for _, runner in dropped:
            await runner.release()
