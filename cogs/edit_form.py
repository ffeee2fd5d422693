"""The form that edits a picture, and its two doors: the Edit button and the menu of any message."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import pictures_in, source_of
from bot.chat.discord.error_replies import answer_error, answering
from bot.chat.discord.messages.buttons import CUSTOM_ID
from bot.chat.discord.messages.content import truncate
from bot.domain.errors import BadSource
from bot.domain.requests import ImageRequest, Source
from cogs.buttons import JobButton
from cogs.requests import submit

FORM_SECONDS = 60 * 60.0
"""How long a form may stay open; discord.py keeps each in memory until it is sent in."""
OPEN_FORMS = 10_000


class EditForm(discord.ui.Modal):
    """Asks for the change; a mask and a second picture may be added."""

    def __init__(self, pictures: Sequence[Source], parent_id: int | None, forget: Callable[[str], object]) -> None:
        # A fixed id would let two open forms overwrite each other.
        super().__init__(
            title="Edit this picture", custom_id=f"easel:form:{secrets.token_hex(8)}", timeout=FORM_SECONDS
        )
        self._forget = forget
        self._pictures = pictures
        self._parent_id = parent_id
        self._prompt: discord.ui.TextInput[EditForm] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, max_length=4000, placeholder="Make it snow", custom_id="prompt"
        )
        self._which: discord.ui.Select[EditForm] = discord.ui.Select(
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
            self.add_item(discord.ui.Label(text="Which picture?", component=self._which))
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
        """Make it a request like any other edit."""
        number = int(self._which.values[0]) if self._which.values else 1
        uploads = [source_of(upload) for upload in self._second.values]
        request = ImageRequest(
            prompt=self._prompt.value,
            model="",
            sources=(self._pictures[number - 1], *uploads),
            mask=source_of(self._mask.values[0]) if self._mask.values else None,
        )
        await answering(interaction, lambda: submit(interaction, request, self._parent_id))

    async def on_timeout(self) -> None:
        """Nobody sent it in."""
        self._forget(self.custom_id)

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, /) -> None:  # type: ignore[override]
        """Errors in a form go where all go."""
        await answer_error(interaction, error)


class EditButton(JobButton, template=r"easel:edit:(?P<job>\d{1,20})"):
    """Opens the form for the pictures that it hangs under."""

    async def press(self, interaction: Interaction) -> None:
        """Anybody who sees a picture may edit it, on their own allowance."""
        pictures = pictures_in(interaction.message) if interaction.message else []
        await open_form(interaction, pictures, self.job_id)


async def open_form(interaction: Interaction, pictures: Sequence[Source], parent_id: int | None) -> None:
    """Show the form.

    Raises:
        BadSource: there is no picture.
    """
    if not pictures:
        raise BadSource("There is no picture in this message. Choose one that has a PNG, JPEG or WebP.")
    cog = interaction.client.get_cog("Forms")
    if not isinstance(cog, Forms):
        raise TypeError(type(cog).__name__)
    form = EditForm(pictures, parent_id, cog.forget)
    cog.remember(form.custom_id)
    await interaction.response.send_modal(form)


class Forms(commands.Cog):
    """Knows which forms are open, and answers for those that nobody knows any more."""

    def __init__(self, client: Easel) -> None:
        self._client = client
        self.opened: dict[str, int] = {}
        """Forms that were opened, and the interaction that sent each in; 0 while it is open."""
        self._menu = app_commands.ContextMenu(name="Edit image", callback=edit_image)
        self._menu.guild_only = True

    def remember(self, custom_id: str) -> None:
        """It is open now; the oldest ones are forgotten."""
        self.opened[custom_id] = 0
        while len(self.opened) > OPEN_FORMS:
            del self.opened[next(iter(self.opened))]

    def forget(self, custom_id: str) -> None:
        """It was open for too long; discord.py no longer knows it either."""
        self.opened.pop(custom_id, None)

    async def cog_load(self) -> None:
        """Add the menu and make the button answer."""
        self._client.tree.add_command(self._menu)
        self._client.add_dynamic_items(EditButton)

    async def cog_unload(self) -> None:
        """The reverse."""
        self._client.tree.remove_command(self._menu.name, type=self._menu.type)
        self._client.remove_dynamic_items(EditButton)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Answer forms and buttons that nobody knows any more; discord.py drops them in silence."""
        data: dict[str, Any] = dict(interaction.data or {})
        custom_id = str(data.get("custom_id", ""))
        if interaction.type is discord.InteractionType.modal_submit:
            await self._check_form(interaction, custom_id)
        elif interaction.type is discord.InteractionType.component:
            known = CUSTOM_ID.fullmatch(custom_id)
            if known is None or known["verb"] not in ("cancel", "edit", "delete"):
                await answer_error(interaction, BadSource("This button belongs to an older Easel."))

    async def _check_form(self, interaction: Interaction, custom_id: str) -> None:
        """Each form is good for sending in once; that one interaction may be delivered twice."""
        sent_by = self.opened.get(custom_id)
        if sent_by == 0:
            self.opened[custom_id] = interaction.id
        elif sent_by != interaction.id:
            await answer_error(interaction, BadSource("Easel no longer knows this form. Open it again."))


async def edit_image(interaction: discord.Interaction[Any], message: discord.Message) -> None:
    """The menu of any message: opens the form for its pictures."""
    parent = await interaction.client.rooms.studio.result(message.id)
    await open_form(interaction, pictures_in(message), parent.id if parent else None)


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Forms(client))
