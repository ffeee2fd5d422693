"""Prompts shown as they are written, and pictures edited by reply, by button and by menu."""

from __future__ import annotations

import json
import re
from typing import Any

import discord
import pytest

from bot.chat.discord.public_refusals import PublicRefusals
from bot.sandbox.discord.server import Upload
from tests.support.catalogs import succeeded_by
from tests.support.picture_files import png
from tests.support.world.discord_members import Message, Quota
from tests.support.world.world import World

READ_HISTORY = discord.Permissions(read_message_history=True).value

# Prompts

HARMLESS = {
    "everybody": "@everyone and @here, look at <@{member}> and <@&{role}>",
    "markdown": "**bold** __under__ ~~gone~~ ||hidden|| `code` ```block``` > quote",
    "lines": "# heading\n- point\n> quote\n-# small\n1. one\n```py\nprint()\n```",
    "links": "[free](https://evil.example) **and** [more](https://evil.example/2) https://evil.example <https://x.y>",
    "right to left": "קשת בענן \u202eمرحبا بالعالم\u202c",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 <:party:123456789012345678> :tada:",
    "zalgo": "z\u0335\u0321a\u0338l\u0337g\u0336o\u0335" * 10,
    "backslashes": r"\*not bold\* C:\paint\@everyone",
}


def unescape(escaped: str) -> str:
    """Escaped text as a reader sees it: Discord drops a backslash before anything but letters and digits."""
    text, position = "", 0
    while position < len(escaped):
        if escaped[position] == "\\" and position + 1 < len(escaped) and not escaped[position + 1].isalnum():
            position += 1
        text += escaped[position]
        position += 1
    return text


async def test_prompts_are_shown_as_written_and_ping_the_member_alone(world: World) -> None:
    role = await world.discord.create_role(world.guild, "everybody's")
    other = await world.discord.create_member(world.guild, "other")
    async with world.bot():
        for name, template in HARMLESS.items():
            prompt = template.replace("{member}", str(other)).replace("{role}", str(role))
            message = await world.paint(prompt)
            first = message["content"].removeprefix(f"<@{world.member}> ").rpartition("\n-# ")[0]
            assert unescape(first) == prompt, name
            assert message["sandbox"]["pinged"] == {"users": [world.member], "roles": [], "everyone": False}
            assert message["attachments"][0]["description"] == prompt
            for character in "<@`*[":
                assert first.count(character) == first.count(f"\\{character}"), name
    for card in await world.discord.messages(world.channel, deleted=True):
        assert set(card["sandbox"]["pinged"]["users"]) <= {world.member}


@pytest.mark.parametrize("letter", ["a", "*", "`", "``` ", "\N{ARTIST PALETTE}"])
async def test_a_prompt_of_4000_characters_is_shown_whole_and_its_alt_text_is_cut(
    world: World, letter: str
) -> None:
    async with world.bot():
        message = await world.paint((letter * 4000)[:4000])
    [embed] = message["embeds"]
    if "`" in letter:  # only the fence around the prompt opens and closes a block of code
        assert embed["description"].count("```") == 2
    else:
        assert embed["description"].replace("\\", "").count(letter) >= 4000
    description = message["attachments"][0]["description"]
    assert (len(description), description[-1]) == (1024, "…")
    assert message["content"].startswith(f"<@{world.member}>")


# Edits by reply, by button and by menu


async def reply(world: World, message: Message, text: str, *, ping: bool = True) -> int:
    """The member replies to a message, and mentions Easel if `ping`; the reply's id."""
    mention = f"<@{world.discord.bot_id}> "
    return await world.discord.post_message(
        world.member, world.channel, mention + text if ping else text, reply_to=int(message["id"]), ping=ping
    )


async def test_a_reply_that_mentions_easel_edits_the_picture(world: World) -> None:
    async with world.bot():
        first = await world.paint(count=2)
        await world.discord.expire_links()
        interaction = await reply(world, first, "#2 make it snow")
        second = await world.result_message(interaction)
        assert second["content"].startswith(f"<@{world.member}> make it snow")
        assert second["message_reference"]["message_id"] == str(interaction)
        assert second["sandbox"]["pinged"]["users"] == [world.member]
        cards = await world.discord.messages(world.channel, after=interaction, deleted=True)
        assert any("Editing picture 2 of 2" in card["content"] for card in cards)
        await world.discord.wait_for_messages(
            world.channel, lambda seen: not any("Editing:" in message["content"] for message in seen)
        )
        await world.discord.redeliver_message(interaction)
        await world.discord.lose_answer("POST /channels/{channel}/messages")  # of the card
        third = await world.result_message(await reply(world, second, "now at night"))
        await world.discord.wait_for_messages(
            world.channel, lambda seen: not any("Editing:" in message["content"] for message in seen)
        )
        assert len(await world.result_messages()) == 3
    parent = world.rows("SELECT parent_id FROM jobs WHERE result_message_id = ?", int(third["id"]))
    assert parent[0]["parent_id"] == interaction


