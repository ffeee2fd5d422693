"""Lumenfall's history of requests: what became of one whose answer was lost, and what it cost.

Source: https://docs.lumenfall.ai/api-reference/requests/list. What a stored payload looks like is told nowhere:
pictures are taken from wherever the answer's own `data` lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from bot.catalog.offers import Submit
from bot.domain.clock import Instant
from bot.domain.errors import InvalidResponse, ProviderError, SubmitUnknown
from bot.providers.lumenfall.client import LumenfallClient, room_for
from bot.providers.lumenfall.errors import ErrorDetails, complaint_in
from bot.providers.lumenfall.request import trace_of, user_of
from bot.providers.lumenfall.schemas import Generated, micros, painted_in, request_id_in
from bot.providers.shared.http import Answer

LONGEST_DRY_RUN = 30_000
"""Milliseconds: what a free call may take."""
LISTED_AFTER = 15_000
"""Milliseconds after which a request that is not in the history never arrived."""
PAGE = 100
PAGES = 20
"""Two thousand requests in a few minutes are more than one key sends."""
BACK = 300_000
"""Milliseconds that the listing reaches back before the submit: clocks differ, names do not."""
SKEW = 5_000
"""Milliseconds by which a record may be older than the submit and still be its own without a doubt."""
_FAILED = frozenset({"rejected", "upstream_failure", "cancelled", "canceled", "failed"})
_STATUS = re.compile(r"[a-z_]{1,40}")
_DEEPEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request of the history. `cost` is in micro-dollars."""

    request_id: str | None
    status: str
    created_at: Instant | None
    cost: int | None
    complaint: ErrorDetails

    @property
    def completed(self) -> bool:
        """It was painted."""
        return self.status == "completed"

    @property
    def failed(self) -> bool:
        """Nothing was painted, and nothing will be."""
        return self.status in _FAILED

    def older_than(self, moment: Instant) -> bool:
        """Whether it seems to have come in before, as the record of an earlier submit of the same work."""
        return self.created_at is not None and self.created_at < moment - SKEW


class History:
    """The history that a key may read."""

    def __init__(self, door: LumenfallClient) -> None:
        self._door = door

    async def find(self, order: Submit) -> Record | None:
        """An order's latest record; None where all that came in since has been read and it is not there.

        Raises:
            SubmitUnknown: the history cannot be read to its end.
        """
        items: list[Mapping[str, Any]] = []
        after = None
        for _ in range(PAGES):
            page = await self._page(order, after)
            items.extend(page)
            if len(page) < PAGE:
                return newest(items, order)
            last = request_id_in(page[-1].get("id"))
            if last is None or last == after:
                break
            after = last
        if (found := newest(items, order)) is None:
            raise SubmitUnknown(detail="the history is too long")
        return found

    async def _page(self, order: Submit, after: str | None) -> list[Mapping[str, Any]]:
        try:
            answer = await self._door.ask(f"{self._door.native_url}/requests?{query(order, after)}")
        except ProviderError as error:
            raise SubmitUnknown(detail=f"history {error.detail}") from None
        page = page_in(answer)
        if page is None:
            raise SubmitUnknown(detail=f"history {answer.status}")
        return page

    async def stored(self, record: Record, count: int) -> Generated | None:
        """The pictures of a painting whose answer the organisation keeps; None where it keeps none.

        Raises:
            SubmitUnknown: it does not say now.
        """
        if record.request_id is None:
            return None
        url = f"{self._door.native_url}/requests/{record.request_id}"
        try:
            answer = await self._door.ask(url, limit=room_for(count))
        except InvalidResponse:
            return None
        except ProviderError as error:
            raise SubmitUnknown(detail=f"history {error.detail}") from None
        if answer.status >= 500 or answer.status == 429:
            raise SubmitUnknown(detail=f"history {answer.status}")
        painted = stored_in(answer.json()) if answer.good else None
        return painted and replace(painted, cost=record.cost, request_id=record.request_id)

    async def cost(self, request_id: str | None) -> int | None:
        """What a painting cost in micro-dollars, for an answer that did not say so; None: not known."""
        if request_id is None:
            return None
        answer = await self._door.look(f"{self._door.native_url}/requests/{request_id}", briefly=True)
        body = answer.json() if answer is not None and answer.good else None
        record = record_in(body) if isinstance(body, dict) else None
        # What is not booked yet is listed as nothing.
        return (record.cost or None) if record is not None and record.completed else None


def query(order: Submit, after: str | None) -> str:
    """The query of one page: what came in since the submit, after a cursor."""
    since = datetime.fromtimestamp(max(0, order.submitted_at - BACK) / 1000, UTC)
    asked = {"created_after": f"{since:%Y-%m-%dT%H:%M:%SZ}", "limit": str(PAGE)}
    return urlencode(asked if after is None else {**asked, "starting_after": after})


def page_in(answer: Answer) -> list[Mapping[str, Any]] | None:
    """The records of a page as they came; None where it is no page."""
    body = answer.json() if answer.good else None
    items = body.get("data") if isinstance(body, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else None


def newest(items: Iterable[Mapping[str, Any]], order: Submit) -> Record | None:
    """The latest record of an order; where they have no time, the first."""
    user, trace = user_of(order), trace_of(order)
    ours = [
        record_in(item) for item in items if item.get("user") == user or trace in str(item.get("trace_id")).lower()
    ]
    return max(ours, key=lambda record: record.created_at or 0, default=None)


def record_in(item: Mapping[str, Any]) -> Record:
    """A record from its JSON."""
    status = str(item.get("status", "")).lower()
    return Record(
        request_id=request_id_in(item.get("id")),
        status=status if _STATUS.fullmatch(status) else "unknown",
        created_at=_moment(item.get("created_at")),
        cost=micros(item.get("cost")),
        complaint=complaint_in(item),
    )


def _moment(value: Any) -> Instant | None:
    """An ISO date or seconds since the epoch."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            value = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        return int(value * 1000) if isinstance(value, int | float) else None
    except (TypeError, ValueError, OverflowError):
        return None


def stored_in(body: Any, depth: int = 0) -> Generated | None:
    """The pictures of an answer that the organisation keeps; never those that were sent in."""
    if not isinstance(body, dict) or depth > _DEEPEST:
        return None
    if painted := painted_in(body, {}):
        return painted
    deeper = (stored_in(value, depth + 1) for name, value in body.items() if "request" not in name)
    return next((painted for painted in deeper if painted), None)
