"""Four doors to one edit: `/edit`, a reply to a result, the Edit button, and the menu of any message."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import screens
from bot.client import (
    DISCORD_TROUBLE,
    Easel,
    Interaction,
    answer_error,
    answer_reply_error,
    answering,
    check_may_post,
    failure_kind,
    requester_of,
)
from bot.errors import BadPrompt, BadSource
from bot.models import ImageRequest, ReplyAddress, Source
from cogs.imagine import commission, model_choices
from cogs.jobs import JobButton
from cogs.options import DESCRIPTIONS, Background, Count, Fidelity, Format, Prompt, Quality, Size

log = logging.getLogger(__name__)

FORM_SECONDS = 60 * 60.0
"""How long a form may stay open; discord.py keeps each in memory until it is sent in."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
NUMBERED = re.compile(r"#([1-9]\d?)\b\s*")


def source_of(attachment: discord.Attachment, message: discord.Message | None = None) -> Source:
    """An attachment as the core knows it; with its message where it belongs to one."""
    return Source(
        url=attachment.url,
        filename=attachment.filename,
        content_type=attachment.content_type,
        size=attachment.size,
        width=attachment.width,
        height=attachment.height,
        channel_id=message.channel.id if message else None,
        message_id=message.id if message else None,
        attachment_id=attachment.id,
    )


def pictures_in(message: discord.Message) -> list[Source]:
    """The pictures that hang on a message, or on the one that it forwards."""
    own = [source_of(item, message) for item in message.attachments if _is_picture(item)]
    forwarded = [
        source_of(item) for copy in message.message_snapshots for item in copy.attachments if _is_picture(item)
    ]
    return own or forwarded


def _is_picture(attachment: discord.Attachment) -> bool:
    kind = attachment.content_type or ""
    return kind.startswith("image/") or attachment.filename.lower().endswith(SUFFIXES)


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
                    description=screens.shortened(picture.filename, 100),
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
                text="Mask", description="Same size; see-through where to paint.", component=self._mask
            )
        )
        self.add_item(
            discord.ui.Label(
                text="Another picture", description="Something to take over from.", component=self._second
            )
        )

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        """Make it a request like any other edit."""
        number = int(self._which.values[0]) if self._which.values else 1
        uploads = [source_of(upload) for upload in self._second.values]
        request = ImageRequest(
            prompt=self._prompt.value,
            model=interaction.client.rooms.studio.default_model,
            sources=(self._pictures[number - 1], *uploads),
            mask=source_of(self._mask.values[0]) if self._mask.values else None,
        )
        await answering(interaction, lambda: commission(interaction, request, self._parent_id))

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
    cog = interaction.client.get_cog("Edit")
    if not isinstance(cog, Edit):
        raise TypeError(type(cog).__name__)
    form = EditForm(pictures, parent_id, cog.forget_form)
    cog.forms[form.custom_id] = 0
    await interaction.response.send_modal(form)


