"""Reserving, settling and releasing, as units. Every change of usage has its rows in the ledger.

A member's images come out of the window first and out of grants next, the grant that expires first first;
they are given back in the opposite order. A member's usage counts what came out of the window; the usage of
the guild and of the operator counts everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Literal
from zoneinfo import ZoneInfo

from bot.domain.clock import Instant
from bot.domain.errors import QuotaExceeded
from bot.domain.jobs import Job
from bot.domain.limits import Allowance, Limit, applicable_limits
from bot.domain.money import Amount, Money
from bot.domain.requests import Requester
from bot.domain.windows import WindowBounds, window_bounds
from bot.ports import Row, Unit
from bot.storage import grants, usage
from bot.storage.ledger import Entry, EntryKind, append
from bot.storage.rows import limit_from


@dataclass(frozen=True, slots=True, kw_only=True)
class _LimitUsage:
    """A limit, its window, and what was used of it, in the limit's own unit."""

    limit: Limit
    window: WindowBounds
    spent: int
    reserved: int

    @property
    def left(self) -> int:
        return max(0, self.limit.amount - self.spent - self.reserved)

    @property
    def is_cap(self) -> bool:
        """Whether grants do not lift it."""
        return self.limit.stops or self.limit.subject in ("guild", "operator")

    def has_room(self, wanted: Amount, granted: int) -> bool:
        if self.limit.unit == "micros":
            free = self.limit.stops and wanted.images > 0  # what costs nothing is refused as well
            return wanted.money.micros <= self.left and not free
        return wanted.images <= self.images_left(wanted, granted)

    def images_left(self, wanted: Amount, granted: int) -> int:
        """Images that there is room for; a limit of money is counted at the price of the wanted ones."""
        if self.limit.unit == "micros":
            return self.left * wanted.images // max(1, wanted.money.micros)
        return self.left + (0 if self.is_cap else granted)


def reserve(job: Job, wanted: Amount, default_limit: Limit) -> Unit[Allowance]:
    """Take `wanted` out of every limit that applies, or nothing at all; returns the allowance that is left.

    It counts for the instant at which the job was created, also when more is reserved later.

    Raises:
        QuotaExceeded: one of the limits has no room.
    """
    requester, at = job.requester, job.created_at
    member = (requester.guild_id, requester.user_id)
    yield from usage.lock(*member)
    used = yield from _limit_usages(requester, default_limit, at)
    usable = yield from grants.usable(*member, at)
    granted = sum(grant.images_left for grant in usable)
    from_window = _images_from_window(used, wanted, granted)
    from_grants = grants.split(usable, wanted.images - from_window)
    of_window = replace(wanted, images=from_window)
    yield from usage.reserve({member: of_window} | dict.fromkeys(usage.totals(requester.guild_id), wanted), at)
    yield from grants.change((grant_id, -images) for grant_id, images in from_grants)
    yield append(_entry("reserve", job, of_window, at))
    for grant_id, images in from_grants:
        yield append(_entry("reserve", job, Amount(images=images), at, grant_id))
    after = [_with_reserved(each, wanted if each.is_cap else of_window) for each in used]
    return _allowance(after, granted - (wanted.images - from_window))


def settle(job: Job, spent: Amount, now: Instant) -> Unit[None]:
    """Turn a job's reservation into what was really used and release the rest.

    The charge belongs to the window in which it was reserved. It may be higher than what was reserved: the
    provider's price is the truth.
    """
    requester, reserved = job.requester, job.reserved
    rows = yield (
        "SELECT grant_id, images FROM ledger WHERE job_id = $1 AND entry = 'reserve' ORDER BY id DESC",
        (job.id,),
    )
    released = _released(rows, reserved.images - spent.images)
    released_to_grants = sum(images for grant_id, images in released if grant_id is not None)
    granted = sum(row["images"] for row in rows if row["grant_id"] is not None) - released_to_grants
    member = (requester.guild_id, requester.user_id)
    reserved_in_window = sum(row["images"] for row in rows if row["grant_id"] is None)
    of_window = (replace(reserved, images=reserved_in_window), replace(spent, images=spent.images - granted))
    totals = dict.fromkeys(usage.totals(requester.guild_id), (reserved, spent))
    yield from usage.settle({member: of_window} | totals, job.created_at)
    yield from grants.change((grant_id, images) for grant_id, images in released if grant_id is not None)
    if spent != Amount():
        yield append(_entry("settle", job, spent, now))
    money = max(Money(), reserved.money - spent.money)
    for grant_id, images in released:
        amount = Amount(images=images, money=money if grant_id is None else Money())
        if grant_id is None:
            money = Money()  # once, however many rows reserved it
        if amount != Amount():
            yield append(_entry("release", job, amount, now, grant_id))


