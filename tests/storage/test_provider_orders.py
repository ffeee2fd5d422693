"""Provider orders of guilds and retired models: stored, replaced, removed, and noted in the ledger."""

from __future__ import annotations

from pathlib import Path

from bot.domain.providers import ProviderOrder
from bot.storage import provider_orders
from bot.storage.sqlite import Sqlite
from tests.support.ledger import (
    GUILD,
    MODERATOR,
    NOW,
    open_database,
    query,
)

MODEL = "gpt-image-1.5"
BOTH = ProviderOrder(model=MODEL, providers=("lumenfall", "fal"), set_by=MODERATOR)
ONE = ProviderOrder(model=MODEL, providers=("oxen",), set_by=MODERATOR + 1)
OFF = ProviderOrder(model=MODEL, providers=(), set_by=MODERATOR)


async def reasons(database: Sqlite) -> list[tuple[int, str]]:
    """Actor and reason of every row in the ledger."""
    rows = await database.read(query("SELECT * FROM ledger ORDER BY id"))
    assert all((row["entry"], row["images"], row["micros"]) == ("limit", 0, 0) for row in rows)
    assert all(row["guild_id"] == GUILD and row["member_id"] is None for row in rows)
    return [(row["actor_id"], row["reason"]) for row in rows]


async def test_an_order_is_stored_for_its_guild_alone(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.write(provider_orders.set_order(GUILD, BOTH, NOW)) is None
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.read(provider_orders.orders(GUILD)) == [BOTH]
        assert await database.read(provider_orders.orders(GUILD + 1)) == []


async def test_a_new_order_replaces_the_previous_one_which_can_be_restored(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(provider_orders.set_order(GUILD, BOTH, NOW))
        previous = await database.write(provider_orders.set_order(GUILD, ONE, NOW))
        assert previous == BOTH
        assert await database.read(provider_orders.orders(GUILD)) == [ONE]
        assert await database.write(provider_orders.set_order(GUILD, previous, NOW)) == ONE
        assert await database.read(provider_orders.orders(GUILD)) == [BOTH]
        assert await reasons(database) == [
            (MODERATOR, f"services of {MODEL}: lumenfall fal; before: the default"),
            (MODERATOR + 1, f"services of {MODEL}: oxen; before: lumenfall fal"),
            (MODERATOR, f"services of {MODEL}: lumenfall fal; before: oxen"),
        ]


async def test_a_model_that_is_switched_off_differs_from_one_without_an_order(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(provider_orders.set_order(GUILD, OFF, NOW))
        assert await database.read(provider_orders.orders(GUILD)) == [OFF]
        assert await database.write(provider_orders.clear_order(GUILD, MODEL, MODERATOR, NOW)) == OFF
        assert await database.read(provider_orders.orders(GUILD)) == []
        assert await reasons(database) == [
            (MODERATOR, f"services of {MODEL}: switched off; before: the default"),
            (MODERATOR, f"services of {MODEL}: cleared; before: switched off"),
        ]


async def test_clearing_where_no_order_is_set_changes_and_notes_nothing(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(provider_orders.set_order(GUILD, BOTH, NOW))
        for guild, model in ((GUILD, "gpt-image-2"), (GUILD + 1, MODEL)):
            assert await database.write(provider_orders.clear_order(guild, model, MODERATOR, NOW)) is None
        assert await database.read(provider_orders.orders(GUILD)) == [BOTH]
        assert len(await reasons(database)) == 1


async def test_every_model_has_an_order_of_its_own(tmp_path: Path) -> None:
    other = ProviderOrder(model="gpt-image-1", providers=("fal",), set_by=MODERATOR)
    async with open_database(tmp_path / "easel.db") as database:
        for order in (BOTH, other):
            await database.write(provider_orders.set_order(GUILD, order, NOW))
        assert await database.read(provider_orders.orders(GUILD)) == [other, BOTH]
        await database.write(provider_orders.clear_order(GUILD, MODEL, MODERATOR, NOW))
        assert await database.read(provider_orders.orders(GUILD)) == [other]
