"""The first half of the scene: imagine, edit, reply edit, a refusal, a moderator's grant, the request again."""

from __future__ import annotations

import asyncio

import discord

from bot.demo.narrator import Narrator, expect
from bot.sandbox import painter

LANDSCAPE = (1536, 1024)


async def play(narrator: Narrator) -> None:
    """Play this half.

    Raises:
        DemoFailed: a member saw something else than expected.
    """
    lighthouse = await _imagine(narrator)
    await _edit(narrator)
    await _edit_by_reply(narrator, lighthouse)
    await _refusal(narrator)
    await _grant(narrator)
    await _again(narrator)


async def _imagine(narrator: Narrator) -> discord.Message:
    narrator.step("Nora paints", "Nora types /imagine")
    await narrator.types(narrator.stage.nora, "imagine", prompt="a lighthouse at sunset", size="landscape")
    narrator.card()
    with narrator.painted_by("fal"):
        return await narrator.result("imagine")


async def _edit(narrator: Narrator) -> None:
    narrator.step("Theo edits a picture of his own", "Theo changes a picture of his with /edit")
    own = await asyncio.to_thread(painter.painted, "sand dunes under a blue sky", LANDSCAPE)
    prompt = "add hot-air balloons at sunset"
    await narrator.types(narrator.stage.theo, "edit", prompt=prompt, image=("dunes.png", own))
    narrator.page.show("dunes.png", own)
    narrator.card()
    message = await narrator.result("edit")
    expect(await message.attachments[0].read() != own, "the edit changed nothing")


async def _edit_by_reply(narrator: Narrator, lighthouse: discord.Message) -> None:
    narrator.step("Theo replies to Nora's lighthouse", "Theo replies to Nora's picture")
    prompt = "add a sailing boat and gulls"
    narrator.page.line(f"**Theo** replies to it: `@Easel {prompt}`")
    stage = narrator.stage
    await stage.theo.send(stage.channel, f"{stage.mention} {prompt}", reply_to=lighthouse)
    await narrator.result("reply")


async def _refusal(narrator: Narrator) -> None:
    narrator.step("Theo asks for more than he has left")
    await _foxes(narrator)
    refused = narrator.private(narrator.stage.theo)
    expect("You asked for 3 pictures and have 2 left." in refused, "the refusal does not say why")
    expect(not await narrator.stage.running(), "a refused request was begun all the same")


async def _grant(narrator: Narrator) -> None:
    narrator.step("Mika, a moderator, grants him more", "Mika, who moderates, grants him more")
    stage = narrator.stage
    await narrator.types(stage.mika, "moderate grant", member=stage.theo, images=5, reason="for the poster")
    expect("was given 5 pictures" in narrator.private(stage.mika), "the grant was not confirmed")


async def _again(narrator: Narrator) -> None:
    narrator.step("Theo asks again")
    await _foxes(narrator)
    narrator.card()
    await narrator.result("imagine", pictures=3)
    await narrator.types(narrator.stage.theo, "quota")
    narrator.private(narrator.stage.theo)


async def _foxes(narrator: Narrator) -> None:
    prompt = "a fox in an autumn forest"
    await narrator.types(narrator.stage.theo, "imagine", prompt=prompt, size="landscape", quality="low", count=3)
