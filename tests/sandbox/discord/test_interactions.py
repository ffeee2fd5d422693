"""The small Discord stands in for the real one: discord.py itself must work against it, and meet its refusals."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.sandbox.discord.server import ControlError, DiscordControl, DiscordSandbox, Settings, Upload

MANAGE_GUILD = 1 << 5
SEND_MESSAGES, VIEW_CHANNEL = 1 << 11, 1 << 10


def png(width: int = 3, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(name: str = "cat.png", content: bytes | None = None) -> discord.File:
    return discord.File(io.BytesIO(content or png()), name)


class Change(discord.ui.Modal, title="Change it"):
    """Asks for a wish and for files."""

    wish = discord.ui.Label[Any](text="Wish", component=discord.ui.TextInput(custom_id="wish"))
    more = discord.ui.Label[Any](text="Files", component=discord.ui.FileUpload(custom_id="more", required=False))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        assert isinstance(self.wish.component, discord.ui.TextInput)
        assert isinstance(self.more.component, discord.ui.FileUpload)
        sizes = [len(await attachment.read()) for attachment in self.more.component.values]
        await interaction.response.send_message(f"{self.wish.component.value} {sizes}", ephemeral=True)


class Again(discord.ui.View):
    """Two buttons that survive a restart."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Again", custom_id="again")
    async def again(self, interaction: discord.Interaction, button: discord.ui.Button[Again]) -> None:
        await interaction.response.send_modal(Change(custom_id="change"))

    @discord.ui.button(label="Gone", custom_id="gone")
    async def gone(self, interaction: discord.Interaction, button: discord.ui.Button[Again]) -> None:
        await interaction.response.edit_message(content="gone", view=None)


class Painter(discord.Client):
    """A bot of a few lines."""

    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            guild_ready_timeout=0.05,
        )
        self.tree = app_commands.CommandTree(self)
        self.heard: asyncio.Queue[discord.Message] = asyncio.Queue()
        self.asked: asyncio.Queue[discord.Interaction] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.tree.error(self.on_command_error)
        self.tree.command(name="paint", description="paint")(self.paint)
        self.tree.command(name="whisper", description="whisper")(self.whisper)
        group = app_commands.Group(name="quota", description="quota")
        group.command(name="set", description="set")(self.quota)
        self.tree.add_command(group)
        self.tree.add_command(app_commands.ContextMenu(name="Edit image", callback=self.edit_image))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        return None

    async def setup_hook(self) -> None:
        self.add_view(Again())
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        if self.user and message.author.id != self.user.id:
            self.heard.put_nowait(message)

    async def on_command_error(
        self, interaction: discord.Interaction, error: app_commands.AppCommandError
    ) -> None:
        self.errors.put_nowait(error)

    async def paint(
        self, interaction: discord.Interaction, prompt: str, image: discord.Attachment | None = None
    ) -> None:
        self.asked.put_nowait(interaction)
        await interaction.response.send_message(f"queued {prompt}", view=Again())
        content = await image.read() if image else png()
        assert isinstance(interaction.channel, discord.TextChannel)
        await interaction.channel.send(
            interaction.user.mention,
            file=picture(f"easel-{interaction.id}-1.png", content),
            nonce=str(interaction.id),
            allowed_mentions=discord.AllowedMentions(users=[interaction.user]),
        )

    async def whisper(self, interaction: discord.Interaction) -> None:
        self.asked.put_nowait(interaction)
        await interaction.response.defer(ephemeral=True)
        await interaction.edit_original_response(content="psst")
        await interaction.followup.send("and more", ephemeral=True)

    async def quota(self, interaction: discord.Interaction, member: discord.Member, limit: int) -> None:
        self.asked.put_nowait(interaction)
        may = interaction.permissions.manage_guild
        await interaction.response.send_message(f"{member.name} {limit} {may}", ephemeral=True)

    async def edit_image(self, interaction: discord.Interaction, message: discord.Message) -> None:
        names = [attachment.filename for attachment in message.attachments]
        await interaction.response.send_message(f"{message.content} {names}", ephemeral=True)


