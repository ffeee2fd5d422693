"""The order of providers: set by moderators for their server and by the operator for all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.clock import Clock
from bot.worker.provider_refresh import refresh
from tests.support.world.providers import MODEL, provider_order, submits
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import World

DEFAULT = "to Easel's own order"


async def choices(
    world: World, moderator: int, command: str, option: str, typed: str = "", **options: Any
) -> list[str]:
    """The autocomplete choices of an option after `typed`."""
    interaction = await world.discord.autocomplete(
        moderator, world.channel, command, {**options, option: typed}, option
    )
    answer = await world.discord.answer(interaction)
    return [choice["value"] for choice in answer["data"]["choices"]]


def answers(message: dict[str, Any], request: int) -> bool:
    """Whether a message replies to another."""
    return (message.get("message_reference") or {}).get("message_id") == str(request)


async def test_a_moderator_sets_a_models_order_switches_it_off_and_undoes_both(full_world: World) -> None:
    moderator = await full_world.create_moderator()
    async with full_world.bot():
        reply = await full_world.moderate(moderator, "model", model=MODEL, services="lumenfall, fal")
        assert reply.startswith(
            f"GPT Image 1.5 is now painted by Lumenfall, then fal. Before, it kept {DEFAULT}.\n"
        )
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
        assert full_world.job(job)["provider"] == "lumenfall"
        reply = await full_world.moderate(moderator, "model", model="GPT Image 1.5", services="OFF")
        assert "GPT Image 1.5 is switched off here. Before, it was painted by Lumenfall, then fal.\n" in reply
        assert "Undo: `/moderate model model: GPT Image 1.5 services: lumenfall, fal`" in reply
        refused = await full_world.refusal(await full_world.imagine(model=MODEL))
        assert "GPT Image 1.5 cannot be had here. Choose GPT Image 2.5 Flare, GPT Image 2.5 Sunburst or" in refused
        assert "switched off (set here)" in await full_world.moderate(moderator, "services")
        assert MODEL not in await choices(full_world, full_world.member, "imagine", "model")
        reply = await full_world.moderate(moderator, "model", model=MODEL, services="default")
        assert reply.startswith(f"GPT Image 1.5 keeps {DEFAULT}. Before, it was switched off here.")
        await full_world.paint("another boat")
    assert submits(full_world) == (1, 1, 0)
    reasons = [
        row["reason"] for row in full_world.rows("SELECT reason FROM ledger WHERE entry = 'limit' ORDER BY id")
    ]
    assert [reason.partition(": ")[2] for reason in reasons] == [
        "lumenfall fal; before: the default",
        "switched off; before: lumenfall fal",
        "cleared; before: switched off",
    ]
    assert {row["actor_id"] for row in full_world.rows("SELECT actor_id FROM ledger WHERE entry = 'limit'")} == {
        moderator
    }


async def test_an_order_that_another_process_changes_holds_for_the_next_request(full_world: World) -> None:
    async with full_world.bot():
        await full_world.paint("a boat")  # by the server's orders, as they are now known here
        full_world.update(
            "INSERT INTO provider_orders (guild_id, model, providers, set_by) VALUES (?, ?, '', 1)",
            full_world.guild,
            MODEL,
        )
        refused = await full_world.refusal(await full_world.imagine(model=MODEL))
        assert "GPT Image 1.5 cannot be had here." in refused
        full_world.update("UPDATE provider_orders SET providers = 'oxen'")
        job = await full_world.imagine(model=MODEL)
        await full_world.result_message(job)
        await full_world.wait_finished(job)
    assert full_world.job(job)["provider"] == "oxen"


async def test_a_request_that_was_accepted_is_not_refused_where_it_arrives_again(full_world: World) -> None:
    async with full_world.bot():
        moderator = await full_world.create_moderator()
        edited = await full_world.paint("a boat", model=MODEL)
        mention = f"<@{full_world.discord.bot_id}> make it snow"
        job = await full_world.discord.post_message(
            full_world.member, full_world.channel, mention, reply_to=int(edited["id"])
        )
        await full_world.result_message(job)
        await full_world.wait_finished(job)
        for model in (each.name for each in Catalog.load().models):
            await full_world.moderate(moderator, "model", model=model, services="off")
        before = await full_world.discord.messages(full_world.channel, deleted=True)
        await full_world.discord.redeliver_message(job)
        refused = await full_world.discord.post_message(
            full_world.member, full_world.channel, mention, reply_to=int(edited["id"])
        )
        await full_world.discord.wait_for_messages(
            full_world.channel, lambda seen: any(answers(message, refused) for message in seen)
        )
        after = await full_world.discord.messages(full_world.channel, deleted=True)
    assert sum(answers(each, job) for each in after) == sum(answers(each, job) for each in before)


async def test_two_servers_have_two_orders_and_neither_changes_the_other(full_world: World) -> None:
    other = await full_world.discord.create_guild("other")
    channel = await full_world.discord.create_channel(other, "canvas")
    member = await full_world.discord.create_member(other, "bob")
    ours, theirs = await full_world.create_moderator(), await full_world.create_moderator(other)
    async with full_world.bot():
        await full_world.moderate(ours, "model", model=MODEL, services="lumenfall")
        await full_world.moderate(theirs, "model", channel, model=MODEL, services="oxen")
        here, there = await full_world.imagine(), await full_world.imagine(channel=channel, member=member)
        await full_world.result_message(here)
        await full_world.result_message(there, channel=channel)
        await full_world.wait_finished(here)
        await full_world.wait_finished(there)
        listed = await full_world.moderate(theirs, "services", channel)
        assert re.search(r"\*\*GPT Image 1\.5\*\* · \$[\d.]+\n-# Oxen \(set here\)\n", listed)
    assert [full_world.job(job)["provider"] for job in (here, there)] == ["lumenfall", "oxen"]
    assert submits(full_world) == (0, 1, 1)


async def test_the_operators_order_holds_where_a_server_has_none(full_world: World) -> None:
    async with full_world.bot(SERVICE_ORDER=provider_order("oxen", "fal")):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
        one = await full_world.imagine("a boat", model="gpt-image-1")
        await full_world.result_message(one)
        await full_world.wait_finished(one)
    assert [full_world.job(found)["provider"] for found in (job, one)] == ["oxen", "fal"]


async def test_only_the_models_that_the_operator_allows_can_be_chosen_requested_and_moderated(
    full_world: World,
) -> None:
    moderator = await full_world.create_moderator()
    async with full_world.bot(MODELS=f"{MODEL}, gpt-image-2"):
        allowed = ["gpt-image-2", MODEL]
        assert await choices(full_world, full_world.member, "imagine", "model") == allowed
        assert await choices(full_world, moderator, "moderate model", "model", services="fal") == allowed
        refused = await full_world.refusal(await full_world.imagine(model="gpt-image-1"))
        assert "GPT Image 1 cannot be had here. Choose GPT Image 2 or GPT Image 1.5." in refused
        reply = await full_world.moderate(moderator, "model", model="gpt-image-1", services="fal")
        assert "No service “fal” paints GPT Image 1 here. No service here has it." in reply
        assert "GPT Image 1**" not in await full_world.moderate(moderator, "services")
    assert submits(full_world) == (0, 0, 0)


async def test_suggested_orders_hold_configured_providers_that_still_have_the_model(
    full_world: World,
) -> None:
    moderator = await full_world.create_moderator()
    full_world.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")
    async with full_world.bot() as app:
        every = await choices(full_world, moderator, "moderate model", "services", model=MODEL)
        assert every[0] == "fal, lumenfall, oxen"
        assert len(every) == 17
        await refresh(app.providers, app.router, app.database, app.clock)
        left = await choices(full_world, moderator, "moderate model", "services", model=MODEL)
        assert left == ["fal, lumenfall", "lumenfall, fal", "fal", "lumenfall", "off", "default"]
        assert await choices(full_world, moderator, "moderate model", "services", "lum", model=MODEL) == [
            "fal, lumenfall",
            "lumenfall, fal",
            "lumenfall",
        ]
        two = await choices(full_world, moderator, "moderate model", "services", model="gpt-image-2.5-flare")
        assert two == ["fal, oxen", "oxen, fal", "fal", "oxen", "off", "default"]
        assert await choices(full_world, moderator, "moderate model", "services", model="?") == ["off", "default"]


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
        (
            "gpt-image-2.5-flare",
            "lumenfall",
            "No service “lumenfall” paints GPT Image 2.5 Flare here. Choose among fal, oxen.",
        ),
        ("dall-e", "fal", "Easel has no such model. `/moderate services` shows those there are."),
        (MODEL, "x" * 100, "paints GPT Image 1.5 here."),
    ],
)
async def test_an_invalid_order_gets_a_sentence_and_changes_nothing(
    full_world: World, model: str, services: str, words: str
) -> None:
    moderator = await full_world.create_moderator()
    async with full_world.bot():
        reply = await full_world.moderate(moderator, "model", model=model, services=services)
        assert words in reply
        assert len(reply) < 250
    assert full_world.rows("SELECT 1 FROM provider_orders") == full_world.rows("SELECT 1 FROM ledger") == []


@pytest.mark.parametrize("verb", ["model", "services"])
async def test_a_member_who_may_not_manage_the_server_changes_no_order(full_world: World, verb: str) -> None:
    options: dict[str, Any] = {"model": MODEL, "services": "off"} if verb == "model" else {}
    async with full_world.bot():
        reply = await full_world.moderate(full_world.member, verb, **options)
        assert reply == "You need the Manage Server permission for this."
    assert full_world.rows("SELECT 1 FROM provider_orders") == []


async def test_a_job_waiting_when_its_model_is_switched_off_is_released_with_a_sentence(
    full_world: World,
) -> None:
    moderator = await full_world.create_moderator()
    full_world.fal.faults.set("submit_ingress")
    async with full_world.bot(SERVICE_ORDER=provider_order("fal")):
        job = await full_world.imagine()
        await full_world.wait_state(job, "waiting")
        await full_world.moderate(moderator, "model", model=MODEL, services="off")
        assert "GPT Image 1.5 cannot be had here." in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert full_world.ledger_entries(job) == RELEASED


async def test_more_models_than_a_message_holds_are_counted_and_the_notices_stay(full_world: World) -> None:
    own = [
        f'[[models]]\nname = "brush-{number}"\nlabel = "Brush {number}"\n'
        '[[models.offers]]\nprovider = "fal"\nlike = "gpt-image-2"\n'
        for number in range(60)
    ]
    path = full_world.folder / "own.toml"
    path.write_text("".join(own))
    moderator = await full_world.create_moderator()
    now = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp() * 1000)
    async with full_world.bot(clock=Clock(now=lambda: now), CATALOG_FILES=str(path)):
        reply = await full_world.moderate(moderator, "services")
    assert len(reply) <= 2000
    *rows, more, change, first, second = reply.splitlines()
    shown = sum(row.startswith("**") for row in rows[1:])
    assert more == f"-# And {11 + 60 - shown} more: `/moderate model` finds them by name."
    assert rows[2] == "**GPT Image 2.5 Flare** · $0.015"
    assert rows[3] == "-# fal → Oxen"
    assert change == "-# Change it with `/moderate model`."
    assert all(notice.startswith("-# ⚠️ GPT Image 1") for notice in (first, second))
