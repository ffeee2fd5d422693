"""fal.ai: a queue over HTTP. Submit once, keep the three links of the answer, poll, read the result.

Sources: https://docs.fal.ai/model-apis/model-endpoints/queue, https://docs.fal.ai/errors, and the official
clients. A request that fal calls COMPLETED may have failed: the result decides, never the status alone.
A submit is never repeated here, because fal knows no idempotency key and each one is paid.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
from pydantic import SecretStr, ValidationError

from bot.catalog import Catalog
from bot.clock import Clock
from bot.errors import (
    BadAnswer,
    BadSource,
    PatienceEnded,
    ProviderBusy,
    ProviderError,
    RequestRejected,
    RunFailed,
    SetupError,
    SubmitUnknown,
    TicketLost,
    UnsupportedRequest,
)
from bot.hosts import AllowedHosts
from bot.models import (
    CancelAnswer,
    Finished,
    ImageRequest,
    Input,
    Money,
    Picture,
    Progress,
    Ticket,
)
from bot.pictures import Pictures
from bot.providers.fal_wire import Held, Result, Status, Upload, parsed, refusal, too_early, upload_refusal
from bot.providers.http import (
    JSON_LIMIT,
    Answer,
    AnswerLost,
    Downloads,
    Limits,
    TooBig,
    data_uri,
    exchange,
    same_origin,
)

NAME: Final = "fal"
INLINE_LIMIT = 3_000_000
"""Bytes of pictures that travel inside a submit; the rest goes through fal's storage."""
RESULT_LIMIT = 16_777_216
LONGEST_ASKED_WAIT = 60.0
"""Seconds: a longer Retry-After is not waited for between two polls."""
DOUBTS = 3
LIFETIME = '{"expiration_duration_seconds": 86400}'
"""How long fal keeps the files of a request: a day, for a job that is given up after an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between polls, from `first` to `longest`. After trouble they double, `failures` times in a row."""

    first: float = 1.0
    longest: float = 5.0
    growth: float = 1.3
    jitter: float = 0.2
    trouble: float = 1.0
    trouble_longest: float = 30.0
    failures: int = 8
    patience: float = 3600.0

    def quiet(self, polls: int) -> float:
        """The wait after so many polls that went well."""
        return self._shaken(min(self.longest, self.first * self.growth ** min(polls, 50)))

    def troubled(self, failures: int) -> float:
        """The wait after so many failures in a row."""
        return self._shaken(min(self.trouble_longest, self.trouble * 2 ** min(failures - 1, 20)))

    def _shaken(self, seconds: float) -> float:
        return seconds * (1 + random.uniform(-self.jitter, self.jitter))  # noqa: S311 — spreads load, no secret


class Doubtful(ProviderBusy):
    """A 5xx for a run whose status shows no error: either fal's bad moment, or a failure that only shows here.

    A bad moment passes; what is still the same after `DOUBTS` looks is the run's own end.
    """

    def __init__(self, error: RunFailed) -> None:
        super().__init__(detail=error.detail)
        self.error = error


