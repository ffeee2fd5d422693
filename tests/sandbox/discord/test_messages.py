"""Permissions, links, edits, history, and the documented limits of messages."""

from __future__ import annotations

import discord
import pytest

from tests.support.sandbox.discord import RunningBot, picture, png

SEND_MESSAGES, VIEW_CHANNEL = 1 << 11, 1 << 10


async def test_each_missing_permission_has_its_own_error(running: RunningBot) -> None:
    await running.discord.set_permissions(running.channel, deny=SEND_MESSAGES)
    with pytest.raises(discord.Forbidden, match="50013"):
        await running.room.send("one")
    await running.discord.set_permissions(running.channel, deny=VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden, match="50001"):
        await running.room.send("one")


async def test_links_expire_and_a_fetch_renews_them(running: RunningBot) -> None:
    message = await running.room.send(file=picture())
    assert await message.attachments[0].read() == png()
    await running.discord.expire_links()
    with pytest.raises(discord.NotFound):
        await message.attachments[0].read()
    again = await running.room.fetch_message(message.id)
    assert await again.attachments[0].read() == png()


async def test_an_edit_keeps_only_the_files_it_lists(running: RunningBot) -> None:
    message = await running.room.send(files=[picture("a.png"), picture("b.png")])
    edited = await message.edit(attachments=[message.attachments[1], picture("c.png")])
    assert [a.filename for a in edited.attachments] == ["b.png", "c.png"]
    await message.delete()
    assert await running.discord.messages(running.channel) == []
    [record] = await running.discord.messages(running.channel, deleted=True)
    assert [v["files"] for v in record["sandbox"]["versions"]] == [["a.png", "b.png"], ["b.png", "c.png"]]


async def test_history_is_listed_in_discords_order(running: RunningBot) -> None:
    sent = [await running.room.send(str(number)) for number in range(4)]
    after = [m.content async for m in running.room.history(after=sent[1], oldest_first=True)]
    assert after == ["2", "3"]
    assert [m.content async for m in running.room.history(before=sent[2], limit=1)] == ["1"]
    assert [m.content async for m in running.room.history(around=sent[1], limit=3)] == ["2", "1", "0"]


async def test_broken_rules_are_refused_and_recorded(running: RunningBot) -> None:
    view = discord.ui.View().add_item(discord.ui.Button(label="x" * 81, custom_id="x"))
    with pytest.raises(discord.HTTPException, match="80 or fewer"):
        await running.room.send("a", view=view)
    with pytest.raises(discord.HTTPException, match="2000 or fewer"):
        await running.room.send("a" * 2001)
    embed = discord.Embed(description="d").set_image(url="attachment://nowhere.png")
    with pytest.raises(discord.HTTPException, match="No attachment of that name"):
        await running.room.send(embed=embed, file=picture())
    assert {violation["route"] for violation in running.discord.violations} == {
        "POST /channels/{channel}/messages"
    }
    assert len(running.discord.violations) == 3


async def test_components_v2_are_accepted(running: RunningBot) -> None:
    gallery = discord.ui.MediaGallery[discord.ui.LayoutView](
        discord.MediaGalleryItem("attachment://cat.png", description="a cat")
    )
    view = discord.ui.LayoutView()
    text = discord.ui.TextDisplay[discord.ui.LayoutView](f"for <@{running.ann}>")
    view.add_item(discord.ui.Container[discord.ui.LayoutView](text, gallery))
    everyone = discord.AllowedMentions(users=True)
    message = await running.room.send(view=view, file=picture(), allowed_mentions=everyone)
    assert message.flags.components_v2
    [record] = await running.discord.messages(running.channel)
    assert record["sandbox"]["pinged"]["users"] == [running.ann]
    with pytest.raises(discord.HTTPException, match="cannot be used here"):
        await message.edit(content="plain")
