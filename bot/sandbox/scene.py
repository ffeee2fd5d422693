"""The demo: Easel in a simulated Discord. One scene is played, then the channel is served to a browser."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import discord
import simcord
from simcord.preview import Preview

from bot import logs
from bot.errors import EaselError
from bot.sandbox import painter, transcript
from bot.sandbox.faces import faces
from bot.sandbox.stage import Stage, first_answer, image_of, open_stage
from bot.sandbox.transcript import Transcript

QUOTA = "4/day"
LOOK_EVERY = 0.1
"""Seconds between two looks whether something new is to be shown."""
LATE = 30.0
"""Seconds after which Discord's clock is put forward even where nothing happens."""
SIMCORD_BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
TRY = """
  /imagine             Easel paints what you describe
  /edit                change a picture of yours; any file from {output} will do
  Edit, below a picture, or Reply to it: "make it snow"
  /quota  /jobs        what is left, and what was asked
  "Viewing as" Mika    she moderates: /moderate grant, /moderate limit
"""


class WentWrong(Exception):
    """The scene is not as it should be; one line that says how."""


async def play(*, once: bool, port: int, output: Path) -> int:
    """Play the scene into `output`, then serve the channel until Ctrl-C or SIGTERM; the process's exit code.

    `port` 0 is any free one. 130: stopped before the scene was over.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    demo = Demo(port=port, output=output)
    playing = asyncio.create_task(demo.run(once=once))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (playing, stopping):
            task.cancel()
        await asyncio.wait({playing, stopping})
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    try:
        await playing
    except asyncio.CancelledError:
        _say("\nGood-bye." if demo.serving else "\nStopped before the scene was over.")
        return 0 if demo.serving else 130
    except (WentWrong, EaselError, simcord.SetupError, OSError) as error:
        print(f"easel: the demo went wrong: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        return 1
    return 0


@dataclass(kw_only=True)
class Demo:
    """One run."""

    port: int
    output: Path
    serving: bool = False

    async def run(self, *, once: bool) -> None:
        """The scene, then, unless it is for once, the page."""
        transcript.clear(self.output)
        _log_to(self.output / "easel.log")
        _say("Easel paints in a simulated Discord. Nothing leaves this computer.\n")
        this_morning = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
        at = max((this_morning - SIMCORD_BEGINS).total_seconds(), 36_000)
        async with open_stage(self.output / "easel.db", quota=QUOTA, at=at) as stage:
            page = await Scene(stage, self.output).play()
            _say(f"\nThe pictures and what everybody saw: {page}")
            if not once:
                stage.fal.queue_seconds, stage.fal.run_seconds = 0.8, 1.6  # long enough to see the card
                await self._serve(stage)

    async def _serve(self, stage: Stage) -> None:
        async with AsyncExitStack() as stack:
            preview = await self._opened(stage, stack)
            self.serving = True
            _say(f"\nOpen {preview.url}\n{TRY.format(output=self.output)}\nCtrl-C ends it.")
            fresh = asyncio.create_task(_keep_fresh(stage, preview))
            closed = asyncio.create_task(preview.wait_closed())
            try:
                done, _ = await asyncio.wait({fresh, closed, stage.work}, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {closed}:
                    task.result()
            finally:
                for task in (fresh, closed):
                    task.cancel()
                await asyncio.gather(fresh, closed, return_exceptions=True)

    async def _opened(self, stage: Stage, stack: AsyncExitStack) -> Preview:
        """The page at the wanted port, or at a free one where that is taken."""

        def page(port: int | None) -> Preview:
            viewers = [stage.nora, stage.theo, stage.mika]
            return stage.env.preview(stage.channel, viewers=viewers, layout="channel", port=port, assets=avatars)

        avatars = await asyncio.to_thread(faces, stage)
        with suppress(simcord.SetupError):
            return await stack.enter_async_context(page(self.port))
        _say(f"Port {self.port} is taken, so the page is at another one.")
        return await stack.enter_async_context(page(None))


class Scene:
    """Imagine, edit, reply edit, a refusal over quota, a moderator's grant, the same request again."""

    def __init__(self, stage: Stage, output: Path) -> None:
        self._stage = stage
        names = {stage.nora.id: "Nora", stage.theo.id: "Theo", stage.mika.id: "Mika"}
        names[stage.env.backend.bot_user.id] = "Easel"
        self._transcript = Transcript(output, names)

    async def play(self) -> Path:
        """Play it all; the transcript's path."""
        self._transcript.line("# A scene in Easel's studio")
        self._transcript.line(
            "In #gallery: Nora paints, Theo edits, Mika moderates. Everybody may paint 4 pictures a day. "
            "This is the real bot over a real database; Discord and the image service are stand-ins."
        )
        lighthouse = await self._imagine()
        await self._edit()
        await self._edit_by_reply(lighthouse)
        await self._refusal()
        await self._grant()
        await self._again()
        _expect(
            not self._stage.env.errors,
            f"Easel met something unexpected; see {self._transcript.write().parent / 'easel.log'}",
        )
        return self._transcript.write()

    async def _imagine(self) -> discord.Message:
        stage, page = self._stage, self._transcript
        _say("1. Nora types /imagine")
        page.step("Nora paints")
        page.line("**Nora** types `/imagine prompt: a lighthouse at sunset  size: landscape`")
        await stage.nora.slash(stage.channel, "imagine", prompt="a lighthouse at sunset", size="landscape")
        self._card()
        return await self._result(1, "imagine")

    async def _edit(self) -> None:
        stage, page = self._stage, self._transcript
        _say("2. Theo changes a picture of his with /edit")
        page.step("Theo edits a picture of his own")
        own = await asyncio.to_thread(painter.painted, "sand dunes under a blue sky", (1536, 1024))
        page.file("dunes.png", own)
        page.line("**Theo** types `/edit prompt: add hot-air balloons at sunset  image: dunes.png`")
        page.line("![dunes.png](2-dunes.png)")
        prompt = "add hot-air balloons at sunset"
        await stage.theo.slash(stage.channel, "edit", prompt=prompt, image=("dunes.png", own))
        self._card()
        message = await self._result(2, "edit")
        _expect(await message.attachments[0].read() != own, "the edit changed nothing")

    async def _edit_by_reply(self, lighthouse: discord.Message) -> None:
        stage, page = self._stage, self._transcript
        _say("3. Theo replies to Nora's picture")
        page.step("Theo replies to Nora's lighthouse")
        page.line("**Theo** replies to it: `add a sailing boat and gulls`")
        await stage.theo.send(stage.channel, "add a sailing boat and gulls", reply_to=lighthouse)
        await self._result(3, "reply")

    async def _refusal(self) -> None:
        _say("4. Theo asks for more than he has left")
        self._transcript.step("Theo asks for more than he has left")
        await self._foxes()
        refused = first_answer(self._stage.env)
        _expect(bool(refused.get("flags", 0) & 64), "the refusal is not private")
        _expect("You asked for 3 pictures and have 2 left." in refused["content"], "the refusal does not say why")
        self._transcript.seen("Only Theo", refused["content"])
        _expect(not await self._stage.running(), "a refused request was begun all the same")

    async def _grant(self) -> None:
        stage, page = self._stage, self._transcript
        _say("5. Mika, who moderates, grants him more")
        page.step("Mika, a moderator, grants him more")
        page.line("**Mika** types `/moderate grant member: @Theo  images: 5  reason: for the poster`")
        await stage.mika.slash(
            stage.channel, "moderate grant", member=stage.theo, images=5, reason="for the poster"
        )
        answer = first_answer(stage.env)
        _expect("5" in answer["content"] and bool(answer.get("flags", 0) & 64), "the grant was not confirmed")
        page.seen("Only Mika", answer["content"])

    async def _again(self) -> None:
        _say("6. Theo asks again")
        self._transcript.step("Theo asks again")
        await self._foxes()
        self._card()
        message = await self._result(4, "imagine")
        _expect(len(message.attachments) == 3, "three pictures were asked for")
        await self._stage.theo.slash(self._stage.channel, "quota")
        self._transcript.line("**Theo** types `/quota`")
        answer = first_answer(self._stage.env)
        embeds = [discord.Embed.from_dict(embed) for embed in answer["embeds"]]
        self._transcript.seen("Only Theo", answer.get("content") or "", embeds)

    async def _foxes(self) -> None:
        stage = self._stage
        prompt = "a fox in an autumn forest"
        options = "size: landscape  quality: low  count: 3"
        self._transcript.line(f"**Theo** types `/imagine prompt: {prompt}  {options}`")
        await stage.theo.slash(stage.channel, "imagine", prompt=prompt, size="landscape", quality="low", count=3)

    def _card(self) -> None:
        answer = first_answer(self._stage.env)
        _expect("left today" in answer["content"], "the first answer does not say what is left")
        self._transcript.seen("At once, everybody", answer["content"], buttons=["Cancel"])

    async def _result(self, number: int, name: str) -> discord.Message:
        message = await self._stage.picture(number)
        for path in await self._transcript.result(message, name):
            image = image_of(path.read_bytes())
            _expect(min(image.size) >= 1024, f"{path.name} is no picture")
            _say(f"   {path}")
        await self._stage.catch_up()
        return message


async def _keep_fresh(stage: Stage, preview: Preview) -> None:
    """Show in the page what the worker did.

    Each refresh makes what the page holds out of date for a moment, so a person's own action, after which the
    page is brought up to date anyway, is no reason for one.
    """
    looked = 0
    while True:
        calls = stage.env.http_requests
        news = any(not call.path.endswith("/callback") for call in calls[looked:])
        if news or stage.time.now() - stage.time.discord_now() > LATE * 1000:
            with suppress(simcord.SetupError, TimeoutError):  # somebody acts at this moment: soon again
                await stage.catch_up()
                await preview.refresh()
                looked = len(calls)
        await asyncio.sleep(LOOK_EVERY)


def _expect(fine: bool, sentence: str) -> None:
    if not fine:
        raise WentWrong(sentence)


def _log_to(path: Path) -> None:
    """What happens is written down, and the terminal stays quiet."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logs.Redacting(()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _say(line: str) -> None:
    print(line, flush=True)
