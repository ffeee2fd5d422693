"""Offers to ask for a failed job's request again with another model, as units: each is a note."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from pydantic import TypeAdapter, ValidationError

from bot.domain.choices import AlternativeModel, RetryOffer
from bot.domain.clock import Instant, later
from bot.domain.money import Money
from bot.ports import Unit
from bot.storage import notes, spool

OFFERED_FOR = 24 * 3600.0
"""Seconds for which an offer can be accepted."""
UPLOADS_KEPT = 15 * 60.0
"""Seconds for which a failed job's uploads are kept for it: they may be large, and are in no message."""
MAX_OFFERS = 10_000
"""How many offers are kept; the oldest go first."""
_RETRY = "retry:"
_Offer = TypeAdapter(RetryOffer)


class RetriedBefore(Exception):
    """The failed job's request was asked for again by the job `job_id`."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(job_id)


class Dearer(Exception):
    """The model costs more by now than was offered: `price` at most."""

    def __init__(self, price: Money) -> None:
        self.price = price
        super().__init__(price)


class UploadsGone(Exception):
    """The failed job's uploads are not kept any more."""


def offer(job_id: int, model: AlternativeModel, now: Instant) -> Unit[None]:
    """Offer to ask for a job's request again with this model."""
    yield from _write(
        RetryOffer(
            job_id=job_id,
            model=model.name,
            price=model.price,
            until=later(now, OFFERED_FOR),
            uploads_until=later(now, UPLOADS_KEPT),
        )
    )
    yield from notes.keep_newest(_RETRY, MAX_OFFERS)


def get(job_id: int, now: Instant) -> Unit[RetryOffer | None]:
    """The offer for a failed job; None where there is none any more, or none that can be read."""
    content = yield from notes.read(_name(job_id))
    if content is None:
        return None
    try:
        found = _Offer.validate_json(content)
    except ValidationError:
        return None
    return found if now < found.until else None


def accept(found: RetryOffer, new_id: int, price: Money, uploads: set[int], now: Instant) -> Unit[None]:
    """Note that the job `new_id` asks for the request again, and give it the failed job's `uploads`, by number.

    `price` is the most that it costs by now.

    Raises:
        RetriedBefore: another job does.
        Dearer: it costs more than was offered.
        UploadsGone: an upload is not kept any more.
    """
    known = (yield from get(found.job_id, now)) or found
    if known.retried_by == new_id:
        return
    if known.retried_by is not None:
        raise RetriedBefore(known.retried_by)
    if known.price is not None and price > known.price:
        raise Dearer(price)
    yield from _write(replace(known, retried_by=new_id))
    if uploads and not uploads <= (yield from spool.move_uploads(found.job_id, new_id)):
        raise UploadsGone


def reprice(found: RetryOffer, price: Money, now: Instant) -> Unit[None]:
    """Offer the same at another price, unless it was accepted meanwhile."""
    known = yield from get(found.job_id, now)
    if known is not None and known.retried_by is None:
        yield from _write(replace(known, price=price))


def expired_uploads(now: Instant) -> Unit[list[int]]:
    """Failed jobs whose uploads were kept for long enough."""
    rows = yield (
        "SELECT DISTINCT spool.job_id AS id FROM spool JOIN jobs ON jobs.id = spool.job_id "
        "WHERE jobs.state = 'failed'",
        (),
    )
    expired = []
    for row in rows:
        found = yield from get(row["id"], now)
        if found is None or found.uploads_until <= now:
            expired.append(int(row["id"]))
    return expired


def _write(found: RetryOffer) -> Unit[None]:
    yield from notes.write(_name(found.job_id), json.dumps(asdict(found), separators=(",", ":")))


def _name(job_id: int) -> str:
    """Names sort like ids."""
    return f"{_RETRY}{max(0, job_id):020d}"
