"""What moderators write: limits and grants, each with its row in the ledger. And the notes between starts."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.domain.limits import Limit
from bot.ports import Unit
from bot.storage.ledger import LEDGER
from bot.storage.rows import limit_from


def set_limit(guild_id: int, rule: Limit, now: Instant) -> Unit[list[Limit]]:
    """Give a subject this limit in place of the ones it had for the same unit; returns those."""
    former = yield from clear_limit(guild_id, rule, now, note=False)
    yield (
        "INSERT INTO rules (guild_id, subject_kind, subject_id, unit, window_kind, most, set_by, set_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (guild_id, rule.subject, rule.subject_id, rule.unit, rule.window, rule.limit, rule.set_by, now),
    )
    yield _ledger(guild_id, rule, now, f"{rule.limit} {rule.unit} per {rule.window}", former)
    return former


def clear_limit(guild_id: int, rule: Limit, now: Instant, *, note: bool = True) -> Unit[list[Limit]]:
    """Take a subject's limits of one unit away; returns those that were there."""
    subject = (guild_id, rule.subject, rule.subject_id, rule.unit)
    where = "guild_id = $1 AND subject_kind = $2 AND subject_id = $3 AND unit = $4"
    rows = yield f"DELETE FROM rules WHERE {where} RETURNING *", subject  # noqa: S608 - literals of this module
    former = [limit_from(row) for row in rows]
    if note and former:
        yield _ledger(guild_id, rule, now, "cleared", former)
    return former


def _ledger(
    guild_id: int, rule: Limit, now: Instant, news: str, former: list[Limit]
) -> tuple[str, tuple[object, ...]]:
    before = ", ".join(f"{old.limit} per {old.window}" for old in former) or "none"
    member = rule.subject_id if rule.subject == "member" else None
    reason = f"{rule.subject} {rule.subject_id}: {news}; before: {before}"
    return LEDGER, (now, guild_id, member, None, None, "rule", 0, 0, rule.set_by, reason)


def limits(guild_id: int) -> Unit[list[Limit]]:
    """All the rules of a server."""
    rows = yield (
        "SELECT * FROM rules WHERE guild_id = $1 ORDER BY subject_kind, subject_id, unit, window_kind",
        (guild_id,),
    )
    return [limit_from(row) for row in rows]