class Edit(commands.Cog):
    """Changing pictures."""

    def __init__(self, client: Easel) -> None:
        self._client = client
        self.forms: dict[str, int] = {}
        """Forms that were opened, and the interaction that sent each in; 0 while it is open."""
        self._menu = app_commands.ContextMenu(name="Edit image", callback=edit_image)
        self._menu.guild_only = True

    def forget_form(self, custom_id: str) -> None:
        """It was open for too long; discord.py no longer knows it either."""
        self.forms.pop(custom_id, None)

    async def cog_load(self) -> None:
        """Add the menu and make the button answer."""
        self._client.tree.add_command(self._menu)
        self._client.add_dynamic_items(EditButton)

    async def cog_unload(self) -> None:
        """The reverse."""
        self._client.tree.remove_command(self._menu.name, type=self._menu.type)
        self._client.remove_dynamic_items(EditButton)

    @app_commands.command()
    @app_commands.guild_only()
    @app_commands.describe(
        **{**DESCRIPTIONS, "prompt": "What should change."},
        image="The picture to change.",
        image2="Another picture to take something over from.",
        image3="One more.",
        image4="And one more.",
        mask="A picture of the same size, see-through where to paint.",
        fidelity="How closely to keep to the picture.",
    )
    async def edit(
        self,
        interaction: Interaction,
        prompt: Prompt,
        image: discord.Attachment,
        image2: discord.Attachment | None = None,
        image3: discord.Attachment | None = None,
        image4: discord.Attachment | None = None,
        mask: discord.Attachment | None = None,
        model: str | None = None,
        size: Size = "auto",
        quality: Quality = "medium",
        fidelity: Fidelity | None = None,
        count: Count = 1,
        background: Background = "auto",
        format: Format = "png",  # noqa: A002 - the option's name in Discord
        spoiler: bool = False,
    ) -> None:
        """Change a picture, or make one out of several."""
        given = (image, image2, image3, image4)
        request = ImageRequest(
            prompt=prompt,
            model=model or self._client.rooms.studio.default_model,
            size=size,
            quality=quality,
            background=background,
            output_format=format,
            count=count,
            fidelity=fidelity,
            sources=tuple(source_of(item) for item in given if item is not None),
            mask=source_of(mask) if mask is not None else None,
            spoiler=spoiler,
        )
        await commission(interaction, request)

    @edit.autocomplete("model")
    async def models(self, _: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """The models that can be asked for."""
        return model_choices(self._client, current)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """A reply to a picture that mentions Easel is an edit."""
        me = self._client.user
        if message.author.bot or me is None or me not in message.mentions:
            return
        if not isinstance(message.author, discord.Member) or not message.content:
            return
        try:
            await self._edit_by_reply(message, message.author, me.id)
        except Exception as error:  # noqa: BLE001 - the one place that answers what went wrong
            await answer_reply_error(self._client, message, error)

    async def _edit_by_reply(self, message: discord.Message, member: discord.Member, me: int) -> None:
        prompt = re.sub(rf"<@!?{me}>", "", message.content).strip()
        replied = await self._replied_to(message)
        if replied is None:
            raise BadSource("Reply to a picture and say what should change, or type /imagine to paint one.")
        pictures = pictures_in(replied)
        if not pictures:
            raise BadSource(
                "Easel cannot see a picture there. Hold or right-click the message, then Apps › Edit image."
            )
        number, prompt = _numbered(prompt)
        if number > len(pictures):
            there = "There is 1 picture" if len(pictures) == 1 else f"There are {len(pictures)} pictures"
            raise BadSource(f"{there} there; #{number} is not one of them.")
        if not prompt:
            raise BadPrompt("Say what should change, for example: make it snow.")
        guild_me = message.guild.me if message.guild else None
        if guild_me is not None:
            check_may_post(message.channel.permissions_for(guild_me), message.channel)
        rooms = self._client.rooms
        parent = await rooms.studio.result(replied.id)
        request = ImageRequest(prompt=prompt, model=rooms.studio.default_model, sources=(pictures[number - 1],))
        reply = ReplyAddress(
            application_id=self._client.application_id or 0,
            channel_id=message.channel.id,
            file_limit=message.guild.filesize_limit if message.guild else 0,
        )
        asker = requester_of(member, message.channel.id)
        accepted = await rooms.studio.commission(message.id, asker, request, reply, parent.id if parent else None)
        if not accepted.created:
            return
        note = ""
        if len(pictures) > 1:
            note = f"Editing picture {number} of {len(pictures)}; begin with #2 to choose another."
        label = rooms.catalog.model(request.model).label
        card = screens.card(accepted, rooms.studio.price(request), label, note)
        try:
            card_id = await _reply_card(message, card)
            if card_id is not None:
                await rooms.studio.remember_card(accepted.job.id, card_id)
        finally:
            await rooms.studio.keep_uploads(accepted.job)

    async def _replied_to(self, message: discord.Message) -> discord.Message | None:
        reference = message.reference
        if reference is None or reference.message_id is None:
            return None
        if isinstance(reference.resolved, discord.Message):
            return reference.resolved
        try:
            return await message.channel.fetch_message(reference.message_id)
        except discord.HTTPException:
            return None

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Answer forms and buttons that nobody knows any more; discord.py drops them in silence."""
        data: dict[str, Any] = dict(interaction.data or {})
        custom_id = str(data.get("custom_id", ""))
        if interaction.type is discord.InteractionType.modal_submit:
            await self._check_form(interaction, custom_id)
        elif interaction.type is discord.InteractionType.component:
            known = screens.CUSTOM_ID.fullmatch(custom_id)
            if known is None or known["verb"] not in ("cancel", "edit", "delete"):
                await answer_error(interaction, BadSource("This button belongs to an older Easel."))

    async def _check_form(self, interaction: Interaction, custom_id: str) -> None:
        """Each form is good for sending in once; that one interaction may be delivered twice."""
        sent_by = self.forms.get(custom_id)
        if sent_by == 0:
            self.forms[custom_id] = interaction.id
        elif sent_by != interaction.id:
            await answer_error(interaction, BadSource("Easel no longer knows this form. Open it again."))


async def _reply_card(message: discord.Message, card: screens.Screen) -> int | None:
    """Show the card as a reply, its id; the job goes on without. The nonce makes the second try harmless."""
    for _ in range(2):
        try:
            sent = await message.reply(
                card.content,
                view=card.view or discord.utils.MISSING,
                nonce=f"card{message.id}",
                allowed_mentions=screens.NOBODY,
            )
        except DISCORD_TROUBLE as error:
            log.info("job %d: its card was not taken by Discord: %s", message.id, failure_kind(error))
        else:
            return sent.id
    return None


def _numbered(prompt: str) -> tuple[int, str]:
    """`#2 make it snow` is about the second picture."""
    match = NUMBERED.match(prompt)
    return (int(match[1]), prompt[match.end() :]) if match else (1, prompt)


async def edit_image(interaction: discord.Interaction[Any], message: discord.Message) -> None:
    """The menu of any message: opens the form for its pictures."""
    parent = await interaction.client.rooms.studio.result(message.id)
    await open_form(interaction, pictures_in(message), parent.id if parent else None)


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Edit(client))
