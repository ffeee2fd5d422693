"""Claims jobs and looks after their errands: waits for work, passes cancels on, stops in good order."""

from __future__ import annotations

import asyncio
import logging

from bot.domain.errors import StorageError
from bot.domain.jobs import Job
from bot.storage import jobs
from bot.worker.context import WorkerContext
from bot.worker.runner import JobRunner

log = logging.getLogger(__name__)

LONGEST_WAIT = 5.0
"""Seconds between two looks for work, at most."""
SHORTEST_WAIT = 0.02


class Worker:
    """One per process. `run` is its life; `stop` ends it."""

    def __init__(self, *, name: str, workshop: WorkerContext, jobs_at_once: int, grace: float) -> None:
        self._name = name
        self._shop = workshop
        self._most = jobs_at_once
        self._grace = grace
        self._errands: dict[asyncio.Task[None], JobRunner] = {}
        self._stopping = False

    def stop(self) -> None:
        """Claim nothing more; `run` returns once what cannot be interrupted is done."""
        self._stopping = True
        self._shop.database.wake()

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            StorageError: the database is away; whoever supervises the process starts it again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while not self._stopping:
                    for job in await self._claim():
                        errand = JobRunner(job, self._shop)
                        task = group.create_task(errand.run(), name=f"job-{job.id}")
                        self._errands[task] = errand
                        task.add_done_callback(self._forget)
                    await self._pass_cancels_on()
                    await self._shop.database.wait_for_work(await self._pause())
                await self._wind_down()
        except* StorageError as group_error:
            raise group_error.exceptions[0] from None

    def _forget(self, task: asyncio.Task[None]) -> None:
        was_full = len(self._errands) >= self._most
        del self._errands[task]
        if was_full:
            self._shop.database.wake()

    async def _claim(self) -> list[Job]:
        free = self._most - len(self._errands)
        if free <= 0:
            return []
        shop = self._shop
        lease = int(shop.patience.lease * 1000)
        held = [errand.job.id for errand in self._errands.values()]
        unit = jobs.claim(self._name, free, lease, shop.clock.now(), shop.database.skip_locked, held)
        return await shop.database.write(unit)

    async def _pause(self) -> float:
        """Seconds until the next job is due, as far as one is known."""
        if len(self._errands) >= self._most:
            return LONGEST_WAIT
        due = await self._shop.database.read(jobs.next_due())
        if due is None:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(SHORTEST_WAIT, (due - self._shop.clock.now()) / 1000))

    async def _pass_cancels_on(self) -> None:
        asked = set(await self._shop.database.read(jobs.with_cancel_requested(self._name)))
        for errand in self._errands.values():
            if errand.job.id in asked:
                errand.request_cancel()

    async def _wind_down(self) -> None:
        """Drop what can be dropped, let deliveries finish within the grace, give the rest back."""
        dropped = [(task, errand) for task, errand in self._errands.items() if errand.interruptible]
        for task, _ in dropped:
            task.cancel()
        busy = [task for task, errand in self._errands.items() if not errand.interruptible]
        for task in busy:
            self._errands[task].leave()
        if busy:
            log.info("waiting up to %.0f s for %d deliveries", self._grace, len(busy))
            _, late = await asyncio.wait(busy, timeout=self._grace)
            dropped += [(task, self._errands[task]) for task in late]
            for task in late:
                task.cancel()
        if dropped:
            await asyncio.wait([task for task, _ in dropped])
        for _, errand in dropped:
            await errand.release()
