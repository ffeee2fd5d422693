"""The options that `/imagine` and `/edit` share: their ranges, descriptions and choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from discord import app_commands

from bot.chat.discord.client import Interaction
from bot.domain.requests import MAXIMUM_COUNT, MAXIMUM_PROMPT, MAXIMUM_SEED

Prompt = app_commands.Range[str, 1, MAXIMUM_PROMPT]
Count = app_commands.Range[int, 1, MAXIMUM_COUNT]
Size = app_commands.Range[str, 1, 20]
Compression = app_commands.Range[int, 0, 100]
Seed = app_commands.Range[int, 0, MAXIMUM_SEED]

DESCRIPTIONS = {
    "prompt": "What to paint, in your own words.",
    "model": "Which model paints.",
    "size": "square, landscape, portrait, a ratio like 16:9, 2k or 4k behind it, or pixels like 1536x1024.",
    "quality": "Better takes longer and costs more.",
    "count": f"How many pictures, 1 to {MAXIMUM_COUNT}.",
    "background": "Transparent needs PNG or WebP.",
    "output_format": "The kind of file.",
    "compression": "For JPEG, WebP and AVIF: 100 is the best, 0 the smallest file.",
    "seed": "Any number: the same one paints about the same picture again.",
    "spoiler": "Hide the picture until somebody clicks it.",
}

SIZES = {
    "auto": "auto",
    "square": "square (1:1)",
    "landscape": "landscape (3:2)",
    "portrait": "portrait (2:3)",
    "16:9": "wide (16:9)",
    "9:16": "tall (9:16)",
    "4:3": "4:3",
    "3:4": "3:4",
    "21:9": "very wide (21:9)",
    "square 2k": "square, 2k",
    "landscape 2k": "landscape, 2k",
    "portrait 2k": "portrait, 2k",
    "16:9 4k": "wide, 4k (16:9)",
    "9:16 4k": "tall, 4k (9:16)",
}
"""The choices while a size is typed, with their labels; a member may type any other size as well."""
MAX_CHOICES = 25
"""Discord's limit for the choices of one option."""

Callback = TypeVar("Callback", bound=Callable[..., object])


async def model_choices(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The server's models whose label or name contains what was typed so far."""
    typed = current.lower()
    models = await interaction.client.services.members.models(interaction.guild_id or 0)
    return [
        app_commands.Choice(name=model.label, value=model.name)
        for model in models
        if typed in model.label.lower() or typed in model.name
    ][:MAX_CHOICES]


async def size_choices(_: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The usual sizes whose label contains what was typed so far."""
    typed = current.strip().lower()
    return [app_commands.Choice(name=label, value=size) for size, label in SIZES.items() if typed in label]


def image_options(**descriptions: str) -> Callable[[Callback], Callback]:
    """Describe and complete a command's shared options; `descriptions` adds those of its own."""

    def decorate(callback: Callback) -> Callback:
        callback = app_commands.describe(**{**DESCRIPTIONS, **descriptions})(callback)
        callback = app_commands.rename(output_format="format")(callback)
        return app_commands.autocomplete(model=model_choices, size=size_choices)(callback)

    return decorate
