"""The options that `/imagine` and `/edit` share, as Discord's own choices and ranges."""

from __future__ import annotations

from typing import Literal

from discord import app_commands

from bot.chat.discord.client import Interaction
from bot.domain.requests import MAXIMUM_COUNT, MAXIMUM_PROMPT

Prompt = app_commands.Range[str, 1, MAXIMUM_PROMPT]
Count = app_commands.Range[int, 1, MAXIMUM_COUNT]
Size = app_commands.Range[str, 1, 20]
Quality = Literal["auto", "low", "medium", "high"]
Compression = app_commands.Range[int, 0, 100]
Background = Literal["auto", "transparent", "opaque"]
Format = Literal["png", "jpeg", "webp", "gif", "avif"]
Fidelity = Literal["low", "high"]

DESCRIPTIONS = {
    "prompt": "What to paint, in your own words.",
    "model": "Which model paints.",
    "size": "square, landscape, portrait, a ratio like 16:9, or pixels like 1536x1024.",
    "quality": "Better takes longer and costs more.",
    "count": "How many pictures, 1 to 10.",
    "background": "Transparent needs PNG or WebP.",
    "format": "The kind of file.",
    "compression": "For JPEG, WebP and AVIF: 100 is the best, 0 the smallest file.",
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
}
"""What Discord offers while a size is typed; anything else that is one may be typed all the same."""


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
