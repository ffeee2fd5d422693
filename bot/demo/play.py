"""The demo: Easel in a simulated Discord. One scene is played, then the channel is served to a browser."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import simcord
from simcord.preview import Preview

from bot import logs
from bot.demo import scene_members, transcript
from bot.demo import scene_providers as scene_services
from bot.demo.avatars import faces
from bot.demo.narrator import DemoFailed, Narrator, expect, say
from bot.demo.stage import PATIENCE, Stage, open_stage
from bot.domain.errors import EaselError

QUOTA = "4/day"
CARD_EVERY = 0.1
"""Seconds between two edits of a card, so that a picture is seen while it is painted."""
LOOK_EVERY = 0.1
"""Seconds between two looks whether something new is to be shown."""
LATE = 30.0
"""Seconds after which Discord's clock is put forward even where nothing happens."""
SIMCORD_BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
TRY = """
  /imagine             Easel paints what you describe; try size: 16:9
  /edit                change a picture of yours; any file from {output} will do
  Edit, below a picture, or Reply to it: "make it snow"
  /quota  /jobs        what is left, and what was asked
  "Viewing as" Mika    she moderates: /moderate grant, /moderate limit, /moderate services, /moderate model
"""


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
        say("\nGood-bye." if demo.serving else "\nStopped before the scene was over.")
        return 0 if demo.serving else 130
    except (DemoFailed, EaselError, simcord.SetupError, OSError) as error:
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
        say("Easel paints in a simulated Discord. Nothing leaves this computer.\n")
        this_morning = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
        at = max((this_morning - SIMCORD_BEGINS).total_seconds(), 36_000)
        patience = replace(PATIENCE, card=CARD_EVERY)
        database = self.output / "easel.db"
        async with open_stage(database, quota=QUOTA, at=at, patience=patience, three=True) as stage:
            page = await _play(stage, self.output)
            say(f"\nThe pictures and what everybody saw: {page}")
            if not once:
                stage.services.take_time()
                await self._serve(stage)

    async def _serve(self, stage: Stage) -> None:
        async with AsyncExitStack() as stack:
            preview = await self._opened(stage, stack)
            self.serving = True
            say(f"\nOpen {preview.url}\n{TRY.format(output=self.output)}\nCtrl-C ends it.")
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
        say(f"Port {self.port} is taken, so the page is at another one.")
        return await stack.enter_async_context(page(None))


async def _play(stage: Stage, output: Path) -> Path:
    """The whole scene; the transcript's path."""
    told = Narrator(stage, output)
    told.page.line("# A scene in Easel's studio")
    told.page.line(
        "In #gallery: Nora paints, Theo edits, Mika moderates. Everybody may paint 4 pictures a day. "
        "This is the real bot over a real database; Discord and the three image services are stand-ins."
    )
    await scene_members.play(told)
    await scene_services.play(told)
    page = told.page.write()
    expect(not stage.env.errors, f"Easel met something unexpected; see {output / 'easel.log'}")
    return page


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


def _log_to(path: Path) -> None:
    """What happens is written down, and the terminal stays quiet."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logs.Redacting(()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
