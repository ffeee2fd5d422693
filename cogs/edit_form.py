"""The form that edits a picture, and the menu "Edit image" that opens it for any message.

What a form needs is written down before it is shown, so that any process can take it, also after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import check_may_ask, pictures_in, requester, source_of_upload
from bot.chat.discord.error_replies import answer_errors
from bot.chat.discord.messages.buttons import form_custom_id, form_id_in
from bot.chat.discord.messages.content import truncate
from bot.domain.errors import BadSource
from bot.domain.forms import Form
from bot.domain.requests import MAXIMUM_PROMPT, ImageRequest, Source
from cogs.requests import submit

FORM_LIFETIME = timedelta(hours=24)
"""How long a form can be submitted: as long as Discord's signed links to its pictures are good."""
MAX_CHOICES = 25
"""Options of a select: Discord's docs, Component Reference."""


def edit_form(form: Form) -> discord.ui.Modal:
    """The form as Discord shows it; discord.py does not keep it."""
    modal = discord.ui.Modal(title="Edit this picture", custom_id=form_custom_id(form.id), timeout=None)
    prompt: discord.ui.TextInput[Any] = discord.ui.TextInput(
        style=discord.TextStyle.paragraph,
        max_length=MAXIMUM_PROMPT,
        placeholder="Make it snow",
        custom_id="prompt",
    )
    modal.add_item(discord.ui.Label(text="What should change?", component=prompt))
    if len(form.pictures) > 1:
        modal.add_item(discord.ui.Label(text="Which picture?", component=_choice(form.pictures)))
    modal.add_item(
        discord.ui.Label(
            text="Mask",
            description="Optional, of the same size: see-through or white where Easel may paint.",
            component=discord.ui.FileUpload(required=False, custom_id="mask"),
        )
    )
    modal.add_item(
        discord.ui.Label(
            text="Another picture",
            description="Optional: a second picture to borrow from.",
            component=discord.ui.FileUpload(required=False, custom_id="second"),
        )
    )
    modal.stop()  # a stopped one is sent like any other
    return modal


def _choice(pictures: Sequence[Source]) -> discord.ui.Select[Any]:
    return discord.ui.Select(
        custom_id="which",
        options=[
            discord.SelectOption(
                label=f"Picture {number}",
                description=truncate(picture.filename, 100),
                value=str(number),
                default=number == 1,
            )
            for number, picture in enumerate(pictures[:MAX_CHOICES], 1)
        ],
    )


async def open_form(interaction: Interaction, message: discord.Message, job_id: int | None = None) -> None:
    """Answer an interaction with the form for a message's pictures; `job_id` is the job of its button.

    Raises:
        BadSource: there is no picture to edit.
        NotAllowed: the member may not write there.
    """
    members, member = interaction.client.services.members, requester(interaction)
    check_may_ask(interaction)
    pictures = pictures_in(message)
    if not pictures:
        raise BadSource("There is no picture in this message. Choose one that has a PNG, JPEG or WebP.")
    parent = await members.result(message.id)
    form = Form(
        id=interaction.id,
        user_id=member.user_id,
        guild_id=member.guild_id,
        pictures=tuple(pictures),
        parent_id=parent.id if parent else job_id,
    )
    await members.open_form(form, discord.utils.time_snowflake(interaction.created_at - FORM_LIFETIME))
    await interaction.response.send_modal(edit_form(form))


async def submit_form(interaction: Interaction, data: Mapping[str, Any]) -> None:
    """Submit the edit of a form; `data` is Discord's Modal Submit Data.

    Raises:
        Refused: nothing was reserved.
    """
    member = requester(interaction)
    form_id = form_id_in(str(data.get("custom_id")))
    if form_id is None:
        raise BadSource("This form belongs to an older Easel. Open it again.")
    form = await interaction.client.services.members.opened_form(form_id, member.user_id, member.guild_id)
    parts = (part.get("component") or {} for part in data.get("components", ()))
    fields = {part.get("custom_id"): part.get("value", part.get("values")) for part in parts}
    uploads = data.get("resolved", {}).get("attachments", {})
    mask, second = (
        [source_of_upload(uploads[upload]) for upload in fields.get(name) or () if upload in uploads]
        for name in ("mask", "second")
    )
    request = ImageRequest(
        prompt=str(fields.get("prompt") or ""),
        model="",
        sources=(_chosen(form.pictures, fields.get("which")), *second),
        mask=mask[0] if mask else None,
    )
    await submit(interaction, request, form)


def _chosen(pictures: Sequence[Source], values: Sequence[str] | None) -> Source:
    """The picture of a select's values; the first where none was chosen."""
    numbers = [str(number) for number in range(1, len(pictures) + 1)]
    value = values[0] if values else "1"
    if value not in numbers:
        raise BadSource("There is no such picture. Open the form again.")
    return pictures[numbers.index(value)]


class Forms(commands.Cog):
    """Has the menu, and listens for forms that are submitted."""

    def __init__(self, client: Easel) -> None:
        self._client = client
        self._menu = app_commands.ContextMenu(name="Edit image", callback=edit_image)
        self._menu.guild_only = True

    async def cog_load(self) -> None:
        """Add the menu to the command tree."""
        self._client.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        """Remove the menu again."""
        self._client.tree.remove_command(self._menu.name, type=self._menu.type)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Take a form that was submitted; discord.py knows only those that its process keeps in memory."""
        if interaction.type is discord.InteractionType.modal_submit:
            data = dict(interaction.data or {})
            await answer_errors(interaction, lambda: submit_form(interaction, data))


async def edit_image(interaction: discord.Interaction[Any], message: discord.Message) -> None:
    """Open the form for the pictures of a message: the menu's callback."""
    await open_form(interaction, message)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Forms(client))
