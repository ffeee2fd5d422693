"""The moderators' use cases for provider orders: setting, undoing, suggesting and showing them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.domain.clock import Clock
from bot.domain.errors import InvalidInput, ProviderBusy, ProviderMisconfigured
from bot.domain.limits import Limit
from bot.domain.money import Money
from bot.domain.providers import ProviderOrder, ProviderState
from bot.providers.registry import LABELS
from bot.routing.router import Router
from bot.storage import provider_orders as stored
from bot.storage.sqlite import Sqlite, open_sqlite
from bot.usecases.moderators import ModeratorService
from tests.support.catalogs import seed_catalog

MODEL = "gpt-image-1.5"
GUILD, MODERATOR = 11, 44
NOW = 1_767_268_800_000
"""Noon of 1 January 2026, UTC, in milliseconds."""
DAY = 24 * 60 * 60 * 1000
DEFAULT = Limit(subject="everyone", subject_id=0, unit="images", window="day", amount=10)


@dataclass
class Moderation:
    """The moderators' use cases over a real database file."""

    database: Sqlite
    router: Router
    moderators: ModeratorService

    async def set_order(self, text: str, model: str = MODEL) -> tuple[ProviderOrder | None, ProviderOrder | None]:
        return await self.moderators.set_provider_order(GUILD, model, text, MODERATOR)

    async def stored_orders(self) -> list[ProviderOrder]:
        return await self.database.read(stored.orders(GUILD))


@asynccontextmanager
async def open_moderation(
    tmp_path: Path, services: Sequence[str] = ("fal", "lumenfall", "oxen"), now: int = NOW
) -> AsyncIterator[Moderation]:
    catalog, clock = seed_catalog(), Clock(now=lambda: now)
    async with aclosing(await open_sqlite(tmp_path / "easel.db", now)) as database:
        router = Router(catalog=catalog, providers=services, clock=clock)
        moderators = ModeratorService(
            database=database,
            catalog=catalog,
            router=router,
            clock=clock,
            default_limit=DEFAULT,
            provider_labels=LABELS,
        )
        yield Moderation(database, router, moderators)


def order(*services: str, model: str = MODEL) -> ProviderOrder:
    return ProviderOrder(model=model, providers=services, set_by=MODERATOR)


async def test_an_order_is_set_changed_switched_off_and_taken_away(tmp_path: Path) -> None:
    async with open_moderation(tmp_path) as moderation:
        assert await moderation.set_order("Lumenfall, fal") == (order("lumenfall", "fal"), None)
        assert await moderation.set_order("fal oxen fal") == (order("fal", "oxen"), order("lumenfall", "fal"))
        assert await moderation.set_order("OFF") == (order(), order("fal", "oxen"))
        assert await moderation.stored_orders() == [order()]
        assert await moderation.set_order("default") == (None, order())
        assert await moderation.set_order("default") == (None, None)
        assert await moderation.stored_orders() == []


async def test_a_model_may_be_named_by_its_label(tmp_path: Path) -> None:
    async with open_moderation(tmp_path) as moderation:
        assert await moderation.set_order("fal", "GPT Image 2") == (order("fal", model="gpt-image-2"), None)


@pytest.mark.parametrize(
    ("order", "model", "sentence"),
    [
        ("", MODEL, "Name the services in order, like fal, lumenfall; or off; or default."),
        (" , ", MODEL, "Name the services in order, like fal, lumenfall; or off; or default."),
        (
            "fal, midjourney",
            MODEL,
            "No service “midjourney” paints GPT Image 1.5 here. Choose among fal, lumenfall, oxen.",
        ),
        ("off fal", MODEL, "“off” stands alone, without any service."),
        ("oxen", "gpt-image-2", "No service “oxen” paints GPT Image 2 here. Choose among fal."),
        ("fal", "crayons", "Easel has no such model. `/moderate services` shows those there are."),
    ],
)
async def test_an_invalid_order_is_refused_and_changes_nothing(
    tmp_path: Path, order: str, model: str, sentence: str
) -> None:
    async with open_moderation(tmp_path) as moderation:
        with pytest.raises(InvalidInput) as refusal:
            await moderation.set_order(order, model)
        assert refusal.value.sentence == sentence
        assert await moderation.stored_orders() == []


async def test_every_order_is_a_choice_with_the_default_first(tmp_path: Path) -> None:
    async with open_moderation(tmp_path, ("fal", "oxen")) as moderation:
        assert moderation.moderators.provider_order_choices(MODEL) == [
            "fal, oxen",
            "oxen, fal",
            "fal",
            "oxen",
            "off",
            "default",
        ]
        assert moderation.moderators.provider_order_choices("GPT Image 2") == ["fal", "off", "default"]
        assert moderation.moderators.provider_order_choices("crayons") == ["off", "default"]
    async with open_moderation(tmp_path) as moderation:
        offered = moderation.moderators.provider_order_choices(MODEL)
        assert offered[0] == "fal, lumenfall, oxen"
        # Discord shows 25 at most.
        assert len(offered) == len(set(offered)) == 17
        for order in offered:
            await moderation.set_order(order)


async def test_the_table_shows_each_models_providers_their_state_and_the_price(tmp_path: Path) -> None:
    async with open_moderation(tmp_path, ("fal", "lumenfall")) as moderation:
        moderation.router.failed("fal", MODEL, ProviderMisconfigured())
        for _ in range(5):
            moderation.router.failed("lumenfall", MODEL, ProviderBusy())
        await moderation.set_order("lumenfall, fal")
        await moderation.set_order("off", "gpt-image-2")
        first, second, third = await moderation.moderators.model_providers(GUILD)
        assert [(first.label, each.label, each.state) for each in first.providers] == [
            ("GPT Image 1.5", "Lumenfall", ProviderState.PAUSED),
            ("GPT Image 1.5", "fal", ProviderState.MISCONFIGURED),
        ]
        assert (first.set_here, first.price) == (True, Money(50_000))
        assert (second.model, second.providers, second.set_here, second.price) == ("gpt-image-2", (), True, None)
        assert (third.model, third.set_here) == ("gpt-image-1", False)
        assert [shown.set_here for shown in await moderation.moderators.model_providers(GUILD + 1)] == [False] * 3


async def test_a_retired_model_is_shown_only_where_a_server_set_its_order(tmp_path: Path) -> None:
    async with open_moderation(tmp_path, ("fal",)) as moderation:
        await moderation.set_order("fal", "gpt-image-1")
        moderation.router.retired |= {("fal", "gpt-image-1"), ("fal", "gpt-image-2")}
        assert [shown.model for shown in await moderation.moderators.model_providers(GUILD)] == [
            MODEL,
            "gpt-image-1",
        ]
        assert [shown.model for shown in await moderation.moderators.model_providers(GUILD + 1)] == [MODEL]


async def test_moderators_see_notices_of_available_models_only(tmp_path: Path) -> None:
    in_december = NOW + 335 * DAY
    async with open_moderation(tmp_path, ("fal", "oxen"), in_december) as moderation:
        assert [notice[:14] for notice in moderation.moderators.notices()] == ["GPT Image 1.5 ", "GPT Image 1 wa"]
        moderation.router.retired.add(("fal", "gpt-image-1"))
        assert [notice[:14] for notice in moderation.moderators.notices()] == ["GPT Image 1.5 "]
