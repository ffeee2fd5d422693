"""One job's way, from claimed to delivered, or its money back.

Everything that a crash may interrupt is written down before it is waited for; every write is fenced by the
claim. Zero rows changed mean that the job belongs to somebody else by now: the errand drops it in silence.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from typing import NoReturn

from bot.catalog import Catalog
from bot.clock import Clock
from bot.errors import (
    BadAnswer,
    DeliveryError,
    DiscordBusy,
    EaselError,
    NowhereToPost,
    PatienceEnded,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    Refused,
    StorageError,
    SubmitUnknown,
    Withdrawn,
)
from bot.models import CancelAnswer, Charge, Finished, Input, Job, JobState, Progress, Ticket
from bot.pictures import Pictures
from bot.policy import MAXIMUM_SOURCE_BYTES
from bot.ports import Database, Delivery, Provider, Unit
from bot.storage import jobs

log = logging.getLogger(__name__)

News = AsyncGenerator[Progress | Finished, None]

BUG_ATTEMPTS = 5
"""Claims after which a job whose posting fails for an unknown reason is given up."""


class LeaseLost(Exception):
    """The job was claimed by somebody else."""


class _Leaving(Exception):
    """The process stops, and the job is at a point from which the next claim goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take, in seconds. Tests bring shorter ones."""

    lease: float = 60
    submit: float = 180
    """How long a job may go without being accepted by any service."""
    post: float = 60
    card: float = 3
    """Between two edits of a progress card, at least."""
    first_retry: float = 2
    longest_retry: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every errand works with. The semaphores bound what is held in memory at a time."""

    database: Database
    delivery: Delivery
    providers: Mapping[str, Provider]
    catalog: Catalog
    pictures: Pictures
    clock: Clock
    patience: Patience
    preparing: asyncio.Semaphore
    delivering: asyncio.Semaphore