class Stage:
    """A guild with a channel and Ann, and the bot running."""

    def __init__(self, sandbox: DiscordSandbox, bot: Painter, guild: int, channel: int, ann: int) -> None:
        self.discord, self.bot, self.guild, self.channel, self.ann = sandbox, bot, guild, channel, ann

    @property
    def room(self) -> discord.TextChannel:
        room = self.bot.get_channel(self.channel)
        assert isinstance(room, discord.TextChannel)
        return room

    async def failure(self) -> str:
        return str(await asyncio.wait_for(self.bot.errors.get(), 2))

    async def heard(self) -> discord.Message:
        return await asyncio.wait_for(self.bot.heard.get(), 2)


@pytest.fixture
async def sandbox() -> AsyncIterator[DiscordSandbox]:
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    async with DiscordSandbox() as discord_sandbox:
        Route.BASE = discord_sandbox.api_url
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(discord_sandbox.gateway_url)
        try:
            yield discord_sandbox
        finally:
            Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@asynccontextmanager
async def running() -> AsyncIterator[Painter]:
    async with Painter() as bot:
        task = asyncio.create_task(bot.start("token"))
        try:
            yield bot
        finally:
            await bot.close()
            await task


@pytest.fixture
async def stage(sandbox: DiscordSandbox) -> AsyncIterator[Stage]:
    guild = await sandbox.create_guild("studio")
    channel = await sandbox.create_channel(guild, "canvas")
    ann = await sandbox.create_member(guild, "ann")
    async with running() as bot:
        await sandbox.wait_connected()
        await asyncio.wait_for(bot.wait_until_ready(), 2)
        yield Stage(sandbox, bot, guild, channel, ann)


def names(message: dict[str, Any]) -> list[str]:
    return [attachment["filename"] for attachment in message["attachments"]]


async def test_a_bot_logs_in_syncs_once_and_knows_its_guild(stage: Stage) -> None:
    report = await stage.discord.report()
    assert report["command_syncs"] == 1
    assert report["identifies"] == 1
    assert report["unknown_routes"] == []
    assert [command["name"] for command in report["commands"]] == ["paint", "whisper", "quota", "Edit image"]
    assert stage.bot.user is not None
    assert stage.bot.user.id == stage.bot.application_id == stage.discord.bot_id
    assert stage.room.permissions_for(stage.room.guild.me).attach_files
    sent = report["recent"][0]
    assert sent["headers"]["authorization"] == "present"
    assert stage.discord.violations == []


async def test_a_command_is_answered_in_public_and_its_picture_posted(stage: Stage) -> None:
    options = {"prompt": "a cat", "image": Upload("cat photo.png", png(5, 7))}
    asked = await stage.discord.slash(stage.ann, stage.channel, "paint", options)
    answer = await stage.discord.answer(asked)
    assert (answer["type"], answer["ephemeral"]) == (4, False)
    assert answer["data"]["content"] == "queued a cat"
    assert 0 < answer["ms"] < 3000
    found = await stage.discord.wait_for_message(stage.channel, names)
    assert names(found) == [f"easel-{asked}-1.png"]
    assert (found["attachments"][0]["width"], found["attachments"][0]["height"]) == (5, 7)
    assert found["attachments"][0]["content_type"] == "image/png"
    assert found["nonce"] == str(asked)
    assert found["sandbox"]["pinged"] == {"users": [stage.ann], "roles": [], "everyone": False}
    assert await stage.discord.file(int(found["attachments"][0]["id"])) == png(5, 7)
    assert stage.discord.violations == []


async def test_an_ephemeral_deferral_is_edited_and_followed_up(stage: Stage) -> None:
    asked = await stage.discord.slash(stage.ann, stage.channel, "whisper")
    answer = await stage.discord.answer(asked)
    assert (answer["type"], answer["ephemeral"]) == (5, True)
    await stage.discord.wait_for_message(stage.channel, lambda m: m["content"] == "and more", ephemeral=True)
    private = await stage.discord.ephemeral(asked)
    assert [message["content"] for message in private] == ["psst", "and more"]
    assert [version["content"] for version in private[0]["sandbox"]["versions"]] == ["", "psst"]
    assert await stage.discord.messages(stage.channel) == []
    with pytest.raises(discord.NotFound, match="10008"):
        await stage.room.fetch_message(int(private[0]["id"]))


