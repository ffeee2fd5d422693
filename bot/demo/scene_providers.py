"""The second half of the scene: who paints, a shape that no service has, a picture on its way, one fail-over."""

from __future__ import annotations

from bot.demo.narrator import Narrator, expect

MODEL = "GPT Image 1.5"
SEEN_WHILE_PAINTED = 0.3
"""Seconds before each unfinished picture, some of the card's periods."""


async def play(told: Narrator) -> None:
    """Play it.

    Raises:
        DemoFailed: something was not as it should be.
    """
    await _who_paints(told)
    await _wide(told)
    await _oxen(told)
    await _fail_over(told)


async def _who_paints(told: Narrator) -> None:
    told.step("Mika looks who paints, and lets Lumenfall begin")
    mika = told.stage.mika
    await told.types(mika, "moderate services")
    answer = told.private(mika)
    expect(all(service in answer for service in ("fal", "Lumenfall", "Oxen")), "a service is missing")
    for notice in told.stage.app.treasury.notices():  # of models that are soon switched off, if it is time
        expect(notice in answer, "the moderators are not told what ends")
    await _asked_first(told, "lumenfall, fal", "Lumenfall, then fal")


async def _wide(told: Narrator) -> None:
    told.step("Theo asks for a shape that no service has, and watches it being painted")
    lumenfall = told.stage.services.lumenfall
    usual, lumenfall.partial_seconds = lumenfall.partial_seconds, SEEN_WHILE_PAINTED
    prompt = "northern lights over the mountains at night"
    await told.types(told.stage.theo, "imagine", prompt=prompt, size="16:9")
    expect("16:9 became 3:2." in told.card(), "nobody was told that the shape is another")
    with told.painted_by("lumenfall"):
        await told.unfinished()
        message = await told.result("imagine")
    lumenfall.partial_seconds = usual
    expect("16:9 became 3:2." in message.content, "the result does not say that the shape is another")
    told.page.line("Lumenfall painted it, and let everybody watch.")


async def _oxen(told: Narrator) -> None:
    told.step("Mika has Oxen paint")
    await _asked_first(told, "Oxen", "Oxen")
    prompt = "hot-air balloons over green hills in summer"
    await told.types(told.stage.mika, "imagine", prompt=prompt, size="landscape")
    told.card()
    with told.painted_by("oxen"):
        await told.result("imagine")
    told.page.line("Oxen painted it.")


async def _fail_over(told: Narrator) -> None:
    told.step("Lumenfall is out of order, and the picture comes all the same")
    await _asked_first(told, "lumenfall, fal, oxen", "Lumenfall, then fal, then Oxen")
    lumenfall = told.stage.services.lumenfall
    lumenfall.faults.set("exhausted", times=1)
    told.page.line("Lumenfall has trouble now: nobody behind it can paint.")
    prompt = "a sailing boat in the morning mist"
    await told.types(told.stage.theo, "imagine", prompt=prompt, size="landscape")
    told.card()
    with told.painted_by("fal"):
        await told.result("imagine")
    expect(lumenfall.faults.struck.get("exhausted") == 1, "Lumenfall was not asked first")
    told.page.line("Lumenfall was asked first and could not, so fal painted it. Theo need not know.")


async def _asked_first(told: Narrator, order: str, ways: str) -> None:
    mika = told.stage.mika
    await told.types(mika, "moderate model", model=MODEL, services=order)
    answer = told.private(mika)
    expect(f"{MODEL} is now painted by {ways}." in answer, "the order of the services was not taken")
