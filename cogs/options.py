"""The options that `/imagine` and `/edit` share: their ranges, descriptions and choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

from discord import app_commands

from bot.chat.discord.client import Interaction
from bot.chat.discord.messages.choices import choice_text, typed_model
from bot.domain.requests import (
    MAXIMUM_COUNT,
    MAXIMUM_PROMPT,
    MAXIMUM_SEED,
    Background,
    Fidelity,
    ImageRequest,
    OutputFormat,
    Quality,
    Source,
)

Prompt = app_commands.Range[str, 1, MAXIMUM_PROMPT]
Count = app_commands.Range[int, 1, MAXIMUM_COUNT]
Size = app_commands.Range[str, 1, 20]
Compression = app_commands.Range[int, 0, 100]
Seed = app_commands.Range[int, 0, MAXIMUM_SEED]

DESCRIPTIONS = {
    "prompt": "What to paint, in your own words.",
    "model": "Which model paints. Without one, Easel chooses.",
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

PICTURES = ("image", "image2", "image3", "image4")
"""The options that are pictures to change or to borrow from."""
_PICTURE = Source(url="", filename="")

Callback = TypeVar("Callback", bound=Callable[..., object])


async def model_choices(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The server's models that can do what the command holds so far, filtered by what was typed."""
    request = request_so_far(interaction.namespace, edit="image" in _option_names(interaction))
    members = interaction.client.services.members
    choices = await members.model_choices(interaction.guild_id or 0, request, typed_model(current))
    return [app_commands.Choice(name=choice_text(each), value=each.name) for each in choices[:MAX_CHOICES]]


def _option_names(interaction: Interaction) -> set[str]:
    command = interaction.command
    return {each.name for each in command.parameters} if isinstance(command, app_commands.Command) else set()


def request_so_far(namespace: app_commands.Namespace, *, edit: bool) -> ImageRequest:
    """The request of a command that is being typed, without the options that are not valid yet.

    Discord sends no pictures meanwhile, only their ids, so all that is known is how many there will be.
    """
    given: dict[str, Any] = dict(iter(namespace))

    def one_of(name: str, values: object, default: Any) -> Any:
        return given.get(name) if given.get(name) in get_args(values) else default

    def number(name: str, least: int, most: int, default: int | None) -> Any:
        value = given.get(name)
        return value if isinstance(value, int) and least <= value <= most else default

    pictures = sum(given.get(name) is not None for name in PICTURES)
    return ImageRequest(
        prompt=str(given.get("prompt") or ""),
        model="",
        size=str(given.get("size") or "auto"),
        quality=one_of("quality", Quality, "medium"),
        background=one_of("background", Background, "auto"),
        output_format=one_of("format", OutputFormat, "png"),
        count=number("count", 1, MAXIMUM_COUNT, 1),
        fidelity=one_of("fidelity", Fidelity, None),
        compression=number("compression", 0, 100, None),
        seed=number("seed", 0, MAXIMUM_SEED, None),
        sources=(_PICTURE,) * max(pictures, int(edit)),
        mask=_PICTURE if given.get("mask") is not None else None,
    )


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