async def test_the_payload_says_what_the_member_may_not_do(stage: Stage) -> None:
    options = {"member": stage.ann, "limit": 3}
    asked = await stage.discord.slash(stage.ann, stage.channel, "quota set", options)
    assert (await stage.discord.answer(asked))["data"]["content"] == "ann 3 False"
    keeper = await stage.discord.create_role(stage.guild, "keeper", permissions=MANAGE_GUILD)
    await stage.discord.set_roles(stage.guild, stage.ann, [keeper])
    asked = await stage.discord.slash(stage.ann, stage.channel, "quota set", options)
    assert (await stage.discord.answer(asked))["data"]["content"] == "ann 3 True"
    payload = (await stage.discord.interaction(asked))["payload"]
    assert payload["authorizing_integration_owners"] == {"0": str(stage.guild)}
    assert payload["attachment_size_limit"] == 20 * 1024 * 1024


async def test_a_message_command_sees_the_whole_target(stage: Stage) -> None:
    target = await stage.discord.post_message(
        stage.ann, stage.channel, "my cat", attachments=[Upload("cat.png", png())]
    )
    assert (await stage.heard()).attachments == []
    asked = await stage.discord.message_command(stage.ann, "Edit image", target)
    assert (await stage.discord.answer(asked))["data"]["content"] == "my cat ['cat.png']"


async def test_a_button_opens_a_modal_whose_upload_can_be_read(stage: Stage) -> None:
    asked = await stage.discord.slash(stage.ann, stage.channel, "paint", {"prompt": "x"})
    card = (await stage.discord.answer(asked))["message"]
    opened = await stage.discord.answer(await stage.discord.click(stage.ann, card, "again"))
    assert (opened["type"], opened["data"]["title"]) == (9, "Change it")
    values = {"wish": "a hat", "more": [Upload("hat.png", png())]}
    sent = await stage.discord.submit_modal(stage.ann, stage.channel, "change", values, message=card)
    answer = await stage.discord.answer(sent)
    assert answer["data"]["content"] == f"a hat [{len(png())}]"
    gone = await stage.discord.answer(await stage.discord.click(stage.ann, card, "gone"))
    assert gone["type"] == 7
    assert gone["message"] == card
    with pytest.raises(ControlError, match="no usable component"):
        await stage.discord.click(stage.ann, card, "again")
    assert stage.discord.violations == []


@pytest.mark.parametrize(
    ("ping", "to_answer", "seen"), [(True, False, True), (False, False, False), (True, True, False)]
)
async def test_a_reply_is_readable_only_with_a_ping_to_an_ordinary_message(
    stage: Stage, ping: bool, to_answer: bool, seen: bool
) -> None:
    if to_answer:
        asked = await stage.discord.slash(stage.ann, stage.channel, "paint", {"prompt": "x"})
        target = (await stage.discord.answer(asked))["message"]
    else:
        target = (await stage.room.send("result", file=picture())).id
    uploads = [Upload("more.png", png())]
    await stage.discord.post_message(
        stage.ann, stage.channel, "a hat", reply_to=target, ping=ping, attachments=uploads
    )
    heard = await stage.heard()
    assert (heard.content, len(heard.attachments)) == (("a hat", 1) if seen else ("", 0))
    assert heard.type is discord.MessageType.reply
    assert heard.reference is not None
    assert isinstance(heard.reference.resolved, discord.Message)
    assert heard.reference.resolved.id == target
    again = await stage.room.fetch_message(heard.id)
    assert again.content == heard.content


async def test_naming_the_bot_or_writing_to_it_privately_is_readable(stage: Stage) -> None:
    await stage.discord.post_message(stage.ann, stage.channel, "hello", mentions=[stage.discord.bot_id])
    assert (await stage.heard()).content == f"<@{stage.discord.bot_id}> hello"
    private = await stage.discord.create_dm(stage.ann)
    await stage.discord.post_message(stage.ann, private, "psst")
    heard = await stage.heard()
    assert (heard.content, heard.guild) == ("psst", None)


