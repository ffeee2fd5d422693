"""The ledger: append-only, a row for each movement of pictures and money and for each change by a moderator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.domain.clock import Instant
from bot.domain.money import Amount
from bot.ports import Statement

EntryKind = Literal["reserve", "settle", "release", "grant", "adjust", "limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row. `member_id` is None where no member's allowance is concerned, `actor_id` 0 where Easel acts."""

    kind: EntryKind
    at: Instant
    guild_id: int
    member_id: int | None = None
    job_id: int | None = None
    grant_id: int | None = None
    amount: Amount = Amount()
    actor_id: int = 0
    reason: str | None = None


def append(entry: Entry) -> Statement:
    """The statement that appends an entry."""
    return (
        "INSERT INTO ledger (at, guild_id, member_id, job_id, grant_id, entry, images, micros, actor_id, reason) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        (
            entry.at,
            entry.guild_id,
            entry.member_id,
            entry.job_id,
            entry.grant_id,
            entry.kind,
            entry.amount.images,
            entry.amount.money.micros,
            entry.actor_id,
            entry.reason,
        ),
    )
