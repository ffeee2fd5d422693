"""Which services a server's requests go to, and which models the services no longer have."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.domain.providers import ProviderOrder
from bot.ports import Unit
from bot.storage.ledger import LEDGER
from bot.storage.rows import provider_order_from


def set_order(guild_id: int, route: ProviderOrder, now: Instant) -> Unit[ProviderOrder | None]:
    """Give a model this order of services in a server; returns the former, None where it had none of its own."""
    former = yield from clear_order(guild_id, route.model, route.set_by, now, note=False)
    services = " ".join(route.services)
    yield (
        "INSERT INTO routes (guild_id, model, services, set_by, set_at) VALUES ($1, $2, $3, $4, $5)",
        (guild_id, route.model, services, route.set_by, now),
    )
    yield _ledger(guild_id, route.model, services or "switched off", former, route.set_by, now)
    return former


def clear_order(
    guild_id: int, model: str, by: int, now: Instant, *, note: bool = True
) -> Unit[ProviderOrder | None]:
    """Take a server's own order for a model away; returns it."""
    rows = yield "DELETE FROM routes WHERE guild_id = $1 AND model = $2 RETURNING *", (guild_id, model)
    former = provider_order_from(rows[0]) if rows else None
    if note and former is not None:
        yield _ledger(guild_id, model, "cleared", former, by, now)
    return former


def _ledger(
    guild_id: int, model: str, news: str, former: ProviderOrder | None, by: int, now: Instant
) -> tuple[str, tuple[object, ...]]:
    before = "the default" if former is None else " ".join(former.services) or "switched off"
    reason = f"services of {model}: {news}; before: {before}"
    return LEDGER, (now, guild_id, None, None, None, "rule", 0, 0, by, reason)


def orders(guild_id: int) -> Unit[list[ProviderOrder]]:
    """The orders that a server has of its own."""
    rows = yield "SELECT * FROM routes WHERE guild_id = $1 ORDER BY model", (guild_id,)
    return [provider_order_from(row) for row in rows]