async def test_a_repeated_nonce_is_the_same_message(stage: Stage) -> None:
    first = await stage.room.send("one", nonce="7", file=picture())
    second = await stage.room.send("one", nonce="7", file=picture())
    assert first.id == second.id
    await stage.discord.forget_nonces()
    assert (await stage.room.send("one", nonce="7")).id != first.id
    assert (await stage.discord.report())["message_posts"] == 2


async def test_a_lost_answer_leaves_the_work_done(stage: Stage) -> None:
    await stage.discord.lose_answer("POST /channels/*/messages")
    with pytest.raises(aiohttp.ClientError):
        await stage.room.send("one", nonce="8")
    assert len(await stage.discord.messages(stage.channel)) == 1
    await stage.room.send("one", nonce="8")
    assert len(await stage.discord.messages(stage.channel)) == 1
    await stage.discord.lose_answer("POST /channels/*/messages", worked=False)
    with pytest.raises(aiohttp.ClientError):
        await stage.room.send("two")
    assert len(await stage.discord.messages(stage.channel)) == 1


async def test_a_slow_answer_comes_after_the_work(stage: Stage) -> None:
    await stage.discord.delay("POST /channels/*/messages", 0.2, worked=True)
    sending = asyncio.create_task(stage.room.send("one"))
    await stage.discord.wait_for_message(stage.channel, lambda m: m["content"] == "one")
    assert not sending.done()
    await sending


async def test_too_many_requests_are_told_to_wait(stage: Stage) -> None:
    await stage.discord.fail("POST /channels/*/messages", 429, retry_after=0.02)
    await stage.room.send("one")
    await stage.discord.rate_limit("POST /channels/{channel}/messages", 2, 0.2, hidden=True)
    for text in ("two", "three", "four"):
        await stage.room.send(text)
    report = await stage.discord.report()
    assert report["statuses"]["429"] == 2
    assert len(await stage.discord.messages(stage.channel)) == 4


async def test_headers_warn_of_a_visible_limit(stage: Stage) -> None:
    await stage.discord.rate_limit("POST /channels/{channel}/messages", 1, 0.15)
    for text in ("one", "two"):
        await stage.room.send(text)
    assert "429" not in (await stage.discord.report())["statuses"]


async def test_a_file_above_the_limit_is_refused(stage: Stage) -> None:
    tight = await stage.discord.create_channel(stage.guild, "tight", file_limit=100)
    room = stage.bot.get_partial_messageable(tight, guild_id=stage.guild)
    with pytest.raises(discord.HTTPException) as caught:
        await room.send(file=picture(content=png() + b"\0" * 100))
    assert (caught.value.status, caught.value.code) == (413, 40005)
    assert await stage.discord.messages(tight) == []


async def test_an_expired_token_is_refused_but_the_bot_may_still_edit(stage: Stage) -> None:
    asked = await stage.discord.slash(stage.ann, stage.channel, "paint", {"prompt": "x"})
    interaction = await asyncio.wait_for(stage.bot.asked.get(), 2)
    card = (await stage.discord.answer(asked))["message"]
    await stage.discord.wait_for_message(stage.channel, names)
    await stage.discord.expire_tokens(asked)
    with pytest.raises(discord.HTTPException) as caught:
        await interaction.edit_original_response(content="late")
    assert (caught.value.status, caught.value.code) == (401, 50027)
    await stage.room.get_partial_message(card).edit(content="in time")
    found = await stage.discord.wait_for_message(stage.channel, lambda m: m["content"] == "in time")
    assert found["id"] == str(card)


async def test_a_doubled_event_can_be_answered_only_once(stage: Stage) -> None:
    asked = await stage.discord.slash(stage.ann, stage.channel, "paint", {"prompt": "x"})
    await stage.discord.wait_for_message(stage.channel, names)
    first = await asyncio.wait_for(stage.bot.asked.get(), 2)
    await stage.discord.redeliver(asked)
    second = await asyncio.wait_for(stage.bot.asked.get(), 2)
    assert first.id == second.id
    assert "40060" in await stage.failure()
    assert (await stage.discord.interaction(asked))["callbacks"] == 2
    assert len(await stage.discord.messages(stage.channel)) == 2
    assert (await stage.discord.report())["statuses"]["400"] == 1


