"""The form that edits a picture, and the menu "Edit image" that opens it for any message."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, cast

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import pictures_in, source_of
from bot.chat.discord.error_replies import answer_error, answer_errors
from bot.chat.discord.messages.content import truncate
from bot.domain.errors import BadSource
from bot.domain.requests import ImageRequest, Source
from cogs.requests import submit

FORM_SECONDS = 60 * 60.0
"""How long a form can be submitted; discord.py keeps it in memory until then."""
MAX_FORMS = 10_000
"""How many forms are remembered."""


class EditForm(discord.ui.Modal):
    """Asks for the prompt; a mask and a second picture may be added."""

    def __init__(self, pictures: Sequence[Source], parent_id: int | None, forget: Callable[[str], object]) -> None:
        # With one id for all forms, discord.py would know only the last that was opened.
        super().__init__(
            title="Edit this picture", custom_id=f"easel:form:{secrets.token_hex(8)}", timeout=FORM_SECONDS
        )
        self._forget = forget
        self._pictures = pictures
        self._parent_id = parent_id
        self._prompt: discord.ui.TextInput[EditForm] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, max_length=4000, placeholder="Make it snow", custom_id="prompt"
        )
        self._number: discord.ui.Select[EditForm] = discord.ui.Select(
            custom_id="which",
            options=[
                discord.SelectOption(
                    label=f"Picture {number}",
                    description=truncate(picture.filename, 100),
                    value=str(number),
                    default=number == 1,
                )
                for number, picture in enumerate(pictures[:25], 1)
            ],
        )
        self._mask: discord.ui.FileUpload[EditForm] = discord.ui.FileUpload(required=False, custom_id="mask")
        self._second: discord.ui.FileUpload[EditForm] = discord.ui.FileUpload(required=False, custom_id="second")
        self.add_item(discord.ui.Label(text="What should change?", component=self._prompt))
        if len(pictures) > 1:
            self.add_item(discord.ui.Label(text="Which picture?", component=self._number))
        self.add_item(
            discord.ui.Label(
                text="Mask",
                description="Optional, of the same size: see-through or white where Easel may paint.",
                component=self._mask,
            )
        )
        self.add_item(
            discord.ui.Label(
                text="Another picture", description="A second picture to borrow from.", component=self._second
            )
        )

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        """Submit the edit."""
        number = int(self._number.values[0]) if self._number.values else 1
        uploads = [source_of(upload) for upload in self._second.values]
        request = ImageRequest(
            prompt=self._prompt.value,
            model="",
            sources=(self._pictures[number - 1], *uploads),
            mask=source_of(self._mask.values[0]) if self._mask.values else None,
        )
        await answer_errors(interaction, lambda: submit(interaction, request, self._parent_id))

    async def on_timeout(self) -> None:
        """Forget the form; called by discord.py once it is too old."""
        self._forget(self.custom_id)

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, /) -> None:  # type: ignore[override]
        """Answer an error in the form."""
        await answer_error(interaction, error)


async def open_form(interaction: Interaction, pictures: Sequence[Source], parent_id: int | None) -> None:
    """Answer an interaction with the form.

    Raises:
        BadSource: there is no picture to edit.
    """
    if not pictures:
        raise BadSource("There is no picture in this message. Choose one that has a PNG, JPEG or WebP.")
    # Loading the extension runs this module a second time, so the cog is not an instance of this `Forms`.
    cog = cast("Forms", interaction.client.get_cog("Forms"))
    form = EditForm(pictures, parent_id, cog.forget)
    cog.remember(form.custom_id)
    await interaction.response.send_modal(form)


class Forms(commands.Cog):
    """Remembers which forms are open, and answers those that discord.py no longer knows."""

    def __init__(self, client: Easel) -> None:
        self._client = client
        self.opened: dict[str, int] = {}
        """The ids of forms and of the interactions that submitted them; 0: not submitted yet."""
        self._menu = app_commands.ContextMenu(name="Edit image", callback=edit_image)
        self._menu.guild_only = True

    def remember(self, custom_id: str) -> None:
        """Remember an opened form, and forget the oldest beyond `MAX_FORMS`."""
        self.opened[custom_id] = 0
        while len(self.opened) > MAX_FORMS:
            del self.opened[next(iter(self.opened))]

    def forget(self, custom_id: str) -> None:
        """Forget a form that was open for too long."""
        self.opened.pop(custom_id, None)

    async def cog_load(self) -> None:
        """Add the menu to the command tree."""
        self._client.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        """Remove the menu again."""
        self._client.tree.remove_command(self._menu.name, type=self._menu.type)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Answer a form that is not open any more; discord.py ignores it.

        Each form is submitted once, but Discord may deliver that interaction twice.
        """
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        custom_id = str(dict(interaction.data or {}).get("custom_id", ""))
        submitted_by = self.opened.get(custom_id)
        if submitted_by == 0:
            self.opened[custom_id] = interaction.id
        elif submitted_by != interaction.id:
            await answer_error(interaction, BadSource("Easel no longer knows this form. Open it again."))


async def edit_image(interaction: discord.Interaction[Any], message: discord.Message) -> None:
    """Open the form for the pictures of a message: the menu's callback."""
    parent = await interaction.client.services.members.result(message.id)
    await open_form(interaction, pictures_in(message), parent.id if parent else None)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Forms(client))
