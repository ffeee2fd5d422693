"""Grants: images on top of a member's limit, each grant with its rows in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.domain.clock import Instant
from bot.domain.money import Amount
from bot.ports import Unit
from bot.storage import usage
from bot.storage.ledger import Entry, append


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A grant that can still be used."""

    id: int
    images_left: int


def grant(guild_id: int, member_id: int, images: int, actor_id: int, reason: str, now: Instant) -> Unit[int]:
    """Give a member images on top of their limit, or with a negative number take granted ones back.

    Returns the change: no more is taken back than is left.
    """
    if images < 0:
        return (yield from _take_back(guild_id, member_id, -images, actor_id, reason, now))
    [row] = yield (
        "INSERT INTO grants (guild_id, member_id, images_left) VALUES ($1, $2, $3) RETURNING id",
        (guild_id, member_id, images),
    )
    yield append(
        Entry(
            kind="grant",
            at=now,
            guild_id=guild_id,
            member_id=member_id,
            grant_id=row["id"],
            amount=Amount(images=images),
            actor_id=actor_id,
            reason=reason,
        )
    )
    return images


def _take_back(guild_id: int, member_id: int, images: int, actor_id: int, reason: str, now: Instant) -> Unit[int]:
    """Take from the newest grants first."""
    yield from usage.lock(guild_id, member_id)
    found = yield from usable(guild_id, member_id, now)
    parts = split(sorted(found, key=lambda grant: -grant.id), images)
    yield from change((grant_id, -part) for grant_id, part in parts)
    for grant_id, part in parts:
        yield append(
            Entry(
                kind="adjust",
                at=now,
                guild_id=guild_id,
                member_id=member_id,
                grant_id=grant_id,
                amount=Amount(images=-part),
                actor_id=actor_id,
                reason=reason,
            )
        )
    return -sum(part for _, part in parts)


def usable(guild_id: int, member_id: int, now: Instant) -> Unit[list[Grant]]:
    """A member's grants that are neither used up nor expired, the one that expires first first."""
    rows = yield (
        "SELECT id, images_left FROM grants WHERE guild_id = $1 AND member_id = $2 AND images_left > 0 "
        "AND (expires_at IS NULL OR expires_at > $3) "
        "ORDER BY CASE WHEN expires_at IS NULL THEN 1 ELSE 0 END, expires_at, id",
        (guild_id, member_id, now),
    )
    return [Grant(id=row["id"], images_left=row["images_left"]) for row in rows]


def split(grants: Sequence[Grant], images: int) -> list[tuple[int, int]]:
    """Grant ids and the images to take from each, in the given order, until `images` are found."""
    parts = []
    for each in grants:
        part = min(images, each.images_left)
        if part:
            parts.append((each.id, part))
            images -= part
    return parts


def change(changes: Iterable[tuple[int, int]]) -> Unit[None]:
    """Add to what is left of grants. Always in one order and after usage, so that no two units deadlock."""
    for grant_id, images in sorted(changes):
        if images:
            yield "UPDATE grants SET images_left = images_left + $2 WHERE id = $1", (grant_id, images)
