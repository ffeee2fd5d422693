"""`/jobs`, and the Cancel and Delete buttons."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Self

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction, answering, requester
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.jobs import jobs_message
from bot.domain.errors import NotFound
from bot.domain.jobs import JobState

Button = discord.ui.Button[discord.ui.View]


class JobButton(discord.ui.DynamicItem[Button], template=r"easel:none:(?P<job>\d{1,20})"):
    """A button that carries a job's id; what it does is its subclass's `press`."""

    def __init__(self, button: Button, job_id: int) -> None:
        super().__init__(button)
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild it from a message, also after a restart."""
        if not isinstance(item, discord.ui.Button):
            raise TypeError(type(item).__name__)
        return cls(item, int(match["job"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Errors in here reach no handler of discord.py's."""
        await answering(interaction, lambda: self.press(interaction))

    async def press(self, interaction: Interaction) -> None:
        """What the button does."""
        raise TypeError(type(self).__name__)


class CancelButton(JobButton, template=r"easel:cancel:(?P<job>\d{1,20})"):
    """Cancels a waiting or running job."""

    async def press(self, interaction: Interaction) -> None:
        """Say what came of it, to whoever pressed."""
        moderator = interaction.permissions.manage_messages
        job = await interaction.client.rooms.studio.cancel(
            self.job_id, interaction.user.id, interaction.guild_id, moderator=moderator
        )
        if job.state is JobState.CANCELLED:
            sentence = "Cancelled. Nothing was charged."
        elif job.state.ended:
            sentence = "This request has already ended."
        elif job.state is JobState.DELIVERING:
            sentence = "Too late to cancel: the picture is on its way."
        else:
            sentence = "Easel asked the service to stop. If it is too late for that, the picture still comes."
        await interaction.response.send_message(sentence, ephemeral=True)


class DeleteButton(JobButton, template=r"easel:delete:(?P<job>\d{1,20})"):
    """Deletes a result: for whoever asked for it, and for moderators."""

    async def press(self, interaction: Interaction) -> None:
        """Delete the message that the button hangs on."""
        moderator = interaction.permissions.manage_messages
        await interaction.client.rooms.studio.deletable(
            self.job_id, interaction.user.id, interaction.guild_id, moderator=moderator
        )
        if interaction.message is None:
            raise NotFound("The picture is gone already.")
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):  # somebody was quicker
            await interaction.message.delete()


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
