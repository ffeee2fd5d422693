"""`/imagine`: words in, pictures out."""

from __future__ import annotations

import logging

from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.domain.requests import ImageRequest
from cogs.options import (
    DESCRIPTIONS,
    Background,
    Compression,
    Count,
    Format,
    Prompt,
    Quality,
    Size,
    model_choices,
    size_choices,
)
from cogs.requests import submit

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


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Imagine(client))
