"""The ledger: a row for whatever changes an allowance or a limit, never edited."""

from __future__ import annotations

LEDGER = (
    "INSERT INTO ledger (at, guild_id, member_id, job_id, grant_id, entry, images, micros, actor_id, reason) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
)
