"""The first half of the scene: imagine, edit, reply edit, a refusal, a moderator's grant, the request again."""

from __future__ import annotations

import asyncio

import discord

from bot.demo.narrator import Narrator, expect
from bot.sandbox import painter

LANDSCAPE = (1536, 1024)


async def play(told: Narrator) -> None:
    """Play it.

    Raises:
        DemoFailed: something was not as it should be.
    """
    lighthouse = await _imagine(told)
    await _edit(told)
    await _edit_by_reply(told, lighthouse)
    await _refusal(told)
    await _grant(told)
    await _again(told)


async def _imagine(told: Narrator) -> discord.Message:
    told.step("Nora paints", "Nora types /imagine")
    await told.types(told.stage.nora, "imagine", prompt="a lighthouse at sunset", size="landscape")
    told.card()
    with told.painted_by("fal"):
        return await told.result("imagine")


async def _edit(told: Narrator) -> None:
    told.step("Theo edits a picture of his own", "Theo changes a picture of his with /edit")
    own = await asyncio.to_thread(painter.painted, "sand dunes under a blue sky", LANDSCAPE)
    prompt = "add hot-air balloons at sunset"
    await told.types(told.stage.theo, "edit", prompt=prompt, image=("dunes.png", own))
    told.page.show("dunes.png", own)
    told.card()
    message = await told.result("edit")
    expect(await message.attachments[0].read() != own, "the edit changed nothing")


async def _edit_by_reply(told: Narrator, lighthouse: discord.Message) -> None:
    told.step("Theo replies to Nora's lighthouse", "Theo replies to Nora's picture")
    told.page.line("**Theo** replies to it: `add a sailing boat and gulls`")
    await told.stage.theo.send(told.stage.channel, "add a sailing boat and gulls", reply_to=lighthouse)
    await told.result("reply")


async def _refusal(told: Narrator) -> None:
    told.step("Theo asks for more than he has left")
    await _foxes(told)
    refused = told.private(told.stage.theo)
    expect("You asked for 3 pictures and have 2 left." in refused, "the refusal does not say why")
    expect(not await told.stage.running(), "a refused request was begun all the same")


async def _grant(told: Narrator) -> None:
    told.step("Mika, a moderator, grants him more", "Mika, who moderates, grants him more")
    stage = told.stage
    await told.types(stage.mika, "moderate grant", member=stage.theo, images=5, reason="for the poster")
    expect("was given 5 pictures" in told.private(stage.mika), "the grant was not confirmed")


async def _again(told: Narrator) -> None:
    told.step("Theo asks again")
    await _foxes(told)
    told.card()
    await told.result("imagine", pictures=3)
    await told.types(told.stage.theo, "quota")
    told.private(told.stage.theo)


async def _foxes(told: Narrator) -> None:
    prompt = "a fox in an autumn forest"
    await told.types(told.stage.theo, "imagine", prompt=prompt, size="landscape", quality="low", count=3)
