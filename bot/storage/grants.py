"""Images that moderators give beside an allowance, or take back."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.ports import Unit
from bot.storage.ledger import LEDGER
from bot.storage.quotas import lock


def grant(guild_id: int, member_id: int, images: int, actor_id: int, reason: str, now: Instant) -> Unit[int]:
    """Give a member images beside their allowance, or take granted ones back; returns the change."""
    if images < 0:
        return (yield from _take_back(guild_id, member_id, -images, actor_id, reason, now))
    rows = yield (
        "INSERT INTO grants (guild_id, member_id, images_left, created_at) VALUES ($1, $2, $3, $4) RETURNING id",
        (guild_id, member_id, images, now),
    )
    yield LEDGER, (now, guild_id, member_id, None, rows[0]["id"], "grant", images, 0, actor_id, reason)
    return images


def _take_back(guild_id: int, member_id: int, images: int, actor_id: int, reason: str, now: Instant) -> Unit[int]:
    """The newest grants first; never more than what can still be used of them."""
    yield from lock(guild_id, member_id, now)
    rows = yield (
        "SELECT id, images_left FROM grants WHERE guild_id = $1 AND member_id = $2 AND images_left > 0 "
        "AND (expires_at IS NULL OR expires_at > $3) ORDER BY id DESC",
        (guild_id, member_id, now),
    )
    taken = 0
    for row in rows:
        piece = min(images - taken, row["images_left"])
        if piece:
            taken += piece
            yield "UPDATE grants SET images_left = images_left - $2 WHERE id = $1", (row["id"], piece)
            yield LEDGER, (now, guild_id, member_id, None, row["id"], "adjust", -piece, 0, actor_id, reason)
    return -taken
