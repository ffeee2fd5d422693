"""One claimed job in one process, and what everything that works on it shares."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.catalog.offers import ProviderRequest
from bot.domain.clock import Clock
from bot.domain.errors import ProviderMisconfigured
from bot.domain.jobs import Job, Progress
from bot.domain.limits import Limit
from bot.domain.providers import ProviderOrder
from bot.pictures.budget import Budget
from bot.pictures.pictures import Pictures
from bot.ports import Database, Delivery, Provider, Unit
from bot.routing.router import Router

UNKNOWN_SIZE = 5_000_000
"""Bytes that a picture counts for where Discord did not say its size."""


class LeaseLost(Exception):
    """The job was claimed by another worker."""


class ShuttingDown(Exception):
    """The process stops; the job is at a point from which its next claim continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long each step may take and when it is tried again, in seconds. Tests bring shorter ones."""

    lease: float = 60
    submit: float = 180
    """How long a job may wait for a provider to accept it."""
    ask: float = 10
    """What a provider that answered a submit with an error may take to say whether it has accepted it."""
    post: float = 60
    card: float = 3
    """Between two edits of a progress card, at least."""
    fetch: float = 600
    """How long pictures that are generated may be out of reach."""
    last_look: float = 30
    """How long each claim asks for a job's pictures at least, however long it has been waited for."""
    cancel: float = 5
    """How long pictures that are being fetched may take once the member has cancelled."""
    deliver: float = 24 * 3600
    """How long Discord may take no message."""
    first_retry: float = 2
    longest_retry: float = 60

    def wait(self, attempts: int, asked: float | None = None) -> float:
        """The wait until a job is claimed again, after so many claims; `asked` is what a provider asks for.

        A provider that asks to be asked at once is not: half of `first_retry` and growing is the least.
        """
        own, growth = (self.first_retry, 2.0) if asked is None else (self.first_retry / 2, 1.5)
        floor = min(self.longest_retry, own * growth ** min(attempts - 1, 20))
        spread = floor * random.uniform(1, 1.2)  # noqa: S311 - spreads load, no secret
        return min(max(spread, asked or 0.0), 5 * self.longest_retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What every job runner works with. Bounds are per provider, so that a slow one delays no other."""

    database: Database
    delivery: Delivery
    providers: Mapping[str, Provider]
    router: Router
    default_limit: Limit
    pictures: Pictures
    clock: Clock
    retry_policy: RetryPolicy
    source_budget: Budget
    """For the source pictures that are on disk while they are submitted, at all providers together."""
    submit_slots: Mapping[str, asyncio.Semaphore]
    """Of synchronous providers only: a submit there holds a connection, and its pictures, until the result."""
    delivery_slots: Mapping[str, Budget]
    tidied: set[int] = field(default_factory=set)
    """Ended jobs of which nothing is left in Discord; the worker notes them with its next write."""

    def provider(self, name: str) -> Provider:
        """The provider of that name.

        Raises:
            ProviderMisconfigured: its key was removed from the settings since.
        """
        provider = self.providers.get(name)
        if provider is None:
            raise ProviderMisconfigured(detail=f"{name} is not configured")
        return provider


class ClaimedJob:
    """The job as this process knows it, and the signals that reach it while it runs."""

    def __init__(self, job: Job, context: WorkerContext, orders: Sequence[ProviderOrder]) -> None:
        self.job = job
        self.context = context
        self.orders = orders
        """The server's own orders of providers when the job was claimed."""
        self.progress: Progress | None = None
        self.shutting_down = False
        self.cancel_requested = asyncio.Event()
        self.interruptible = True
        """Whether a shutdown may drop the job here: its next claim continues from the same point."""
        self.generated = job.fetch_failed
        """Whether a provider says that the pictures are there."""
        self.failed_at: set[str] = set()
        """Providers that did not take it in this claim, although they have its model."""
        self.fetching = False
        """Whether its pictures are being fetched just now."""
        self._claimed_at = asyncio.get_running_loop().time()
        self.notes: list[str] = []
        """For the operator's ledger, once the job ends: what was perhaps paid in vain."""
        if job.cancel_requested:
            self.cancel_requested.set()

    @property
    def waited(self) -> float:
        """Seconds that Easel has waited for the job, in this claim and in the ones before."""
        return self.job.waited + asyncio.get_running_loop().time() - self._claimed_at

    @property
    def patience_left(self) -> float:
        """Seconds until the job is given up."""
        return max(0.0, self.job.patience - self.waited)

    def with_waited(self, *, more: float = 0.0) -> Job:
        """The job to be stored: with the seconds that it was waited for, and those that it will be put off."""
        return replace(self.job, waited=self.waited + more)

    def report(self, progress: Progress) -> None:
        """Keep progress for the card; only the latest counts."""
        self.progress = progress

    def refresh(self, job: Job) -> None:
        """Take over what others have written to the job's row: its card, a request to cancel."""
        self.job = replace(self.job, reply=job.reply)
        if job.cancel_requested:
            self.cancel_requested.set()

    def provider_request(self, provider: str, count: int | None = None) -> ProviderRequest | None:
        """The request at one provider, for `count` of its pictures; None where it can no longer do it."""
        request = self.job.request if count is None else replace(self.job.request, count=count)
        return self.context.router.provider_request(request, provider)

    async def fenced(self, unit: Unit[bool]) -> None:
        """Write, as long as this claim holds the job.

        Raises:
            LeaseLost: another claim does.
        """
        if not await self.context.database.write(unit):
            raise LeaseLost
