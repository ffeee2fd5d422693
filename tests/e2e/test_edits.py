"""Prompts shown as they are written, and pictures changed by reply, by button and by menu."""

from __future__ import annotations

import discord
import pytest

from bot.sandbox.discord.server import Upload
from tests.support.world.world import Message, Quota, World, png

READ_HISTORY = discord.Permissions(read_message_history=True).value

# Prompts as they are

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


def shown(escaped: str) -> str:
    """What a reader sees of escaped text: Discord drops a backslash before anything but letters and digits."""
    text, position = "", 0
    while position < len(escaped):
        if escaped[position] == "\\" and position + 1 < len(escaped) and not escaped[position + 1].isalnum():
            position += 1
        text += escaped[position]
        position += 1
    return text


async def test_prompts_are_shown_as_they_are_and_ping_nobody_but_the_asker(house: World) -> None:
    role = await house.discord.create_role(house.guild, "everybody's")
    other = await house.discord.create_member(house.guild, "other")
    async with house.bot():
        for name, template in HARMLESS.items():
            prompt = template.replace("{member}", str(other)).replace("{role}", str(role))
            message = await house.painted(prompt)
            first = message["content"].removeprefix(f"<@{house.member}> ").rpartition("\n-# ")[0]
            assert shown(first) == prompt, name
            assert message["sandbox"]["pinged"] == {"users": [house.member], "roles": [], "everyone": False}
            assert message["attachments"][0]["description"] == prompt
            for character in "<@`*[":
                assert first.count(character) == first.count(f"\\{character}"), name
    for card in await house.discord.messages(house.channel, deleted=True):
        assert set(card["sandbox"]["pinged"]["users"]) <= {house.member}


@pytest.mark.parametrize("letter", ["a", "*", "`", "``` ", "\N{ARTIST PALETTE}"])
async def test_a_prompt_of_4000_characters_is_shown_whole_and_its_alt_text_is_cut(
    house: World, letter: str
) -> None:
    async with house.bot():
        message = await house.painted((letter * 4000)[:4000])
    [embed] = message["embeds"]
    if "`" in letter:  # nothing but the fence around it opens or closes a block of code
        assert embed["description"].count("```") == 2
    else:
        assert embed["description"].replace("\\", "").count(letter) >= 4000
    description = message["attachments"][0]["description"]
    assert (len(description), description[-1]) == (1024, "…")
    assert message["content"].startswith(f"<@{house.member}>")


# Edits by reply, by button and by menu


async def reply(house: World, message: Message, text: str, *, ping: bool = True) -> int:
    mention = f"<@{house.discord.bot_id}> "
    return await house.discord.post_message(
        house.member, house.channel, mention + text if ping else text, reply_to=int(message["id"]), ping=ping
    )


async def test_a_reply_that_mentions_easel_edits_the_picture(house: World) -> None:
    async with house.bot():
        first = await house.painted(count=2)
        await house.discord.expire_links()
        asked = await reply(house, first, "#2 make it snow")
        second = await house.picture(asked)
        assert second["content"].startswith(f"<@{house.member}> make it snow")
        assert second["message_reference"]["message_id"] == str(asked)
        assert second["sandbox"]["pinged"]["users"] == [house.member]
        cards = await house.discord.messages(house.channel, after=asked, deleted=True)
        assert any("Editing picture 2 of 2" in card["content"] for card in cards)
        await house.discord.wait_for_messages(
            house.channel, lambda seen: not any("Editing:" in message["content"] for message in seen)
        )
        await house.discord.redeliver_message(asked)
        await house.discord.lose_answer("POST /channels/{channel}/messages")  # of the card
        third = await house.picture(await reply(house, second, "now at night"))
        await house.discord.wait_for_messages(
            house.channel, lambda seen: not any("Editing:" in message["content"] for message in seen)
        )
        assert len(await house.pictures()) == 3
    parent = house.rows("SELECT parent_id FROM jobs WHERE result_message_id = ?", int(third["id"]))
    assert parent[0]["parent_id"] == asked


