"""On 1 December 2026 OpenAI switches GPT Image 1.5 off: what worked the day before works the day after."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.sandbox.discord.server import Upload
from tests.support.clock import AdjustableClock
from tests.support.picture_files import png
from tests.support.world.discord_members import Message
from tests.support.world.world import World

PHOTO = Upload("boat.png", png(640, 480))
MASK = Upload("mask.png", png(640, 480, (0, 0, 0, 0), "RGBA"))
EDIT: dict[str, Any] = {"image": PHOTO}
WISHES: tuple[dict[str, Any], ...] = (
    {},
    {"quality": "high", "size": "square"},
    {"background": "transparent", "size": "portrait"},
    {"format": "gif", "count": 2},
    {"format": "webp", "compression": 40, "size": "16:9"},
    EDIT | {"image2": PHOTO, "fidelity": "high"},
    EDIT | {"fidelity": "low", "size": "landscape"},
    EDIT | {"mask": MASK, "background": "transparent"},
)
NOTICE = "GPT Image 1.5 was switched off; GPT Image 2.5 Flare paints in its place."


def on(day: datetime) -> AdjustableClock:
    return AdjustableClock(start=int(day.timestamp() * 1000))


async def painted(world: World, wish: dict[str, Any], **more: Any) -> Message:
    """The message with the pictures that were asked for."""
    job = await (world.edit(**wish, **more) if "image" in wish else world.imagine(**wish, **more))
    assert await world.wait_finished(job) == "done", (wish, await world.discord.ephemeral(job))
    message = await world.result_message(job)
    assert len(message["attachments"]) == wish.get("count", 1)
    return message


def switch_off(world: World) -> None:
    """None of the three services has it any more."""
    world.fal.gone = dict.fromkeys(("fal-ai/gpt-image-1.5", "fal-ai/gpt-image-1.5/edit"), "2026-01-01")
    world.lumenfall.faults.set("model_disabled", endpoint="gpt-image-1.5")
    world.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")


@pytest.mark.parametrize("default", ["gpt-image-1.5", ""], ids=["1.5 is the default", "no default is set"])
async def test_what_worked_the_day_before_works_and_the_member_reads_who_painted(
    full_world: World, default: str
) -> None:
    settings: dict[str, Any] = {"DEFAULT_MODEL": default, "DEFAULT_QUOTA": "100/day"}
    asked: dict[str, Any] = {} if default else {"model": "gpt-image-1.5"}
    async with full_world.bot(clock=on(datetime(2026, 11, 30, 12, tzinfo=UTC)).clock, **settings):
        before = await asyncio.gather(*(painted(full_world, wish, **asked) for wish in WISHES))
        assert all("-# GPT Image 1.5 · " in message["content"] for message in before)
    switch_off(full_world)
    async with full_world.bot(clock=on(datetime(2026, 12, 2, 12, tzinfo=UTC)).clock, **settings):
        after = await asyncio.gather(*(painted(full_world, wish, **asked) for wish in WISHES))
        # What the model takes the place of is known by now, and said at once.
        job = await full_world.imagine(**asked)
        assert NOTICE in (await full_world.card(job))["content"]
        after.append(await full_world.result_message(job))
        await full_world.wait_finished(job)
    for message in after:
        assert NOTICE in message["content"]
        assert "-# GPT Image 2.5 Flare · " in message["content"]


async def test_a_server_that_never_named_a_model_notices_nothing(full_world: World) -> None:
    switch_off(full_world)
    async with full_world.bot(clock=on(datetime(2026, 12, 2, 12, tzinfo=UTC)).clock, DEFAULT_MODEL=""):
        message = await painted(full_world, {"background": "transparent"})
        edited = await painted(full_world, EDIT | {"mask": MASK})
    assert "-# GPT Image 2.5 Flare · " in message["content"]
    assert "-# GPT Image 2.5 Flare · " in edited["content"]
    assert "switched off" not in message["content"] + edited["content"]