async def test_an_answer_after_the_deadline_is_unknown(stage: Stage) -> None:
    await stage.discord.configure(ack_within=0.0)
    asked = await stage.discord.slash(stage.ann, stage.channel, "whisper")
    assert "10062" in await stage.failure()
    with pytest.raises(TimeoutError):
        await stage.discord.answer(asked, 0.01)


async def test_missing_permissions_are_told_apart(stage: Stage) -> None:
    await stage.discord.set_permissions(stage.channel, deny=SEND_MESSAGES)
    with pytest.raises(discord.Forbidden, match="50013"):
        await stage.room.send("one")
    await stage.discord.set_permissions(stage.channel, deny=VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden, match="50001"):
        await stage.room.send("one")


async def test_links_die_and_a_fetch_renews_them(stage: Stage) -> None:
    message = await stage.room.send(file=picture())
    assert await message.attachments[0].read() == png()
    await stage.discord.expire_links()
    with pytest.raises(discord.NotFound):
        await message.attachments[0].read()
    again = await stage.room.fetch_message(message.id)
    assert await again.attachments[0].read() == png()


async def test_an_edit_keeps_only_the_files_it_lists(stage: Stage) -> None:
    message = await stage.room.send(files=[picture("a.png"), picture("b.png")])
    edited = await message.edit(attachments=[message.attachments[1], picture("c.png")])
    assert [a.filename for a in edited.attachments] == ["b.png", "c.png"]
    await message.delete()
    assert await stage.discord.messages(stage.channel) == []
    [record] = await stage.discord.messages(stage.channel, deleted=True)
    assert [v["files"] for v in record["sandbox"]["versions"]] == [["a.png", "b.png"], ["b.png", "c.png"]]


async def test_history_is_listed_as_discord_does(stage: Stage) -> None:
    sent = [await stage.room.send(str(number)) for number in range(4)]
    after = [m.content async for m in stage.room.history(after=sent[1], oldest_first=True)]
    assert after == ["2", "3"]
    assert [m.content async for m in stage.room.history(before=sent[2], limit=1)] == ["1"]
    assert [m.content async for m in stage.room.history(around=sent[1], limit=3)] == ["2", "1", "0"]


async def test_broken_rules_are_refused_and_noted(stage: Stage) -> None:
    view = discord.ui.View().add_item(discord.ui.Button(label="x" * 81, custom_id="x"))
    with pytest.raises(discord.HTTPException, match="80 or fewer"):
        await stage.room.send("a", view=view)
    with pytest.raises(discord.HTTPException, match="2000 or fewer"):
        await stage.room.send("a" * 2001)
    embed = discord.Embed(description="d").set_image(url="attachment://nowhere.png")
    with pytest.raises(discord.HTTPException, match="No attachment of that name"):
        await stage.room.send(embed=embed, file=picture())
    assert {violation["route"] for violation in stage.discord.violations} == {"POST /channels/{channel}/messages"}
    assert len(stage.discord.violations) == 3


async def test_the_newer_layout_is_accepted(stage: Stage) -> None:
    gallery = discord.ui.MediaGallery[discord.ui.LayoutView](
        discord.MediaGalleryItem("attachment://cat.png", description="a cat")
    )
    view = discord.ui.LayoutView()
    text = discord.ui.TextDisplay[discord.ui.LayoutView](f"for <@{stage.ann}>")
    view.add_item(discord.ui.Container[discord.ui.LayoutView](text, gallery))
    everyone = discord.AllowedMentions(users=True)
    message = await stage.room.send(view=view, file=picture(), allowed_mentions=everyone)
    assert message.flags.components_v2
    [record] = await stage.discord.messages(stage.channel)
    assert record["sandbox"]["pinged"]["users"] == [stage.ann]
    with pytest.raises(discord.HTTPException, match="cannot be used here"):
        await message.edit(content="plain")


async def test_a_cut_gateway_is_resumed_without_losing_events(stage: Stage) -> None:
    assert await stage.discord.disconnect_gateway(0) == 1
    await stage.discord.wait_disconnected()
    await stage.discord.post_message(stage.ann, stage.channel, "hello", mentions=[stage.discord.bot_id])
    assert (await stage.heard()).content.endswith("hello")
    report = await stage.discord.report()
    assert (report["identifies"], report["resumes"]) == (1, 1)


