"""discord.py against the stand-in: commands, components, modals, and what the bot may read."""

from __future__ import annotations

import discord
import pytest

from bot.sandbox.discord.server import ControlError, Upload
from tests.support.sandbox.discord import RunningBot, names, picture, png

MANAGE_GUILD = 1 << 5


async def test_a_bot_logs_in_syncs_once_and_knows_its_guild(running: RunningBot) -> None:
    report = await running.discord.report()
    assert report["command_syncs"] == 1
    assert report["identifies"] == 1
    assert report["unknown_routes"] == []
    assert [command["name"] for command in report["commands"]] == ["paint", "whisper", "quota", "Edit image"]
    assert running.bot.user is not None
    assert running.bot.user.id == running.bot.application_id == running.discord.bot_id
    assert running.room.permissions_for(running.room.guild.me).attach_files
    sent = report["recent"][0]
    assert sent["headers"]["authorization"] == "present"
    assert running.discord.violations == []


async def test_a_command_has_a_public_response_and_its_picture_is_posted(running: RunningBot) -> None:
    options = {"prompt": "a cat", "image": Upload("cat photo.png", png(5, 7))}
    asked = await running.discord.slash(running.ann, running.channel, "paint", options)
    answer = await running.discord.answer(asked)
    assert (answer["type"], answer["ephemeral"]) == (4, False)
    assert answer["data"]["content"] == "queued a cat"
    assert 0 < answer["ms"] < 3000
    found = await running.discord.wait_for_message(running.channel, names)
    assert names(found) == [f"easel-{asked}-1.png"]
    assert (found["attachments"][0]["width"], found["attachments"][0]["height"]) == (5, 7)
    assert found["attachments"][0]["content_type"] == "image/png"
    assert found["nonce"] == str(asked)
    assert found["sandbox"]["pinged"] == {"users": [running.ann], "roles": [], "everyone": False}
    assert await running.discord.file(int(found["attachments"][0]["id"])) == png(5, 7)
    assert running.discord.violations == []


async def test_an_ephemeral_deferral_is_edited_and_followed_up(running: RunningBot) -> None:
    asked = await running.discord.slash(running.ann, running.channel, "whisper")
    answer = await running.discord.answer(asked)
    assert (answer["type"], answer["ephemeral"]) == (5, True)
    await running.discord.wait_for_message(running.channel, lambda m: m["content"] == "and more", ephemeral=True)
    private = await running.discord.ephemeral(asked)
    assert [message["content"] for message in private] == ["psst", "and more"]
    assert [version["content"] for version in private[0]["sandbox"]["versions"]] == ["", "psst"]
    assert await running.discord.messages(running.channel) == []
    with pytest.raises(discord.NotFound, match="10008"):
        await running.room.fetch_message(int(private[0]["id"]))


async def test_the_payload_says_what_the_member_may_not_do(running: RunningBot) -> None:
    options = {"member": running.ann, "limit": 3}
    asked = await running.discord.slash(running.ann, running.channel, "quota set", options)
    assert (await running.discord.answer(asked))["data"]["content"] == "ann 3 False"
    keeper = await running.discord.create_role(running.guild, "keeper", permissions=MANAGE_GUILD)
    await running.discord.set_roles(running.guild, running.ann, [keeper])
    asked = await running.discord.slash(running.ann, running.channel, "quota set", options)
    assert (await running.discord.answer(asked))["data"]["content"] == "ann 3 True"
    payload = (await running.discord.interaction(asked))["payload"]
    assert payload["authorizing_integration_owners"] == {"0": str(running.guild)}
    assert payload["attachment_size_limit"] == 20 * 1024 * 1024


async def test_a_message_command_sees_the_whole_target(running: RunningBot) -> None:
    target = await running.discord.post_message(
        running.ann, running.channel, "my cat", attachments=[Upload("cat.png", png())]
    )
    assert (await running.heard()).attachments == []
    asked = await running.discord.message_command(running.ann, "Edit image", target)
    assert (await running.discord.answer(asked))["data"]["content"] == "my cat ['cat.png']"


async def test_a_button_opens_a_modal_whose_upload_can_be_read(running: RunningBot) -> None:
    asked = await running.discord.slash(running.ann, running.channel, "paint", {"prompt": "x"})
    card = (await running.discord.answer(asked))["message"]
    opened = await running.discord.answer(await running.discord.click(running.ann, card, "again"))
    assert (opened["type"], opened["data"]["title"]) == (9, "Change it")
    values = {"wish": "a hat", "more": [Upload("hat.png", png())]}
    sent = await running.discord.submit_modal(running.ann, running.channel, "change", values, message=card)
    answer = await running.discord.answer(sent)
    assert answer["data"]["content"] == f"a hat [{len(png())}]"
    gone = await running.discord.answer(await running.discord.click(running.ann, card, "gone"))
    assert gone["type"] == 7
    assert gone["message"] == card
    with pytest.raises(ControlError, match="no usable component"):
        await running.discord.click(running.ann, card, "again")
    assert running.discord.violations == []


@pytest.mark.parametrize(
    ("ping", "to_answer", "seen"), [(True, False, True), (False, False, False), (True, True, False)]
)
async def test_a_reply_is_readable_only_with_a_ping_to_an_ordinary_message(
    running: RunningBot, ping: bool, to_answer: bool, seen: bool
) -> None:
    if to_answer:
        asked = await running.discord.slash(running.ann, running.channel, "paint", {"prompt": "x"})
        target = (await running.discord.answer(asked))["message"]
    else:
        target = (await running.room.send("result", file=picture())).id
    uploads = [Upload("more.png", png())]
    await running.discord.post_message(
        running.ann, running.channel, "a hat", reply_to=target, ping=ping, attachments=uploads
    )
    heard = await running.heard()
    assert (heard.content, len(heard.attachments)) == (("a hat", 1) if seen else ("", 0))
    assert heard.type is discord.MessageType.reply
    assert heard.reference is not None
    assert isinstance(heard.reference.resolved, discord.Message)
    assert heard.reference.resolved.id == target
    again = await running.room.fetch_message(heard.id)
    assert again.content == heard.content


async def test_a_mention_and_a_direct_message_are_readable(running: RunningBot) -> None:
    await running.discord.post_message(running.ann, running.channel, "hello", mentions=[running.discord.bot_id])
    assert (await running.heard()).content == f"<@{running.discord.bot_id}> hello"
    private = await running.discord.create_dm(running.ann)
    await running.discord.post_message(running.ann, private, "psst")
    heard = await running.heard()
    assert (heard.content, heard.guild) == ("psst", None)


async def test_a_repeated_nonce_is_the_same_message(running: RunningBot) -> None:
    first = await running.room.send("one", nonce="7", file=picture())
    second = await running.room.send("one", nonce="7", file=picture())
    assert first.id == second.id
    await running.discord.forget_nonces()
    assert (await running.room.send("one", nonce="7")).id != first.id
    assert (await running.discord.report())["message_posts"] == 2
