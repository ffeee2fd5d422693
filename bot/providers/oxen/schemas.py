"""What Oxen's responses look like. Pure functions over JSON, no I/O.

Sources: https://docs.oxen.ai/inference-api/reference/async_queue, its neighbours image_generation and
image_editing, and https://docs.oxen.ai/fine-tuning-api/get-generation-details.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import Field

from bot.domain.clock import Instant
from bot.domain.content import Content
from bot.domain.errors import InvalidResponse
from bot.domain.money import Money
from bot.providers.shared.inline import Text, beginning, is_data_uri, is_text, picture_in
from bot.providers.shared.tickets import StoredTicketData

NAME: Final = "oxen"
MAXIMUM_IDS = 16
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_HIGHEST_PRICE = 100
"""Dollars: more is taken for no price."""
_LINK_LIMIT = 8192
_LINK = re.compile(r"\b(?:https?|data):\S+")
_ERROR_KEYS = ("error", "errors", "error_message", "message", "detail", "title", "status_message")
_ALIASES = {"canceled": "cancelled", "completed": "succeeded", "success": "succeeded", "error": "failed"}


# Tickets


class TicketData(StoredTicketData):
    """A ticket's data: ids of rows in the queue, or links where the response had the pictures.

    `room` is the size of the submit in bytes, since rows repeat it.
    """

    ids: tuple[Annotated[str, Field(pattern=f"^{_ID.pattern}$")], ...] = Field((), max_length=MAXIMUM_IDS)
    urls: tuple[str, ...] = Field((), max_length=MAXIMUM_IDS, repr=False)
    model: str = ""
    room: int = Field(0, ge=0, le=268_435_456)
    submitted_at: Instant = 0


# Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One generation: one picture. `echo` are its short texts, among them the submitted parameters."""

    id: str
    status: str
    link: Text | None = field(default=None, repr=False)
    error: str = field(default="", repr=False)
    model: str | None = None
    prompt: str | None = field(default=None, repr=False)
    enqueued_at: Instant | None = None
    cost: Decimal | None = None
    """US dollars."""
    cost_garbled: bool = False
    """Whether it has a cost that is no amount."""
    echo: dict[str, str] = field(default_factory=dict, repr=False)


def row_in(body: Any) -> Row | None:
    """The row of a response, bare or inside `generation`; None where there is none."""
    fields = body.get("generation") if isinstance(body, dict) and "generation" in body else body
    if not isinstance(fields, dict) or not isinstance(status := fields.get("status"), str):
        return None
    link = fields.get("result_url")
    status = _ALIASES.get(status.lower(), status.lower())
    if status not in ("queued", "processing", "succeeded", "failed", "cancelled") and is_text(link):
        status = "succeeded"
    cost = fields.get("cost")
    return Row(
        id=_text(fields.get("generation_id")) or "",
        status=status,
        link=link if is_text(link) and link else None,
        error=error_text({"error": fields.get("error_message") or fields.get("error")}),
        model=_text(fields.get("model_name")),
        prompt=_text(fields.get("prompt")),
        enqueued_at=_instant(fields.get("enqueued_at")),
        cost=dollars(cost),
        cost_garbled=cost is not None and dollars(cost) is None,
        echo={name: value for name, value in fields.items() if isinstance(value, str) and len(value) < 100},
    )


def rows_in(body: Any) -> list[Row] | None:
    """The rows of a list that have an id; None where it is no list."""
    listed = body.get("generations") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        return None
    return [row for row in map(row_in, listed) if row is not None and _ID.fullmatch(row.id)]


def ids_in(body: Any) -> tuple[str, ...] | None:
    """The ids in the response to a submit; None where it lists no generations."""
    if not isinstance(body, dict):
        return None
    listed = body.get("generations", [body] if "generation_id" in body else None)
    if not isinstance(listed, list):
        return None
    values = [item.get("generation_id") for item in listed if isinstance(item, dict)]
    ids = [value for value in values if isinstance(value, str) and _ID.fullmatch(value)]
    if listed and not ids:
        return None
    return tuple(dict.fromkeys(ids))[:MAXIMUM_IDS]


def generated_in(body: Any) -> tuple[tuple[str, ...], tuple[Content, ...]]:
    """Links and contents of the pictures in a response. Slow where there are large ones."""
    listed = body.get("images") if isinstance(body, dict) else None
    links, contents = [], []
    for item in listed[:MAXIMUM_IDS] if isinstance(listed, list) else ():
        image = item if isinstance(item, dict) else {}
        link, encoded = image.get("url"), image.get("b64_json")
        if isinstance(link, str) and 0 < len(link) <= _LINK_LIMIT and not is_data_uri(link):
            links.append(link)
            continue
        inline = next((text for text in (encoded, link) if is_text(text) and text), None)
        with suppress(InvalidResponse):
            contents += [] if inline is None else [picture_in(inline)]
    return tuple(links), tuple(contents)


def error_text(body: Any) -> str:
    """All texts of a response that may describe an error, in lower case and without links."""
    fields = body if isinstance(body, dict) else {}
    texts = [text for key in _ERROR_KEYS for text in _texts(fields.get(key))]
    return _LINK.sub(" ", " ".join(texts)).lower()


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if is_text(value):
        yield beginning(value, 2000)
    elif depth < 3 and isinstance(value, dict | list):
        for item in [*(value.values() if isinstance(value, dict) else value)][:20]:
            yield from _texts(item, depth + 1)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _instant(value: Any) -> Instant | None:
    """From Unix seconds, as documented; milliseconds and ISO dates are read as well."""
    try:
        if isinstance(value, str) and not value.isdigit():
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        number = float(value)
        return int(number if number > 100_000_000_000 else number * 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


# Money


def dollars(value: Any) -> Decimal | None:
    """An amount in US dollars, from a text or a number; None where it is no price."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _HIGHEST_PRICE else None


def money(amount: Decimal) -> Money:
    """Dollars in whole micro-dollars, rounded up."""
    return Money(int((amount * 1_000_000).to_integral_value(ROUND_CEILING)))
