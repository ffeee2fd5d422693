"""fal.ai: a queue over HTTP. Submit once, keep the response's three links, follow, read the result.

Sources: https://docs.fal.ai/model-apis/model-endpoints/queue, https://docs.fal.ai/errors, and the official
clients. A request that fal calls COMPLETED may have failed: the result decides, never the status alone.
A submit is never repeated here, because fal knows no idempotency key and charges for each one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from bot.catalog.offers import Submit
from bot.domain.errors import (
    InvalidResponse,
    ModelRetired,
    ProviderError,
    RequestRejected,
    SubmitUnknown,
)
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.http import Timeouts, json_of, open_client
from bot.net.urls import same_origin
from bot.net.webhook_server import WebhookServer
from bot.ports import Report, StoredResults
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import error_from, not_started, submit_error_from
from bot.providers.fal.models import Models
from bot.providers.fal.poller import Poller
from bot.providers.fal.schemas import Generated, TicketData, extended, parsed
from bot.providers.fal.uploads import LIFETIME, Uploads
from bot.providers.fal.webhooks import Webhooks
from bot.providers.shared.downloads import Downloads
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.spec import Offers, ProviderDeps, ProviderSpec, required
from bot.settings import Settings

NAME: Final = "fal"


class FalProvider:
    """`Provider` over fal's queue. Close it with `aclose`."""

    def __init__(self, deps: ProviderDeps) -> None:
        settings = deps.settings
        self._settings = settings
        self._offers = deps.catalog.at(NAME)
        self._clock = deps.clock
        self._poll_policy = deps.poll_policy or PollPolicy()
        origins = (settings.fal_queue_url, settings.fal_rest_url, settings.fal_api_url)
        hosts = settings.fal_media_hosts
        self._http = open_client(hosts=hosts, base_urls=origins, connections=deps.connections)
        key = required(settings.fal_key, "FAL_KEY")
        self._client = FalClient(self._http, key, origins, deps.timeouts or Timeouts())
        self._uploads = Uploads(self._http, self._client, settings.fal_rest_url, hosts, deps.clock)
        self._models = Models(self._client, settings.fal_api_url, self._offers, deps.clock)
        self._downloads = Downloads(self._http, hosts, deps.pictures, self._poll_policy, timeouts=deps.timeouts)
        self.webhooks: Webhooks | None = None
        if settings.fal_webhook_url is not None:
            url, rest_url = settings.fal_webhook_url, settings.fal_rest_url
            self.webhooks = Webhooks(self._http, url=url, rest_url=rest_url, clock=deps.clock)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def submit(self, submit: Submit, report: Report) -> Ticket:
        """Submit to the queue, once. fal has no field for the job's id, and there is no progress to report yet.

        Raises:
            SubmitUnknown: it may have been accepted.
            SubmitFailed: fal answered with a 5xx.
            ProviderBusy: it was certainly not accepted.
            InvalidResponse: it was accepted, but its links lead elsewhere and are not followed.
        """
        if submit.provider_request.request.model not in self._offers or submit.provider_request.provider != NAME:
            raise RequestRejected(detail="not in the catalogue")
        *sources, mask = await self._uploads.links([*submit.inputs, submit.mask])
        pictures = [link for link in sources if link]
        body = submit.provider_request.body(submit.count, part=submit.part, sources=pictures, mask=mask)
        headers = {"X-Fal-Object-Lifecycle-Preference": LIFETIME}
        if self._settings.fal_start_timeout is not None:
            headers["X-Fal-Request-Start-Timeout"] = f"{self._settings.fal_start_timeout:.1f}"
        own_key = self._own_key(submit)
        endpoint, key_field = own_key or (submit.provider_request.operation.endpoint, {})
        if own_key is not None:
            # Else fal would store the whole input for a month, including the key.
            headers["X-Fal-Store-IO"] = "0"
        url = extended(f"{self._settings.fal_queue_url}/{endpoint}", **self._query())
        response = await self._client.request(
            "POST", url, body={**body, **key_field}, headers=headers, submitting=True
        )
        try:
            return self._ticket(response, submit.count, byok=own_key is not None)
        except ModelRetired as retired:
            if endpoint != submit.provider_request.offer.model:
                retired.kind = submit.provider_request.request.kind
            raise

    async def follow(
        self, ticket: Ticket, request: ImageRequest, stored_results: StoredResults
    ) -> AsyncGenerator[Progress | Finished, None]:
        """Each change of the progress until the pictures are there. fal's tickets have no stored results.

        Raises:
            ProviderBusy: fal does not respond sensibly; the ticket stays good.
            TicketLost, JobCancelled, GenerationFailed, InvalidResponse, GenerationTimeout and the refusals:
                the job is over at fal.
        """
        data = self._ticket_data(ticket)
        poller = Poller(
            self._client,
            data,
            poll_policy=self._poll_policy,
            clock=self._clock,
            streams=self._settings.fal_stream,
        )
        waking = self.webhooks.waking(data.request_id, poller.wake) if self.webhooks else nullcontext()
        with waking:
            async with aclosing(poller.updates()) as updates:
                async for update in updates:
                    if isinstance(update, Progress):
                        yield update
                        continue
                    yield Progress(fraction=1.0, note="painted")
                    yield await self._finished(update, data, ticket, request)

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """Ask fal to drop the request. Unless its response is a clear yes or no, it may still be painted."""
        try:
            data = self._ticket_data(ticket)
            response = await self._client.request("PUT", data.cancel_url)
        except ProviderError:
            return CancelResult.REQUESTED
        body = json_of(response)
        fields = body if isinstance(body, dict) else {}
        match str(fields.get("status", "")).upper(), fields.get("success"), response.status_code:
            case ("ALREADY_COMPLETED" | "NOT_FOUND", _, _) | (_, False, _) | (_, _, 400 | 404 | 410):
                return CancelResult.TOO_LATE
            case "OK", _, 200:
                return CancelResult.REMOVED
            case _:
                return CancelResult.REQUESTED

    async def reconcile(self, submit: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """Fail: fal has no list of requests, so what became of a lost submit cannot be found out.

        Raises:
            SubmitUnknown: always.
        """
        raise SubmitUnknown(detail="fal cannot be asked", final=True)

    async def check_health(self) -> ProviderHealth:
        """Whether the key works and which models are served. Never raises a ProviderError."""
        return await self._models.check_health(NAME)

    # Submitting

    def _own_key(self, submit: Submit) -> tuple[str, dict[str, str]] | None:
        """The endpoint that the operator's OpenAI key pays for, and the key's field; None where fal is paid."""
        byok, own_key = submit.provider_request.offer.byok, self._settings.openai_api_key
        if byok is None or own_key is None:
            return None
        endpoint = byok.edit if submit.provider_request.request.kind == "edit" else byok.imagine
        return (endpoint, {byok.field: own_key.get_secret_value()}) if endpoint else None

    def _query(self) -> dict[str, str]:
        query = {}
        if self.webhooks is not None:
            query["fal_webhook"] = quote(self.webhooks.url, safe="")
        if self._settings.fal_longest_queue is not None:
            query["fal_max_queue_length"] = str(self._settings.fal_longest_queue)
        return query

    def _ticket(self, response: httpx.Response, count: int, *, byok: bool) -> Ticket:
        if response.is_success:
            data = parsed(TicketData, response)
            if data is None:
                raise SubmitUnknown(detail=f"{response.status_code}, garbled", garbled=True)
            self._refuse_foreign(data)
            stored = data.model_dump(mode="json") | {"submitted_at": self._clock.now(), "byok": byok}
            return Ticket(provider=NAME, data=stored, count=count)
        now = self._clock.now()
        if response.status_code < 500 or not_started(response):
            raise error_from(response, now, submitting=True)
        raise submit_error_from(response, now)

    # Following

    def _ticket_data(self, ticket: Ticket) -> TicketData:
        data = TicketData.parse(ticket)
        self._refuse_foreign(data)
        return data

    def _refuse_foreign(self, data: TicketData) -> None:
        for url in (data.status_url, data.response_url, data.cancel_url):
            if not same_origin(url, self._settings.fal_queue_url):
                raise InvalidResponse(detail="foreign host")

    async def _finished(
        self, generated: Generated, data: TicketData, ticket: Ticket, request: ImageRequest
    ) -> Finished:
        offer = self._offers.get(request.model)
        prices = offer.byok if offer is not None else None
        cost = generated.cost_at_openai(prices) if data.byok else generated.cost_at_fal
        try:
            pictures = await self._downloads.collect(generated.results, ticket.count)
        except InvalidResponse as error:
            error.cost = cost
            raise
        return Finished(pictures=pictures, cost=cost, seed=generated.seed)


@asynccontextmanager
async def open_provider(deps: ProviderDeps) -> AsyncIterator[FalProvider]:
    """The provider as the settings describe it, and the server for its webhooks where they are set up.

    Raises:
        SetupError: the server cannot listen.
    """
    async with aclosing(FalProvider(deps)) as provider:
        if provider.webhooks is None:
            yield provider
            return
        path = urlsplit(provider.webhooks.url).path or "/"
        handlers = {path: provider.webhooks.receive}
        async with WebhookServer(deps.settings.webhook_host, deps.settings.webhook_port, handlers):
            yield provider


def _adapt_offers(settings: Settings, offers: Offers) -> Offers:
    """What the operator's own OpenAI key pays for is billed by tokens."""
    if settings.openai_api_key is None:
        return offers
    return {name: offer.on_own_key() for name, offer in offers.items()}


SPEC = ProviderSpec(
    name=NAME,
    label="fal",
    account_page="https://fal.ai/dashboard",
    key_setting="fal_key",
    url_setting="fal_api_url",
    open=open_provider,
    adapt_offers=_adapt_offers,
)
