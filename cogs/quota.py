"""`/quota`: shows a member what is left of their allowance."""

from __future__ import annotations

from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import requester
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.quota import quota_message


class Quota(commands.Cog):
    """The command `/quota`."""

    @app_commands.command()
    @app_commands.guild_only()
    async def quota(self, interaction: Interaction) -> None:
        """See what you have left and when it starts anew."""
        allowance = await interaction.client.services.members.allowance(requester(interaction))
        message = quota_message(allowance)
        await interaction.response.send_message(
            embeds=message.embeds, ephemeral=True, allowed_mentions=NO_MENTIONS
        )


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Quota())
