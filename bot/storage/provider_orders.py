"""The order in which a guild's requests for a model go to providers, each change with its row in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.domain.clock import Instant
from bot.domain.providers import ProviderOrder
from bot.ports import Statement, Unit
from bot.storage.ledger import Entry, append
from bot.storage.rows import provider_order_from


class OrdersChanged(Exception):
    """A guild's own orders are not those that a request was checked with."""


def set_order(guild_id: int, order: ProviderOrder, now: Instant) -> Unit[ProviderOrder | None]:
    """Replace a guild's order for a model; returns the replaced one, None where the guild had none of its own."""
    replaced = yield from _delete(guild_id, order.model)
    providers = " ".join(order.providers)
    yield (
        "INSERT INTO provider_orders (guild_id, model, providers, set_by) VALUES ($1, $2, $3, $4)",
        (guild_id, order.model, providers, order.set_by),
    )
    yield _entry(guild_id, order.model, providers or "switched off", replaced, order.set_by, now)
    return replaced


def clear_order(guild_id: int, model: str, actor_id: int, now: Instant) -> Unit[ProviderOrder | None]:
    """Remove a guild's own order for a model; returns it."""
    removed = yield from _delete(guild_id, model)
    if removed is not None:
        yield _entry(guild_id, model, "cleared", removed, actor_id, now)
    return removed


def orders(guild_id: int) -> Unit[list[ProviderOrder]]:
    """The orders that a guild has of its own."""
    rows = yield "SELECT * FROM provider_orders WHERE guild_id = $1 ORDER BY model", (guild_id,)
    return [provider_order_from(row) for row in rows]


def orders_of(guild_ids: Iterable[int]) -> Unit[dict[int, list[ProviderOrder]]]:
    """The orders that each of these guilds has of its own."""
    found = {}
    for guild_id in guild_ids:
        found[guild_id] = yield from orders(guild_id)
    return found


def expect_orders(guild_id: int, expected: Sequence[ProviderOrder]) -> Unit[None]:
    """Go on only where a guild's own orders are these.

    Raises:
        OrdersChanged: they are others by now.
    """
    if (yield from orders(guild_id)) != list(expected):
        raise OrdersChanged


def _delete(guild_id: int, model: str) -> Unit[ProviderOrder | None]:
    rows = yield "DELETE FROM provider_orders WHERE guild_id = $1 AND model = $2 RETURNING *", (guild_id, model)
    return provider_order_from(rows[0]) if rows else None


def _entry(
    guild_id: int, model: str, change: str, replaced: ProviderOrder | None, actor_id: int, now: Instant
) -> Statement:
    before = "the default" if replaced is None else " ".join(replaced.providers) or "switched off"
    reason = f"services of {model}: {change}; before: {before}"
    return append(Entry(kind="limit", at=now, guild_id=guild_id, actor_id=actor_id, reason=reason))
