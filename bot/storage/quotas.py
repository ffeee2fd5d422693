"""Reserving, settling and giving back, as units. Every change of usage has its rows in the ledger.

A member's images come out of the window first and out of grants next, the grant that expires first first;
they are given back in the opposite order. Usage of a member counts what came out of the window; usage of the
server and of the operator counts everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from zoneinfo import ZoneInfo

from bot.domain import limits, windows
from bot.domain.clock import Instant
from bot.domain.errors import QuotaExceeded
from bot.domain.limits import Allowance, Limit
from bot.domain.money import Amount, Money
from bot.domain.requests import Requester
from bot.ports import Row, Unit
from bot.storage.ledger import LEDGER
from bot.storage.rows import limit_from

QUARTER = 15 * 60 * 1000
DAY = 24 * 60 * 60 * 1000
OPERATOR = (0, 0)
"""Guild and subject of the operator's own usage."""


@dataclass(frozen=True, slots=True)
class _LimitUsage:
    """A rule, its window, and what was used of it."""

    rule: Limit
    window: windows.WindowBounds
    spent: int
    reserved: int

    @property
    def left(self) -> int:
        return max(0, self.rule.limit - self.spent - self.reserved)

    @property
    def caps(self) -> bool:
        """Whether grants do not lift it."""
        return self.rule.subject in ("guild", "operator")

    def has_room(self, wanted: Amount, granted: int) -> bool:
        if self.rule.unit == "micros":
            return wanted.money.micros <= self.left
        return wanted.images <= self.pictures(wanted, granted)

    def pictures(self, wanted: Amount, granted: int) -> int:
        """How many there is room for; where money is counted, at the price of those that are wanted."""
        if self.rule.unit == "micros":
            return self.left * wanted.images // max(1, wanted.money.micros)
        return self.left + (0 if self.caps else granted)


def lock(guild_id: int, member_id: int, now: Instant) -> Unit[None]:
    """Take the rows that every reservation meets, in one order: the member's, the guild's, the operator's.

    An upsert locks its row on PostgreSQL, which makes the reading that follows safe; on SQLite there is only
    one writer. The row is a subject's first day, whatever the time is: around midnight, two processes whose
    clocks differ must meet in the same one.
    """
    for guild, subject in ((guild_id, member_id), (guild_id, 0), OPERATOR):
        yield _ADD, (guild, subject, 1, 0, 0, 0, 0, 0)


def reserve(job_id: int, requester: Requester, wanted: Amount, default: Limit, now: Instant) -> Unit[Allowance]:
    """Take `wanted` out of everything that holds, or nothing at all.

    Raises:
        QuotaExceeded: one of the limits has no room.
    """
    guild, member = requester.guild_id, requester.user_id
    yield from lock(guild, member, now)
    used = yield from _used(requester, default, now)
    grants = yield from _grants(guild, member, now)
    granted = sum(row["images_left"] for row in grants)
    from_window = _room(used, wanted, granted)
    yield from _add_usage(guild, member, now, Amount(images=from_window, money=wanted.money), reserved=1)
    for subject in _above(guild):
        yield from _add_usage(*subject, now, wanted, reserved=1)
    from_grants = _split(grants, wanted.images - from_window)
    yield from _change_grants([(grant_id, -images) for grant_id, images in from_grants])
    for grant_id, images in [(None, from_window), *from_grants]:
        money = wanted.money if grant_id is None else Money()
        entry = Amount(images=images, money=money)
        yield _write(now, guild, member, job_id, grant_id, "reserve", entry, member)
    return (yield from allowance(requester, default, now))


def _room(used: Sequence[_LimitUsage], wanted: Amount, granted: int) -> int:
    """How many images come out of the window; raises where there is no room, for the narrowest limit."""
    full = [item for item in used if not item.has_room(wanted, granted)]
    if full:
        item = _narrowest(full, wanted, granted)
        left = item.pictures(wanted, granted)
        raise QuotaExceeded(wanted=wanted.images, left=left, resets_at=item.window.end, rule=item.rule)
    own = [item.left for item in used if item.rule.unit == "images" and not item.caps]
    return min([wanted.images, *own])


