"""Usage: what each subject has reserved and spent, by quarter of an hour and by UTC day.

Every window, in any time zone, is a sum of whole days and of quarters of an hour before the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from bot.domain.clock import Instant
from bot.domain.money import Amount, Money
from bot.ports import Statement, Unit

QUARTER = 15 * 60 * 1000
DAY = 24 * 60 * 60 * 1000
LEVELS = ((0, QUARTER), (1, DAY))

Subject = tuple[int, int]
"""Guild and member. Member 0 is the whole guild; guild 0 with member 0 is the operator."""
OPERATOR: Subject = (0, 0)
Settled = tuple[Amount, Amount]
"""What was reserved, and what was spent of it."""


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
    subjects = ((guild_id, member_id), (guild_id, 0), OPERATOR)
    yield _statement(_ADD, [(*subject, 1, 0, 0, 0) for subject in subjects])


def reserve(amounts: Mapping[Subject, Amount], at: Instant) -> Unit[None]:
    """Add each subject's reservation to the quarter and the day of `at`."""
    rows = [
        (*subject, level, at - at % size, amount.images, amount.money.micros)
        for subject, amount in amounts.items()
        for level, size in LEVELS
    ]
    yield _statement(_ADD, rows)


def settle(changes: Mapping[Subject, Settled], at: Instant) -> Unit[None]:
    """Turn each subject's reservation made at `at` into what was spent."""
    rows = [
        (*subject, level, at - at % size, spent.images, reserved.images, spent.money.micros, reserved.money.micros)
        for subject, (reserved, spent) in changes.items()
        for level, size in LEVELS
    ]
    yield _statement(_SETTLE, rows)


def _statement(sql: str, rows: Sequence[Sequence[int]]) -> Statement:
    """One statement for all rows: each has its price, whatever it does."""
    return _text(sql, len(rows), len(rows[0])), [value for row in rows for value in row]


@lru_cache
def _text(sql: str, rows: int, columns: int) -> str:
    numbers = count(1)
    lists = (
        "(" + ", ".join(f"CAST(${next(numbers)} AS BIGINT)" for _ in range(columns)) + ")" for _ in range(rows)
    )
    return sql.format(rows=", ".join(lists))


def since(subject: Subject, start: Instant) -> Unit[Usage]:
    """The usage of a window that began at `start`."""
    first_whole_day = -(-start // DAY) * DAY
    [row] = yield _SUM, (*subject, start, first_whole_day)
    return Usage(
        spent=Amount(images=row["images_spent"], money=Money(row["micros_spent"])),
        reserved=Amount(images=row["images_reserved"], money=Money(row["micros_reserved"])),
    )


_ADD = """INSERT INTO usage (guild_id, subject_id, level, start, images_reserved, micros_reserved) VALUES {rows}
    ON CONFLICT (guild_id, subject_id, level, start) DO UPDATE SET
    images_reserved = usage.images_reserved + excluded.images_reserved,
    micros_reserved = usage.micros_reserved + excluded.micros_reserved"""

_SETTLE = """UPDATE usage SET
    images_spent = images_spent + column5, images_reserved = images_reserved - column6,
    micros_spent = micros_spent + column7, micros_reserved = micros_reserved - column8
    FROM (VALUES {rows}) AS change
    WHERE guild_id = column1 AND subject_id = column2 AND level = column3 AND start = column4"""

# A window that begins after today's UTC midnight has no whole day: its quarters are summed alone.
_SUM = """SELECT
    CAST(COALESCE(SUM(images_spent), 0) AS BIGINT) AS images_spent,
    CAST(COALESCE(SUM(images_reserved), 0) AS BIGINT) AS images_reserved,
    CAST(COALESCE(SUM(micros_spent), 0) AS BIGINT) AS micros_spent,
    CAST(COALESCE(SUM(micros_reserved), 0) AS BIGINT) AS micros_reserved
    FROM usage WHERE guild_id = $1 AND subject_id = $2 AND
    ((level = 0 AND start >= $3 AND start < $4) OR (level = 1 AND start >= $4))"""
