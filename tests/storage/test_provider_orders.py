"""Which services a server's requests go to, and which models are gone: kept, undone, and in the books."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.providers import ProviderOrder
from bot.storage import notes
from bot.storage import provider_orders as routes
from bot.storage.sqlite import Sqlite
from tests.support.ledger import GUILD, MODERATOR, NOW, opened, query

MODEL = "gpt-image-1.5"
BOTH = ProviderOrder(model=MODEL, services=("lumenfall", "fal"), set_by=MODERATOR)
ONE = ProviderOrder(model=MODEL, services=("oxen",), set_by=MODERATOR + 1)
OFF = ProviderOrder(model=MODEL, services=(), set_by=MODERATOR)


async def reasons(database: Sqlite) -> list[tuple[int, str]]:
    """Who changed the services, and what the books say of it."""
    rows = await database.read(query("SELECT * FROM ledger ORDER BY id"))
    assert all((row["entry"], row["images"], row["micros"]) == ("rule", 0, 0) for row in rows)
    assert all(row["guild_id"] == GUILD and row["member_id"] is None for row in rows)
    return [(row["actor_id"], row["reason"]) for row in rows]


async def test_an_order_is_kept_as_it_was_given_and_only_for_that_server(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        assert await database.write(routes.set_order(GUILD, BOTH, NOW)) is None
    async with opened(tmp_path / "easel.db") as database:
        assert await database.read(routes.orders(GUILD)) == [BOTH]
        assert await database.read(routes.orders(GUILD + 1)) == []


async def test_a_new_order_takes_the_place_of_the_former_which_can_be_put_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(routes.set_order(GUILD, BOTH, NOW))
        former = await database.write(routes.set_order(GUILD, ONE, NOW))
        assert former == BOTH
        assert await database.read(routes.orders(GUILD)) == [ONE]
        assert await database.write(routes.set_order(GUILD, former, NOW)) == ONE
        assert await database.read(routes.orders(GUILD)) == [BOTH]
        assert await reasons(database) == [
            (MODERATOR, f"services of {MODEL}: lumenfall fal; before: the default"),
            (MODERATOR + 1, f"services of {MODEL}: oxen; before: lumenfall fal"),
            (MODERATOR, f"services of {MODEL}: lumenfall fal; before: oxen"),
        ]


async def test_a_model_that_is_switched_off_is_another_thing_than_one_without_an_order(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(routes.set_order(GUILD, OFF, NOW))
        assert await database.read(routes.orders(GUILD)) == [OFF]
        assert await database.write(routes.clear_order(GUILD, MODEL, MODERATOR, NOW)) == OFF
        assert await database.read(routes.orders(GUILD)) == []
        assert await reasons(database) == [
            (MODERATOR, f"services of {MODEL}: switched off; before: the default"),
            (MODERATOR, f"services of {MODEL}: cleared; before: switched off"),
        ]


async def test_clearing_what_is_not_there_changes_and_notes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(routes.set_order(GUILD, BOTH, NOW))
        for guild, model in ((GUILD, "gpt-image-2"), (GUILD + 1, MODEL)):
            assert await database.write(routes.clear_order(guild, model, MODERATOR, NOW)) is None
        assert await database.read(routes.orders(GUILD)) == [BOTH]
        assert len(await reasons(database)) == 1


async def test_every_model_has_an_order_of_its_own(tmp_path: Path) -> None:
    other = ProviderOrder(model="gpt-image-1", services=("fal",), set_by=MODERATOR)
    async with opened(tmp_path / "easel.db") as database:
        for route in (BOTH, other):
            await database.write(routes.set_order(GUILD, route, NOW))
        assert await database.read(routes.orders(GUILD)) == [other, BOTH]
        await database.write(routes.clear_order(GUILD, MODEL, MODERATOR, NOW))
        assert await database.read(routes.orders(GUILD)) == [other]


@pytest.mark.parametrize("model", ["gpt-image-1.5", "a:b:c", "50%_off"])
async def test_a_retired_model_stays_so_after_a_restart_until_it_is_back(tmp_path: Path, model: str) -> None:
    async with opened(tmp_path / "easel.db") as database:
        assert await database.read(notes.retired()) == set()
        for provider in ("fal", "oxen", "oxen"):
            await database.write(notes.retire(provider, model, NOW))
    async with opened(tmp_path / "easel.db") as database:
        assert await database.read(notes.retired()) == {("fal", model), ("oxen", model)}
        await database.write(notes.unretire("fal", model))
        await database.write(notes.unretire("fal", "never-heard-of"))
        assert await database.read(notes.retired()) == {("oxen", model)}


async def test_other_notes_retire_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(notes.write_note("commands", "retired:fal:gpt-image-1.5"))
        await database.write(notes.write_note("not-retired:fal:x", "1"))
        assert await database.read(notes.retired()) == set()