async def test_an_interaction_during_a_cut_is_delivered_on_resume(stage: Stage) -> None:
    await stage.discord.disconnect_gateway(0)
    await stage.discord.wait_disconnected()
    asked = await stage.discord.slash(stage.ann, stage.channel, "whisper")
    assert (await stage.discord.interaction(asked))["delivered"] == 0
    assert (await stage.discord.answer(asked))["type"] == 5


async def test_an_invalid_session_is_identified_anew(stage: Stage) -> None:
    await stage.discord.invalidate_sessions()
    await stage.discord.wait_connected(identifies=2)
    await stage.discord.post_message(stage.ann, stage.channel, mentions=[stage.discord.bot_id])
    await stage.heard()
    report = await stage.discord.report()
    assert (report["identifies"], report["resumes"]) == (2, 0)


async def test_privileged_intents_are_refused(sandbox: DiscordSandbox) -> None:
    bot = discord.Client(intents=discord.Intents(guilds=True, message_content=True))
    async with bot:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await bot.start("token")


async def test_a_wrong_token_is_refused() -> None:
    async with DiscordSandbox(settings=Settings(token="right")) as sandbox, aiohttp.ClientSession() as session:
        for token, status in (("right", 200), ("wrong", 401)):
            headers = {"Authorization": f"Bot {token}"}
            async with session.get(f"{sandbox.api_url}/users/@me", headers=headers) as response:
                assert response.status == status
                assert response.headers["Content-Type"] == "application/json"
        assert sandbox.violations  # aiohttp's own user agent is not a bot's


async def test_a_guild_without_the_bot_can_use_it_by_user_install(stage: Stage) -> None:
    elsewhere = await stage.discord.create_guild("elsewhere", with_bot=False)
    channel = await stage.discord.create_channel(elsewhere)
    ben = await stage.discord.create_member(elsewhere, "ben")
    asked = await stage.discord.slash(ben, channel, "whisper")
    assert (await stage.discord.answer(asked))["ephemeral"]
    payload = (await stage.discord.interaction(asked))["payload"]
    assert payload["authorizing_integration_owners"] == {"1": str(ben)}
    with pytest.raises(discord.Forbidden, match="50001"):
        await stage.bot.get_partial_messageable(channel).send("hello")


async def test_a_burst_is_timed_from_event_to_result(stage: Stage) -> None:
    ben = await stage.discord.create_member(stage.guild, "ben")
    await stage.discord.configure(discard_files=True)
    spec = {"kind": "slash", "channel": stage.channel, "command": "paint", "options": {"prompt": "cat {i}"}}
    report = await stage.discord.burst(spec, 10, members=[stage.ann, ben], within=5)
    assert report["ack"]["count"] == report["result"]["count"] == 10
    assert report["ack"]["missing"] == 0
    assert [record["member"] for record in report["records"]] == [stage.ann, ben] * 5
    assert all(0 < record["ack_ms"] <= record["result_ms"] for record in report["records"])
    contents = {message["content"] for message in await stage.discord.messages(stage.channel)}
    assert {f"queued cat {number}" for number in range(10)} <= contents


async def test_in_its_own_process_it_is_steered_over_http() -> None:
    command = (sys.executable, "-m", "bot.sandbox.discord", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    addresses = json.loads(await asyncio.wait_for(process.stdout.readline(), 10))
    async with DiscordControl(addresses["base_url"]) as control:
        guild = await control.create_guild()
        channel = await control.create_channel(guild)
        ann = await control.create_member(guild, "ann")
        await control.post_message(ann, channel, "hello", attachments=[Upload("a.png", png(9, 9))])
        [message] = await control.messages(channel)
        assert (message["content"], message["attachments"][0]["width"]) == ("hello", 9)
        with pytest.raises(ControlError, match="no command 'paint'"):
            await control.slash(ann, channel, "paint")
        with pytest.raises(TimeoutError):
            await control.wait_for_message(channel, lambda m: m["content"] == "bye", within=0.05)
        assert (await control.info())["bot_id"] == addresses["application_id"]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0
