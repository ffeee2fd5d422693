"""`/edit`: one to four pictures and words in, pictures out."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import source_of
from bot.domain.requests import ImageRequest
from cogs.options import (
    DESCRIPTIONS,
    Background,
    Compression,
    Count,
    Fidelity,
    Format,
    Prompt,
    Quality,
    Size,
    model_choices,
    size_choices,
)
from cogs.requests import submit


class Edit(commands.Cog):
    """Changing pictures that are uploaded with the command."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    @app_commands.command()
    @app_commands.guild_only()
    @app_commands.describe(
        **{**DESCRIPTIONS, "prompt": "What should change."},
        image="The picture to change.",
        image2="A second picture to borrow from.",
        image3="A third picture.",
        image4="A fourth picture.",
        mask="A picture of the same size, see-through or white where to paint.",
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
        compression: Compression | None = None,
        spoiler: bool = False,
    ) -> None:
        """Change a picture, or make one out of several."""
        given = (image, image2, image3, image4)
        request = ImageRequest(
            prompt=prompt,
            model=model or "",
            size=size,
            quality=quality,
            background=background,
            output_format=format,
            compression=compression,
            count=count,
            fidelity=fidelity,
            sources=tuple(source_of(item) for item in given if item is not None),
            mask=source_of(mask) if mask is not None else None,
            spoiler=spoiler,
        )
        await submit(interaction, request)

    @edit.autocomplete("model")
    async def models(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """The models that can be asked for."""
        return await model_choices(interaction, current)

    @edit.autocomplete("size")
    async def sizes(self, _: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """Some sizes."""
        return size_choices(current)


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Edit(client))