def _narrowest(used: Sequence[_LimitUsage], wanted: Amount, granted: int) -> _LimitUsage:
    """The one with the least room; of several, the one that lasts longest."""
    return min(used, key=lambda item: (item.pictures(wanted, granted), -item.window.end))


def _above(guild: int) -> Iterable[tuple[int, int]]:
    """Whose usage counts everything: the guild's and the operator's, which are one outside of any guild."""
    return dict.fromkeys(((guild, 0), OPERATOR))


def _change_grants(changes: Iterable[tuple[int, int]]) -> Unit[None]:
    """Always in one order and after usage, so that two units never wait for each other."""
    for grant_id, change in sorted(changes):
        if change:
            yield "UPDATE grants SET images_left = images_left + $2 WHERE id = $1", (grant_id, change)


def _split(grants: Sequence[Row], images: int) -> list[tuple[int, int]]:
    pieces = []
    for row in grants:
        piece = min(images, row["images_left"])
        if piece:
            pieces.append((row["id"], piece))
            images -= piece
    return pieces


def settle(
    job_id: int, guild: int, member: int, reserved: Amount, spent: Amount, reserved_at: Instant, now: Instant
) -> Unit[None]:
    """Turn a reservation into what was really used and give the rest back; nothing used is a refund.

    The charge belongs to the window in which it was reserved. It may be dearer than what was reserved: the
    service's word is the truth.
    """
    rows = yield (
        "SELECT grant_id, images FROM ledger WHERE job_id = $1 AND entry = 'reserve' ORDER BY id DESC",
        (job_id,),
    )
    back = max(0, reserved.images - spent.images)
    beyond = max(0, spent.images - reserved.images)
    window_reserved = sum(row["images"] for row in rows if row["grant_id"] is None)
    returned: list[tuple[int | None, int]] = []
    for row in rows:
        piece = min(back, row["images"])
        back -= piece
        returned.append((row["grant_id"], piece))
    window_back = sum(piece for grant_id, piece in returned if grant_id is None)
    window_spent = Amount(images=window_reserved - window_back + beyond, money=spent.money)
    window = Amount(images=window_reserved, money=reserved.money)
    yield from _move_usage(guild, member, reserved_at, window, window_spent)
    for subject in _above(guild):
        yield from _move_usage(*subject, reserved_at, reserved, spent)
    yield from _change_grants([(grant_id, piece) for grant_id, piece in returned if grant_id is not None])
    if spent.images or spent.money.micros:
        yield _write(now, guild, member, job_id, None, "settle", spent, member)
    money_back = Money(max(0, reserved.money.micros - spent.money.micros))
    for grant_id, piece in returned:
        entry = Amount(images=piece, money=money_back if grant_id is None else Money())
        if grant_id is None:
            money_back = Money()  # once, however often was reserved
        if entry != Amount():
            yield _write(now, guild, member, job_id, grant_id, "refund", entry, member)


def allowance(requester: Requester, default: Limit, now: Instant) -> Unit[Allowance]:
    """What the member may still spend, in images, and the narrowest rule."""
    used = yield from _used(requester, default, now)
    grants = yield from _grants(requester.guild_id, requester.user_id, now)
    images = [item for item in used if item.rule.unit == "images"]
    granted = sum(row["images_left"] for row in grants)
    narrowest = _narrowest(images, Amount(), granted)
    return Allowance(
        limit=narrowest.rule.limit,
        spent=narrowest.spent,
        reserved=narrowest.reserved,
        granted=0 if narrowest.caps else granted,
        resets_at=narrowest.window.end,
        why=narrowest.rule,
    )