class Fal:
    """`Provider` over fal's queue. The client, the threads and the clock belong to whoever built it."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        key: SecretStr,
        queue_url: str,
        rest_url: str,
        media_hosts: AllowedHosts,
        catalog: Catalog,
        pictures: Pictures,
        clock: Clock,
        pace: Pace | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._client = client
        if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise SetupError("FAL_KEY is not valid: it holds a space or a character that no key has.")
        self._key = key
        self._queue_url = queue_url.rstrip("/")
        self._rest_url = rest_url.rstrip("/")
        self._media_hosts = media_hosts
        self._catalog = catalog
        self._pictures = pictures
        self._clock = clock
        self._pace = pace or Pace()
        self._limits = limits or Limits()
        self._downloads = Downloads(client, media_hosts, limits=limits)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return NAME

    async def submit(
        self, job_id: int, request: ImageRequest, inputs: Sequence[Input], mask: Input | None
    ) -> Ticket:
        """Hand the work over, once. `job_id` has no place on fal's wire.

        Raises:
            SubmitUnknown: it may have been accepted.
            ProviderBusy: it was certainly not accepted.
            BadAnswer: it was accepted, but its links lead elsewhere and are not followed.
        """
        try:
            offer = self._catalog.offer(request.model, NAME)
        except UnsupportedRequest as error:
            raise RequestRejected(error.sentence, detail="not in the catalogue") from None
        verb = offer.verb(request) or offer.imagine
        *sources, spot = await self._links([*inputs, mask])
        body = offer.spell(request, sources=[link for link in sources if link], mask=spot)
        try:
            answer = await self._ask(
                "POST",
                f"{self._queue_url}/{verb.endpoint}",
                body=body,
                headers={"X-Fal-Object-Lifecycle-Preference": LIFETIME},
            )
        except (AnswerLost, TooBig) as error:
            raise SubmitUnknown(detail=error.detail) from None
        return self._ticket(answer)

    async def follow(self, ticket: Ticket, request: ImageRequest) -> AsyncGenerator[Progress | Finished, None]:
        """Poll until the pictures are there; news only when something changed.

        Raises:
            ProviderBusy: fal does not answer sensibly; the ticket stays good.
            TicketLost, Withdrawn, RunFailed, BadAnswer, PatienceEnded and the refusals: it is over.
        """
        held = self._held(ticket)
        started = held.submitted_at or self._clock.now()
        polls = failures = doubts = 0
        said = None
        while True:
            status, links = None, None
            try:
                status = await self._status(held)
                links = await self._result(held, status) if status.over else None
                wait = self._pace.quiet(polls)
                polls, failures, doubts = polls + 1, 0, 0
            except ProviderBusy as busy:
                failures, doubts = failures + 1, doubts + isinstance(busy, Doubtful)
                if isinstance(busy, Doubtful) and doubts >= DOUBTS:
                    raise busy.error from None
                if failures >= self._pace.failures:
                    raise
                wait = max(self._pace.troubled(failures), min(busy.retry_after or 0.0, LONGEST_ASKED_WAIT))
            if links is not None:
                yield Progress(fraction=1.0, note="painted")
                yield await self._collect(links, request)
                return
            if status is not None and not status.over and status.progress != said:
                said = status.progress
                yield said
            if self._clock.now() - started > self._pace.patience * 1000:
                raise PatienceEnded(detail="still not finished")
            await asyncio.sleep(wait)

    async def cancel(self, ticket: Ticket) -> CancelAnswer:
        """Ask fal to drop the work. Whatever is not a clear yes or no means: keep following."""
        try:
            held = self._held(ticket)
            answer = await self._ask("PUT", held.cancel_url)
        except ProviderError:
            return CancelAnswer.ASKED
        body = answer.json()
        said = body if isinstance(body, dict) else {}
        match str(said.get("status", "")).upper(), said.get("success"), answer.status:
            case ("ALREADY_COMPLETED" | "NOT_FOUND", _, _) | (_, False, _) | (_, _, 400 | 404 | 410):
                return CancelAnswer.TOO_LATE
            case "OK", _, 200:
                return CancelAnswer.REMOVED
            case _:
                return CancelAnswer.ASKED

    # Talking to fal

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limit: int = JSON_LIMIT,
    ) -> Answer:
        """The only place that shows the key, and only to fal's queue and storage service."""
        if not same_origin(url, self._queue_url, self._rest_url):
            raise BadAnswer(detail="foreign host")
        sent = {"Authorization": f"Key {self._key.get_secret_value()}", "Accept": "application/json"}
        content = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        return await exchange(
            self._client,
            method,
            url,
            limits=self._limits,
            headers={**sent, **(headers or {})},
            content=content,
            limit=limit,
        )

    def _ticket(self, answer: Answer) -> Ticket:
        if answer.good:
            held = parsed(Held, answer)
            if held is None:
                raise SubmitUnknown(detail=f"{answer.status}, garbled")
            self._refuse_foreign(held)
            data = held.model_dump(mode="json") | {"submitted_at": self._clock.now()}
            return Ticket(provider=NAME, data=data)
        if answer.status < 500:
            raise refusal(answer, self._clock.now(), submitting=True)
        # An ingress page without fal's request id never reached the queue; only a 504 may have.
        ingress = answer.status in (502, 503) and "nginx" in answer.text
        if ingress and "x-fal-request-id" not in answer.headers:
            raise ProviderBusy(
                detail=f"{answer.status} at the door", retry_after=answer.retry_after(self._clock.now())
            )
        raise SubmitUnknown(detail=str(answer.status))

    def _held(self, ticket: Ticket) -> Held:
        try:
            held = Held.model_validate(ticket.data)
        except ValidationError:
            raise TicketLost(detail="ticket unreadable") from None
        self._refuse_foreign(held)
        return held

    def _refuse_foreign(self, held: Held) -> None:
        for url in (held.status_url, held.response_url, held.cancel_url):
            if not same_origin(url, self._queue_url):
                raise BadAnswer(detail="foreign host")

    async def _status(self, held: Held) -> Status:
        answer = await self._ask("GET", held.status_url)
        if not answer.good:
            raise refusal(answer, self._clock.now())
        status = parsed(Status, answer)
        if status is None:
            raise AnswerLost(detail=f"status {answer.status}, garbled")
        return status

    async def _result(self, held: Held, status: Status) -> tuple[str, ...] | None:
        """The pictures' links; None when fal says that it is too early."""
        answer = await self._ask("GET", held.response_url, limit=RESULT_LIMIT)
        if answer.good:
            result = parsed(Result, answer)
            if result is not None and result.images:
                return tuple(image.url for image in result.images)
            early = parsed(Status, answer)
            if answer.status == 202 or (early is not None and not early.over):
                return None
            if answer.json() is None:
                raise AnswerLost(detail=f"result {answer.status}, garbled")
            raise BadAnswer("The image service finished without a picture.", detail="no picture")
        if not status.failed and too_early(answer):
            return None
        error = refusal(answer, self._clock.now(), ran=status)
        if isinstance(error, RunFailed) and answer.status >= 500 and not status.failed:
            raise Doubtful(error)
        raise error

    # Pictures in

    async def _links(self, inputs: Iterable[Input | None]) -> list[str | None]:
        """A link for each picture, in order, that fal can read."""
        room, links = INLINE_LIMIT, []
        for item in inputs:
            if item is None or item.url is not None:
                links.append(item.url if item else None)
            elif len(item.picture.content) <= room:
                room -= len(item.picture.content)
                links.append(data_uri(item.picture.content, item.picture.content_type))
            else:
                links.append(await self._upload(item.picture))
        return links

    async def _upload(self, picture: Picture) -> str:
        """Put a picture into fal's storage. Nothing is submitted yet, so every trouble is harmless."""
        answer = await self._ask(
            "POST",
            f"{self._rest_url}/storage/upload/initiate?storage_type=fal-cdn-v3",
            body={"file_name": picture.filename, "content_type": picture.content_type},
            headers={"X-Fal-Object-Lifecycle-Preference": LIFETIME},
        )
        if not answer.good:
            raise upload_refusal(answer, self._clock.now())
        place = parsed(Upload, answer)
        if place is None:
            raise ProviderBusy(detail=f"storage {answer.status}, garbled")
        if not self._media_hosts.allows(place.upload_url):
            raise BadAnswer("The image service could not take your picture.", detail="foreign host")
        stored = await exchange(
            self._client,
            "PUT",
            place.upload_url,
            limits=self._limits,
            headers={"Content-Type": picture.content_type},
            content=picture.content,
            hosts=self._media_hosts,
        )
        if not stored.good:
            raise upload_refusal(stored, self._clock.now())
        return place.file_url

    # Pictures out

    async def _collect(self, links: Sequence[str], request: ImageRequest) -> Finished:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._picture(link, number))
                for number, link in enumerate(links[: request.count], start=1)
            ]
        outcomes = [task.result() for task in tasks]
        good = tuple(outcome for outcome in outcomes if isinstance(outcome, Picture))
        if not good:
            troubles = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
            raise next((trouble for trouble in troubles if isinstance(trouble, ProviderBusy)), troubles[0])
        note = (
            "" if len(good) == request.count else f"The service painted {len(good)} of {request.count} pictures."
        )
        return Finished(pictures=good, cost=self._cost(request, len(good)), note=note)

    async def _picture(self, link: str, number: int) -> Picture | ProviderError:
        """One picture, really one; or what was wrong with it, so that the others still count."""
        failures = 0
        while True:
            try:
                content = await self._downloads.read(link)
                picture = await self._pictures.inspect(content, filename=f"picture-{number}")
                return replace(picture, url=None if link.startswith("data:") else link)
            except BadSource:
                return BadAnswer(detail="not a picture")
            except ProviderBusy as busy:
                failures += 1
                if failures >= min(3, self._pace.failures):
                    return busy
                await asyncio.sleep(self._pace.troubled(failures))
            except ProviderError as error:
                return error

    def _cost(self, request: ImageRequest, pictures: int) -> Money | None:
        try:
            return self._catalog.cost(request, pictures, NAME)
        except UnsupportedRequest:
            return None
