"""With a key of one service only: whatever a member asks for is painted, or refused with what would work."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.sandbox.discord.server import Upload
from tests.support.picture_files import png
from tests.support.world.world import World

KEYS = {"fal": "FAL_KEY", "lumenfall": "LUMENFALL_API_KEY", "oxen": "OXEN_API_KEY"}
PHOTO = Upload("boat.png", png(640, 480))
MASK = Upload("mask.png", png(640, 480, (0, 0, 0, 0), "RGBA"))
NAMED = re.compile(r"Choose ([^.]*(?:\.\d[^.]*)*) as the model\.")
EDIT: dict[str, Any] = {"image": PHOTO}


def wishes() -> list[dict[str, Any]]:
    """Each option of `/imagine` and `/edit`, a mask, transparency, four pictures."""
    either: list[dict[str, Any]] = [
        {},
        {"quality": "high"},
        {"quality": "max", "size": "square"},
        {"background": "transparent"},
        {"format": "gif"},
        {"format": "jpeg", "compression": 50},
        {"size": "16:9"},
        {"count": 4},
        {"seed": 7},
    ]
    own: list[dict[str, Any]] = [
        {"fidelity": "low"},
        {"mask": MASK},
        {"mask": MASK, "background": "transparent", "count": 4},
        {"image2": PHOTO, "image3": PHOTO, "image4": PHOTO},
    ]
    return [*either, *(EDIT | wish for wish in (*either[3:], *own))]


def settings(service: str) -> dict[str, Any]:
    """The operator's, with one key and no default model."""
    without = {variable: None for name, variable in KEYS.items() if name != service}
    return {**without, "DEFAULT_MODEL": "", "DEFAULT_QUOTA": "500/day"}


async def ask(world: World, wish: dict[str, Any], **more: Any) -> str | None:
    """The refusal; None where a picture came, painted by the model that the card named."""
    options = {"quality": "medium", **wish, **more}
    job = await (world.edit(**options) if "image" in wish else world.imagine(**options))
    answer = await world.discord.answer(job)
    if answer["ephemeral"]:
        return await world.refusal(job)
    message = await world.result_message(job)
    assert await world.wait_finished(job) == "done"
    assert len(message["attachments"]) == wish.get("count", 1)
    return None


CANNOT: dict[str, list[str]] = {"fal": [], "oxen": [], "lumenfall": ["max", "transparent"]}
"""What no model of the service has once GPT Image 1.5 is gone."""


@pytest.mark.parametrize("service", KEYS)
async def test_everything_is_painted_or_refused_with_what_would_work(full_world: World, service: str) -> None:
    async with full_world.bot(**settings(service)) as app:
        app.router.retired |= {(service, "gpt-image-1.5"), (service, "gpt-image-1")}
        sentences = await asyncio.gather(*(ask(full_world, wish) for wish in wishes()))
    for wish, sentence in zip(wishes(), sentences, strict=True):
        if sentence is None:
            continue
        values = [str(value) for value in wish.values()]
        assert any(value in CANNOT[service] for value in values), (wish, sentence)
        # It says what is lacking, and what to do instead.
        assert re.search(r"has no (transparent background|max quality)\. Choose ", sentence), sentence


@pytest.mark.parametrize(
    ("service", "model"), [("fal", "flux-3"), ("lumenfall", "nano-banana-2"), ("oxen", "nano-banana-pro")]
)
async def test_a_model_that_cannot_names_one_that_paints_it(full_world: World, service: str, model: str) -> None:
    labels = {model.label: model.name for model in Catalog.load().models}
    async with full_world.bot(**settings(service)):
        for wish in ({"quality": "high"}, {"background": "transparent"}, EDIT | {"mask": MASK}):
            sentence = await ask(full_world, wish, model=model)
            assert sentence is not None, wish
            choice = NAMED.search(sentence)
            assert choice is not None, sentence
            first = re.split(r", | or ", choice[1])[0]
            assert await ask(full_world, wish, model=labels[first]) is None, (wish, sentence)
