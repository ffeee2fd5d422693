"""Lumenfall: OpenAI's image API in front of several services. One HTTP call is the whole painting.

Sources: https://docs.lumenfall.ai and https://lumenfall.ai/models/openai/gpt-image-1.5. There is no queue, no
cancel and no idempotency key: a call whose answer is lost may have been paid, is never repeated here, and is
looked up in the history of requests, by its user field and its trace id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import aiohttp
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from bot.catalog.offers import Offer, Submit
from bot.domain.clock import Clock
from bot.domain.errors import (
    BadSource,
    InvalidResponse,
    PriceExceeded,
    PromptRejected,
    ProviderBusy,
    ResultLost,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.money import Money
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.ports import Kept, Tell
from bot.providers.lumenfall.client import NAME, LumenfallClient, room_for
from bot.providers.lumenfall.errors import refusal
from bot.providers.lumenfall.models import Account
from bot.providers.lumenfall.reconcile import LISTED_AFTER, LONGEST_DRY_RUN, History
from bot.providers.lumenfall.request import MOST_PARTIALS, Extra, SubmitOptions, trace_of
from bot.providers.lumenfall.schemas import Generated, painted_in
from bot.providers.lumenfall.stream import ResponseStream
from bot.providers.shared.downloads import Gatherer
from bot.providers.shared.http import AnswerLost, Downloads, Timeouts
from bot.providers.shared.polling import PollPolicy

_HELD_UP_KEPT = 1_000


class TicketData(BaseModel):
    """What a ticket holds. `cost` is in micro-dollars, `kept` counts the pictures in the spool."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request_id: str | None = None
    links: tuple[str, ...] = ()
    kept: int = 0
    cost: int | None = None