async def test_a_reply_that_cannot_be_painted_gets_a_short_reply_that_is_deleted_again(world: World) -> None:
    async with world.bot() as opened:
        opened.client.refusals = PublicRefusals(member_seconds=0, channel_seconds=0, removed_after=0.3)
        picture = await world.paint()
        text_message = await world.discord.post_message(world.member, world.channel, "just words")
        target = {"id": str(text_message)}
        for message, text, sentence in (
            (target, "make it snow", "Easel cannot see a picture there."),
            (picture, "   ", "Say what should change"),
            (picture, "#7 make it snow", "There is 1 picture there; #7 is not one of them."),
            (picture, "x" * 4001, "Your prompt has 4,001 characters"),
        ):
            interaction = await reply(world, message, text)
            reply_message = await world.reply_to(interaction)
            assert sentence in reply_message["content"]
            assert reply_message["sandbox"]["pinged"] == {"users": [], "roles": [], "everyone": False}
            await world.wait_deleted(reply_message["id"])
        await reply(world, picture, "this is not for Easel", ping=False)
        assert await world.quota() == Quota(left=9, spent=1, reserved=0)
    assert world.fal.submits == 1


async def test_a_reply_whose_ping_alone_mentions_easel_is_no_edit(world: World) -> None:
    async with world.bot():
        picture = await world.paint()
        thanks = await world.discord.post_message(
            world.member, world.channel, "haha nice", reply_to=int(picture["id"])
        )
        told = next(seen for seen in await world.discord.messages(world.channel) if seen["id"] == str(thanks))
        assert [user["id"] for user in told["mentions"]] == [str(world.discord.bot_id)]
        edit = await reply(world, picture, "make it snow")
        assert await world.wait_finished(edit) == "done"
        assert await world.quota() == Quota(left=8, spent=2, reserved=0)
        assert len(await world.result_messages()) == 2
    assert world.rows("SELECT id FROM jobs WHERE id = ?", thanks) == []


async def test_a_mention_with_a_picture_attached_is_an_edit_with_or_without_a_reply(world: World) -> None:
    mention, poster = f"<@{world.discord.bot_id}>", [Upload("cat.png", png()), Upload("hat.png", png())]
    async with world.bot():
        picture = await world.paint(count=2)
        words = await world.discord.post_message(world.member, world.channel, "who makes a poster of it?")
        for target, text, attached, edited in (
            (None, f"{mention} make it a poster", poster[:1], ["cat.png"]),
            (None, f"make it {mention} #2 a poster", poster, ["hat.png"]),
            (words, f"make it a poster {mention}", poster[:1], ["cat.png"]),
            (int(picture["id"]), f"{mention} #2 make it a poster", poster[:1], ["easel-2.png", "cat.png"]),
        ):
            message = await world.discord.post_message(
                world.member, world.channel, text, attachments=attached, reply_to=target, ping=False
            )
            result = await world.result_message(message)
            assert result["content"].splitlines()[0] == f"<@{world.member}> make it a poster"
            request = json.loads(world.job(message)["request"])
            names = [re.sub(r"easel-\d+-", "easel-", source["filename"]) for source in request["sources"]]
            assert names == edited
    assert [len(request.shown["image_urls"]) for request in list(world.fal.requests.values())[1:]] == [1, 1, 1, 2]


async def test_a_mention_without_words_costs_nothing(world: World) -> None:
    mention = f"<@{world.discord.bot_id}>"
    async with world.bot():
        message = await world.discord.post_message(
            world.member, world.channel, mention, attachments=[Upload("cat.png", png())]
        )
        assert "Say what should change" in (await world.reply_to(message))["content"]
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert world.fal.submits == 0


async def test_without_message_history_easel_still_says_why_it_does_not_edit(world: World) -> None:
    async with world.bot() as opened:
        opened.client.refusals.removed_after = 0.5
        picture = await world.paint()
        await world.discord.set_permissions(world.channel, deny=READ_HISTORY)
        interaction = await reply(world, picture, "make it snow")
        reply_message = await world.discord.wait_for_message(
            world.channel, lambda seen: "Read Message History" in seen["content"], after=interaction
        )
        assert not reply_message.get("message_reference")
        assert reply_message["sandbox"]["pinged"] == {"users": [], "roles": [], "everyone": False}
        await world.wait_deleted(reply_message["id"])
    assert world.fal.submits == 1


async def test_the_edit_button_opens_a_form_that_takes_a_mask_and_a_second_picture(world: World) -> None:
    async with world.bot():
        picture = await world.paint(count=2)
        pressed = await world.press(picture, "edit")
        form = (await world.discord.answer(pressed))["data"]
        mask = Upload("mask.png", png(1024, 1024, (0, 0, 0, 0), "RGBA"))
        values = {"prompt": "a hat", "which": ["2"], "mask": [mask], "second": [Upload("hat.png", png())]}
        interaction = await world.discord.submit_modal(
            world.member, world.channel, form["custom_id"], values, message=int(picture["id"])
        )
        await world.discord.redeliver(interaction)
        edited = await world.result_message(pressed)
        assert edited["content"].startswith(f"<@{world.member}> a hat")
        again = await world.discord.submit_modal(world.member, world.channel, form["custom_id"], {"prompt": " "})
        await world.refusal(again)
        assert await world.wait_finished(pressed) == "done"
    body = [request.shown for request in world.fal.requests.values()][-1]
    assert len(body["image_urls"]) == 2
    assert body["mask_image_url"]


