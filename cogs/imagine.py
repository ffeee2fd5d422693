"""`/imagine`: paints pictures from a prompt alone."""

from __future__ import annotations

from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.messages.choices import typed_model
from bot.domain.requests import Background, ImageRequest, OutputFormat, Quality
from cogs.options import Compression, Count, Prompt, Seed, Size, image_options
from cogs.requests import submit


class Imagine(commands.Cog):
    """The command `/imagine`."""

    @app_commands.command()
    @app_commands.guild_only()
    @image_options()
    async def imagine(
        self,
        interaction: Interaction,
        prompt: Prompt,
        model: str = "",
        size: Size = "auto",
        quality: Quality = "medium",
        count: Count = 1,
        background: Background = "auto",
        output_format: OutputFormat = "png",
        compression: Compression | None = None,
        seed: Seed | None = None,
        spoiler: bool = False,
    ) -> None:
        """Paint a picture from your words."""
        request = ImageRequest(
            prompt=prompt,
            model=typed_model(model),
            size=size,
            quality=quality,
            count=count,
            background=background,
            output_format=output_format,
            compression=compression,
            seed=seed,
            spoiler=spoiler,
        )
        await submit(interaction, request)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Imagine())
