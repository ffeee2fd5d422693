"""The buttons below messages, also of those sent before a restart."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Self

import discord

from bot.chat.discord.client import Interaction
from bot.chat.discord.error_replies import answering
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
