"""Oxen.ai: a queue that gives one id per picture, and events that say when to look.

Sources: https://docs.oxen.ai/inference-api/reference/async_queue and the model's own page. A row's status decides;
an event, which is never repeated, only wakes the poller. A submit is never repeated here, because Oxen knows no
idempotency key: whether a lost one arrived is seen in its lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx

from bot.catalog.offers import Submit
from bot.domain.clock import elapsed
from bot.domain.errors import InvalidResponse, ProviderError, SubmitUnknown
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.bodies import Body
from bot.net.http import JSON_LIMIT, Timeouts, open_client, read_json
from bot.ports import Report, StoredResults
from bot.providers.oxen.client import LIST_LIMIT, Listing, OxenClient
from bot.providers.oxen.errors import error_from, error_in_success
from bot.providers.oxen.events import Events
from bot.providers.oxen.models import Models
from bot.providers.oxen.poller import Generations, PollSchedule
from bot.providers.oxen.reconcile import SubmitMatcher, merged
from bot.providers.oxen.request import body_of, one_at_a_time
from bot.providers.oxen.schemas import NAME, TicketData, generated_in, ids_in
from bot.providers.shared.downloads import Downloads
from bot.providers.shared.inline import PICTURE_LIMIT
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.spec import Offers, ProviderDeps, ProviderSpec, required
from bot.settings import Settings

POLL_POLICY = PollPolicy(first=2.0, longest=5.0, growth=1.2)
"""What Oxen advises for pictures."""
SYNCHRONOUS = Timeouts(read=300.0, total=300.0)
"""For the calls whose response is the picture."""
LISTED_AFTER = 10.0
"""Seconds after which a submit that arrived must be in the lists."""
FINISHED = ("succeeded", "failed", "cancelled")
PAGE_SIZE = 100


class OxenProvider:
    """`Provider` over Oxen. Close it with `aclose`.

    Without `OXEN_QUEUE` it uses the calls whose response is one picture.
    """

    def __init__(self, deps: ProviderDeps, *, events: bool = True) -> None:
        settings = deps.settings
        base_url, self._queue = settings.oxen_base_url, settings.oxen_queue
        self._offers = deps.catalog.at(NAME)
        self._clock = deps.clock
        self._poll_policy = deps.poll_policy or POLL_POLICY
        self._synchronous = deps.timeouts or SYNCHRONOUS
        # Results may be on Oxen's own host, which is reached as a base URL.
        hosts = settings.oxen_media_hosts
        self._http = open_client(hosts=hosts, base_urls=[base_url], connections=deps.connections)
        self._client = OxenClient(
            self._http,
            key=required(settings.oxen_api_key, "OXEN_API_KEY"),
            base_url=base_url,
            clock=deps.clock,
            timeouts=deps.timeouts or Timeouts(),
        )
        self._models = Models(self._client)
        self._matcher = SubmitMatcher()
        self._events = Events(self._client.events, self._poll_policy, enabled=self._queue and events)
        self._downloads = Downloads(
            self._http,
            # Oxen serves results itself, at the address of its API.
            hosts.with_url(base_url),
            deps.pictures,
            self._poll_policy,
            timeouts=deps.timeouts,
            headers=self._client.credentials,
            public=False,
        )

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def aclose(self) -> None:
        """Close the event stream and the connections."""
        await self._events.aclose()
        await self._http.aclose()

    # Submitting

    async def submit(self, submit: Submit, report: Report) -> Ticket:
        """Submit to the queue, once; or have it painted, once, and wait for it.

        Raises:
            SubmitUnknown: it may have been accepted.
            SubmitFailed: Oxen answered with a 5xx.
            ProviderBusy and the refusals: it was certainly not accepted.
        """
        body = body_of(submit)
        with self._matcher.submitting(submit):
            if not self._queue:
                return await self._generate(submit, body, report)
            async with self._events.opened():
                response = await self._client.request("POST", "/ai/queue", content=body, submitting=True)
                answer = await read_json(response)
                ids = ids_in(answer) if response.is_success else ()
                if not ids:
                    raise self._error_from(submit, response, answer)
                self._matcher.assign(submit, ids)
                self._events.expect(ids)
        return self._ticket(submit, ids, room=len(body))

    async def _generate(self, submit: Submit, body: Body, report: Report) -> Ticket:
        """The synchronous way. No other response will bring the pictures: links go into the ticket."""
        report(Progress(note="painting"))
        response = await self._client.request(
            "POST",
            "/ai/images/generate",  # also for edits: every model answers there
            content=body,
            limit=JSON_LIMIT + 2 * PICTURE_LIMIT,
            timeouts=self._synchronous,
            submitting=True,
        )
        answer = await read_json(response)
        links, contents = await asyncio.to_thread(generated_in, answer) if response.is_success else ((), ())
        if not links and not contents:
            raise self._error_from(submit, response, answer)
        self._matcher.assign(submit, links)
        data = {"urls": list(links), "model": submit.provider_request.offer.model}
        return Ticket(provider=NAME, data=data, count=submit.count, results=contents)

    def _error_from(self, submit: Submit, response: httpx.Response, body: Any) -> ProviderError:
        request = submit.provider_request.request
        if not response.is_success:
            return error_from(response, body, self._clock.now(), request)
        return error_in_success(body, request) or SubmitUnknown(detail=f"{response.status_code}, unclear")

    def _ticket(self, submit: Submit, ids: Collection[str], *, room: int, count: int = 0) -> Ticket:
        data = {
            "ids": list(ids),
            "model": submit.provider_request.offer.model,
            "room": room,
            "submitted_at": self._clock.now(),
        }
        return Ticket(provider=NAME, data=data, count=count or submit.count)

    # Following

    async def follow(
        self, ticket: Ticket, request: ImageRequest, stored_results: StoredResults
    ) -> AsyncGenerator[Progress | Finished, None]:
        """Each change of the progress until every picture is there or has failed.

        Raises:
            ProviderBusy: Oxen does not respond sensibly; the ticket stays good.
            TicketLost, JobCancelled, GenerationFailed, InvalidResponse, GenerationTimeout and the refusals:
                the job is over at Oxen.
        """
        data = TicketData.parse(ticket)
        if not data.ids:
            yield Progress(fraction=1.0, note="painted")
            pictures = await self._downloads.collect(data.urls or await stored_results(), ticket.count)
            yield Finished(pictures=pictures)
            return
        rows, latest = Generations(self._client, data, request, self._poll_policy), None
        with self._events.subscribe(data.ids) as wakeup:
            schedule = PollSchedule(self._poll_policy, self._clock, data)
            while await schedule.poll(rows):
                if rows.progress != latest:
                    latest = rows.progress
                    yield latest
                await schedule.pause(wakeup)
        if rows.error is not None:
            raise rows.error
        yield Progress(fraction=1.0, note="painted")
        yield await self._finished(rows, ticket)

    async def _finished(self, rows: Generations, ticket: Ticket) -> Finished:
        """Download the pictures, and meanwhile ask what they cost."""
        cost = asyncio.create_task(rows.cost())
        try:
            links = rows.links
            try:
                pictures = await self._downloads.collect(links, ticket.count)
            except InvalidResponse:
                fresh = await rows.fresh_links()
                if not fresh or fresh == links:
                    raise
                pictures = await self._downloads.collect(fresh, ticket.count)
            return Finished(pictures=pictures, cost=await cost)
        finally:
            cost.cancel()
            await asyncio.gather(cost, return_exceptions=True)

    # Cancelling

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """Ask Oxen to drop every row, then read the rows: its response to a cancel does not say what happened."""
        try:
            data = TicketData.parse(ticket)
        except ProviderError:
            return CancelResult.REQUESTED
        if not data.ids:
            return CancelResult.TOO_LATE
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._drop(generation_id, data.room)) for generation_id in data.ids]
        # A cancel causes no event.
        self._events.wake(*data.ids)
        match sorted({task.result() for task in tasks}):
            case ["cancelled"]:
                return CancelResult.REMOVED
            case ["succeeded"]:
                return CancelResult.TOO_LATE
            case _:
                return CancelResult.REQUESTED

    async def _drop(self, generation_id: str, room: int) -> str:
        """Ask for a row to be dropped; its status after that, empty where it cannot be read."""
        with suppress(ProviderError):
            await self._client.cancel(generation_id)
        with suppress(ProviderError):
            row = await self._client.row(generation_id, room)
            return row.status if row is not None else ""
        return ""

    # Lost responses

    async def reconcile(self, submit: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """Look for the rows of a submit whose response was lost: same prompt, not older, not another submit's.

        Raises:
            SubmitUnknown: it is too early to say, or the lists cannot be read, or do not show such work.
        """
        asked_at = self._clock.now()
        try:
            listing = await self._listing(submit.provider_request.offer.model)
        except ProviderError as error:
            raise SubmitUnknown(detail=f"list: {error.detail}") from None
        taken = {name for ticket in others if ticket.provider == NAME for name in _names_of(ticket)}
        # No await until the rows are assigned, so that two submits of the same prompt cannot take the same rows.
        ids = self._matcher.match(submit, listing, taken)
        must_be_listed = elapsed(submit.submitted_at, asked_at) >= LISTED_AFTER
        if not must_be_listed and len(ids) < submit.count:
            raise SubmitUnknown(detail="too early to say", under_way=bool(ids))
        if not ids and not self._queue:
            raise SubmitUnknown(detail="not listed")
        if not ids:
            return None
        self._matcher.assign(submit, ids)
        room = LIST_LIMIT if submit.provider_request.request.pictures else JSON_LIMIT
        return self._ticket(submit, ids, room=room, count=len(ids))

    async def _listing(self, model: str) -> Listing:
        if not self._queue:
            return await self._client.listing("/ai/generations", model=model, page="1", page_size=str(PAGE_SIZE))
        # Active rows first: what finishes between two lists is then in the second.
        active = await self._client.listing("/ai/queue", model=model)
        over = [await self._client.listing("/ai/queue", model=model, status=status) for status in FINISHED]
        return merged([active, *over])

    # The service itself

    async def check_health(self) -> ProviderHealth:
        """Whether the key works, and which models are served, with which fields and for how much."""
        return await self._models.check_health(self._offers)


def _names_of(ticket: Ticket) -> tuple[str, ...]:
    """Ids, and links where the response had no ids."""
    try:
        data = TicketData.parse(ticket)
    except ProviderError:
        return ()
    return (*data.ids, *data.urls)


def _adapt_offers(settings: Settings, offers: Offers) -> Offers:
    return offers if settings.oxen_queue else one_at_a_time(offers)


SPEC = ProviderSpec(
    name=NAME,
    label="Oxen",
    account_page="https://www.oxen.ai",
    key_setting="oxen_api_key",
    url_setting="oxen_base_url",
    open=lambda deps: aclosing(OxenProvider(deps)),
    is_synchronous=lambda settings: not settings.oxen_queue,
    adapt_offers=_adapt_offers,
)
