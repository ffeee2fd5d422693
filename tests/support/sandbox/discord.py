"""A small bot of discord.py, and a guild of the stand-in in which it runs."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
from discord import app_commands

from bot.sandbox.discord.server import DiscordSandbox


def png(width: int = 3, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(name: str = "cat.png", content: bytes | None = None) -> discord.File:
    return discord.File(io.BytesIO(content or png()), name)


class Change(discord.ui.Modal, title="Change it"):
    """A modal with a text input and a file upload."""

    wish = discord.ui.Label[Any](text="Wish", component=discord.ui.TextInput(custom_id="wish"))
    more = discord.ui.Label[Any](text="Files", component=discord.ui.FileUpload(custom_id="more", required=False))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        assert isinstance(self.wish.component, discord.ui.TextInput)
        assert isinstance(self.more.component, discord.ui.FileUpload)
        sizes = [len(await attachment.read()) for attachment in self.more.component.values]
        await interaction.response.send_message(f"{self.wish.component.value} {sizes}", ephemeral=True)


class Again(discord.ui.View):
    """A persistent view: one button opens a modal, the other edits the message."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Again", custom_id="again")
    async def again(self, interaction: discord.Interaction, button: discord.ui.Button[Again]) -> None:
        await interaction.response.send_modal(Change(custom_id="change"))

    @discord.ui.button(label="Gone", custom_id="gone")
    async def gone(self, interaction: discord.Interaction, button: discord.ui.Button[Again]) -> None:
        await interaction.response.edit_message(content="gone", view=None)


class Painter(discord.Client):
    """A bot with a slash command of each kind and a message command."""

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


class RunningBot:
    """A bot that is logged in, and a guild with a channel and the member Ann."""

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


@asynccontextmanager
async def logged_in_bot() -> AsyncIterator[Painter]:
    async with Painter() as bot:
        task = asyncio.create_task(bot.start("token"))
        try:
            yield bot
        finally:
            await bot.close()
            await task


def names(message: dict[str, Any]) -> list[str]:
    return [attachment["filename"] for attachment in message["attachments"]]
