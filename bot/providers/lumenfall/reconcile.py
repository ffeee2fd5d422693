"""Lumenfall's history of requests: what became of one whose response was lost, and what it cost.

Source: https://docs.lumenfall.ai/api-reference/requests/list. The form of a stored response is not documented:
pictures are taken from wherever its `data` is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from bot.catalog.offers import Submit
from bot.domain.clock import Instant, elapsed
from bot.domain.errors import InvalidResponse, ProviderError, SubmitUnknown
from bot.domain.money import Money
from bot.net.http import json_of
from bot.providers.lumenfall.client import LumenfallClient, response_limit
from bot.providers.lumenfall.errors import ErrorDetails, error_details
from bot.providers.lumenfall.request import trace_of, user_of
from bot.providers.lumenfall.schemas import Generated, generated_in, money, request_id_in

LONGEST_DRY_RUN = 30.0
"""Seconds that a dry run may take."""
LISTED_AFTER = 15.0
"""Seconds after which a request that is not in the history never arrived."""
PAGE_SIZE = 100
MAXIMUM_PAGES = 20
"""Two thousand requests in a few minutes are more than one key sends."""
LOOK_BACK = 300.0
"""Seconds that the listing reaches back before the submit: clocks differ, names do not."""
SKEW = 5.0
"""Seconds by which a record may seem older than its submit."""
_FAILED = frozenset({"rejected", "upstream_failure", "cancelled", "canceled", "failed"})
_STATUS = re.compile(r"[a-z_]{1,40}")
_DEEPEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request of the history."""

    request_id: str | None
    status: str
    created_at: Instant | None
    cost: Money | None
    details: ErrorDetails

    @property
    def completed(self) -> bool:
        """Whether its pictures were painted."""
        return self.status == "completed"

    @property
    def failed(self) -> bool:
        """Whether nothing was painted, and nothing will be."""
        return self.status in _FAILED

    def older_than(self, moment: Instant) -> bool:
        """Whether it seems to belong to an earlier submit of the same work."""
        return self.created_at is not None and elapsed(self.created_at, moment) > SKEW


class History:
    """The history of the key's organisation."""

    def __init__(self, client: LumenfallClient) -> None:
        self._client = client

    async def find(self, submit: Submit) -> Record | None:
        """The submit's latest record; None where all requests since then were listed and it is not among them.

        Raises:
            SubmitUnknown: the history cannot be read to its end.
        """
        items: list[Mapping[str, Any]] = []
        after = None
        for _ in range(MAXIMUM_PAGES):
            page = await self._page(submit, after)
            items.extend(page)
            if len(page) < PAGE_SIZE:
                return newest(items, submit)
            last = request_id_in(page[-1].get("id"))
            if last is None or last == after:
                break
            after = last
        if (record := newest(items, submit)) is None:
            raise SubmitUnknown(detail="the history is too long")
        return record

    async def _page(self, submit: Submit, after: str | None) -> list[Mapping[str, Any]]:
        try:
            response = await self._client.request(f"{self._client.native_url}/requests?{query(submit, after)}")
        except ProviderError as error:
            raise SubmitUnknown(detail=f"history {error.detail}") from None
        page = page_in(response)
        if page is None:
            raise SubmitUnknown(detail=f"history {response.status_code}")
        return page

    async def stored(self, record: Record, count: int) -> Generated | None:
        """The pictures of a response that the organisation stores; None where it does not.

        Raises:
            SubmitUnknown: Lumenfall does not say now.
        """
        if record.request_id is None:
            return None
        url = f"{self._client.native_url}/requests/{record.request_id}"
        try:
            response = await self._client.request(url, limit=response_limit(count))
        except InvalidResponse:
            return None
        except ProviderError as error:
            raise SubmitUnknown(detail=f"history {error.detail}") from None
        if response.status_code >= 500 or response.status_code == 429:
            raise SubmitUnknown(detail=f"history {response.status_code}")
        generated = await asyncio.to_thread(_stored_by, response) if response.is_success else None
        return generated and replace(generated, cost=record.cost, request_id=record.request_id)

    async def cost(self, request_id: str | None) -> Money | None:
        """What a request cost whose response did not say so; None where it is not known."""
        if request_id is None:
            return None
        response = await self._client.try_get(f"{self._client.native_url}/requests/{request_id}", briefly=True)
        body = json_of(response) if response is not None and response.is_success else None
        record = record_in(body) if isinstance(body, dict) else None
        # A cost that is not booked yet is listed as zero.
        known = record is not None and record.completed and record.cost != Money()
        return record.cost if record is not None and known else None


def query(submit: Submit, after: str | None) -> str:
    """The query of one page: requests since the submit, after a cursor."""
    since = datetime.fromtimestamp(max(0.0, submit.submitted_at / 1000 - LOOK_BACK), UTC)
    fields = {"created_after": f"{since:%Y-%m-%dT%H:%M:%SZ}", "limit": str(PAGE_SIZE)}
    return urlencode(fields if after is None else {**fields, "starting_after": after})


def page_in(response: httpx.Response) -> list[Mapping[str, Any]] | None:
    """The JSON of a page's records; None where the response is no page."""
    body = json_of(response) if response.is_success else None
    items = body.get("data") if isinstance(body, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else None


def newest(items: Iterable[Mapping[str, Any]], submit: Submit) -> Record | None:
    """The latest record of a submit; where they have no time, the first."""
    user, trace = user_of(submit), trace_of(submit)
    records = [
        record_in(item) for item in items if item.get("user") == user or trace in str(item.get("trace_id")).lower()
    ]
    return max(records, key=lambda record: record.created_at or 0, default=None)


def record_in(item: Mapping[str, Any]) -> Record:
    """A record from its JSON."""
    status = str(item.get("status", "")).lower()
    return Record(
        request_id=request_id_in(item.get("id")),
        status=status if _STATUS.fullmatch(status) else "unknown",
        created_at=_instant(item.get("created_at")),
        cost=money(item.get("cost")),
        details=error_details(item),
    )


def _instant(value: Any) -> Instant | None:
    """From an ISO date or seconds since the epoch."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            value = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        return int(value * 1000) if isinstance(value, int | float) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _stored_by(response: httpx.Response) -> Generated | None:
    return stored_in(json_of(response))


def stored_in(body: Any, depth: int = 0) -> Generated | None:
    """The pictures of a stored response; never those that were sent in."""
    if not isinstance(body, dict) or depth > _DEEPEST:
        return None
    if generated := generated_in(body, {}):
        return generated
    deeper = (stored_in(value, depth + 1) for name, value in body.items() if "request" not in name)
    return next((generated for generated in deeper if generated), None)
