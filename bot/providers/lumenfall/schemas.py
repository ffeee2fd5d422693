"""What Lumenfall's answers mean: pictures, prices, refusals. Pure functions over answers, no I/O.

Sources: https://docs.lumenfall.ai/api-reference/images/generate, https://docs.lumenfall.ai/cost-estimation and
https://docs.lumenfall.ai/errors.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from bot.domain.errors import InvalidResponse
from bot.providers.shared.http import read_data_uri

REQUEST_ID = "x-lumenfall-request-id"
PICTURE_LIMIT = 33_554_432
_LINK_LIMIT = 4096
_DEAREST = 1000
"""Dollars: what claims to cost more is no price."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Pictures as they came: links that expire, and bytes that come only once. `cost` is in micro-dollars."""

    links: tuple[str, ...] = field(default=(), repr=False)
    kept: tuple[bytes, ...] = field(default=(), repr=False)
    cost: int | None = None
    request_id: str | None = None

    def __bool__(self) -> bool:
        return bool(self.links or self.kept)


def painted_in(body: Any, headers: Mapping[str, str]) -> Generated | None:
    """The pictures of an answer; None where it is no answer to a request for pictures."""
    if not isinstance(body, dict) or not isinstance(items := body.get("data"), list):
        return None
    found = [item for item in map(_picture, items) if item]
    return Generated(
        links=tuple(item for item in found if isinstance(item, str)),
        kept=tuple(item for item in found if isinstance(item, bytes)),
        cost=cost_in(body),
        request_id=request_id_in(headers.get(REQUEST_ID)) or request_id_in(body.get("id")),
    )


def _picture(item: Any) -> str | bytes | None:
    """A link, or the bytes; None where there is neither."""
    if not isinstance(item, dict):
        return None
    link = item.get("url")
    if isinstance(link, str) and link:
        if link[:5].lower() == "data:":
            return content_of(link)
        return link if len(link) <= _LINK_LIMIT else None
    return content_of(item.get("b64_json"))


def content_of(text: Any) -> bytes | None:
    """The bytes behind base64 or a data URI; None where it is neither."""
    if not isinstance(text, str):
        return None
    try:
        if text[:5].lower() == "data:":
            return read_data_uri(text, PICTURE_LIMIT) or None
        return base64.b64decode(text) or None
    except (InvalidResponse, binascii.Error, ValueError):
        return None


def request_id_in(value: Any) -> str | None:
    """An id that may stand in a path."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


# Money


def cost_in(body: Mapping[str, Any]) -> int | None:
    """What an answer says that it cost, in micro-dollars; None where it says nothing sensible."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or str(metadata.get("cost_currency") or "USD").upper() != "USD":
        return None
    return micros(metadata.get("cost"))


def estimate_in(body: Any) -> int | None:
    """What a dry run says that it would cost, in either of the two shapes that are told of."""
    if not isinstance(body, dict):
        return None
    total = body.get("total_cost_micros")
    if isinstance(total, int) and not isinstance(total, bool) and 0 <= total <= _DEAREST * 1_000_000:
        return total
    return cost_in(body)


def micros(dollars: Any) -> int | None:
    """Dollars as micro-dollars, rounded up; None for what is no price."""
    amount = decimal(dollars)
    if amount is None or not 0 <= amount <= _DEAREST:
        return None
    return int((amount * 1_000_000).to_integral_value(ROUND_CEILING))


def decimal(value: Any) -> Decimal | None:
    """A finite number, from a JSON number or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
