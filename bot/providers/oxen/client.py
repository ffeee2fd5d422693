"""Oxen's calls: one place that shows the key, bounded answers, rows read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import SecretStr

from bot.domain.clock import Clock, Instant
from bot.domain.errors import ProviderBusy, ProviderError, ProviderMisconfigured, SetupError
from bot.providers.oxen.schemas import Row, row_in, rows_in
from bot.providers.shared.http import (
    JSON_LIMIT,
    Answer,
    Answering,
    AnswerLost,
    Timeouts,
    asked,
    exchange,
    for_status,
    same_origin,
)

LIST_LIMIT = 67_108_864
"""Bytes: rows repeat what was submitted, pictures inside the request included."""
LARGE = 262_144
"""Bytes of JSON that are better read on a thread."""
STREAM_SILENCE = 45.0
"""Seconds: Oxen sends a comment every 15."""
STREAM_LIFE = 3600.0


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows, and how many milliseconds Oxen's clock is behind ours (never less than 0)."""

    rows: tuple[Row, ...]
    behind: int


class OxenClient:
    """Raises `ProviderError`s only. `base_url` ends before `/ai` and `/events`."""

    def __init__(
        self, client: aiohttp.ClientSession, *, key: SecretStr, base_url: str, clock: Clock, limits: Timeouts
    ) -> None:
        if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise SetupError("OXEN_API_KEY is not valid: it holds a space or a character that no key has.")
        self._client = client
        self._key = key
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._limits = limits
        self._one_large = asyncio.Semaphore(1)

    def credentials(self, url: str) -> Mapping[str, str]:
        """The key, for Oxen's own origin and for nobody else."""
        if not same_origin(url, self._base_url):
            return {}
        return {"Authorization": f"Bearer {self._key.get_secret_value()}"}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        limit: int = JSON_LIMIT,
        limits: Timeouts | None = None,
    ) -> Answer:
        """One call and its whole answer; no redirect is followed."""
        url = self._base_url + path
        headers = {**self.credentials(url), "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return await exchange(
            self._client,
            method,
            url,
            limits=limits or self._limits,
            headers=headers,
            content=content,
            limit=limit,
        )

    def events(self) -> AbstractAsyncContextManager[Answering]:
        """The event stream, up to its head."""
        url = f"{self._base_url}/events"
        headers = {**self.credentials(url), "Accept": "text/event-stream", "Cache-Control": "no-cache"}
        limits = replace(self._limits, silence=STREAM_SILENCE, total=STREAM_LIFE)
        return asked(self._client, "GET", url, limits=limits, headers=headers)

    async def row(self, generation_id: str, room: int = 0) -> Row | None:
        """A row as the queue shows it, or where the queue has forgotten it, as the generations do.

        None where neither knows it. `room` are the bytes that it may repeat.
        """
        row = await self._row(f"/ai/queue/{generation_id}", room)
        if row is None or (row.status == "succeeded" and row.link is None):
            return await self.details(generation_id, room) or row
        return row

    async def details(self, generation_id: str, room: int = 0) -> Row | None:
        """A row with its cost; None where there is none."""
        return await self._row(f"/ai/generations/{generation_id}", room)

    async def drop(self, generation_id: str) -> None:
        """Ask for a row to be cancelled. The answer has two shapes and 200 says little: look at the row."""
        await self.ask("DELETE", f"/ai/queue/{generation_id}")

    async def model(self, name: str, limits: Timeouts) -> Answer:
        """What Oxen says of a model."""
        return await self.ask("GET", f"/ai/models/{quote(name, safe='')}", limits=limits)

    async def listing(self, path: str, **query: str) -> Listing:
        """A list of rows."""
        answer = await self.ask("GET", f"{path}?{urlencode(query)}", limit=LIST_LIMIT)
        if not answer.good:
            raise self._trouble(answer)
        rows = rows_in(await json_of(answer))
        if rows is None:
            raise AnswerLost(detail=f"list {answer.status}, garbled")
        return Listing(tuple(rows), _behind(answer, self._clock.now()))

    async def _row(self, path: str, room: int) -> Row | None:
        # Few rows repeat pictures; those that do are read one at a time.
        async with self._one_large if room > JSON_LIMIT else nullcontext():
            answer = await self.ask("GET", path, limit=JSON_LIMIT + 2 * room)
            if answer.status in (404, 410):
                return None
            if not answer.good:
                raise self._trouble(answer)
            row = row_in(await json_of(answer))
        if row is None:
            raise AnswerLost(detail=f"row {answer.status}, garbled")
        return row

    def _trouble(self, answer: Answer) -> ProviderError:
        """What keeps us from looking; a look changes nothing, so all but a bad key may pass."""
        error = for_status(answer, self._clock.now())
        if isinstance(error, ProviderBusy | ProviderMisconfigured):
            return error
        return ProviderBusy(detail=error.detail)


async def json_of(answer: Answer) -> Any:
    """An answer's JSON, off the event loop where there is much of it."""
    return await asyncio.to_thread(answer.json) if len(answer.content) > LARGE else answer.json()


def _behind(answer: Answer, now: Instant) -> int:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0
    return max(0, now - int(theirs * 1000))
