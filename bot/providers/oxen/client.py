"""Calls to Oxen: the only place that puts the key on a request. Responses are bounded, rows are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlencode

import httpx
from pydantic import SecretStr

from bot.domain.clock import Clock, Instant, elapsed
from bot.domain.errors import ProviderBusy, ProviderError, ProviderMisconfigured
from bot.net.bodies import Body
from bot.net.http import JSON_LIMIT, RequestOptions, Timeouts, read_json, request, stream
from bot.net.urls import same_origin
from bot.providers.oxen.schemas import Row, row_in, rows_in
from bot.providers.shared.http import for_status, provider_errors

LIST_LIMIT = 67_108_864
"""Bytes: rows repeat what was submitted, pictures inside the request included."""
STREAM_SILENCE = 45.0
"""Seconds: Oxen sends a comment every 15."""
STREAM_LIFE = 3600.0


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows, and how many seconds Oxen's clock is behind ours (never less than 0)."""

    rows: tuple[Row, ...]
    behind: float


class OxenClient:
    """Raises only `ProviderError`s. `base_url` ends before `/ai` and `/events`."""

    def __init__(
        self, http: httpx.AsyncClient, *, key: SecretStr, base_url: str, clock: Clock, timeouts: Timeouts
    ) -> None:
        self._http = http
        self._key = key
        self._base_url = base_url
        self._clock = clock
        self._timeouts = timeouts

    def credentials(self, url: str) -> Mapping[str, str]:
        """The header with the key, for Oxen's own origin only."""
        if not same_origin(url, self._base_url):
            return {}
        return {"Authorization": f"Bearer {self._key.get_secret_value()}"}

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: Body | None = None,
        limit: int = JSON_LIMIT,
        timeouts: Timeouts | None = None,
        submitting: bool = False,
    ) -> httpx.Response:
        """Send a request and read the whole response, at most `limit` bytes.

        Raises:
            ProviderError: see `provider_errors`.
        """
        url = self._base_url + path
        headers = {**self.credentials(url), "Accept": "application/json"}
        options: RequestOptions = {"headers": headers}
        if content is not None:
            headers["Content-Type"] = "application/json"
            options["content"] = content
        with provider_errors(submitting=submitting):
            return await request(
                self._http, method, url, timeouts=timeouts or self._timeouts, limit=limit, **options
            )

    @asynccontextmanager
    async def events(self) -> AsyncIterator[httpx.Response]:
        """The event stream; its body is still to be read.

        Raises:
            ProviderError: see `provider_errors`; also while the body is read.
        """
        url = f"{self._base_url}/events"
        headers = {**self.credentials(url), "Accept": "text/event-stream", "Cache-Control": "no-cache"}
        timeouts = replace(self._timeouts, read=STREAM_SILENCE, total=STREAM_LIFE)
        with provider_errors():
            async with stream(self._http, "GET", url, timeouts=timeouts, headers=headers) as response:
                yield response

    async def row(self, generation_id: str, room: int = 0) -> Row | None:
        """A row of the queue, or where the queue has dropped it, of the generations; None where neither has it.

        `room` are the bytes of the submit that it may repeat.
        """
        row = await self._row(f"/ai/queue/{generation_id}", room)
        if row is None or (row.status == "succeeded" and row.link is None):
            return await self.details(generation_id, room) or row
        return row

    async def details(self, generation_id: str, room: int = 0) -> Row | None:
        """A row with its cost; None where there is none."""
        return await self._row(f"/ai/generations/{generation_id}", room)

    async def cancel(self, generation_id: str) -> None:
        """Ask for a row to be cancelled. The response has two forms and 200 says little: read the row after it."""
        await self.request("DELETE", f"/ai/queue/{generation_id}")

    async def model(self, name: str, timeouts: Timeouts) -> httpx.Response:
        """The description of a model."""
        return await self.request("GET", f"/ai/models/{quote(name, safe='')}", timeouts=timeouts)

    async def listing(self, path: str, **query: str) -> Listing:
        """A list of rows."""
        response = await self.request("GET", f"{path}?{urlencode(query)}", limit=LIST_LIMIT)
        if not response.is_success:
            raise self._error_of(response)
        rows = rows_in(await read_json(response))
        if rows is None:
            raise ProviderBusy(detail=f"list {response.status_code}, garbled")
        return Listing(tuple(rows), _behind(response, self._clock.now()))

    async def _row(self, path: str, room: int) -> Row | None:
        response = await self.request("GET", path, limit=JSON_LIMIT + 2 * room)
        if response.status_code in (404, 410):
            return None
        if not response.is_success:
            raise self._error_of(response)
        row = row_in(await read_json(response))
        if row is None:
            raise ProviderBusy(detail=f"row {response.status_code}, garbled")
        return row

    def _error_of(self, response: httpx.Response) -> ProviderError:
        """Why a row cannot be read. Reading changes nothing, so all but a refused key may pass."""
        error = for_status(response, self._clock.now())
        if isinstance(error, ProviderBusy | ProviderMisconfigured):
            return error
        return ProviderBusy(detail=error.detail)


def _behind(response: httpx.Response, now: Instant) -> float:
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, elapsed(int(theirs * 1000), now))
