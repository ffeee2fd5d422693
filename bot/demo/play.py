"""The demo: plays a scene with Easel in a simulated Discord, then serves the channel to a browser."""

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
from bot.demo import scene_members, scene_providers, transcript
from bot.demo.avatars import avatar_files
from bot.demo.narrator import DemoFailed, Narrator, expect, say
from bot.demo.stage import RETRY_POLICY, Stage, open_stage
from bot.domain.clock import elapsed
from bot.domain.errors import EaselError
from bot.routing.breaker import BreakerSettings

QUOTA = "4/day"
CARD_SECONDS = 0.1
"""Between two edits of a card: short, so that unfinished pictures show."""
SUBMIT_SECONDS = 3.0
"""How long a job waits for a service to take it: short, so that nobody waits for the notice that none does."""
BREAKER = BreakerSettings(failures=1000)
"""No service is paused, so that all of them paint for whoever opens the page right after the last outage."""
REFRESH_SECONDS = 0.1
"""Between two checks whether the page must be refreshed."""
MAX_CLOCK_LAG = 30.0
"""Seconds by which Discord's clock may be behind Easel's."""
SIMCORD_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HINTS = """
  /imagine             Easel paints what you describe; try size: 16:9
  /edit                change a picture of yours; any file from {output} will do
  Edit, below a picture, or Reply to it: "@Easel make it snow"
  /quota  /jobs        what is left, and what was asked
  "Viewing as" Mika    she moderates: /moderate grant, /moderate limit, /moderate services, /moderate model
"""


async def play(*, once: bool, port: int, output: Path) -> int:
    """Play the scene into the folder `output`, then serve the channel until Ctrl-C or SIGTERM.

    `port` 0 is any free one. Returns the process's exit code; 130: stopped before the scene was over.
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
    """One run of the demo."""

    port: int
    output: Path
    serving: bool = False

    async def run(self, *, once: bool) -> None:
        """Play the scene and then, unless `once`, serve the page."""
        transcript.clear(self.output)
        _log_to(self.output / "easel.log")
        say("Easel paints in a simulated Discord. Nothing leaves this computer.\n")
        this_morning = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
        start = max((this_morning - SIMCORD_EPOCH).total_seconds(), 36_000)
        retry_policy = replace(RETRY_POLICY, card=CARD_SECONDS, submit=SUBMIT_SECONDS)
        database = self.output / "easel.db"
        async with open_stage(
            database,
            quota=QUOTA,
            start=start,
            retry_policy=retry_policy,
            breaker_settings=BREAKER,
            all_providers=True,
        ) as stage:
            page = await _play(stage, self.output)
            say(f"\nThe pictures and what everybody saw: {page}")
            if not once:
                stage.providers.slow_down()
                await self._serve(stage)

    async def _serve(self, stage: Stage) -> None:
        async with AsyncExitStack() as stack:
            preview = await self._open_page(stage, stack)
            self.serving = True
            say(f"\nOpen {preview.url}\n{HINTS.format(output=self.output)}\nCtrl-C ends it.")
            refreshing = asyncio.create_task(_keep_refreshing(stage, preview))
            closed = asyncio.create_task(preview.wait_closed())
            try:
                done, _ = await asyncio.wait(
                    {refreshing, closed, stage.worker}, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done - {closed}:
                    task.result()
            finally:
                for task in (refreshing, closed):
                    task.cancel()
                await asyncio.gather(refreshing, closed, return_exceptions=True)

    async def _open_page(self, stage: Stage, stack: AsyncExitStack) -> Preview:
        """Serve the page at the wanted port, or at a free one where that is taken."""

        def page(port: int | None) -> Preview:
            viewers = [stage.nora, stage.theo, stage.mika]
            return stage.env.preview(stage.channel, viewers=viewers, layout="channel", port=port, assets=avatars)

        avatars = await asyncio.to_thread(avatar_files, stage)
        with suppress(simcord.SetupError):
            return await stack.enter_async_context(page(self.port))
        say(f"Port {self.port} is taken, so the page is at another one.")
        return await stack.enter_async_context(page(None))


async def _play(stage: Stage, output: Path) -> Path:
    """Play the whole scene; returns the transcript's path."""
    narrator = Narrator(stage, output)
    narrator.page.line("# A scene in Easel's studio")
    narrator.page.line(
        "In #gallery: Nora paints, Theo edits, Mika moderates. Everybody may paint 4 pictures a day. "
        "This is the real bot over a real database; Discord and the three image services are stand-ins."
    )
    await scene_members.play(narrator)
    await scene_providers.play(narrator)
    page = narrator.page.write()
    expect(not stage.env.errors, f"Easel met something unexpected; see {output / 'easel.log'}")
    return page


async def _keep_refreshing(stage: Stage, preview: Preview) -> None:
    """Refresh the page after the worker's requests to Discord.

    The page refreshes itself after a member's own action, and drops actions during a refresh, so the responses
    to interactions are no reason for one.
    """
    seen = 0
    while True:
        calls = stage.env.http_requests
        changed = any(not call.path.endswith("/callback") for call in calls[seen:])
        if changed or elapsed(stage.clock.discord_now(), stage.clock.now()) > MAX_CLOCK_LAG:
            with suppress(simcord.SetupError, TimeoutError):  # a member is acting: try again soon
                await stage.catch_up()
                await preview.refresh()
                seen = len(calls)
        await asyncio.sleep(REFRESH_SECONDS)


def _log_to(path: Path) -> None:
    """Write the log to a file, so that the terminal shows the scene alone."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logs.Redacting(()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
