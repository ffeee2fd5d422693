"""`/edit`: changes one to four pictures by a prompt."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import source_of
from bot.chat.discord.messages.choices import typed_model
from bot.domain.requests import Background, Fidelity, ImageRequest, OutputFormat, Quality
from cogs.options import Compression, Count, Prompt, Seed, Size, image_options
from cogs.requests import submit


class Edit(commands.Cog):
    """The command `/edit`."""

    @app_commands.command()
    @app_commands.guild_only()
    @image_options(
        prompt="What should change.",
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
        model: str = "",
        size: Size = "auto",
        quality: Quality = "medium",
        fidelity: Fidelity | None = None,
        count: Count = 1,
        background: Background = "auto",
        output_format: OutputFormat = "png",
        compression: Compression | None = None,
        seed: Seed | None = None,
        spoiler: bool = False,
    ) -> None:
        """Change a picture, or make one out of several."""
        images = (image, image2, image3, image4)
        request = ImageRequest(
            prompt=prompt,
            model=typed_model(model),
            size=size,
            quality=quality,
            fidelity=fidelity,
            count=count,
            background=background,
            output_format=output_format,
            compression=compression,
            seed=seed,
            spoiler=spoiler,
            sources=tuple(source_of(item) for item in images if item is not None),
            mask=source_of(mask) if mask is not None else None,
        )
        await submit(interaction, request)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Edit())
