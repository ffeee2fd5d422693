"""A service no longer has a model: the next one is asked; where all say so, the successor, for its price."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.app import App
from bot.domain.clock import Clock
from bot.domain.limits import Limit
from bot.providers.health import refresh
from bot.storage import limits as rules
from tests.support.world.providers import MODEL, asked, first, micros, moderate, moderator
from tests.support.world.world import World, assert_one_picture

TOLD = "GPT Image 1.5 was switched off; GPT Image 2 paints in its place."


async def retire_everywhere(house: World, app: App) -> None:
    """All three no longer have the model: Oxen says so when it is asked, the others when they get work."""
    house.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")
    await refresh(app.services, app.routes, app.database, app.clock)
    house.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    house.lumenfall.faults.set("model_disabled", endpoint="gpt-image-1.5")


def notes_of_models(house: World) -> set[str]:
    return {row["name"] for row in house.rows("SELECT name FROM notes WHERE name LIKE 'retired:%'")}


async def test_a_service_that_says_gone_is_not_asked_again_for_that_model_not_even_after_a_restart(
    three: World,
) -> None:
    three.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    for number in range(2):
        async with three.bot():
            job = await three.imagine(f"boat {number}")
            await three.picture(job)
            await three.ended(job)
            assert three.job(job)["provider"] == "lumenfall"
    async with three.bot():
        other = await three.imagine(model="gpt-image-2")
        await three.picture(other)
        await three.ended(other)
        assert three.job(other)["provider"] == "fal"
    assert asked(three) == (2, 2, 0)
    assert notes_of_models(three) == {"retired:fal:gpt-image-1.5"}


async def test_a_model_that_no_service_has_any_more_is_painted_by_its_successor_for_its_own_price(
    three: World,
) -> None:
    async with three.bot() as app:
        await retire_everywhere(three, app)
        job = await three.imagine(quality="high", size="square")
        card = await three.card(job)
        message = await assert_one_picture(three, job)
        assert TOLD not in card["content"]
        assert TOLD in message["content"]
        assert "GPT Image 2" in message["content"]
        row = three.job(job)
        assert (row["model"], row["provider"]) == ("gpt-image-2", "fal")
        reserved = micros(three, job, "reserve")
        assert reserved == micros(three, job, "settle") + micros(three, job, "refund") >= 220_000
        later = await three.imagine("another boat")
        assert TOLD in (await three.card(later))["content"]
        assert TOLD in (await three.picture(later))["content"]
        await three.ended(later)
    assert asked(three) == (3, 0, 0)
    assert notes_of_models(three) == {f"retired:{name}:{MODEL}" for name in ("fal", "lumenfall", "oxen")}
    open_usage = three.rows("SELECT SUM(micros_reserved) AS micros FROM usage")
    assert open_usage[0]["micros"] == 0


async def test_no_room_in_a_limit_for_what_the_successor_costs_more_refunds_the_job_and_says_so(
    three: World,
) -> None:
    async with three.bot() as app:
        await retire_everywhere(three, app)
        limit = Limit(subject="everyone", subject_id=0, unit="micros", window="day", limit=170_000)
        await app.database.write(rules.set_limit(three.guild, limit, app.clock.now()))
        job = await three.imagine(quality="high", size="square")
        told = await three.whisper(job)
        assert await three.ended(job) == "failed"
        await three.card_gone(job)
    assert told.startswith("You asked for 1 picture and have 0 left.")
    assert micros(three, job, "reserve") == micros(three, job, "refund") < 170_000
    assert three.job(job)["charged_micros"] == 0
    assert asked(three) == (1, 0, 0)


async def test_what_the_successor_cannot_do_is_refunded_and_said(three: World) -> None:
    async with three.bot() as app:
        await retire_everywhere(three, app)
        job = await three.imagine(background="transparent")
        told = await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert "GPT Image 2" in told
    assert "background" in told
    assert three.entries(job) == {"reserve": 1, "refund": 1}
    assert three.job(job)["charged_micros"] == 0


async def test_a_model_that_a_service_has_again_is_used_again(three: World) -> None:
    three.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    async with three.bot() as app:
        await three.painted()
        three.fal.faults.clear()
        await three.painted("a second boat")
        assert asked(three) == (1, 2, 0)
        await refresh(app.services, app.routes, app.database, app.clock)
        await three.painted("a third boat")
    assert asked(three) == (2, 2, 0)
    assert notes_of_models(three) == set()


async def test_a_model_that_a_service_does_not_list_any_more_is_not_even_asked_for_there(three: World) -> None:
    three.lumenfall.faults.set("model_disabled")
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal")) as app:
        await refresh(app.services, app.routes, app.database, app.clock)
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert three.job(job)["provider"] == "fal"
    assert asked(three) == (1, 0, 0)
    assert notes_of_models(three) == {"retired:lumenfall:gpt-image-1.5", "retired:lumenfall:gpt-image-1"}


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ((2026, 1, 1), ""),
        ((2026, 11, 20), "GPT Image 1.5 is announced to be switched off on 1 December 2026."),
        ((2026, 12, 5), "GPT Image 1.5 was announced to be switched off on 1 December 2026 and may stop"),
    ],
)
async def test_moderators_are_told_of_a_switch_off_that_is_near_and_nothing_is_refused_for_it(
    three: World, day: tuple[int, int, int], words: str
) -> None:
    now = int(datetime(*day, 12, tzinfo=UTC).timestamp() * 1000)
    who = await moderator(three)
    async with three.bot(clock=Clock(now=lambda: now)):
        told = await moderate(three, who, "services")
        assert words in told
        assert ("⚠️" in told) == bool(words)
        assert "Its successor is GPT Image 2: try it now." in told or not words
        await three.painted()
    assert asked(three) == (1, 0, 0)
