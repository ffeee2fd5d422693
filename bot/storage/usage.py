"""Usage: what each subject has reserved and spent, by quarter of an hour and by UTC day.

Every window, in any time zone, is a sum of whole days and of quarters of an hour before the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.domain.clock import Instant
from bot.domain.money import Amount, Money
from bot.ports import Unit

QUARTER = 15 * 60 * 1000
DAY = 24 * 60 * 60 * 1000
LEVELS = ((0, QUARTER), (1, DAY))

Subject = tuple[int, int]
"""Guild and member. Member 0 is the whole guild; guild 0 with member 0 is the operator."""
OPERATOR: Subject = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a subject has used since an instant."""

    spent: Amount
    reserved: Amount


def totals(guild_id: int) -> Iterable[Subject]:
    """The subjects whose usage counts everything: the guild and the operator, the same one outside of a guild."""
    return dict.fromkeys(((guild_id, 0), OPERATOR))


def lock(guild_id: int, member_id: int) -> Unit[None]:
    """Lock the rows that every reservation meets, in one order: the member's, the guild's, the operator's.

    An upsert locks its row on PostgreSQL, which makes the reads that follow safe; SQLite has only one writer.
    The row is the subject's first day, whatever the time: around midnight, two processes whose clocks differ
    must meet at the same row.
    """
    for subject in ((guild_id, member_id), (guild_id, 0), OPERATOR):
        yield _ADD, (*subject, 1, 0, 0, 0)


def reserve(subject: Subject, at: Instant, amount: Amount) -> Unit[None]:
    """Add a reservation to the quarter and the day of `at`."""
    for level, size in LEVELS:
        yield _ADD, (*subject, level, at - at % size, amount.images, amount.money.micros)


def settle(subject: Subject, at: Instant, reserved: Amount, spent: Amount) -> Unit[None]:
    """Turn a reservation made at `at` into what was spent."""
    change = (spent.images, reserved.images, spent.money.micros, reserved.money.micros)
    for level, size in LEVELS:
        yield _SETTLE, (*subject, level, at - at % size, *change)


def since(subject: Subject, start: Instant) -> Unit[Usage]:
    """The usage of a window that began at `start`."""
    first_whole_day = -(-start // DAY) * DAY
    [row] = yield _SUM, (*subject, start, first_whole_day)
    return Usage(
        spent=Amount(images=row["images_spent"], money=Money(row["micros_spent"])),
        reserved=Amount(images=row["images_reserved"], money=Money(row["micros_reserved"])),
    )


_ADD = """INSERT INTO usage (guild_id, subject_id, level, start, images_reserved, micros_reserved)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (guild_id, subject_id, level, start) DO UPDATE SET
    images_reserved = usage.images_reserved + excluded.images_reserved,
    micros_reserved = usage.micros_reserved + excluded.micros_reserved"""

_SETTLE = """UPDATE usage SET
    images_spent = images_spent + $5, images_reserved = images_reserved - $6,
    micros_spent = micros_spent + $7, micros_reserved = micros_reserved - $8
    WHERE guild_id = $1 AND subject_id = $2 AND level = $3 AND start = $4"""

# A window that begins after today's UTC midnight has no whole day: its quarters are summed alone.
_SUM = """SELECT
    CAST(COALESCE(SUM(images_spent), 0) AS BIGINT) AS images_spent,
    CAST(COALESCE(SUM(images_reserved), 0) AS BIGINT) AS images_reserved,
    CAST(COALESCE(SUM(micros_spent), 0) AS BIGINT) AS micros_spent,
    CAST(COALESCE(SUM(micros_reserved), 0) AS BIGINT) AS micros_reserved
    FROM usage WHERE guild_id = $1 AND subject_id = $2 AND
    ((level = 0 AND start >= $3 AND start < $4) OR (level = 1 AND start >= $4))"""
