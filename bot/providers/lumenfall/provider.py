"""Lumenfall: OpenAI's image API in front of several services. One HTTP call is the whole generation.

Sources: https://docs.lumenfall.ai and https://lumenfall.ai/models/openai/gpt-image-1.5. There is no queue, no
cancel and no idempotency key: a call whose response is lost may have cost money, is never repeated here, and is
looked up in the history of requests, by its user field and its trace id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpx

from bot.catalog.offers import Submit
from bot.domain.clock import elapsed
from bot.domain.content import Content
from bot.domain.errors import (
    BadSource,
    InvalidResponse,
    PriceExceeded,
    PromptRejected,
    ProviderBusy,
    ResultLost,
    SubmitUnknown,
)
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.http import json_of, open_client, read
from bot.net.sse import is_event_stream
from bot.ports import Report, StoredResults
from bot.providers.lumenfall.client import NAME, LumenfallClient, response_limit
from bot.providers.lumenfall.errors import error_from
from bot.providers.lumenfall.models import Account
from bot.providers.lumenfall.reconcile import LISTED_AFTER, LONGEST_DRY_RUN, History
from bot.providers.lumenfall.request import SubmitOptions, trace_of
from bot.providers.lumenfall.schemas import Generated, TicketData, generated_in
from bot.providers.lumenfall.stream import ResponseStream
from bot.providers.shared.downloads import Downloads, PictureGone
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.spec import ProviderDeps, ProviderSpec, required
from bot.settings import Settings

AT_ONCE = 32
"""Generations at the same time."""
_REMEMBERED_DELAYS = 1_000


class LumenfallProvider:
    """`Provider` over Lumenfall. Close it with `aclose`."""

    def __init__(self, deps: ProviderDeps, *, at_once: int = AT_ONCE) -> None:
        settings = deps.settings
        hosts = settings.lumenfall_media_hosts
        base_url = settings.lumenfall_base_url
        self._http = open_client(hosts=hosts, base_urls=[base_url], connections=deps.connections)
        key = required(settings.lumenfall_api_key, "LUMENFALL_API_KEY")
        self._client = LumenfallClient(self._http, key, base_url, _options(settings), deps.timeouts)
        self._account = Account(self._client, deps.clock)
        self._history = History(self._client)
        policy = deps.poll_policy or PollPolicy()
        self._downloads = Downloads(self._http, hosts, deps.pictures, policy, timeouts=deps.timeouts)
        self._offers = deps.catalog.at(NAME)
        self._pictures = deps.pictures
        self._clock = deps.clock
        self._dry_run = settings.lumenfall_dry_run
        self._turns = asyncio.Semaphore(at_once)
        self._delays: dict[str, float] = {}
        """Seconds that a lost submit waited for its turn and its dry run, by its trace id."""

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def submit(self, submit: Submit, report: Report) -> Ticket:
        """Have it painted, once, and wait for it.

        Raises:
            SubmitUnknown: it may have been painted, and paid; `reconcile` finds out.
            SubmitFailed: Lumenfall answered with a 5xx.
            ProviderBusy: it was certainly not painted.
            PriceExceeded: the dry run's price is above the submit's limit.
        """
        began = self._clock.now()
        async with self._turns:
            await self._check_price(submit)
            report(Progress(note="painting"))
            sent_at = self._clock.now()
            try:
                generated = await self._generate(submit, report)
            except SubmitUnknown:
                self._remember_delay(submit, elapsed(began, sent_at))
                raise
        return _ticket(generated, submit.count)

    async def follow(
        self, ticket: Ticket, request: ImageRequest, stored_results: StoredResults
    ) -> AsyncGenerator[Progress | Finished, None]:
        """Download what was painted.

        Raises:
            ResultLost: the pictures are no longer there.
            ProviderBusy: the media host does not respond; the ticket stays good.
            InvalidResponse, TicketLost: the job is over.
        """
        data = TicketData.parse(ticket)
        yield Progress(fraction=1.0, note="painted")
        contents = await stored_results() if data.kept else ()
        if data.kept and not contents and not data.links:
            raise ResultLost(detail="nothing in the spool", cost=data.price)
        try:
            pictures = await self._downloads.collect([*data.links, *contents], ticket.count)
        except PictureGone as error:
            raise ResultLost(
                "The image service painted this, but no longer had it when Easel fetched it.",
                detail=error.detail,
                cost=data.price,
            ) from None
        except InvalidResponse as error:
            error.cost = data.price
            raise
        cost = data.price if data.price is not None else await self._history.cost(data.request_id)
        yield Finished(pictures=pictures, cost=cost)

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """A ticket exists only once everything is painted."""
        return CancelResult.TOO_LATE

    async def reconcile(self, submit: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """Look the submit up in the history; None where it never arrived or came to nothing.

        Raises:
            SubmitUnknown: it is under way, or the history does not say yet.
            ResultLost: it was painted, and its response is gone.
            PromptRejected: it was refused for its content.
        """
        record = await self._history.find(submit)
        if record is None or record.older_than(submit.submitted_at):
            # How long the dry run of another process's submit took is not known.
            longest = LONGEST_DRY_RUN if self._dry_run and not submit.provider_request.request.pictures else 0.0
            delay = self._delays.get(trace_of(submit), longest)
            if elapsed(submit.submitted_at, self._clock.now()) - delay < LISTED_AFTER:
                raise SubmitUnknown(detail="not listed yet")
        if record is None:
            return None
        if record.completed:
            generated = await self._history.stored(record, submit.count)
            if generated is None:
                raise ResultLost(detail="completed, not received", cost=record.cost)
            return _ticket(generated, submit.count)
        if not record.failed:
            raise SubmitUnknown(detail=f"listed as {record.status}", under_way=True)
        if record.details.moderated:
            raise PromptRejected(detail=f"listed as {record.status}")
        return None

    async def check_health(self) -> ProviderHealth:
        """The list of models, a dry run for each, and the balance: all of it is free."""
        return await self._account.check_health(self._offers, dry_run=self._dry_run)

    async def _check_price(self, submit: Submit) -> None:
        """Ask for the price where no picture is sent in. Only a clear response stops the submit."""
        if not self._dry_run or submit.price_limit is None or submit.inputs:
            return
        try:
            estimate = await self._account.estimate(submit.provider_request, submit.count, submit)
        except ProviderBusy:
            return
        if estimate is not None and estimate > submit.price_limit:
            raise PriceExceeded(detail=f"{estimate.micros} of {submit.price_limit.micros} micro-dollars")

    async def _generate(self, submit: Submit, report: Report) -> Generated:
        async def show_preview(content: Content) -> None:
            try:
                await self._pictures.inspect(content, filename="preview")
            except BadSource:
                return
            report(Progress(note="painting", preview=content))

        stream = ResponseStream(submit.count, show_preview)
        try:
            async with self._client.generate(submit) as response:
                if is_event_stream(response) and response.status_code == 200:
                    await stream.read(response)
                    return stream.generated
                answered = await read(response, response_limit(submit.count))
        except SubmitUnknown:
            if stream.generated:
                return stream.generated
            raise
        # Megabytes of JSON and base64 would block the event loop.
        return await asyncio.to_thread(self._generated_in, answered, submit)

    def _generated_in(self, response: httpx.Response, submit: Submit) -> Generated:
        generated = generated_in(json_of(response), response.headers)
        if not response.is_success or generated is None:
            raise error_from(response, self._clock.now(), submit)
        return generated

    def _remember_delay(self, submit: Submit, seconds: float) -> None:
        """The history cannot list a submit before it was sent."""
        self._delays.pop(trace_of(submit), None)
        self._delays[trace_of(submit)] = seconds
        while len(self._delays) > _REMEMBERED_DELAYS:
            del self._delays[next(iter(self._delays))]


def _options(settings: Settings) -> SubmitOptions:
    own_key = settings.openai_api_key if settings.lumenfall_byok else None
    secret = {} if own_key is None else {"openai_api_key": own_key.get_secret_value()}
    return SubmitOptions(
        partials=settings.lumenfall_partials,
        inline=settings.lumenfall_inline,
        extra={**settings.lumenfall_fields, **secret},
    )


def _ticket(generated: Generated, count: int) -> Ticket:
    contents, links = generated.contents[:count], generated.links[:count]
    cost = None if generated.cost is None else generated.cost.micros
    data = TicketData(request_id=generated.request_id, links=links, kept=len(contents), cost=cost)
    return Ticket(provider=NAME, data=data.model_dump(mode="json"), count=count, results=contents)


SPEC = ProviderSpec(
    name=NAME,
    label="Lumenfall",
    account_page="https://lumenfall.ai",
    key_setting="lumenfall_api_key",
    url_setting="lumenfall_base_url",
    open=lambda deps: aclosing(LumenfallProvider(deps)),
    is_synchronous=lambda _: True,
)
