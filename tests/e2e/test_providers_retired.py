"""A provider no longer has a model: the next one paints it, or at last the successor, at its own price."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.app import App
from bot.catalog.catalog import Catalog
from bot.domain.clock import Clock
from bot.domain.limits import Limit
from bot.storage import limits
from bot.worker.provider_refresh import refresh
from tests.support.catalogs import succeeded_by
from tests.support.world.providers import MODEL, provider_order, submits
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import World

SUCCESSION = "GPT Image 1.5 was switched off; GPT Image 2 paints in its place."


async def retire_everywhere(world: World, app: App) -> None:
    """Retire the model at all three: Oxen no longer lists it, the others refuse submits for it."""
    world.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")
    await refresh(app.providers, app.router, app.database, app.clock)
    world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    world.lumenfall.faults.set("model_disabled", endpoint="gpt-image-1.5")


def retired_models(world: World) -> set[str]:
    """Provider and model, where it is stored that the model is gone."""
    rows = world.rows("SELECT provider, model FROM model_statuses WHERE gone = 1")
    return {f"{row['provider']}:{row['model']}" for row in rows}


async def test_a_provider_without_the_model_gets_no_more_jobs_for_it_even_after_a_restart(
    full_world: World,
) -> None:
    full_world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    for number in range(2):
        async with full_world.bot():
            job = await full_world.imagine(f"boat {number}")
            await full_world.result_message(job)
            await full_world.wait_finished(job)
            assert full_world.job(job)["provider"] == "lumenfall"
    async with full_world.bot():
        other = await full_world.imagine(model="gpt-image-2")
        await full_world.result_message(other)
        await full_world.wait_finished(other)
        assert full_world.job(other)["provider"] == "fal"
    assert submits(full_world) == (2, 2, 0)
    assert retired_models(full_world) == {"fal:gpt-image-1.5"}


async def test_without_its_endpoint_for_edits_a_provider_still_paints_and_is_tried_again_after_the_next_look(
    full_world: World,
) -> None:
    full_world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5/edit")
    async with full_world.bot() as app:

        async def painter(job: int) -> str:
            await full_world.result_message(job)
            await full_world.wait_finished(job)
            return str(full_world.job(job)["provider"])

        assert [await painter(await full_world.edit(f"snow {number}")) for number in range(2)] == ["lumenfall"] * 2
        assert await painter(await full_world.imagine()) == "fal"
        assert submits(full_world) == (2, 2, 0)
        full_world.fal.faults.clear()
        await refresh(app.providers, app.router, app.database, app.clock)
        assert await painter(await full_world.edit("snow again")) == "fal"
    assert retired_models(full_world) == set()


async def test_an_edit_that_no_provider_can_do_any_more_goes_to_the_successor(world: World) -> None:
    world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5/edit")
    instead = "GPT Image 1.5 cannot do this at the moment; GPT Image 2.5 Flare paints in its place."
    async with world.bot():
        for _ in range(2):
            assert instead in (await world.result_message(await world.edit()))["content"]
        assert "GPT Image 1.5 ·" in (await world.paint())["content"]
    assert world.fal.submits == 4


async def test_where_there_is_no_successor_such_an_edit_is_refused_and_names_a_model_that_can(
    world: World,
) -> None:
    world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5/edit")
    async with world.bot(MODELS="gpt-image-1.5,gpt-image-1"):
        first = await world.edit()
        assert "no longer offers this model" in await world.private_failure(first)
        second = await world.edit()
        assert "GPT Image 1.5 cannot edit pictures at the moment. Choose GPT Image 1" in await world.refusal(
            second
        )
        await world.paint()
    assert world.fal.submits == 2


async def test_a_retired_model_is_painted_by_its_successor_at_the_successors_price(
    full_world: World,
) -> None:
    async with full_world.bot(**succeeded_by(full_world.folder, "gpt-image-2")) as app:
        await retire_everywhere(full_world, app)
        job = await full_world.imagine(quality="high", size="square")
        card = await full_world.card(job)
        message = await full_world.assert_one_picture(job)
        assert SUCCESSION not in card["content"]
        assert SUCCESSION in message["content"]
        assert "GPT Image 2" in message["content"]
        row = full_world.job(job)
        assert row["provider"] == "fal"
        assert '"model":"gpt-image-2"' in row["request"]
        reserved = full_world.ledger_micros(job, "reserve")
        assert (
            reserved
            == full_world.ledger_micros(job, "settle") + full_world.ledger_micros(job, "release")
            >= 220_000
        )
        later = await full_world.imagine("another boat")
        assert SUCCESSION in (await full_world.card(later))["content"]
        assert SUCCESSION in (await full_world.result_message(later))["content"]
        await full_world.wait_finished(later)
    assert submits(full_world) == (3, 0, 0)
    assert retired_models(full_world) == {f"{name}:{MODEL}" for name in ("fal", "lumenfall", "oxen")}
    open_usage = full_world.rows("SELECT SUM(micros_reserved) AS micros FROM usage")
    assert open_usage[0]["micros"] == 0


async def test_a_successor_beyond_the_members_limit_releases_the_job_and_says_so(
    full_world: World,
) -> None:
    async with full_world.bot(**succeeded_by(full_world.folder, "gpt-image-2")) as app:
        await retire_everywhere(full_world, app)
        limit = Limit(subject="everyone", subject_id=0, unit="micros", window="day", amount=170_000)
        await app.database.write(limits.set_limit(full_world.guild, limit, app.clock.now()))
        job = await full_world.imagine(quality="high", size="square")
        reply = await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
        await full_world.wait_card_deleted(job)
    assert reply.startswith("You asked for 1 picture and have 0 left.")
    assert full_world.ledger_micros(job, "reserve") == full_world.ledger_micros(job, "release") < 170_000
    assert full_world.job(job)["charged_micros"] == 0
    assert submits(full_world) == (1, 0, 0)


async def test_a_request_that_the_successor_cannot_paint_is_released_and_says_so(full_world: World) -> None:
    async with full_world.bot(**succeeded_by(full_world.folder, "nano-banana-2")) as app:
        await retire_everywhere(full_world, app)
        job = await full_world.imagine(background="transparent", quality="medium")
        reply = await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert "Nano Banana 2" in reply
    assert "background" in reply
    assert full_world.ledger_entries(job) == RELEASED
    assert full_world.job(job)["charged_micros"] == 0


async def test_a_successor_that_can_paint_the_request_goes_before_one_that_cannot(full_world: World) -> None:
    path = full_world.folder / "successors.toml"
    path.write_text(f'[[models]]\nname = "{MODEL}"\nsuccessors = ["nano-banana-2", "gpt-image-1"]\n')
    async with full_world.bot(CATALOG_FILES=str(path)) as app:
        await retire_everywhere(full_world, app)
        first, later = [await full_world.imagine(background="transparent") for _ in range(2)]
        for job in (first, later):
            message = await full_world.result_message(job)
            assert "GPT Image 1.5 was switched off; GPT Image 1 paints in its place." in message["content"]
            await full_world.wait_finished(job)
        plain = await full_world.result_message(await full_world.imagine(quality="medium"))
        assert "GPT Image 1.5 was switched off; Nano Banana 2 paints in its place." in plain["content"]


async def test_a_model_that_a_provider_has_again_is_used_again(full_world: World) -> None:
    full_world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    async with full_world.bot() as app:
        await full_world.paint()
        full_world.fal.faults.clear()
        await full_world.paint("a second boat")
        assert submits(full_world) == (1, 2, 0)
        await refresh(app.providers, app.router, app.database, app.clock)
        await full_world.paint("a third boat")
    assert submits(full_world) == (2, 2, 0)
    assert retired_models(full_world) == set()


async def test_a_provider_that_no_longer_lists_a_model_gets_no_submit_for_it(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("model_disabled")
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal")) as app:
        await refresh(app.providers, app.router, app.database, app.clock)
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert full_world.job(job)["provider"] == "fal"
    assert submits(full_world) == (1, 0, 0)
    assert retired_models(full_world) == {f"lumenfall:{name}" for name in Catalog.load().at("lumenfall")}


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ((2026, 1, 1), ""),
        ((2026, 11, 20), "GPT Image 1.5 is announced to be switched off on 1 December 2026."),
        ((2026, 12, 5), "GPT Image 1.5 was announced to be switched off on 1 December 2026 and may stop"),
    ],
)
async def test_moderators_see_a_coming_switch_off_and_no_request_is_refused_for_it(
    full_world: World, day: tuple[int, int, int], words: str
) -> None:
    now = int(datetime(*day, 12, tzinfo=UTC).timestamp() * 1000)
    moderator = await full_world.create_moderator()
    async with full_world.bot(clock=Clock(now=lambda: now)):
        reply = await full_world.moderate(moderator, "services")
        assert words in reply
        assert ("⚠️" in reply) == bool(words)
        assert "Its successor is GPT Image 2.5 Flare: try it now." in reply or not words
        await full_world.paint()
    assert submits(full_world) == (1, 0, 0)