async def test_the_menu_edits_another_members_picture_and_says_where_there_is_none(world: World) -> None:
    other = await world.discord.create_member(world.guild, "other")
    async with world.bot():
        their_message = await world.discord.post_message(
            other, world.channel, "my cat", attachments=[Upload("cat.png", png())]
        )
        pressed = await world.discord.message_command(world.member, "Edit image", their_message)
        form = (await world.discord.answer(pressed))["data"]
        await world.discord.submit_modal(
            world.member, world.channel, form["custom_id"], {"prompt": "with a crown"}
        )
        await world.result_message(pressed)
        text_message = await world.discord.post_message(other, world.channel, "no picture here")
        pressed = await world.discord.message_command(world.member, "Edit image", text_message)
        assert "There is no picture in this message." in await world.refusal(pressed)


# What an edit inherits

CHOSEN: dict[str, Any] = {
    "model": "gpt-image-1",
    "quality": "high",
    "size": "landscape",
    "background": "transparent",
}
CHOSEN |= {"format": "webp", "spoiler": True}


def options(world: World, job: int) -> dict[str, object]:
    """The options of a job that `CHOSEN` has."""
    request = json.loads(world.job(job)["request"])
    return {name: request["output_format" if name == "format" else name] for name in CHOSEN}


async def test_an_edit_by_reply_button_or_menu_inherits_from_the_picture(world: World) -> None:
    async with world.bot():
        picture = await world.paint(**CHOSEN)
        menu = await world.discord.message_command(world.member, "Edit image", int(picture["id"]))
        button = await world.press(picture, "edit")
        for opened in (menu, button):
            form = (await world.discord.answer(opened))["data"]["custom_id"]
            await world.discord.submit_modal(world.member, world.channel, form, {"prompt": "a hat"})
        for job in (menu, button, await reply(world, picture, "a hat")):
            edited = await world.result_message(job)
            assert await world.wait_finished(job) == "done"
            assert options(world, job) == CHOSEN
            assert edited["attachments"][0]["filename"].startswith("SPOILER_")
            assert "left out" not in edited["content"]
    for request in list(world.fal.requests.values())[1:]:
        assert request.endpoint == "fal-ai/gpt-image-1/edit-image"
        assert (request.shown["quality"], request.shown["background"]) == ("high", "transparent")


async def test_what_the_model_cannot_do_with_an_edit_falls_back_and_is_said(world: World) -> None:
    async with world.bot(**succeeded_by(world.folder, "gpt-image-2")) as app:
        first = await world.paint(background="transparent", size="portrait")
        second = await world.paint(**CHOSEN)
        app.router.retired.add(("fal", "gpt-image-1.5"))
        said = "The transparent background was left out: GPT Image 2 has none for edits."
        job = await reply(world, first, "a hat")
        edited = await world.result_message(job)
        cards = await world.discord.messages(world.channel, after=job, deleted=True)
        assert any(said in card["sandbox"]["versions"][0]["content"] for card in cards)
        assert said in edited["content"]
        assert "GPT Image 1.5 was switched off; GPT Image 2 paints in its place." in edited["content"]
        assert options(world, job) | {"background": "transparent"} == {
            **options(world, int(first["attachments"][0]["filename"].split("-")[1])),
            "model": "gpt-image-2",
        }
        opened = await world.press(second, "edit")
        form = (await world.discord.answer(opened))["data"]["custom_id"]
        values = {"prompt": "a hat", "mask": [Upload("mask.png", png(1536, 1024, (0, 0, 0, 0), "RGBA"))]}
        await world.discord.submit_modal(world.member, world.channel, form, values)
        edited = await world.result_message(opened)
        assert "GPT Image 1 cannot do this edit, so GPT Image 2 does." in edited["content"]
        assert options(world, opened) == CHOSEN | {"model": "gpt-image-2", "background": "auto"}


async def test_a_hidden_picture_never_comes_back_unhidden_whoever_hid_it(world: World) -> None:
    hidden = Upload("SPOILER_cat.png", png())
    async with world.bot():
        theirs = await world.discord.post_message(world.member, world.channel, "look", attachments=[hidden])
        menu = await world.discord.message_command(world.member, "Edit image", theirs)
        form = (await world.discord.answer(menu))["data"]["custom_id"]
        await world.discord.submit_modal(world.member, world.channel, form, {"prompt": "a hat"})
        mention = f"<@{world.discord.bot_id}> a hat"
        attached = await world.discord.post_message(world.member, world.channel, mention, attachments=[hidden])
        for job in (menu, attached, await world.edit(image=hidden)):
            edited = await world.result_message(job)
            assert edited["attachments"][0]["filename"].startswith("SPOILER_")
        shown = await world.result_message(await world.edit())
        assert not shown["attachments"][0]["filename"].startswith("SPOILER_")
