"""`/jobs`, and the Cancel and Delete buttons."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import requester
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.jobs import jobs_message
from cogs.buttons import CancelButton, DeleteButton


class Jobs(commands.Cog):
    """Looking after one's own requests."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    async def cog_load(self) -> None:
        """Make the buttons answer, whenever their message was sent."""
        self._client.add_dynamic_items(CancelButton, DeleteButton)

    async def cog_unload(self) -> None:
        """The reverse."""
        self._client.remove_dynamic_items(CancelButton, DeleteButton)

    @app_commands.command()
    @app_commands.guild_only()
    async def jobs(self, interaction: Interaction) -> None:
        """See your running and recent pictures, and cancel what still waits."""
        asker = requester(interaction)
        history = await self._client.rooms.studio.history(asker)
        screen = jobs_message(history, asker.guild_id)
        await interaction.response.send_message(
            screen.content,
            view=screen.view or discord.utils.MISSING,
            ephemeral=True,
            allowed_mentions=NO_MENTIONS,
            suppress_embeds=True,
        )


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Jobs(client))
