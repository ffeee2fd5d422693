"""The second half of the scene: the order of the services, a changed size, a preview, one fail-over."""

from __future__ import annotations

from bot.demo.narrator import Narrator, expect

MODEL = "GPT Image 2"
"""The one that all three services have."""
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
    await _fail_over(narrator)


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
    narrator.step("Mika has Oxen paint")
    await _set_order(narrator, "Oxen", "Oxen")
    prompt = "hot-air balloons over green hills in summer"
    await narrator.types(narrator.stage.mika, "imagine", prompt=prompt, size="landscape", model=MODEL)
    narrator.card()
    with narrator.painted_by("oxen"):
        await narrator.result("imagine")
    narrator.page.line("Oxen painted it.")


async def _fail_over(narrator: Narrator) -> None:
    narrator.step("Lumenfall is out of order, and the picture comes all the same")
    await _set_order(narrator, "lumenfall, fal, oxen", "Lumenfall, then fal, then Oxen")
    lumenfall = narrator.stage.providers.lumenfall
    lumenfall.faults.set("exhausted", times=1)
    narrator.page.line("Lumenfall has trouble now: nobody behind it can paint.")
    prompt = "a sailing boat in the morning mist"
    await narrator.types(narrator.stage.theo, "imagine", prompt=prompt, size="landscape", model=MODEL)
    narrator.card()
    with narrator.painted_by("fal"):
        await narrator.result("imagine")
    expect(lumenfall.faults.struck.get("exhausted") == 1, "Lumenfall was not asked first")
    narrator.page.line("Lumenfall was asked first and could not, so fal painted it. Theo need not know.")


async def _set_order(narrator: Narrator, order: str, shown: str) -> None:
    mika = narrator.stage.mika
    await narrator.types(mika, "moderate model", model=MODEL, services=order)
    answer = narrator.private(mika)
    expect(f"{MODEL} is now painted by {shown}." in answer, "the order of the services was not set")
