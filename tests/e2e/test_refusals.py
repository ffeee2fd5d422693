"""Requests that cannot be painted: one clear sentence, for the member alone, and no charge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
import pytest

from bot.sandbox.discord.server import Upload
from tests.support.picture_files import misdescribed, png, png_declaring
from tests.support.world.discord_members import POST_MESSAGE, Quota
from tests.support.world.world import World

UNSPENT = Quota(left=10, spent=0, reserved=0)
DOWNLOAD = "GET /ephemeral-attachments*"
MIB = 1024 * 1024


async def assert_nothing_spent(world: World) -> None:
    """No submit, no charge, and every reservation released."""
    assert await world.quota() == UNSPENT
    assert world.fal.submits == 0
    reserved = world.rows(
        "SELECT job_id, SUM(CASE entry WHEN 'reserve' THEN images ELSE -images END) AS open "
        "FROM ledger GROUP BY job_id"
    )
    assert all(row["open"] == 0 for row in reserved)
    assert world.rows("SELECT 1 FROM ledger WHERE entry = 'settle' AND images > 0") == []


@asynccontextmanager
async def open_port() -> AsyncIterator[tuple[int, list[object]]]:
    """A port, and the peers that have connected to it."""
    connections: list[object] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()


# Refused at once, by what Discord says about the request

BEFORE: dict[str, tuple[dict[str, Any], str]] = {
    "spaces only": ({"prompt": " \n  "}, "Your prompt is empty."),
    "4,001 characters": ({"prompt": "x" * 4001}, "Your prompt has 4,001 characters; the most is 4,000."),
    "an unknown model": ({"model": "crayons-2"}, "no model “crayons-2”. Choose GPT Image 2.5 Flare, GPT"),
    "a misspelt model": ({"model": "GPT Imge 2.5-flare"}, "Did you mean GPT Image 2.5 Flare? Or choose GPT"),
    "an unknown size": ({"size": "huge"}, "has no size “huge”. Choose square, landscape"),
    "eleven pictures": ({"count": 11}, "paints 1 to 10 pictures at a time; you asked for 11."),
    "a see-through JPEG": (
        {"background": "transparent", "format": "jpeg"},
        "A JPEG cannot be transparent. Choose PNG or WebP",
    ),
}


async def test_requests_that_cannot_be_painted_are_refused_at_once_with_the_reason(world: World) -> None:
    async with world.bot():
        for name, (options, words) in BEFORE.items():
            reply = await world.refusal(await world.imagine(**options))
            assert words in reply, name
        await assert_nothing_spent(world)
    assert world.rows("SELECT 1 FROM jobs") == []


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "a text file": ({"image": Upload("notes.txt", b"no picture")}, "notes.txt is not a picture."),
    "60 megapixels": (
        {"image": Upload("big.png", png_declaring(10_000, 6_000))},
        "big.png has 60 megapixels; the most is 50.",
    ),
    "30 MB": (
        {"image": misdescribed("long.png", png(), size=30 * MIB)},
        "long.png has 30 MB; the most is 20 MB. Send a smaller one.",
    ),
    "a mask of another size": (
        {"mask": Upload("mask.png", png(32, 32, (0, 0, 0, 0), "RGBA"))},
        "The mask is 32×32 and the picture 64×64. Both must have the same size.",
    ),
    "an unknown fidelity": ({"fidelity": "total"}, "has no total fidelity. Choose low or high."),
}


async def test_pictures_that_cannot_be_used_are_refused_at_once_with_the_reason(world: World) -> None:
    async with world.bot():
        for name, (options, words) in EDITS.items():
            reply = await world.refusal(await world.edit(**options))
            assert words in reply, name
        await assert_nothing_spent(world)
    assert world.rows("SELECT 1 FROM jobs") == []


# Refused once the bytes are read: the card is deleted, the reason is sent privately

BYTES: dict[str, tuple[dict[str, Any], str]] = {
    "a text named .png": ({"image": Upload("cat.png", b"I am a cat, honestly.")}, "not a picture Easel can read"),
    "60 megapixels in secret": (
        {"image": misdescribed("cat.png", png_declaring(10_000, 6_000))},
        "cat.png has 60 megapixels; the most is 50.",
    ),
    "30 MB in secret": (
        {"image": misdescribed("cat.png", b"\0" * (30 * MIB), size=100)},
        "cat.png has more than 20 MB",
    ),
    "a mask of another size in secret": (
        {"mask": misdescribed("mask.png", png(32, 32, (0, 0, 0, 0), "RGBA"))},
        "The mask is 32×32 and the picture 64×64. Both must have the same size.",
    ),
    "a mask that marks nothing": ({"mask": Upload("mask.png", png(64, 64, "black"))}, "The mask marks nothing."),
}


@pytest.mark.parametrize("name", BYTES)
async def test_a_file_refused_for_its_bytes_is_reported_privately_and_the_card_is_deleted(
    world: World, name: str
) -> None:
    options, words = BYTES[name]
    async with world.bot():
        interaction = await world.edit(**options)
        assert words in await world.private_failure(interaction)
        await world.wait_card_deleted(interaction)
        assert await world.wait_finished(interaction) == "failed"
        await assert_nothing_spent(world)
    assert world.rows("SELECT 1 FROM spool") == []


async def test_an_expired_link_is_reported_privately(world: World) -> None:
    async with world.bot():
        await world.discord.fail(DOWNLOAD, 404, {"message": "This content is no longer available."}, times=None)
        interaction = await world.edit()
        assert "boat.png could not be read. Send the picture again." in await world.private_failure(interaction)
        await assert_nothing_spent(world)


async def test_a_picture_on_another_host_is_refused_without_a_connection(world: World) -> None:
    async with open_port() as (port, connections), world.bot():
        cdn = world.discord.world.cdn
        real = cdn.base
        for base in (f"http://127.0.0.1:{port}", f"http://localhost:{port}", "http://169.254.169.254"):
            cdn.base = base
            interaction = await world.edit()
            cdn.base = real
            assert "is not on a host that Easel reads from" in await world.private_failure(interaction)
        await assert_nothing_spent(world)
        assert connections == []


async def test_a_redirect_away_from_discord_is_not_followed(world: World) -> None:
    async with open_port() as (port, connections), world.bot():
        redirect = {"Location": f"http://127.0.0.1:{port}/secret.png"}
        await world.discord.fail(DOWNLOAD, 302, headers=redirect, times=None)
        assert "could not be read" in await world.private_failure(await world.edit())
        await assert_nothing_spent(world)
        assert connections == []


# Refusals that everybody sees


async def test_a_flood_of_mentions_earns_one_public_refusal_and_holds_back_no_picture(world: World) -> None:
    mention = f"<@{world.discord.bot_id}> hello"
    elsewhere = await world.discord.create_channel(world.guild, "elsewhere")
    async with world.bot() as opened:
        await world.discord.rate_limit(POST_MESSAGE, 5, 5.0)
        flood = [await world.discord.post_message(world.member, world.channel, mention) for _ in range(30)]
        job = await world.imagine()
        await world.discord.post_message(world.member, elsewhere, mention)
        await world.result_message(job, within=4)
        await world.discord.wait_for_messages(
            world.channel, lambda seen: [one["sandbox"]["reactions"] for one in seen].count(["❌"])
        )
        await world.discord.wait_for_message(elsewhere, lambda seen: "Nothing was charged." in seen["content"])
        seen = await world.discord.messages(world.channel, deleted=True)
        refusals = [one for one in seen if "Nothing was charged." in one["content"]]
        assert [one["message_reference"]["message_id"] for one in refusals] == [str(flood[0])]
        opened.client.refusals.member_seconds = opened.client.refusals.channel_seconds = 0
        await world.reply_to(await world.discord.post_message(world.member, world.channel, mention))


async def test_the_second_failure_of_an_edit_by_mention_within_a_minute_is_a_reaction(world: World) -> None:
    mention, broken = f"<@{world.discord.bot_id}> a hat", [Upload("cat.png", b"I am a cat, honestly.")]
    async with world.bot():
        first, second = [
            await world.discord.post_message(world.member, world.channel, mention, attachments=broken)
            for _ in range(2)
        ]
        assert {await world.wait_finished(first), await world.wait_finished(second)} == {"failed"}
        await world.discord.wait_for_messages(
            world.channel, lambda seen: [one["sandbox"]["reactions"] for one in seen].count(["❌"]) == 1
        )
        seen = await world.discord.messages(world.channel, deleted=True)
        assert len([one for one in seen if "Nothing was charged." in one["content"]]) == 1
        await assert_nothing_spent(world)


async def test_without_the_permission_to_react_the_second_refusal_is_silent(world: World) -> None:
    mention = f"<@{world.discord.bot_id}> hello"
    deny = discord.Permissions(add_reactions=True).value
    async with world.bot() as opened:
        await world.discord.set_permissions(world.channel, deny=deny)
        await world.reply_to(await world.discord.post_message(world.member, world.channel, mention))
        silent = await world.discord.post_message(world.member, world.channel, mention)
        opened.client.refusals.channel_seconds = 0
        other = await world.discord.create_member(world.guild, "other")
        await world.reply_to(await world.discord.post_message(other, world.channel, mention))
        [unanswered] = [one for one in await world.discord.messages(world.channel) if one["id"] == str(silent)]
        assert unanswered["sandbox"]["reactions"] == []


# Failures of the provider: the member learns which kind it was

FAILURES: dict[str, tuple[str, dict[str, Any], str]] = {
    "content policy": ("", {}, "will not paint this prompt"),
    "locked account": (
        "locked",
        {},
        "is not available to this bot right now. Its operator has been told.",
    ),
    "wrong key": ("unauthorized", {}, "is not available to this bot right now. Its operator has been told."),
    "model gone": ("model_gone", {}, "no longer offers this model"),
    "down": ("submit_ingress", {}, "is busy or does not answer"),
    "refuses connections": ("submit_refused", {}, "did not confirm your request, twice"),
    "slow down": ("submit_rate_limited", {"retry_after": "0.2"}, "is busy or does not answer"),
    "a failed run": ("run_error", {}, "failed while painting"),
    "no picture": ("model_error", {}, "could not paint this. Try to say it differently."),
    "text for a picture": ("not_a_picture", {}, "not a usable picture"),
    "a bomb": ("bomb", {}, "not a usable picture"),
    "a link to another host": ("foreign_picture", {}, "not a usable picture"),
    "links to another service": ("foreign_urls", {}, "not a usable picture"),
}


@pytest.mark.parametrize("name", [name for name in FAILURES if name not in ("down", "slow down")])
async def test_a_failure_at_the_provider_is_reported_privately_and_costs_nothing(world: World, name: str) -> None:
    fault, values, words = FAILURES[name]
    async with open_port() as (port, connections), world.bot():
        if fault.startswith("foreign"):
            values = {"url": f"http://127.0.0.1:{port}"}
        if fault:
            world.fal.faults.set(fault, **values)
        interaction = await world.imagine("forbidden things" if not fault else "a boat")
        assert words in await world.private_failure(interaction)
        await world.wait_card_deleted(interaction)
        assert await world.wait_finished(interaction) == "failed"
        assert await world.quota() == UNSPENT
        assert connections == []
    assert await world.result_messages() == []


@pytest.mark.parametrize("name", ["down", "slow down"])
async def test_a_provider_unreachable_until_the_timeout_is_reported_privately(world: World, name: str) -> None:
    fault, values, words = FAILURES[name]
    world.fal.faults.set(fault, **values)
    async with world.bot():
        interaction = await world.imagine()
        await world.discord.wait_for_message(
            world.channel, lambda message: "does not answer. Trying again soon · asked" in message["content"]
        )
        assert words in await world.private_failure(interaction)
        assert await world.quota() == UNSPENT
    assert world.fal.requests == {}


async def test_a_provider_that_responds_with_html_keeps_the_reservation_until_the_picture_is_there(
    world: World,
) -> None:
    world.fal.faults.set("result_html")
    async with world.bot():
        interaction = await world.imagine()
        await world.discord.wait_for_message(
            world.channel, lambda message: "does not answer. Trying again soon · asked" in message["content"]
        )
        assert await world.quota() == Quota(left=9, spent=0, reserved=1)
        world.fal.faults.clear()
        await world.result_message(interaction)
    assert world.fal.submits == 1


async def test_fewer_pictures_than_requested_are_charged_as_delivered(world: World) -> None:
    world.fal.faults.set("fewer_pictures", count=1)
    async with world.bot():
        message = await world.paint(count=4)
        assert len(message["attachments"]) == 3
        assert "The service painted 3 of 4 pictures." in message["content"]
        assert await world.quota() == Quota(left=7, spent=3, reserved=0)


async def test_a_slow_picture_arrives_all_the_same(world: World) -> None:
    world.fal.faults.set("result_slow", seconds=0.5)
    world.fal.faults.set("cdn_reset", times=1)
    async with world.bot():
        await world.paint()
