"""One claimed job in one process: what its errand, its hand-over and its following share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bot.domain.clock import Clock
from bot.domain.errors import ProviderMisconfigured
from bot.domain.jobs import Job, Progress
from bot.domain.limits import Limit
from bot.pictures import Pictures
from bot.ports import Database, Delivery, Provider, Unit
from bot.routing.router import Router

UNKNOWN_SIZE = 5_000_000
"""Bytes that a picture counts for where Discord did not say."""


class LeaseLost(Exception):
    """The job was claimed by somebody else."""


class ShuttingDown(Exception):
    """The process stops, and the job is at a point from which the next claim goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long things may take, in seconds. Tests bring shorter ones."""

    lease: float = 60
    submit: float = 180
    """How long a job may go without being accepted by any service."""
    post: float = 60
    card: float = 3
    """Between two edits of a progress card, at least."""
    first_retry: float = 2
    longest_retry: float = 60


class MemoryBudget:
    """Bytes that may be held at a time, first come, first served; who wants more than all waits for all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Hold so many bytes, once there is room for them."""
        size = min(size, self._most)
        async with self._turn, self._changed:
            await self._changed.wait_for(lambda: self._held + size <= self._most)
            self._held += size
        try:
            yield
        finally:
            async with self._changed:
                self._held -= size
                self._changed.notify_all()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What every errand works with. `preparing` and `delivering` bound what is held in memory, service by service:

    a slow one does not hold up the others.
    """

    database: Database
    delivery: Delivery
    providers: Mapping[str, Provider]
    routes: Router
    default_rule: Limit
    pictures: Pictures
    clock: Clock
    patience: RetryPolicy
    preparing: Mapping[str, MemoryBudget]
    turns: Mapping[str, asyncio.Semaphore]
    """Of services that paint while they are submitted to: each holds a connection, and pictures, all the while."""
    delivering: Mapping[str, asyncio.Semaphore]

    def provider(self, name: str) -> Provider:
        """The service of that name.

        Raises:
            ProviderMisconfigured: its key was taken away since.
        """
        provider = self.providers.get(name)
        if provider is None:
            raise ProviderMisconfigured(detail=f"{name} is not configured")
        return provider


class ClaimedJob:
    """The job as this process knows it, and what happens to it meanwhile."""

    def __init__(self, job: Job, shop: WorkerContext) -> None:
        self.job = job
        self.shop = shop
        self.news: Progress | None = None
        self.leaving = False
        self.cancel_asked = asyncio.Event()
        self.interruptible = True
        """Whether a shutdown may simply drop the errand here: a later claim goes on from the same place."""
        if job.cancel_requested:
            self.cancel_asked.set()

    def tell(self, progress: Progress) -> None:
        """News for the card; only the latest counts."""
        self.news = progress

    def refresh(self, job: Job) -> None:
        """Take over what others write into a job while it runs."""
        self.job = replace(self.job, reply=job.reply)
        if job.cancel_requested:
            self.cancel_asked.set()

    async def fenced(self, unit: Unit[bool]) -> None:
        """Write, as long as the job is still ours.

        Raises:
            LeaseLost: it is not.
        """
        if not await self.shop.database.write(unit):
            raise LeaseLost
