"""Whose generations are whose, and which of a list are those of a submit whose answer was lost.

Oxen knows no idempotency key, so they are told by prompt and time. Two submits of one process may have the same
prompt: what one was given, or takes, the other does not.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from bot.catalog.offers import Submit
from bot.domain.errors import SubmitUnknown
from bot.providers.oxen.client import Listing
from bot.providers.oxen.schemas import Row

REMEMBERED = 10_000
SLACK = 5_000
"""Milliseconds that Oxen's clock may be behind, beside what its answers admit; its rows know only seconds."""


class SubmitMatcher:
    """What this process knows of its own submits."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._under_way: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def submitting(self, order: Submit) -> Iterator[None]:
        """While it lasts, rows like this order's may belong to it."""
        kind = _kind(order)
        self._under_way[kind] += 1
        try:
            yield
        finally:
            self._under_way[kind] -= 1
            if not self._under_way[kind]:
                del self._under_way[kind]

    def give(self, order: Submit, ids: Collection[str]) -> None:
        """These belong to this submit, by their ids, or by their links where it was told no more."""
        for generation_id in ids:
            self._given[generation_id] = _submit(order)
        while len(self._given) > REMEMBERED:
            self._given.popitem(last=False)

    def match(self, order: Submit, listing: Listing, taken: Collection[str]) -> tuple[str, ...]:
        """The ids that are this order's, at most as many as it asked for. To be given without waiting between.

        `taken` are ids and links that belong to others.

        Raises:
            SubmitUnknown: rows like it are there, and nobody can tell whose they are.
        """
        since = order.submitted_at - SLACK - listing.behind
        rows = {row.id: row for row in listing.rows if _is_like(row, order)}
        ours = _submit(order)
        free = [
            row
            for row in rows.values()
            if not any(name in taken or self._given.get(name, ours) != ours for name in (row.id, row.link or ""))
        ]
        found = [row for row in free if row.enqueued_at is not None and row.enqueued_at >= since]
        if found and self._under_way[_kind(order)]:
            raise SubmitUnknown(detail="the same is being submitted just now")
        if not found and any(row.enqueued_at is None for row in free):
            raise SubmitUnknown(detail="rows without a time")
        found.sort(key=lambda row: (_differences(row, order), row.enqueued_at))
        return tuple(row.id for row in found[: order.count])


def _submit(order: Submit) -> tuple[int, int]:
    return order.job_id, order.part


def _kind(order: Submit) -> tuple[str, str]:
    return order.fit.offer.model, _plain(order.fit.request.prompt)


def _is_like(row: Row, order: Submit) -> bool:
    same_model = row.model in (None, order.fit.offer.model)
    return same_model and row.prompt is not None and _plain(row.prompt) == _plain(order.fit.request.prompt)


def _differences(row: Row, order: Submit) -> int:
    """How many options it repeats otherwise: no proof, for they may be normalised, but a reason to come later."""
    return sum(row.echo.get(name, value) != value for name, value in order.fit.fields.items())


def _plain(text: str) -> str:
    return " ".join(text.split())


def merged(listings: Sequence[Listing]) -> Listing:
    """Several lists as one."""
    rows = tuple(row for listing in listings for row in listing.rows)
    return Listing(rows, max((listing.behind for listing in listings), default=0))