def allowance(requester: Requester, default_limit: Limit, now: Instant) -> Unit[Allowance]:
    """What the member may still spend, in images, and the narrowest limit."""
    used = yield from _limit_usages(requester, default_limit, now)
    usable = yield from grants.usable(requester.guild_id, requester.user_id, now)
    return _allowance(used, sum(grant.images_left for grant in usable))


def _limit_usages(requester: Requester, default_limit: Limit, now: Instant) -> Unit[list[_LimitUsage]]:
    guild_id = requester.guild_id
    zones = yield "SELECT time_zone FROM guilds WHERE id = $1", (guild_id,)
    zone = ZoneInfo(zones[0]["time_zone"] if zones else "UTC")
    rows = yield (
        "SELECT * FROM limits WHERE guild_id = $1 OR (guild_id = 0 AND subject_kind = 'operator')",
        (guild_id,),
    )
    found: dict[tuple[usage.Subject, Instant], usage.Usage] = {}
    used = []
    for limit in applicable_limits(map(limit_from, rows), requester, default_limit):
        subject = {"guild": (guild_id, 0), "operator": usage.OPERATOR}.get(
            limit.subject, (guild_id, requester.user_id)
        )
        window = window_bounds(limit.window, now, UTC if limit.subject == "operator" else zone)
        key = (subject, window.start)
        if key not in found:
            found[key] = yield from usage.since(*key)
        spent, reserved = _in_unit(found[key].spent, limit.unit), _in_unit(found[key].reserved, limit.unit)
        used.append(_LimitUsage(limit=limit, window=window, spent=spent, reserved=reserved))
    return used


def _in_unit(amount: Amount, unit: Literal["images", "micros"]) -> int:
    return amount.images if unit == "images" else amount.money.micros


def _with_reserved(used: _LimitUsage, amount: Amount) -> _LimitUsage:
    return replace(used, reserved=used.reserved + _in_unit(amount, used.limit.unit))


def _images_from_window(used: Sequence[_LimitUsage], wanted: Amount, granted: int) -> int:
    """How many images come out of the window; the rest comes out of grants.

    Raises:
        QuotaExceeded: names the narrowest of the limits that have no room.
    """
    full = [each for each in used if not each.has_room(wanted, granted)]
    if full:
        narrowest = _narrowest(full, wanted, granted)
        left = narrowest.images_left(wanted, granted)
        raise QuotaExceeded(wanted=wanted.images, left=left, resets_at=narrowest.window.end, limit=narrowest.limit)
    return min([wanted.images, *(each.left for each in used if each.limit.unit == "images" and not each.is_cap)])


def _narrowest(used: Iterable[_LimitUsage], wanted: Amount, granted: int) -> _LimitUsage:
    """The limit with the least room; of several, one that stops everything, then the one that ends last."""
    return min(used, key=lambda each: (each.images_left(wanted, granted), not each.limit.stops, -each.window.end))


def _allowance(used: Sequence[_LimitUsage], granted: int) -> Allowance:
    narrowest = _narrowest((each for each in used if each.limit.unit == "images"), Amount(), granted)
    return Allowance(
        total=narrowest.limit.amount,
        spent=narrowest.spent,
        reserved=narrowest.reserved,
        granted=0 if narrowest.is_cap else granted,
        resets_at=narrowest.window.end,
        limit=narrowest.limit,
    )


def _released(rows: Sequence[Row], unused: int) -> list[tuple[int | None, int]]:
    """Grant id, or None for the window, and images for each row that reserved, the last reserved first."""
    released: list[tuple[int | None, int]] = []
    for row in rows:
        images = max(0, min(unused, row["images"]))
        unused -= images
        released.append((row["grant_id"], images))
    return released


def _entry(kind: EntryKind, job: Job, amount: Amount, at: Instant, grant_id: int | None = None) -> Entry:
    requester = job.requester
    return Entry(
        kind=kind,
        at=at,
        guild_id=requester.guild_id,
        member_id=requester.user_id,
        job_id=job.id,
        grant_id=grant_id,
        amount=amount,
        actor_id=requester.user_id,
    )
