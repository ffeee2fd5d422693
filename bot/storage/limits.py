"""The limits that moderators set, each change with its row in the ledger."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.domain.limits import Limit
from bot.ports import Statement, Unit
from bot.storage.ledger import Entry, append
from bot.storage.rows import limit_from


def set_limit(guild_id: int, limit: Limit, now: Instant) -> Unit[list[Limit]]:
    """Replace a subject's limits of the same unit; returns the ones that were replaced."""
    replaced = yield from _delete(guild_id, limit)
    yield (
        "INSERT INTO limits (guild_id, subject_kind, subject_id, unit, window_kind, amount, set_by) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (guild_id, limit.subject, limit.subject_id, limit.unit, limit.window, limit.amount, limit.set_by),
    )
    yield _entry(guild_id, limit, f"{limit.amount} {limit.unit} per {limit.window}", replaced, now)
    return replaced


def clear_limit(guild_id: int, limit: Limit, now: Instant) -> Unit[list[Limit]]:
    """Remove a subject's limits of one unit; returns them."""
    removed = yield from _delete(guild_id, limit)
    if removed:
        yield _entry(guild_id, limit, "cleared", removed, now)
    return removed


def limits(guild_id: int) -> Unit[list[Limit]]:
    """All limits of a guild."""
    rows = yield (
        "SELECT * FROM limits WHERE guild_id = $1 ORDER BY subject_kind, subject_id, unit, window_kind",
        (guild_id,),
    )
    return [limit_from(row) for row in rows]


def _delete(guild_id: int, limit: Limit) -> Unit[list[Limit]]:
    rows = yield (
        "DELETE FROM limits WHERE guild_id = $1 AND subject_kind = $2 AND subject_id = $3 AND unit = $4 "
        "RETURNING *",
        (guild_id, limit.subject, limit.subject_id, limit.unit),
    )
    return [limit_from(row) for row in rows]


def _entry(guild_id: int, limit: Limit, change: str, replaced: list[Limit], now: Instant) -> Statement:
    before = ", ".join(f"{old.amount} per {old.window}" for old in replaced) or "none"
    return append(
        Entry(
            kind="limit",
            at=now,
            guild_id=guild_id,
            member_id=limit.subject_id if limit.subject == "member" else None,
            actor_id=limit.set_by,
            reason=f"{limit.subject} {limit.subject_id}: {change}; before: {before}",
        )
    )
