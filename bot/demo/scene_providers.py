"""The second half of the scene: who paints, a changed size, a preview, a fail-over, another company's model."""

from __future__ import annotations

import discord

from bot.demo.narrator import DemoFailed, Narrator, expect
from bot.demo.stage import labels

MODEL = "GPT Image 2"
"""OpenAI's, at all three services."""
OTHER_MODEL = "Nano Banana 2"
"""Google's, at all three as well: trouble at OpenAI does not stop it."""
PREVIEW_SECONDS = 0.3
"""Seconds before each unfinished picture, longer than the card takes to show one."""


async def play(narrator: Narrator) -> None:
    """Play this half.

    Raises:
        DemoFailed: a member saw something else than expected.
    """
    await _services(narrator)
    await _changed_size(narrator)
    await _oxen(narrator)
    boat = await _fail_over(narrator)
    await _another_model(narrator, boat)


async def _services(narrator: Narrator) -> None:
    narrator.step("Mika looks up who paints, and lets Lumenfall begin")
    mika = narrator.stage.mika
    await narrator.types(mika, "moderate services")
    answer = narrator.private(mika)
    expect(all(service in answer for service in ("fal", "Lumenfall", "Oxen")), "a service is missing")
    for notice in narrator.stage.app.moderators.notices():  # none, on most days
        expect(notice in answer, "a notice is missing")
    await _set_order(narrator, "lumenfall, fal", "Lumenfall, then fal")


async def _changed_size(narrator: Narrator) -> None:
    narrator.step("Theo asks for a shape that no service has, and watches it being painted")
    lumenfall = narrator.stage.providers.lumenfall
    former, lumenfall.partial_seconds = lumenfall.partial_seconds, PREVIEW_SECONDS
    prompt = "northern lights over the mountains at night"
    await narrator.types(narrator.stage.theo, "imagine", prompt=prompt, size="4:1", model=MODEL)
    expect("4:1 became 3:1." in narrator.card(), "the card does not say that the shape is another")
    with narrator.painted_by("lumenfall"):
        await narrator.preview()
        message = await narrator.result("imagine")
    lumenfall.partial_seconds = former
    expect("4:1 became 3:1." in message.content, "the result does not say that the shape is another")
    narrator.page.line("Lumenfall painted it, and let everybody watch.")


async def _oxen(narrator: Narrator) -> None:
    narrator.step("Mika has Oxen paint with a model of Google's")
    await _set_order(narrator, "Oxen", "Oxen", model=OTHER_MODEL)
    prompt = "hot-air balloons over green hills in summer"
    await narrator.types(narrator.stage.mika, "imagine", prompt=prompt, size="landscape", model=OTHER_MODEL)
    narrator.card()
    with narrator.painted_by("oxen"):
        message = await narrator.result("imagine")
    expect(OTHER_MODEL in message.content, "the result names another model")
    narrator.page.line("Oxen painted it.")


async def _fail_over(narrator: Narrator) -> discord.Message:
    narrator.step("Lumenfall is out of order, and the picture comes all the same")
    await _set_order(narrator, "lumenfall, fal, oxen", "Lumenfall, then fal, then Oxen")
    lumenfall = narrator.stage.providers.lumenfall
    lumenfall.faults.set("exhausted", times=1)
    narrator.page.line("Lumenfall has trouble now: nobody behind it can paint.")
    prompt = "a sailing boat in the morning mist"
    await narrator.types(narrator.stage.theo, "imagine", prompt=prompt, size="landscape", model=MODEL)
    narrator.card()
    with narrator.painted_by("fal"):
        message = await narrator.result("imagine")
    expect(lumenfall.faults.struck.get("exhausted") == 1, "Lumenfall was not asked first")
    narrator.page.line("Lumenfall was asked first and could not, so fal painted it. Theo need not know.")
    return message


async def _another_model(narrator: Narrator, boat: discord.Message) -> None:
    narrator.step("OpenAI is out of order everywhere, and Theo takes another company's model")
    stage = narrator.stage
    stage.fal.faults.set("submit_error", endpoint="openai/gpt-image-2/edit")
    stage.providers.lumenfall.faults.set("exhausted", endpoint="gpt-image-2")
    stage.providers.oxen.faults.set("submit_error", endpoint="gpt-image-2")
    prompt = "add gulls"
    narrator.page.line(f"**Theo** replies to the boat: `@Easel {prompt}`")
    asked = await stage.theo.send(stage.channel, f"{stage.mention} {prompt}", reply_to=boat)
    notice = await stage.until(lambda: _notice(narrator, asked))
    if notice is None:
        raise DemoFailed("nobody was told that no service could paint")
    [label] = labels(notice)
    expect(label.startswith(f"Paint with {OTHER_MODEL} · $"), "no model of another company is offered")
    narrator.page.seen("Everybody", notice.content, buttons=[label])
    narrator.page.line(f"**Theo** presses *{label}*.")
    await stage.theo.click(notice, label=label)
    message = await narrator.result("another-model")
    expect(OTHER_MODEL in message.content, "the result names another model")
    for stand_in in (stage.fal, stage.providers.lumenfall, stage.providers.oxen):
        stand_in.faults.clear()


def _notice(narrator: Narrator, asked: discord.Message) -> discord.Message | None:
    """The reply that offers another model."""
    seen = narrator.stage.channel.history()
    replies = [item for item in seen if item.reference and item.reference.message_id == asked.id]
    return next((item for item in replies if any("Paint with" in label for label in labels(item))), None)


async def _set_order(narrator: Narrator, order: str, shown: str, model: str = MODEL) -> None:
    mika = narrator.stage.mika
    await narrator.types(mika, "moderate model", model=model, services=order)
    answer = narrator.private(mika)
    expect(f"{model} is now painted by {shown}." in answer, "the order of the services was not set")