class LumenfallProvider:
    """`Provider` over Lumenfall. The client, the threads and the clock belong to whoever built it."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        key: SecretStr,
        base_url: str,
        media_hosts: AllowedHosts,
        offers: Mapping[str, Offer],
        pictures: Pictures,
        clock: Clock,
        pace: PollPolicy | None = None,
        limits: Timeouts | None = None,
        partials: int = 2,
        inline: bool = False,
        dry_run: bool = True,
        extra: Extra | None = None,
        openai_key: SecretStr | None = None,
        at_once: int = 32,
    ) -> None:
        """`base_url` ends in /openai/v1; `limits` replace those of every call; `at_once` paintings at most.

        `partials` pictures on the way are asked for where one is painted; `inline` asks for bytes instead of
        links; `extra` are the operator's own fields, handed on by Lumenfall to whoever paints.
        """
        if not 0 <= partials <= MOST_PARTIALS:
            raise ValueError(f"partials is from 0 to {MOST_PARTIALS}")
        secret = {} if openai_key is None else {"openai_api_key": openai_key.get_secret_value()}
        manner = SubmitOptions(partials=partials, inline=inline, extra={**(extra or {}), **secret})
        self._door = LumenfallClient(client, key, base_url, manner, limits)
        self._account = Account(self._door, clock)
        self._history = History(self._door)
        self._gatherer = Gatherer(Downloads(client, media_hosts, limits=limits), pictures, pace or PollPolicy())
        self._offers = offers
        self._pictures = pictures
        self._clock = clock
        self._dry_run = dry_run
        self._turns = asyncio.Semaphore(at_once)
        self._held_up: dict[str, int] = {}

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def submit(self, order: Submit, tell: Tell) -> Ticket:
        """Have it painted, once, and wait for it.

        Raises:
            SubmitUnknown: it may have been painted, and paid; `reconcile` finds out.
            ProviderBusy: it was certainly not painted.
            PriceExceeded: the dry run asks more than the order allows.
        """
        began = self._clock.now()
        async with self._turns:
            await self._refuse_dear(order)
            tell(Progress(note="painting"))
            left = self._clock.now()
            try:
                painted = await self._paint(order, tell)
            except SubmitUnknown:
                self._remember(order, left - began)
                raise
        return _ticket(painted, order.count)

    async def follow(
        self, ticket: Ticket, request: ImageRequest, kept: Kept
    ) -> AsyncGenerator[Progress | Finished, None]:
        """Fetch what was painted.

        Raises:
            ResultLost: the pictures are no longer there.
            ProviderBusy: the media host does not answer; the ticket stays good.
            InvalidResponse, TicketLost: it is over.
        """
        held = _held(ticket)
        yield Progress(fraction=1.0, note="painted")
        contents = await kept() if held.kept else ()
        if held.kept and not contents and not held.links:
            raise ResultLost(detail="nothing in the spool", cost=_money(held.cost))
        try:
            pictures, note = await self._gatherer.gather([*held.links, *contents], ticket.count)
        except InvalidResponse as error:
            if error.detail in ("picture 403", "picture 404", "picture 410"):
                raise ResultLost(
                    "The image service painted this, but no longer had it when Easel fetched it.",
                    detail=error.detail,
                    cost=_money(held.cost),
                ) from None
            raise
        cost = held.cost if held.cost is not None else await self._history.cost(held.request_id)
        yield Finished(pictures=pictures, cost=_money(cost), note=note)

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """A ticket exists only once everything is painted."""
        return CancelResult.TOO_LATE

    async def reconcile(self, order: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """Look the submit up in the history; None where it never arrived or came to nothing.

        Raises:
            SubmitUnknown: it is under way, or the history does not say yet.
            ResultLost: it was painted, and the answer is gone.
            PromptRejected: it was refused for its content.
        """
        record = await self._history.find(order)
        if record is None or record.older_than(order.submitted_at):
            # Of a submit of another process nobody knows how long its dry run held it up.
            unknown = LONGEST_DRY_RUN if self._dry_run and not order.fit.request.pictures else 0
            held_up = self._held_up.get(trace_of(order), unknown)
            if self._clock.now() - order.submitted_at - held_up < LISTED_AFTER:
                raise SubmitUnknown(detail="not listed yet")
        if record is None:
            return None
        if record.completed:
            painted = await self._history.stored(record, order.count)
            if painted is None:
                raise ResultLost(detail="completed, not received", cost=_money(record.cost))
            return _ticket(painted, order.count)
        if not record.failed:
            raise SubmitUnknown(detail=f"listed as {record.status}")
        if record.complaint.moderated:
            raise PromptRejected(detail=f"listed as {record.status}")
        return None

    async def examine(self) -> ProviderHealth:
        """The list of models, a dry run for each, and the balance: all of it is free."""
        return await self._account.examine(self._offers, dry_run=self._dry_run)

    async def _refuse_dear(self, order: Submit) -> None:
        """Ask what it will cost. Only a clear word stops the order; nothing was painted yet."""
        if not self._dry_run or order.most is None or order.inputs:
            return
        try:
            estimate = await self._account.estimate(order.fit, order.count, order)
        except ProviderBusy:
            return
        if estimate is not None and estimate > order.most.micros:
            raise PriceExceeded(detail=f"{estimate} of {order.most.micros} micro-dollars")

    async def _paint(self, order: Submit, tell: Tell) -> Generated:
        async def show(content: bytes) -> None:
            try:
                await self._pictures.inspect(content, filename="preview")
            except BadSource:
                return
            tell(Progress(note="painting", preview=content))

        watch = ResponseStream(order.count, show)
        try:
            async with self._door.paint(order) as answering:
                if answering.streams and answering.status == 200:
                    await watch.read(answering)
                    return watch.painted
                answer = await answering.whole(room_for(order.count))
        except (AnswerLost, InvalidResponse) as error:
            if watch.painted:
                return watch.painted
            raise SubmitUnknown(detail=error.detail) from None
        # Megabytes of JSON and base64 would hold everybody else up.
        painted = await asyncio.to_thread(lambda: painted_in(answer.json(), answer.headers))
        if not answer.good or painted is None:
            raise refusal(answer, self._clock.now(), order)
        return painted

    def _remember(self, order: Submit, milliseconds: int) -> None:
        """How long a lost submit was held up before it left: it cannot be listed any earlier."""
        self._held_up.pop(trace_of(order), None)
        self._held_up[trace_of(order)] = milliseconds
        while len(self._held_up) > _HELD_UP_KEPT:
            del self._held_up[next(iter(self._held_up))]


def _ticket(painted: Generated, count: int) -> Ticket:
    kept, links = painted.kept[:count], painted.links[:count]
    held = TicketData(request_id=painted.request_id, links=links, kept=len(kept), cost=painted.cost)
    return Ticket(provider=NAME, data=held.model_dump(mode="json"), count=count, kept=kept)


def _held(ticket: Ticket) -> TicketData:
    try:
        return TicketData.model_validate(ticket.data)
    except ValidationError:
        raise TicketLost(detail="ticket unreadable") from None


def _money(micros: int | None) -> Money | None:
    return None if micros is None else Money(micros)
