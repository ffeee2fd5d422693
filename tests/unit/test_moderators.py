"""What moderators order of the services: kept, undone, told, and refused where it makes no sense."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.clock import Clock
from bot.domain.errors import InvalidInput, ProviderBusy, ProviderMisconfigured
from bot.domain.money import Money
from bot.domain.providers import ProviderOrder
from bot.routing.router import Router
from bot.storage import provider_orders as stored
from bot.storage.sqlite import Sqlite
from bot.usecases.moderators import ModeratorService
from tests.support.ledger import DAY, DEFAULT, GUILD, MODERATOR, NOW, opened

MODEL = "gpt-image-1.5"


@dataclass
class Office:
    """The moderators' use cases over a real file."""

    database: Sqlite
    routes: Router
    treasury: ModeratorService

    async def order(self, text: str, model: str = MODEL) -> tuple[ProviderOrder | None, ProviderOrder | None]:
        return await self.treasury.route(GUILD, model, text, MODERATOR)

    async def kept(self) -> list[ProviderOrder]:
        return await self.database.read(stored.orders(GUILD))


@asynccontextmanager
async def office(
    tmp_path: Path, services: Sequence[str] = ("fal", "lumenfall", "oxen"), now: int = NOW
) -> AsyncIterator[Office]:
    catalog, clock = Catalog.load(), Clock(now=lambda: now)
    async with opened(tmp_path / "easel.db") as database:
        routes = Router(catalog=catalog, services=services, clock=clock)
        treasury = ModeratorService(
            database=database, catalog=catalog, routes=routes, clock=clock, default_rule=DEFAULT
        )
        yield Office(database, routes, treasury)


def route(*services: str, model: str = MODEL) -> ProviderOrder:
    return ProviderOrder(model=model, services=services, set_by=MODERATOR)


async def test_an_order_is_set_changed_switched_off_and_taken_away(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        assert await desk.order("Lumenfall, fal") == (route("lumenfall", "fal"), None)
        assert await desk.order("fal oxen fal") == (route("fal", "oxen"), route("lumenfall", "fal"))
        assert await desk.order("OFF") == (route(), route("fal", "oxen"))
        assert await desk.kept() == [route()]
        assert await desk.order("default") == (None, route())
        assert await desk.order("default") == (None, None)
        assert await desk.kept() == []


async def test_a_model_may_be_named_by_its_label(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        assert await desk.order("fal", "GPT Image 2") == (route("fal", model="gpt-image-2"), None)


@pytest.mark.parametrize(
    ("order", "model", "sentence"),
    [
        ("", MODEL, "Name the services in order, like fal, lumenfall; or off; or default."),
        (" , ", MODEL, "Name the services in order, like fal, lumenfall; or off; or default."),
        (
            "fal, nobody",
            MODEL,
            "No service “nobody” paints GPT Image 1.5 here. Choose among fal, lumenfall, oxen.",
        ),
        ("off fal", MODEL, "“off” stands alone, without any service."),
        ("oxen", "gpt-image-2", "No service “oxen” paints GPT Image 2 here. Choose among fal."),
        ("fal", "crayons", "Easel has no such model. `/moderate services` shows those there are."),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    tmp_path: Path, order: str, model: str, sentence: str
) -> None:
    async with office(tmp_path) as desk:
        with pytest.raises(InvalidInput) as refusal:
            await desk.order(order, model)
        assert refusal.value.sentence == sentence
        assert await desk.kept() == []


async def test_every_order_is_offered_the_usual_one_first(tmp_path: Path) -> None:
    async with office(tmp_path, ("fal", "oxen")) as desk:
        assert desk.treasury.orders(MODEL) == ["fal, oxen", "oxen, fal", "fal", "oxen", "off", "default"]
        assert desk.treasury.orders("GPT Image 2") == ["fal", "off", "default"]
        assert desk.treasury.orders("crayons") == ["off", "default"]
    async with office(tmp_path) as desk:
        offered = desk.treasury.orders(MODEL)
        assert offered[0] == "fal, lumenfall, oxen"
        # Discord shows 25 at most.
        assert len(offered) == len(set(offered)) == 17
        for order in offered:
            await desk.order(order)


async def test_the_lineup_shows_who_paints_how_they_are_and_what_a_picture_costs(tmp_path: Path) -> None:
    async with office(tmp_path, ("fal", "lumenfall")) as desk:
        desk.routes.failed("fal", ProviderMisconfigured())
        for _ in range(5):
            desk.routes.failed("lumenfall", ProviderBusy())
        await desk.order("lumenfall, fal")
        await desk.order("off", "gpt-image-2")
        first, second, third = await desk.treasury.model_providers(GUILD)
        assert (first.label, first.services) == ("GPT Image 1.5", (("lumenfall", "resting"), ("fal", "locked")))
        assert (first.own, first.price) == (True, Money(50_000))
        assert (second.model, second.services, second.own, second.price) == ("gpt-image-2", (), True, None)
        assert (third.model, third.own) == ("gpt-image-1", False)
        assert [lineup.own for lineup in await desk.treasury.model_providers(GUILD + 1)] == [False] * 3


async def test_a_model_that_nobody_has_is_shown_only_where_a_server_gave_it_an_order(tmp_path: Path) -> None:
    async with office(tmp_path, ("fal",)) as desk:
        await desk.order("fal", "gpt-image-1")
        desk.routes.retired |= {("fal", "gpt-image-1"), ("fal", "gpt-image-2")}
        assert [lineup.model for lineup in await desk.treasury.model_providers(GUILD)] == [MODEL, "gpt-image-1"]
        assert [lineup.model for lineup in await desk.treasury.model_providers(GUILD + 1)] == [MODEL]


async def test_moderators_are_told_only_of_models_that_can_be_had(tmp_path: Path) -> None:
    in_december = NOW + 335 * DAY
    async with office(tmp_path, ("fal", "oxen"), in_december) as desk:
        assert [notice[:14] for notice in desk.treasury.notices()] == ["GPT Image 1.5 ", "GPT Image 1 wa"]
        desk.routes.retired.add(("fal", "gpt-image-1"))
        assert [notice[:14] for notice in desk.treasury.notices()] == ["GPT Image 1.5 "]