class Errand:
    """Carries one claimed job. `run` raises nothing but `StorageError` and cancellation."""

    def __init__(self, job: Job, workshop: Workshop) -> None:
        self.job = job
        self._shop = workshop
        self._cancel_asked = asyncio.Event()
        self._news: Progress | None = None
        self._leaving = False
        self._ending = False
        self.interruptible = True
        """Whether a shutdown may simply drop the errand here: a later claim goes on from the same place."""
        if job.cancel_requested:
            self._cancel_asked.set()

    def leave(self) -> None:
        """The process stops: give the job back at the next point where that is possible."""
        self._leaving = True

    def ask_cancel(self) -> None:
        """The member pressed Cancel."""
        self._cancel_asked.set()

    async def run(self) -> None:
        """Bring the job to its end, or put it back for later."""
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._keep_lease())
                await self._guarded()
                keeper.cancel()
        except* LeaseLost:
            log.info("job %d: taken over by another worker", self.job.id)
        except* StorageError as group_error:
            raise group_error.exceptions[0] from None
        except* _Leaving:
            await self.release()
        except* Exception:
            # A bug while it ended: its money is settled, or the next claim goes on. The others keep painting.
            log.exception("job %d: left where it stands", self.job.id)

    async def release(self) -> None:
        """Give the job back at once, as a process does that stops."""
        now = self._shop.clock.now()
        await self._shop.database.write(jobs.postpone(self.job, now, now, not_submitted=False))

    async def _keep_lease(self) -> None:
        lease = self._shop.patience.lease
        while True:
            await asyncio.sleep(lease / 3)
            renewed = await self._shop.database.write(
                jobs.renew(self.job, int(lease * 1000), self._shop.clock.now())
            )
            if renewed is None and self._ending:
                return  # the job has ended; what is left to tidy up needs no lease
            if renewed is None:
                raise LeaseLost
            self._take_news(renewed)

    def _take_news(self, job: Job) -> None:
        self.job = replace(self.job, reply=job.reply)
        if job.cancel_requested:
            self._cancel_asked.set()

    async def _guarded(self) -> None:
        """The one place that turns what happened to a job into its end."""
        try:
            await self._steps()
        except (LeaseLost, StorageError, _Leaving):
            raise
        except ProviderBusy as error:
            await self._later(error, error.retry_after)
        except SubmitUnknown as error:
            await self._later(error, None, submitted=True)
        except DiscordBusy as error:
            await self._later(error, None, submitted=True)
        except Withdrawn:
            await self._end(jobs.Ending(state=JobState.CANCELLED), sentence="Cancelled. Nothing was charged.")
        except NowhereToPost as error:
            log.warning("job %d: %s", self.job.id, error.sentence)
            await self._fail(error)
        except (Refused, ProviderError) as error:
            if isinstance(error, ProviderMisconfigured):
                log.error("a service needs its operator: %s", error.detail)
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
        if self._cancel_asked.is_set() and job.ticket is None:
            raise Withdrawn
        ticket = job.ticket or await self._submit()
        await self._follow(ticket)

    async def _give_up(self) -> NoReturn:
        if self.job.ticket is not None:
            provider = self._provider(self.job.ticket.provider)
            answer = await provider.cancel(self.job.ticket)
            log.warning("job %d: given up after its patience ended (cancel: %s)", self.job.id, answer)
        raise PatienceEnded

    # Submitting

    async def _submit(self) -> Ticket:
        """Hand the work over and write the ticket down before anything waits on it."""
        job, shop = self.job, self._shop
        again = job.submitted_at is not None
        if again and job.resubmits:
            raise ProviderError("The image service did not confirm your request, twice.", detail="no answer twice")
        name = self._shop.catalog.model(job.request.model).provider_names[0]
        provider = self._provider(name)
        async with shop.preparing if job.request.pictures else nullcontext():
            inputs, mask = await self._inputs()
            self.interruptible = False
            await self._fenced(jobs.begin_submit(job, name, shop.clock.now(), again=again))
            if again:
                log.warning("job %d: its submit is sent once more; the service may bill it twice", job.id)
                await shop.database.write(jobs.note_possible_double_cost(job, shop.clock.now()))
            ticket = await provider.submit(job.id, job.request, inputs, mask)
        await self._fenced(jobs.save_ticket(job, ticket, shop.clock.now()))
        self.job = replace(job, ticket=ticket)
        if self._leaving:
            raise _Leaving
        self.interruptible = True
        return ticket

    async def _inputs(self) -> tuple[list[Input], Input | None]:
        """Read what the job points at and check what only the bytes show."""
        request = self.job.request
        if not request.pictures:
            return [], None
        spooled = await self._shop.database.read(jobs.uploads(self.job.id))
        inputs = []
        url: str | None
        for number, source in enumerate(request.pictures):
            if number in spooled:
                content, url = spooled[number], source.url
            else:
                fetched = await self._shop.delivery.read(source, MAXIMUM_SOURCE_BYTES)
                content, url = fetched.content, fetched.url
            picture = await self._shop.pictures.inspect(content, filename=source.filename)
            # A picture that was converted on the way (an animation's first frame) is not what the link leads to.
            good = url if picture.content is content and self._fresh(url) else None
            inputs.append(Input(picture=picture, url=good))
        if request.mask is None:
            return inputs, None
        mask = await self._shop.pictures.check_mask(inputs[-1].picture, inputs[0].picture)
        return inputs[:-1], Input(picture=mask, url=inputs[-1].url if mask is inputs[-1].picture else None)

    def _fresh(self, url: str | None) -> bool:
        return url is not None and self._shop.delivery.is_fresh(url)

    # Following

    async def _follow(self, ticket: Ticket) -> None:
        """Wait for the pictures while listening for a cancel and telling the news, then deliver."""
        follower = asyncio.create_task(self._until_delivered(ticket))
        watcher = asyncio.create_task(self._cancel_at_service(ticket))
        herald = asyncio.create_task(self._tell_news())
        try:
            await asyncio.wait({follower, watcher}, return_when=asyncio.FIRST_COMPLETED)
            dropped = watcher.done() and watcher.result() is CancelAnswer.REMOVED
            # A service that says so although it finished has lost: the picture is on its way.
            if dropped and not follower.done() and self.job.state is not JobState.DELIVERING:
                raise Withdrawn
            await follower
        finally:
            for task in (follower, watcher, herald):
                task.cancel()
            await asyncio.gather(follower, watcher, herald, return_exceptions=True)

    async def _tell_news(self) -> None:
        """Bring the card up to date every few seconds, with the latest that is known by then."""
        told = None
        while True:
            await asyncio.sleep(self._shop.patience.card)
            if self._news is not None and self._news != told and self.job.state is JobState.RUNNING:
                told = self._news
                await self._show(told)

    async def _show(self, progress: Progress) -> None:
        if self.job.reply.card_id is None:
            # The job may have been claimed before its card was there.
            self._take_news(await self._shop.database.read(jobs.get(self.job.id)))
        await self._shop.delivery.show_progress(self.job, progress)

    async def _cancel_at_service(self, ticket: Ticket) -> CancelAnswer:
        await self._cancel_asked.wait()
        try:
            return await self._provider(ticket.provider).cancel(ticket)
        except ProviderError as error:
            log.info("job %d: the service did not take the cancel: %s", self.job.id, error.detail)
            return CancelAnswer.ASKED

    async def _until_delivered(self, ticket: Ticket) -> None:
        shop, job = self._shop, self.job
        remaining = max(0.0, (job.expires_at - shop.clock.now()) / 1000)
        async with aclosing(self._provider(ticket.provider).follow(ticket, job.request)) as news:
            try:
                async with asyncio.timeout(remaining):
                    finished = await self._until_ready(news)
            except TimeoutError:
                await self._give_up()
            async with shop.delivering:
                ending = await self._deliver(finished or await self._fetch(news))
            # What follows holds no picture any more, so it holds up no other delivery.
            await self._end(ending)

    async def _until_ready(self, news: News) -> Finished | None:
        """Show what the service reports. A fraction of 1 comes before the pictures are fetched: None then."""
        async for item in news:
            if isinstance(item, Finished):
                return item
            if item.fraction == 1.0:
                return None
            self._news = item
        raise BadAnswer(detail="the service's news ended without pictures")

    async def _fetch(self, news: News) -> Finished:
        async for item in news:
            if isinstance(item, Finished):
                return item
        raise BadAnswer(detail="the service's news ended without pictures")

    # Delivering

    async def _deliver(self, finished: Finished) -> jobs.Ending:
        """Post the pictures; returns how the job is to end."""
        shop, request = self._shop, self.job.request
        finished = await shop.delivery.prepare(self.job, finished)
        images = len(finished.pictures) + len(finished.links)
        money = finished.cost if finished.cost is not None else shop.catalog.cost(request, images)
        charge = Charge(images=min(images, request.count), money=money)
        self.interruptible = False
        await self._fenced(jobs.begin_delivery(self.job, charge, shop.clock.now()))
        since = self.job.delivering_at or shop.clock.now()
        self.job = replace(self.job, state=JobState.DELIVERING, delivering_at=since, charged=charge)
        message_id = await self._post(finished)
        return jobs.Ending(state=JobState.DONE, charged=charge, result_message_id=message_id)

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
        await self._end(jobs.Ending(state=JobState.DONE, charged=self.job.charged, result_message_id=found))
        return True

    # Ending

    async def _later(self, error: EaselError, seconds: float | None, *, submitted: bool = False) -> None:
        """Put the job back, or give it up once nobody accepted it for too long."""
        shop, now = self._shop, self._shop.clock.now()
        accepted = self.job.ticket is not None or submitted
        if not accepted and now - self.job.created_at > shop.patience.submit * 1000:
            await self._fail(error)
            return
        patience = shop.patience
        backoff = min(patience.longest_retry, patience.first_retry * 2 ** min(self.job.attempts - 1, 10))
        wait = seconds if seconds is not None else backoff * random.uniform(0.8, 1.2)  # noqa: S311
        due = now + int(min(wait, patience.longest_retry * 5) * 1000)
        log.info("job %d: again in %.1f s: %s", self.job.id, wait, error)
        kept = await shop.database.write(jobs.postpone(self.job, due, now, not_submitted=not accepted))
        shop.database.wake()  # so that the worker knows when it is due
        if kept and not isinstance(error, DeliveryError):
            await self._show(Progress(note=f"{error.sentence} Trying again soon."))

    async def _fail(self, error: EaselError) -> None:
        charged = Charge()
        if isinstance(error, NowhereToPost):
            # The member pays nothing for what nobody can see; the operator's money is gone all the same.
            charged = Charge(money=self.job.charged.money)
        ending = jobs.Ending(state=JobState.FAILED, charged=charged, error=type(error).__name__)
        await self._end(ending, sentence=f"{error.sentence} Nothing was charged.")

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
        await self._end(jobs.Ending(state=JobState.FAILED, error=type(error).__name__), sentence=sentence)

    async def _end(self, ending: jobs.Ending, sentence: str | None = None) -> None:
        """End the job and settle its money, then tidy up in Discord."""
        shop = self._shop
        self.interruptible = False
        self._ending = True
        ended = await shop.database.write(jobs.end(self.job, ending, shop.clock.now()))
        if ended is None:
            raise LeaseLost
        self._take_news(ended)
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
            await shop.delivery.apologise(self.job, sentence)

    async def _fenced(self, unit: Unit[bool]) -> None:
        if not await self._shop.database.write(unit):
            raise LeaseLost

    def _provider(self, name: str) -> Provider:
        provider = self._shop.providers.get(name)
        if provider is None:
            raise ProviderMisconfigured(detail=f"{name} is not configured")
        return provider
