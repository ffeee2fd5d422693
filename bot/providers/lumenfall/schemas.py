"""What Lumenfall's responses look like: pictures and prices. Pure functions, no I/O.

Sources: https://docs.lumenfall.ai/api-reference/images/generate and https://docs.lumenfall.ai/cost-estimation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from bot.domain.content import Content
from bot.domain.errors import InvalidResponse
from bot.domain.money import Money
from bot.providers.shared.inline import PICTURE_LIMIT, is_data_uri, is_text, picture_in
from bot.providers.shared.tickets import StoredTicketData

REQUEST_ID = "x-lumenfall-request-id"
_LINK_LIMIT = 4096
_HIGHEST_PRICE = 1000
"""Dollars: more is taken for no price."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class TicketData(StoredTicketData):
    """A ticket's data. `cost` is in micro-dollars, `kept` counts the pictures in the spool."""

    request_id: str | None = None
    links: tuple[str, ...] = ()
    kept: int = 0
    cost: int | None = None

    @property
    def price(self) -> Money | None:
        """The cost; None where the response did not say it."""
        return None if self.cost is None else Money(self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Pictures of a response: links that expire, and contents that no other response will bring."""

    links: tuple[str, ...] = field(default=(), repr=False)
    contents: tuple[Content, ...] = field(default=(), repr=False)
    cost: Money | None = None
    request_id: str | None = None

    def __bool__(self) -> bool:
        return bool(self.links or self.contents)


def generated_in(body: Any, headers: Mapping[str, str]) -> Generated | None:
    """The pictures of a response, or None where it is none with pictures. Slow where there are large ones."""
    if not isinstance(body, dict) or not isinstance(items := body.get("data"), list):
        return None
    results = [result for result in map(_result, items) if result]
    return Generated(
        links=tuple(result for result in results if isinstance(result, str)),
        contents=tuple(result for result in results if not isinstance(result, str)),
        cost=cost_in(body),
        request_id=request_id_in(headers.get(REQUEST_ID)) or request_id_in(body.get("id")),
    )


def _result(item: Any) -> str | Content | None:
    """A link or the bytes; None where there is neither."""
    if not isinstance(item, dict):
        return None
    link = item.get("url")
    if is_text(link) and link:
        if is_data_uri(link):
            return content_of(link)
        return link if isinstance(link, str) and len(link) <= _LINK_LIMIT else None
    return content_of(item.get("b64_json"))


def content_of(text: Any, limit: int = PICTURE_LIMIT) -> Content | None:
    """At most `limit` bytes in base64 or in a data URI; None where it is neither. Slow for a large one."""
    try:
        return picture_in(text, limit) or None if is_text(text) else None
    except InvalidResponse:
        return None


def request_id_in(value: Any) -> str | None:
    """An id that may be part of a path."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


# Money


def cost_in(body: Mapping[str, Any]) -> Money | None:
    """The cost that a response states; None where it states none, or nonsense."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or str(metadata.get("cost_currency") or "USD").upper() != "USD":
        return None
    return money(metadata.get("cost"))


def estimate_in(body: Any) -> Money | None:
    """The price that a dry run states, in either of the two documented forms."""
    if not isinstance(body, dict):
        return None
    total = body.get("total_cost_micros")
    if isinstance(total, int) and not isinstance(total, bool) and 0 <= total <= _HIGHEST_PRICE * 1_000_000:
        return Money(total)
    return cost_in(body)


def money(dollars: Any) -> Money | None:
    """An amount in dollars, rounded up to whole micro-dollars; None where it is no price."""
    amount = decimal(dollars)
    if amount is None or not 0 <= amount <= _HIGHEST_PRICE:
        return None
    return Money(int((amount * 1_000_000).to_integral_value(ROUND_CEILING)))


def decimal(value: Any) -> Decimal | None:
    """A finite number, from a JSON number or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
