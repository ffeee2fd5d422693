"""Who is asked first: moderators decide for their server, the operator for all, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from bot.providers.health import refresh
from tests.support.world.providers import MODEL, asked, first, moderate, moderator
from tests.support.world.world import World, assert_one_picture

DEFAULT = "to Easel’s own order"


async def offered(house: World, who: int, command: str, option: str, typed: str = "", **options: Any) -> list[str]:
    """What Discord shows while somebody types."""
    asked_for = await house.discord.autocomplete(who, house.channel, command, {**options, option: typed}, option)
    answer = await house.discord.answer(asked_for)
    return [choice["value"] for choice in answer["data"]["choices"]]


async def test_a_moderator_sends_a_model_elsewhere_switches_it_off_and_takes_both_back(three: World) -> None:
    who = await moderator(three)
    async with three.bot():
        told = await moderate(three, who, "model", model=MODEL, services="lumenfall, fal")
        assert told.startswith(
            f"GPT Image 1.5 is now painted by Lumenfall, then fal. Before, it kept {DEFAULT}.\n"
        )
        job = await three.imagine()
        await assert_one_picture(three, job)
        assert three.job(job)["provider"] == "lumenfall"
        told = await moderate(three, who, "model", model="GPT Image 1.5", services="OFF")
        assert "GPT Image 1.5 is switched off here. Before, it was painted by Lumenfall, then fal.\n" in told
        assert "Undo: `/moderate model model: GPT Image 1.5 services: lumenfall, fal`" in told
        refused = await three.refusal(await three.imagine(model=MODEL))
        assert "GPT Image 1.5 cannot be had here. Choose GPT Image 2 or GPT Image 1." in refused
        assert "switched off (set here)" in await moderate(three, who, "services")
        assert MODEL not in await offered(three, three.member, "imagine", "model")
        told = await moderate(three, who, "model", model=MODEL, services="default")
        assert told.startswith(f"GPT Image 1.5 keeps {DEFAULT}. Before, it was switched off here.")
        await three.painted("another boat")
    assert asked(three) == (1, 1, 0)
    reasons = [row["reason"] for row in three.rows("SELECT reason FROM ledger WHERE entry = 'rule' ORDER BY id")]
    assert [reason.partition(": ")[2] for reason in reasons] == [
        "lumenfall fal; before: the default",
        "switched off; before: lumenfall fal",
        "cleared; before: switched off",
    ]
    assert {row["actor_id"] for row in three.rows("SELECT actor_id FROM ledger WHERE entry = 'rule'")} == {who}


async def test_two_servers_have_two_orders_and_neither_changes_the_other(three: World) -> None:
    other = await three.discord.create_guild("studio")
    channel = await three.discord.create_channel(other, "canvas")
    member = await three.discord.create_member(other, "bob")
    ours, theirs = await moderator(three), await moderator(three, other)
    async with three.bot():
        await moderate(three, ours, "model", model=MODEL, services="lumenfall")
        await moderate(three, theirs, "model", channel, model=MODEL, services="oxen")
        here, there = await three.imagine(), await three.imagine(channel=channel, member=member)
        await three.picture(here)
        await three.picture(there, channel=channel)
        await three.ended(here)
        await three.ended(there)
        listed = await moderate(three, theirs, "services", channel)
        assert "**GPT Image 1.5**: Oxen (set here)" in listed
    assert [three.job(job)["provider"] for job in (here, there)] == ["lumenfall", "oxen"]
    assert asked(three) == (0, 1, 1)


async def test_the_operators_order_holds_where_a_server_has_none(three: World) -> None:
    async with three.bot(SERVICE_ORDER=first("oxen", "fal")):
        job = await three.imagine()
        await assert_one_picture(three, job)
        one = await three.imagine("a boat", model="gpt-image-1")
        await three.picture(one)
        await three.ended(one)
    assert [three.job(found)["provider"] for found in (job, one)] == ["oxen", "fal"]


async def test_only_the_models_that_the_operator_allows_are_offered_asked_for_and_moderated(three: World) -> None:
    who = await moderator(three)
    async with three.bot(MODELS=f"{MODEL}, gpt-image-2"):
        allowed = [MODEL, "gpt-image-2"]
        assert await offered(three, three.member, "imagine", "model") == allowed
        assert await offered(three, who, "moderate model", "model", services="fal") == allowed
        refused = await three.refusal(await three.imagine(model="gpt-image-1"))
        assert "GPT Image 1 cannot be had here. Choose GPT Image 1.5 or GPT Image 2." in refused
        told = await moderate(three, who, "model", model="gpt-image-1", services="fal")
        assert "No service “fal” paints GPT Image 1 here. No service here has it." in told
        assert "GPT Image 1**" not in await moderate(three, who, "services")
    assert asked(three) == (0, 0, 0)


async def test_orders_are_offered_of_services_that_are_configured_and_still_have_the_model(three: World) -> None:
    who = await moderator(three)
    three.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")
    async with three.bot() as app:
        every = await offered(three, who, "moderate model", "services", model=MODEL)
        assert every[0] == "fal, lumenfall, oxen"
        assert len(every) == 17
        await refresh(app.services, app.routes, app.database, app.clock)
        left = await offered(three, who, "moderate model", "services", model=MODEL)
        assert left == ["fal, lumenfall", "lumenfall, fal", "fal", "lumenfall", "off", "default"]
        assert await offered(three, who, "moderate model", "services", "lum", model=MODEL) == [
            "fal, lumenfall",
            "lumenfall, fal",
            "lumenfall",
        ]
        only_fal = await offered(three, who, "moderate model", "services", model="gpt-image-2")
        assert only_fal == ["fal", "off", "default"]
        assert await offered(three, who, "moderate model", "services", model="?") == ["off", "default"]


@pytest.mark.parametrize(
    ("model", "services", "words"),
    [
        (
            MODEL,
            "midjourney",
            "No service “midjourney” paints GPT Image 1.5 here. Choose among fal, lumenfall, oxen.",
        ),
        (MODEL, "off, fal", "“off” stands alone, without any service."),
        (MODEL, " , ,", "Name the services in order"),
        ("gpt-image-2", "lumenfall", "No service “lumenfall” paints GPT Image 2 here. Choose among fal."),
        ("dall-e", "fal", "Easel has no such model. `/moderate services` shows those there are."),
        (MODEL, "x" * 100, "paints GPT Image 1.5 here."),
    ],
)
async def test_an_order_that_makes_no_sense_is_answered_with_a_sentence_and_changes_nothing(
    three: World, model: str, services: str, words: str
) -> None:
    who = await moderator(three)
    async with three.bot():
        told = await moderate(three, who, "model", model=model, services=services)
        assert words in told
        assert len(told) < 250
    assert three.rows("SELECT 1 FROM routes") == three.rows("SELECT 1 FROM ledger") == []


@pytest.mark.parametrize("verb", ["model", "services"])
async def test_who_may_not_manage_the_server_decides_nothing(three: World, verb: str) -> None:
    options: dict[str, Any] = {"model": MODEL, "services": "off"} if verb == "model" else {}
    async with three.bot():
        told = await moderate(three, three.member, verb, **options)
        assert told == "You need the Manage Server permission for this."
    assert three.rows("SELECT 1 FROM routes") == []


async def test_a_model_that_is_switched_off_while_a_job_waits_is_refunded_with_a_sentence(three: World) -> None:
    who = await moderator(three)
    three.fal.faults.set("submit_ingress")
    async with three.bot(SERVICE_ORDER=first("fal")):
        job = await three.imagine()
        await three.stands(job, "waiting")
        await moderate(three, who, "model", model=MODEL, services="off")
        assert "GPT Image 1.5 cannot be had here." in await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert three.entries(job) == {"reserve": 1, "refund": 1}
