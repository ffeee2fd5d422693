"""What Oxen's answers look like, and what its error texts mean. Pure functions over JSON, no I/O.

Sources: https://docs.oxen.ai/inference-api/reference/async_queue, its neighbours image_generation and
image_editing, and https://docs.oxen.ai/fine-tuning-api/get-generation-details. Oxen tells a bad parameter, a
forbidden prompt and an unreachable picture only as a failed row's text, whose wording is not written down
anywhere: it is read for what it is about and never shown, because it may repeat links and prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.domain.clock import Instant
from bot.domain.errors import InvalidResponse, TicketLost
from bot.domain.jobs import Ticket
from bot.domain.money import Money
from bot.providers.shared.http import read_data_uri

NAME: Final = "oxen"
PICTURE_LIMIT = 33_554_432
MOST_IDS = 16
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DEAREST = 100
"""Dollars: what claims to cost more is no price."""
_LINK_LIMIT = 8192
_LINK = re.compile(r"\b(?:https?|data):\S+")
_ERROR_KEYS = ("error", "errors", "error_message", "message", "detail", "title", "status_message")
_ALIASES = {"canceled": "cancelled", "completed": "succeeded", "success": "succeeded", "error": "failed"}


# Tickets


class TicketData(BaseModel):
    """What a ticket holds: ids where the queue has the work, links where it was painted at once.

    `room` is how many bytes the submit had: rows repeat it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ids: tuple[Annotated[str, Field(pattern=f"^{_ID.pattern}$")], ...] = Field((), max_length=MOST_IDS)
    urls: tuple[str, ...] = Field((), max_length=MOST_IDS, repr=False)
    model: str = ""
    room: int = Field(0, ge=0, le=268_435_456)
    submitted_at: Instant = 0

    @classmethod
    def of(cls, ticket: Ticket) -> TicketData:
        """Read a ticket; `TicketLost` where that cannot be done."""
        try:
            return cls.model_validate(ticket.data)
        except ValidationError:
            raise TicketLost(detail="ticket unreadable") from None


# Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One generation: one picture. `echo` are the short ones of the submitted parameters, which it repeats."""

    id: str
    status: str
    link: str | None = field(default=None, repr=False)
    error: str = field(default="", repr=False)
    model: str | None = None
    prompt: str | None = field(default=None, repr=False)
    enqueued_at: Instant | None = None
    cost: Decimal | None = None
    """US dollars."""
    cost_garbled: bool = False
    echo: dict[str, str] = field(default_factory=dict, repr=False)


def row_in(body: Any) -> Row | None:
    """The row of an answer, bare or inside `generation`; None where there is none."""
    said = body.get("generation") if isinstance(body, dict) and "generation" in body else body
    if not isinstance(said, dict) or not isinstance(status := said.get("status"), str):
        return None
    link = said.get("result_url")
    status = _ALIASES.get(status.lower(), status.lower())
    if status not in ("queued", "processing", "succeeded", "failed", "cancelled") and isinstance(link, str):
        status = "succeeded"
    cost = said.get("cost")
    return Row(
        id=_text(said.get("generation_id")) or "",
        status=status,
        link=_text(link),
        error=words_in({"error": said.get("error_message") or said.get("error")}),
        model=_text(said.get("model_name")),
        prompt=_text(said.get("prompt")),
        enqueued_at=_instant(said.get("enqueued_at")),
        cost=dollars(cost),
        cost_garbled=cost is not None and dollars(cost) is None,
        echo={name: value for name, value in said.items() if isinstance(value, str) and len(value) < 100},
    )


def rows_in(body: Any) -> list[Row] | None:
    """The rows of a list that can be told apart; None where it is no list."""
    listed = body.get("generations") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        return None
    return [row for row in map(row_in, listed) if row is not None and _ID.fullmatch(row.id)]


def ids_in(body: Any) -> tuple[str, ...] | None:
    """The ids that a submit was given; None where the answer does not speak of generations."""
    if not isinstance(body, dict):
        return None
    listed = body.get("generations", [body] if "generation_id" in body else None)
    if not isinstance(listed, list):
        return None
    found = [item.get("generation_id") for item in listed if isinstance(item, dict)]
    ids = [given for given in found if isinstance(given, str) and _ID.fullmatch(given)]
    if listed and not ids:
        return None
    return tuple(dict.fromkeys(ids))[:MOST_IDS]


def painted_in(body: Any) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Links and bytes of the pictures that an answer holds."""
    listed = body.get("images") if isinstance(body, dict) else None
    links, kept = [], []
    for item in listed[:MOST_IDS] if isinstance(listed, list) else ():
        said = item if isinstance(item, dict) else {}
        link, encoded = _text(said.get("url")), _text(said.get("b64_json"))
        if link is not None and len(link) <= _LINK_LIMIT and link[:5].lower() != "data:":
            links.append(link)
        elif inside := f"data:;base64,{encoded}" if encoded else link:
            with suppress(InvalidResponse):
                kept.append(read_data_uri(inside, PICTURE_LIMIT))
    return tuple(links), tuple(kept)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _instant(value: Any) -> Instant | None:
    """Unix seconds, as documented; milliseconds and ISO dates are understood as well."""
    try:
        if isinstance(value, str) and not value.isdigit():
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        number = float(value)
        return int(number if number > 100_000_000_000 else number * 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


# Money


def dollars(value: Any) -> Decimal | None:
    """An amount in US dollars, as text or as a number; None where it is no sensible one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _DEAREST else None


def money(amount: Decimal) -> Money:
    """Dollars in whole micro-dollars, rounded up."""
    return Money(int((amount * 1_000_000).to_integral_value(ROUND_CEILING)))


def words_in(body: Any) -> str:
    """All that an answer says about an error, in lower case and without links."""
    said = body if isinstance(body, dict) else {}
    found = [text for key in _ERROR_KEYS for text in _texts(said.get(key))]
    return _LINK.sub(" ", " ".join(found)).lower()


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:2000]
    elif depth < 3 and isinstance(value, dict | list):
        for item in [*(value.values() if isinstance(value, dict) else value)][:20]:
            yield from _texts(item, depth + 1)
