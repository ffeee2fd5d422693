"""`/jobs`: shows a member's running and recent requests."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import requester
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.jobs import jobs_message


class Jobs(commands.Cog):
    """The command `/jobs`; cogs/buttons.py handles its Cancel buttons."""

    @app_commands.command()
    @app_commands.guild_only()
    async def jobs(self, interaction: Interaction) -> None:
        """See your latest requests, or cancel one."""
        asker = requester(interaction)
        history = await interaction.client.services.members.history(asker)
        message = jobs_message(history, asker.guild_id)
        await interaction.response.send_message(
            message.content,
            view=message.view or discord.utils.MISSING,
            ephemeral=True,
            allowed_mentions=NO_MENTIONS,
            suppress_embeds=True,
        )


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Jobs())
