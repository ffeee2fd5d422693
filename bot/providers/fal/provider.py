"""fal.ai: a queue over HTTP. Submit once, keep the three links of the answer, follow, read the result.

Sources: https://docs.fal.ai/model-apis/model-endpoints/queue, https://docs.fal.ai/errors, and the official
clients. A request that fal calls COMPLETED may have failed: the result decides, never the status alone.
A submit is never repeated here, because fal knows no idempotency key and each one is paid.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from typing import Final
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr

from bot.catalog.offers import Offer, Submit
from bot.domain.clock import Clock
from bot.domain.errors import (
    InvalidResponse,
    ProviderBusy,
    ProviderError,
    RequestRejected,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.ports import Kept, Tell
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import not_started, refusal
from bot.providers.fal.models import Platform
from bot.providers.fal.poller import Poller
from bot.providers.fal.schemas import Generated, TicketData, extended, parsed, valid
from bot.providers.fal.uploads import LIFETIME, Uploads
from bot.providers.fal.webhooks import Webhooks
from bot.providers.shared.downloads import Gatherer
from bot.providers.shared.http import Answer, AnswerLost, Downloads, ResponseTooLarge, Timeouts, same_origin
from bot.providers.shared.polling import PollPolicy

NAME: Final = "fal"


class FalProvider:
    """`Provider` over fal's queue. The client, the threads, the clock and the webhooks belong to whoever built it.

    With `openai_key`, models that can be paid through one are. `start_timeout` (seconds) and `longest_queue`
    (requests) give up what would wait too long at fal.
    """

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        key: SecretStr,
        queue_url: str,
        rest_url: str,
        api_url: str,
        media_hosts: AllowedHosts,
        offers: Mapping[str, Offer],
        pictures: Pictures,
        clock: Clock,
        pace: PollPolicy | None = None,
        limits: Timeouts | None = None,
        openai_key: SecretStr | None = None,
        streams: bool = True,
        webhooks: Webhooks | None = None,
        start_timeout: float | None = None,
        longest_queue: int | None = None,
    ) -> None:
        queue_url, rest_url, api_url = (url.rstrip("/") for url in (queue_url, rest_url, api_url))
        self._queue_url = queue_url
        self._offers = offers
        self._clock = clock
        self._pace = pace or PollPolicy()
        self._openai_key = openai_key
        self._streams = streams
        self._webhooks = webhooks
        self._start_timeout = start_timeout
        self._longest_queue = longest_queue
        hidden = [openai_key] if openai_key is not None else []
        self._line = FalClient(client, key, (queue_url, rest_url, api_url), limits or Timeouts(), hidden)
        self._storage = Uploads(client, self._line, rest_url, media_hosts, clock)
        self._platform = Platform(self._line, api_url, offers, clock)
        self._gatherer = Gatherer(Downloads(client, media_hosts, limits=limits), pictures, self._pace)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def submit(self, order: Submit, tell: Tell) -> Ticket:
        """Hand the work over, once. `order.job_id` has no place on fal's wire, and there is no news before.

        Raises:
            SubmitUnknown: it may have been accepted.
            ProviderBusy: it was certainly not accepted.
            InvalidResponse: it was accepted, but its links lead elsewhere and are not followed.
        """
        if order.fit.request.model not in self._offers or order.fit.provider != NAME:
            raise RequestRejected(detail="not in the catalogue")
        *sources, mask = await self._storage.links([*order.inputs, order.mask])
        body = order.fit.body(order.count, sources=[link for link in sources if link], mask=mask)
        headers = {"X-Fal-Object-Lifecycle-Preference": LIFETIME}
        if self._start_timeout is not None:
            headers["X-Fal-Request-Start-Timeout"] = f"{self._start_timeout:.1f}"
        own_key = self._own_key(order)
        endpoint, more = own_key or (order.fit.verb.endpoint, {})
        if own_key is not None:
            # Else fal would keep the whole input for a month, the key in it.
            headers["X-Fal-Store-IO"] = "0"
        url = extended(f"{self._queue_url}/{endpoint}", **self._query())
        try:
            answer = await self._line.ask("POST", url, body={**body, **more}, headers=headers)
        except (AnswerLost, ResponseTooLarge) as error:
            raise SubmitUnknown(detail=error.detail) from None
        return self._ticket(answer, order.count, byok=own_key is not None)

    async def follow(
        self, ticket: Ticket, request: ImageRequest, kept: Kept
    ) -> AsyncGenerator[Progress | Finished, None]:
        """News until the pictures are there, and only what is new. fal's tickets keep no bytes.

        Raises:
            ProviderBusy: fal does not answer sensibly; the ticket stays good.
            TicketLost, JobCancelled, GenerationFailed, InvalidResponse, GenerationTimeout and the refusals:
                it is over.
        """
        held = self._held(ticket)
        watch = Poller(self._line, held, pace=self._pace, clock=self._clock, streams=self._streams)
        waking = self._webhooks.waking(held.request_id, watch.wake) if self._webhooks else nullcontext()
        with waking:
            async with aclosing(watch.news()) as news:
                async for item in news:
                    if isinstance(item, Progress):
                        yield item
                        continue
                    yield Progress(fraction=1.0, note="painted")
                    yield await self._finished(item, held, ticket, request)

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """Ask fal to drop the work. Whatever is not a clear yes or no means: keep following."""
        try:
            held = self._held(ticket)
            answer = await self._line.ask("PUT", held.cancel_url)
        except ProviderError:
            return CancelResult.ASKED
        body = answer.json()
        said = body if isinstance(body, dict) else {}
        match str(said.get("status", "")).upper(), said.get("success"), answer.status:
            case ("ALREADY_COMPLETED" | "NOT_FOUND", _, _) | (_, False, _) | (_, _, 400 | 404 | 410):
                return CancelResult.TOO_LATE
            case "OK", _, 200:
                return CancelResult.REMOVED
            case _:
                return CancelResult.ASKED

    async def reconcile(self, order: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """What became of a lost submit: fal lists nobody's requests, so it cannot be asked.

        Raises:
            SubmitUnknown: always.
        """
        raise SubmitUnknown(detail="fal cannot be asked", final=True)

    async def examine(self) -> ProviderHealth:
        """Whether the key works and which models are served. Never raises."""
        return await self._platform.examine(NAME)

    # Submitting

    def _own_key(self, order: Submit) -> tuple[str, dict[str, str]] | None:
        """Where the operator's own key pays, and the field that carries it; None where fal is paid."""
        byok = order.fit.offer.byok
        if byok is None or self._openai_key is None:
            return None
        endpoint = byok.edit if order.fit.request.kind == "edit" else byok.imagine
        return (endpoint, {byok.field: self._openai_key.get_secret_value()}) if endpoint else None

    def _query(self) -> dict[str, str]:
        query = {}
        if self._webhooks is not None:
            query["fal_webhook"] = quote(self._webhooks.url, safe="")
        if self._longest_queue is not None:
            query["fal_max_queue_length"] = str(self._longest_queue)
        return query

    def _ticket(self, answer: Answer, count: int, *, byok: bool) -> Ticket:
        if answer.good:
            held = parsed(TicketData, answer)
            if held is None:
                raise SubmitUnknown(detail=f"{answer.status}, garbled")
            self._refuse_foreign(held)
            data = held.model_dump(mode="json") | {"submitted_at": self._clock.now(), "byok": byok}
            return Ticket(provider=NAME, data=data, count=count)
        if answer.status < 500 or not_started(answer):
            raise refusal(answer, self._clock.now(), submitting=True)
        # An ingress page without fal's request id never reached the queue; only a 504 may have.
        ingress = answer.status in (502, 503) and "nginx" in answer.text
        if ingress and "x-fal-request-id" not in answer.headers:
            raise ProviderBusy(
                detail=f"{answer.status} at the door", retry_after=answer.retry_after(self._clock.now())
            )
        raise SubmitUnknown(detail=str(answer.status))

    # Following

    def _held(self, ticket: Ticket) -> TicketData:
        held = valid(TicketData, ticket.data)
        if held is None:
            raise TicketLost(detail="ticket unreadable")
        self._refuse_foreign(held)
        return held

    def _refuse_foreign(self, held: TicketData) -> None:
        for url in (held.status_url, held.response_url, held.cancel_url):
            if not same_origin(url, self._queue_url):
                raise InvalidResponse(detail="foreign host")

    async def _finished(
        self, painted: Generated, held: TicketData, ticket: Ticket, request: ImageRequest
    ) -> Finished:
        pictures, note = await self._gatherer.gather(painted.found, ticket.count)
        offer = self._offers.get(request.model)
        prices = offer.byok if offer is not None else None
        cost = painted.cost_at_openai(prices) if held.byok else painted.cost_at_fal
        return Finished(pictures=pictures, cost=cost, note=note)