async def test_a_reply_that_asks_for_nothing_possible_gets_a_short_answer_that_goes_again(house: World) -> None:
    async with house.bot() as opened:
        opened.client.reply_refusal_seconds = 0.3
        picture = await house.painted()
        words = await house.discord.post_message(house.member, house.channel, "just words")
        target = {"id": str(words)}
        for message, text, sentence in (
            (target, "make it snow", "Easel cannot see a picture there."),
            (picture, "   ", "Say what should change"),
            (picture, "#7 make it snow", "There is 1 picture there; #7 is not one of them."),
            (picture, "x" * 4001, "Your prompt has 4,001 characters"),
        ):
            asked = await reply(house, message, text)
            told = await house.reply_to(asked)
            assert sentence in told["content"]
            assert told["sandbox"]["pinged"] == {"users": [], "roles": [], "everyone": False}
            await house.gone(told["id"])
        await reply(house, picture, "this is not for Easel", ping=False)
        assert await house.quota() == Quota(left=9, spent=1, reserved=0)
    assert house.fal.submits == 1


async def test_where_easel_may_not_read_what_was_said_it_still_says_why_it_does_not_edit(house: World) -> None:
    async with house.bot() as opened:
        opened.client.reply_refusal_seconds = 0.5
        picture = await house.painted()
        await house.discord.set_permissions(house.channel, deny=READ_HISTORY)
        asked = await reply(house, picture, "make it snow")
        told = await house.discord.wait_for_message(
            house.channel, lambda seen: "Read Message History" in seen["content"], after=asked
        )
        assert not told.get("message_reference")
        assert told["sandbox"]["pinged"] == {"users": [], "roles": [], "everyone": False}
        await house.gone(told["id"])
    assert house.fal.submits == 1


async def test_the_edit_button_opens_a_form_that_takes_a_mask_and_a_second_picture(house: World) -> None:
    async with house.bot():
        picture = await house.painted(count=2)
        pressed = await house.press(picture, "edit")
        form = (await house.discord.answer(pressed))["data"]
        mask = Upload("mask.png", png(1024, 1024, (0, 0, 0, 0), "RGBA"))
        values = {"prompt": "a hat", "which": ["2"], "mask": [mask], "second": [Upload("hat.png", png())]}
        asked = await house.discord.submit_modal(
            house.member, house.channel, form["custom_id"], values, message=int(picture["id"])
        )
        edited = await house.picture(asked)
        assert edited["content"].startswith(f"<@{house.member}> a hat")
        again = await house.discord.submit_modal(house.member, house.channel, form["custom_id"], {"prompt": " "})
        await house.refusal(again)
        assert await house.ended(asked) == "done"
    body = [request.shown for request in house.fal.requests.values()][-1]
    assert len(body["image_urls"]) == 2
    assert body["mask_image_url"]


async def test_the_menu_edits_somebody_elses_picture_and_says_where_there_is_none(house: World) -> None:
    other = await house.discord.create_member(house.guild, "other")
    async with house.bot():
        theirs = await house.discord.post_message(
            other, house.channel, "my cat", attachments=[Upload("cat.png", png())]
        )
        pressed = await house.discord.message_command(house.member, "Edit image", theirs)
        form = (await house.discord.answer(pressed))["data"]
        asked = await house.discord.submit_modal(
            house.member, house.channel, form["custom_id"], {"prompt": "with a crown"}
        )
        await house.picture(asked)
        words = await house.discord.post_message(other, house.channel, "no picture here")
        pressed = await house.discord.message_command(house.member, "Edit image", words)
        assert "There is no picture in this message." in await house.refusal(pressed)


async def test_a_form_opened_before_a_restart_is_answered_politely(house: World) -> None:
    async with house.bot():
        picture = await house.painted()
        form = (await house.discord.answer(await house.press(picture, "edit")))["data"]
    async with house.bot():
        asked = await house.discord.submit_modal(
            house.member, house.channel, form["custom_id"], {"prompt": "a hat"}, message=int(picture["id"])
        )
        assert "Easel no longer knows this form. Open it again." in await house.refusal(asked)
        pressed = await house.discord.click(house.member, int(picture["id"]), "easel:paint:1", force=True)
        assert "older Easel" in await house.refusal(pressed)
    assert house.fal.submits == 1
