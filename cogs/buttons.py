"""The buttons below messages: Cancel, Delete, Edit, another model. Those of old messages work after a restart."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Self

import discord
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.error_replies import answer_error, answer_errors
from bot.chat.discord.messages.buttons import Verb, custom_id_pattern, is_known
from bot.chat.discord.messages.refusals import NOTHING_CHARGED
from bot.domain.errors import BadSource, NotFound
from bot.domain.jobs import JobState
from cogs.edit_form import open_form
from cogs.requests import retry

Button = discord.ui.Button[discord.ui.View]


class JobButton(discord.ui.DynamicItem[Button], template="easel:none:(?P<job>[0-9])"):
    """A button of one job; its subclasses say in `press` what it does."""

    def __init__(self, button: Button, job_id: int) -> None:
        super().__init__(button)
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Build the button from the message that was pressed; called by discord.py."""
        if not isinstance(item, discord.ui.Button):
            raise TypeError(type(item).__name__)
        return cls(item, int(match["job"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Press the button and answer its errors; called by discord.py."""
        await answer_errors(interaction, lambda: self.press(interaction))

    async def press(self, interaction: Interaction) -> None:
        """What the button does."""
        raise TypeError(type(self).__name__)


class CancelButton(JobButton, template=custom_id_pattern("cancel")):
    """Cancels a job that waits or runs: for its member and for moderators."""

    async def press(self, interaction: Interaction) -> None:
        """Cancel, and answer privately with what became of the job."""
        moderator = interaction.permissions.manage_messages
        job = await interaction.client.services.members.cancel(
            self.job_id, interaction.user.id, interaction.guild_id, moderator=moderator
        )
        if job.state is JobState.CANCELLED:
            sentence = f"Cancelled. {NOTHING_CHARGED}"
        elif job.state.ended:
            sentence = "This request has already ended."
        elif job.state is JobState.DELIVERING:
            sentence = "Too late to cancel: the picture is on its way."
        else:
            sentence = "Easel asked the service to stop. If it is too late for that, the picture still comes."
        await interaction.response.send_message(sentence, ephemeral=True)


class DeleteButton(JobButton, template=custom_id_pattern("delete")):
    """Deletes a result: for its member and for moderators."""

    async def press(self, interaction: Interaction) -> None:
        """Delete the message that has the button."""
        moderator = interaction.permissions.manage_messages
        await interaction.client.services.members.deletable(
            self.job_id, interaction.user.id, interaction.guild_id, moderator=moderator
        )
        if interaction.message is None:
            raise NotFound("The picture is gone already.")
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):  # it was deleted meanwhile
            await interaction.message.delete()


class EditButton(JobButton, template=custom_id_pattern("edit")):
    """Opens the edit form for a result: for every member, on their own allowance."""

    async def press(self, interaction: Interaction) -> None:
        """Open the form for the pictures of the message that has the button."""
        if interaction.message is None:
            raise NotFound("The picture is gone already.")
        await open_form(interaction, interaction.message, self.job_id)


class RetryButton(JobButton, template=custom_id_pattern("retry")):
    """Asks for a failed request again, with another model: for its member, once."""

    async def press(self, interaction: Interaction) -> None:
        """Answer with the card of the new job."""
        await retry(interaction, self.job_id)


BUTTONS: dict[Verb, type[JobButton]] = {
    "cancel": CancelButton,
    "delete": DeleteButton,
    "edit": EditButton,
    "retry": RetryButton,
}


class Buttons(commands.Cog):
    """Registers the buttons, and answers those of versions that had others."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    async def cog_load(self) -> None:
        """Register the buttons of all messages."""
        self._client.add_dynamic_items(*BUTTONS.values())

    async def cog_unload(self) -> None:
        """Remove them again."""
        self._client.remove_dynamic_items(*BUTTONS.values())

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Answer a button that no class is registered for; discord.py ignores it."""
        if interaction.type is not discord.InteractionType.component:
            return
        if not is_known(str(dict(interaction.data or {}).get("custom_id", ""))):
            await answer_error(interaction, BadSource("This button belongs to an older Easel."))


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Buttons(client))