def _used(requester: Requester, default: Limit, now: Instant) -> Unit[list[_LimitUsage]]:
    guild = requester.guild_id
    zones = yield "SELECT time_zone FROM guilds WHERE id = $1", (guild,)
    zone = ZoneInfo(zones[0]["time_zone"] if zones else "UTC")
    rows = yield (
        "SELECT * FROM rules WHERE guild_id = $1 OR (guild_id = 0 AND subject_kind = 'operator')",
        (guild,),
    )
    used = []
    for rule in limits.applicable_limits(map(limit_from, rows), requester, default):
        subject = {"guild": (guild, 0), "operator": OPERATOR}.get(rule.subject, (guild, requester.user_id))
        window = windows.window_bounds(rule.window, now, UTC if rule.subject == "operator" else zone)
        whole_days = -(-window.start // DAY) * DAY
        sums = yield _SUMS[rule.unit], (*subject, window.start, whole_days)
        used.append(_LimitUsage(rule, window, sums[0]["spent"], sums[0]["reserved"]))
    return used


def _grants(guild: int, member: int, now: Instant) -> Unit[list[Row]]:
    return (
        yield (
            "SELECT id, images_left FROM grants WHERE guild_id = $1 AND member_id = $2 AND images_left > 0 "
            "AND (expires_at IS NULL OR expires_at > $3) "
            "ORDER BY CASE WHEN expires_at IS NULL THEN 1 ELSE 0 END, expires_at, id",
            (guild, member, now),
        )
    )


def _add_usage(guild: int, subject: int, at: Instant, amount: Amount, *, reserved: int) -> Unit[None]:
    images, micros = amount.images * reserved, amount.money.micros * reserved
    for level, size in ((0, QUARTER), (1, DAY)):
        yield _ADD, (guild, subject, level, at - at % size, 0, images, 0, micros)


def _move_usage(guild: int, subject: int, at: Instant, reserved: Amount, spent: Amount) -> Unit[None]:
    for level, size in ((0, QUARTER), (1, DAY)):
        change = (spent.images, -reserved.images, spent.money.micros, -reserved.money.micros)
        yield _MOVE, (guild, subject, level, at - at % size, *change)


def _write(
    now: Instant,
    guild: int,
    member: int,
    job_id: int | None,
    grant_id: int | None,
    entry: str,
    amount: Amount,
    actor: int,
    reason: str | None = None,
) -> tuple[str, tuple[object, ...]]:
    values = (now, guild, member, job_id, grant_id, entry, amount.images, amount.money.micros, actor, reason)
    return LEDGER, values


_ADD = """INSERT INTO usage
    (guild_id, subject_id, level, start, images_spent, images_reserved, micros_spent, micros_reserved)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (guild_id, subject_id, level, start) DO UPDATE SET
    images_spent = usage.images_spent + excluded.images_spent,
    images_reserved = usage.images_reserved + excluded.images_reserved,
    micros_spent = usage.micros_spent + excluded.micros_spent,
    micros_reserved = usage.micros_reserved + excluded.micros_reserved"""

_MOVE = """UPDATE usage SET
    images_spent = images_spent + $5, images_reserved = images_reserved + $6,
    micros_spent = micros_spent + $7, micros_reserved = micros_reserved + $8
    WHERE guild_id = $1 AND subject_id = $2 AND level = $3 AND start = $4"""


def _sums(unit: str) -> str:
    """Whole days from $4 on, and the quarters of an hour between the window's start and that day.

    A window that begins later than today's UTC midnight has no whole day: its quarters are summed alone.
    """
    # `unit` is one of two literals below, never a person's text.
    return (
        f"SELECT CAST(COALESCE(SUM({unit}_spent), 0) AS BIGINT) AS spent, "  # noqa: S608
        f"CAST(COALESCE(SUM({unit}_reserved), 0) AS BIGINT) AS reserved FROM usage "
        "WHERE guild_id = $1 AND subject_id = $2 AND "
        "((level = 0 AND start >= $3 AND start < $4) OR (level = 1 AND start >= $4))"
    )


_SUMS = {"images": _sums("images"), "micros": _sums("micros")}
