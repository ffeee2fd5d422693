"""The options that `/imagine` and `/edit` share, as Discord's own choices and ranges."""

from __future__ import annotations

from typing import Literal

from discord import app_commands

from bot.models import MAXIMUM_PROMPT

Prompt = app_commands.Range[str, 1, MAXIMUM_PROMPT]
Count = app_commands.Range[int, 1, 4]
Size = Literal["auto", "square", "landscape", "portrait"]
Quality = Literal["low", "medium", "high"]
Background = Literal["auto", "transparent", "opaque"]
Format = Literal["png", "jpeg", "webp"]
Fidelity = Literal["low", "high"]

DESCRIPTIONS = {
    "prompt": "What to paint, in your own words.",
    "model": "Which model paints.",
    "size": "The shape of the picture.",
    "quality": "Better takes longer and costs more.",
    "count": "How many pictures, 1 to 4.",
    "background": "Transparent needs PNG or WebP.",
    "format": "The kind of file.",
    "spoiler": "Hide the picture until somebody clicks it.",
}
