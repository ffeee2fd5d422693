"""`/imagine`: words in, pictures out."""

from __future__ import annotations

import logging

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import DISCORD_TROUBLE, Easel, Interaction, failure_kind, reply_address, requester
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.chat.discord.messages.progress import accepted_message
from bot.domain.requests import ImageRequest
from cogs.options import DESCRIPTIONS, SIZES, Background, Compression, Count, Format, Prompt, Quality, Size

log = logging.getLogger(__name__)


class Imagine(commands.Cog):
    """Painting from a prompt alone."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    @app_commands.command()
    @app_commands.guild_only()
    @app_commands.describe(**DESCRIPTIONS)
    async def imagine(
        self,
        interaction: Interaction,
        prompt: Prompt,
        model: str | None = None,
        size: Size = "auto",
        quality: Quality = "medium",
        count: Count = 1,
        background: Background = "auto",
        format: Format = "png",  # noqa: A002 - the option's name in Discord
        compression: Compression | None = None,
        spoiler: bool = False,
    ) -> None:
        """Paint a picture from your words."""
        request = ImageRequest(
            prompt=prompt,
            model=model or "",
            size=size,
            quality=quality,
            background=background,
            output_format=format,
            compression=compression,
            count=count,
            spoiler=spoiler,
        )
        await submit(interaction, request)

    @imagine.autocomplete("model")
    async def models(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """The models that can be asked for."""
        return await model_choices(interaction, current)

    @imagine.autocomplete("size")
    async def sizes(self, _: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """Some sizes."""
        return size_choices(current)


async def model_choices(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Models of this server whose label or name holds what was typed so far; Discord shows 25 at most."""
    typed = current.lower()
    return [
        app_commands.Choice(name=model.label, value=model.name)
        for model in await interaction.client.rooms.studio.models(interaction.guild_id or 0)
        if typed in model.label.lower() or typed in model.name
    ][:25]


def size_choices(current: str) -> list[app_commands.Choice[str]]:
    """Usual sizes that hold what was typed so far."""
    typed = current.strip().lower()
    return [app_commands.Choice(name=name, value=size) for size, name in SIZES.items() if typed in name]


async def submit(interaction: Interaction, request: ImageRequest, parent_id: int | None = None) -> None:
    """Hand a request to the studio and give the first answer: the card, before anything slow."""
    rooms = interaction.client.rooms
    accepted = await rooms.studio.submit(
        interaction.id, requester(interaction), request, reply_address(interaction), parent_id
    )
    if not accepted.created:
        return
    label = rooms.catalog.model(accepted.job.request.model).label
    card = accepted_message(accepted, label)
    card_id = await _show_card(interaction, card)
    await rooms.studio.after_accept(accepted.job, card_id)


async def _show_card(interaction: Interaction, card: MessageContent) -> int | None:
    """The first answer; the card's id. The job is written down and goes on, also where no card can be shown."""
    try:
        answer = await interaction.response.send_message(
            card.content, view=card.view or discord.utils.MISSING, allowed_mentions=NO_MENTIONS
        )
    except DISCORD_TROUBLE as error:
        log.info("job %d: its card was not taken by Discord: %s", interaction.id, failure_kind(error))
    else:
        return answer.message_id
    try:  # it may have been shown all the same
        return (await interaction.original_response()).id
    except (*DISCORD_TROUBLE, discord.ClientException):
        return None


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Imagine(client))
