"""Matches rows of Oxen's generation list to submits whose response was lost.

Oxen knows no idempotency key, so rows are matched by prompt and time. Two submits of one process may have the same
prompt: rows that belong to one are never taken for the other.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from bot.catalog.offers import Submit
from bot.domain.clock import elapsed
from bot.domain.errors import SubmitUnknown
from bot.providers.oxen.client import Listing
from bot.providers.oxen.schemas import Row

REMEMBERED = 10_000
SKEW = 5.0
"""Seconds that Oxen's clock may be behind, beyond what its responses admit; its rows have whole seconds."""


class SubmitMatcher:
    """What this process knows of its own submits."""

    def __init__(self) -> None:
        self._assigned: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._in_flight: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def submitting(self, submit: Submit) -> Iterator[None]:
        """Within the block, matching rows may belong to this submit."""
        kind = _kind(submit)
        self._in_flight[kind] += 1
        try:
            yield
        finally:
            self._in_flight[kind] -= 1
            if not self._in_flight[kind]:
                del self._in_flight[kind]

    def assign(self, submit: Submit, ids: Collection[str]) -> None:
        """These belong to this submit: ids, or links where the response had no ids."""
        for generation_id in ids:
            self._assigned[generation_id] = _identity(submit)
        while len(self._assigned) > REMEMBERED:
            self._assigned.popitem(last=False)

    def match(self, submit: Submit, listing: Listing, taken: Collection[str]) -> tuple[str, ...]:
        """The ids that are this submit's, at most its count; assign them before the next await.

        `taken` are ids and links that belong to others.

        Raises:
            SubmitUnknown: matching rows are there, and may belong to another submit.
        """
        rows = {row.id: row for row in listing.rows if _matches(row, submit)}
        identity = _identity(submit)
        free = [
            row
            for row in rows.values()
            if not any(
                name in taken or self._assigned.get(name, identity) != identity
                for name in (row.id, row.link)
                if isinstance(name, str)
            )
        ]
        slack = SKEW + listing.behind
        matches = [
            row
            for row in free
            if row.enqueued_at is not None and elapsed(row.enqueued_at, submit.submitted_at) <= slack
        ]
        if matches and self._in_flight[_kind(submit)]:
            raise SubmitUnknown(detail="the same is being submitted just now", under_way=True)
        if not matches and any(row.enqueued_at is None for row in free):
            raise SubmitUnknown(detail="rows without a time", under_way=True)
        matches.sort(key=lambda row: (_differences(row, submit), row.enqueued_at))
        return tuple(row.id for row in matches[: submit.count])


def _identity(submit: Submit) -> tuple[int, int]:
    return submit.job_id, submit.part


def _kind(submit: Submit) -> tuple[str, str]:
    return submit.provider_request.offer.model, _normalised(submit.provider_request.request.prompt)


def _matches(row: Row, submit: Submit) -> bool:
    model, prompt = _kind(submit)
    return row.model in (None, model) and row.prompt is not None and _normalised(row.prompt) == prompt


def _differences(row: Row, submit: Submit) -> int:
    """How many options the row shows differently: no proof, since Oxen may normalise them, but they go last."""
    return sum(row.echo.get(name, value) != value for name, value in submit.provider_request.fields.items())


def _normalised(text: str) -> str:
    return " ".join(text.split())


def merged(listings: Sequence[Listing]) -> Listing:
    """Several lists as one."""
    rows = tuple(row for listing in listings for row in listing.rows)
    return Listing(rows, max((listing.behind for listing in listings), default=0.0))
