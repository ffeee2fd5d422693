"""Oxen.ai: a queue that gives one id per picture, and events that say when to look.

Sources: https://docs.oxen.ai/inference-api/reference/async_queue and the model's own page. A row's own word
decides; an event, which is never repeated, only makes us look at once. A submit is never repeated here, because
Oxen knows no idempotency key: whether a lost one arrived is seen in its lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from bot.catalog.offers import Offer, Submit
from bot.domain.clock import Clock
from bot.domain.errors import InvalidResponse, ProviderError, SubmitUnknown
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.hosts import DEFAULT_PORTS, AllowedHosts
from bot.pictures import Pictures
from bot.ports import Kept, Tell
from bot.providers.oxen.client import LIST_LIMIT, Listing, OxenClient, json_of
from bot.providers.oxen.errors import empty_handed, refusal
from bot.providers.oxen.events import Events
from bot.providers.oxen.models import ModelInfo, Models
from bot.providers.oxen.poller import Generations, PollSchedule
from bot.providers.oxen.reconcile import SubmitMatcher, merged
from bot.providers.oxen.request import content_of, refuse_dear
from bot.providers.oxen.schemas import NAME, PICTURE_LIMIT, TicketData, ids_in, painted_in
from bot.providers.shared.downloads import Gatherer
from bot.providers.shared.http import JSON_LIMIT, Answer, AnswerLost, Downloads, Timeouts
from bot.providers.shared.polling import PollPolicy

PACE = PollPolicy(first=2.0, longest=5.0, growth=1.2)
"""What Oxen advises for pictures."""
AT_ONCE = Timeouts(silence=300.0, total=300.0)
"""For the calls that answer only with the picture."""
SETTLED = 10_000
"""Milliseconds after which a submit that arrived must be in the lists."""
FINISHED = ("succeeded", "failed", "cancelled")
HISTORY = "100"
"""Generations of one page."""


class OxenProvider:
    """`Provider` over Oxen. Everything that it is given belongs to whoever built it; close it before the client.

    With `queue=False` it uses the calls that answer with the picture: one for each submit, so `offers`, and those
    that requests are fitted to, must come from `one_at_a_time`.
    """

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        key: SecretStr,
        base_url: str = "https://hub.oxen.ai/api",
        media_hosts: AllowedHosts,
        offers: Mapping[str, Offer],
        pictures: Pictures,
        clock: Clock,
        pace: PollPolicy | None = None,
        limits: Timeouts | None = None,
        queue: bool = True,
        events: bool = True,
    ) -> None:
        self._offers = offers
        self._clock = clock
        self._pace = pace or PACE
        self._queue = queue
        self._at_once = limits or AT_ONCE
        self._api = OxenClient(client, key=key, base_url=base_url, clock=clock, limits=limits or Timeouts())
        self._models = Models(self._api, clock)
        self._claims = SubmitMatcher()
        self._events = Events(self._api.events, self._pace, enabled=queue and events)
        hosts = AllowedHosts((*media_hosts.patterns, _pattern(base_url)))
        downloads = Downloads(client, hosts, limit=PICTURE_LIMIT, limits=limits, headers=self._api.credentials)
        self._gatherer = Gatherer(downloads, pictures, self._pace, public=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def aclose(self) -> None:
        """Close the event stream."""
        await self._events.aclose()

    # Submitting

    async def submit(self, order: Submit, tell: Tell) -> Ticket:
        """Hand the work over, once.

        Raises:
            SubmitUnknown: it may have been accepted.
            ProviderBusy, PriceExceeded and the refusals: it was certainly not accepted.
        """
        card = await self._models.card(order.fit.offer.model)
        refuse_dear(order, card)
        content = await asyncio.to_thread(content_of, order, card, counted=self._queue)
        with self._claims.submitting(order):
            if not self._queue:
                return await self._paint(order, card, content, tell)
            async with self._events.opened():
                answer = await self._post("/ai/queue", content)
                body = await json_of(answer)
                ids = ids_in(body) if answer.good else ()
                if not ids:
                    raise self._refused(order, answer, body)
                self._claims.give(order, ids)
                self._events.expect(ids)
        return self._ticket(order, ids, room=len(content))

    async def _paint(self, order: Submit, card: ModelInfo, content: bytes, tell: Tell) -> Ticket:
        """The way without a queue. What it answers is only in this answer: links go into the ticket."""
        tell(Progress(note="painting"))
        apart = bool(order.inputs) and card.endpoint.rstrip("/").endswith("images/edit")
        limit = JSON_LIMIT + 2 * PICTURE_LIMIT
        answer = await self._post(
            "/ai/images/edit" if apart else "/ai/images/generate", content, limit=limit, limits=self._at_once
        )
        body = await json_of(answer)
        links, kept = painted_in(body) if answer.good else ((), ())
        if not links and not kept:
            raise self._refused(order, answer, body)
        self._claims.give(order, links)
        data = {"urls": list(links), "model": order.fit.offer.model}
        return Ticket(provider=NAME, data=data, count=order.count, kept=kept)

    async def _post(self, path: str, content: bytes, **limits: Any) -> Answer:
        try:
            return await self._api.ask("POST", path, content=content, **limits)
        except (AnswerLost, InvalidResponse) as error:
            raise SubmitUnknown(detail=error.detail) from None

    def _refused(self, order: Submit, answer: Answer, body: Any) -> ProviderError:
        request = order.fit.request
        now = self._clock.now()
        error = empty_handed(body, request) if answer.good else refusal(answer, body, now, request)
        return error or SubmitUnknown(detail=f"{answer.status}, unclear")

    def _ticket(self, order: Submit, ids: Collection[str], *, room: int, count: int = 0) -> Ticket:
        data = {
            "ids": list(ids),
            "model": order.fit.offer.model,
            "room": room,
            "submitted_at": self._clock.now(),
        }
        return Ticket(provider=NAME, data=data, count=count or order.count)

    # Following

    async def follow(
        self, ticket: Ticket, request: ImageRequest, kept: Kept
    ) -> AsyncGenerator[Progress | Finished, None]:
        """Look until every picture is there or has failed; news only when something changed.

        Raises:
            ProviderBusy: Oxen does not answer sensibly; the ticket stays good.
            TicketLost, JobCancelled, GenerationFailed, InvalidResponse, GenerationTimeout and the refusals:
                it is over.
        """
        held = TicketData.of(ticket)
        if not held.ids:
            yield Progress(fraction=1.0, note="painted")
            pictures, note = await self._gatherer.gather(held.urls or await kept(), ticket.count)
            yield Finished(pictures=pictures, note=note)
            return
        rows, said = Generations(self._api, held, request, self._pace), None
        with self._events.watch(held.ids) as bell:
            looks = PollSchedule(self._pace, self._clock, held)
            while await looks.go_on(rows):
                if rows.progress != said:
                    said = rows.progress
                    yield said
                await looks.pause(bell)
        if rows.error is not None:
            raise rows.error
        yield Progress(fraction=1.0, note="painted")
        yield await self._collected(rows, ticket)

    async def _collected(self, rows: Generations, ticket: Ticket) -> Finished:
        """Fetch the pictures, and meanwhile ask what they cost."""
        asking = asyncio.create_task(rows.cost())
        try:
            links = rows.links
            try:
                pictures, note = await self._gatherer.gather(links, ticket.count)
            except InvalidResponse:
                fresh = await rows.fresh_links()
                if not fresh or fresh == links:
                    raise
                pictures, note = await self._gatherer.gather(fresh, ticket.count)
            return Finished(pictures=pictures, cost=await asking, note=note)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    # Cancelling

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """Ask Oxen to drop every row, then see what became of them: its answers to a cancel do not say."""
        try:
            held = TicketData.of(ticket)
        except ProviderError:
            return CancelResult.ASKED
        if not held.ids:
            return CancelResult.TOO_LATE
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._dropped(one, held.room)) for one in held.ids]
        # A cancel is not told by an event.
        self._events.ring(*held.ids)
        match sorted({task.result() for task in tasks}):
            case ["cancelled"]:
                return CancelResult.REMOVED
            case ["succeeded"]:
                return CancelResult.TOO_LATE
            case _:
                return CancelResult.ASKED

    async def _dropped(self, generation_id: str, room: int) -> str:
        """Ask for a row to be dropped; its status after that, empty where that cannot be seen."""
        with suppress(ProviderError):
            await self._api.drop(generation_id)
        with suppress(ProviderError):
            row = await self._api.row(generation_id, room)
            return row.status if row is not None else ""
        return ""

    # Lost answers

    async def reconcile(self, order: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """Look for the generations of a submit whose answer was lost: same prompt, not older, nobody else's.

        Raises:
            SubmitUnknown: it is too early to say, or the lists cannot be read, or do not show such work.
        """
        asked_at = self._clock.now()
        try:
            listing = await self._listing(order.fit.offer.model)
        except ProviderError as error:
            raise SubmitUnknown(detail=f"list: {error.detail}") from None
        taken = {one for ticket in others if ticket.provider == NAME for one in _held_by(ticket)}
        # From here to the claim nothing is waited for, so that two of the same prompt cannot take the same rows.
        ids = self._claims.match(order, listing, taken)
        settled = asked_at - order.submitted_at >= SETTLED
        if not settled and len(ids) < order.count:
            raise SubmitUnknown(detail="too early to say")
        if not ids and not self._queue:
            raise SubmitUnknown(detail="not listed")
        if not ids:
            return None
        self._claims.give(order, ids)
        room = LIST_LIMIT if order.fit.request.pictures else JSON_LIMIT
        return self._ticket(order, ids, room=room, count=len(ids))

    async def _listing(self, model: str) -> Listing:
        if not self._queue:
            return await self._api.listing("/ai/generations", model=model, page="1", page_size=HISTORY)
        # Active ones first: what finishes between two lists is then in the second.
        active = await self._api.listing("/ai/queue", model=model)
        over = [await self._api.listing("/ai/queue", model=model, status=status) for status in FINISHED]
        return merged([active, *over])

    # The service itself

    async def examine(self) -> ProviderHealth:
        """Whether the key works, and what is served with which fields and for how much."""
        return await self._models.examine(self._offers)


def _held_by(ticket: Ticket) -> tuple[str, ...]:
    """Ids, and links where the answer told no ids."""
    try:
        held = TicketData.of(ticket)
    except ProviderError:
        return ()
    return (*held.ids, *held.urls)


def _pattern(base_url: str) -> str:
    """Oxen's own host as a pattern: its results are there."""
    parts = urlsplit(base_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    return f"{host}" if parts.scheme == "https" and port == DEFAULT_PORTS["https"] else f"{host}:{port}"
