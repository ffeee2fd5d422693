"""The processes of a benchmark: each bot and the stand-ins around it, all ended by their process ids."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Any, TypeVar

import aiohttp
import psutil

from bot.sandbox.discord.server import DiscordControl

Figure = TypeVar("Figure", int, float)

ROOT = Path(__file__).parent.parent
UNLIMITED_ROUTES = (
    "POST /channels/{channel}/messages",
    "PATCH /channels/{channel}/messages/{message}",
    "DELETE /channels/{channel}/messages/{message}",
)
"""Routes on which discord.py sends one request at a time until a response states the route's limit."""
START_SECONDS = 30.0
STOP_SECONDS = 15.0
SETTLE_SECONDS = 3.0
"""discord.py waits two seconds for more servers before it is ready."""


class NotACheckout(Exception):
    """The folder to compare with holds no Easel that can be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A program that is loaded."""

    name: str
    arguments: Sequence[str]
    """For the Python interpreter."""
    root: Path = ROOT
    """The checkout whose modules it imports."""


EASEL = Bot(name="easel", arguments=("-m", "bot", "run"))
FLOOR = Bot(name="floor", arguments=("-m", "benchmarks.baseline"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInOptions:
    """The size of the simulated server, and of each picture that fal's stand-in paints."""

    channels: int = 10
    members: int = 100
    picture_bytes: int = 1_500_000
    lumenfall: bool = False
    """Whether Lumenfall's stand-in is there as well, with pictures inside its responses and its streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBot:
    """One bot, connected to its own two stand-ins."""

    discord: DiscordControl
    fal_url: str
    process: psutil.Process
    channels: Sequence[int]
    members: Sequence[int]

    def resident(self) -> int:
        """Resident bytes of the bot and of the processes that it has started."""
        return sum(_reading(member, lambda each: each.memory_info().rss) for member in self._family())

    def processor_seconds(self) -> float:
        """What the bot and its processes have used, those that have ended included."""
        return sum(_reading(member, lambda each: sum(each.cpu_times()[:4])) for member in self._family())

    def own_processor_seconds(self) -> float:
        """What the bot's own process has used."""
        return sum(self.process.cpu_times()[:2])

    def _family(self) -> list[psutil.Process]:
        own = self.process.cmdline()
        # A process that is only being started still shares the memory of the bot, and its command line.
        return [self.process, *(each for each in self.process.children(recursive=True) if _command(each) != own)]

    async def fal_state(self) -> dict[str, Any]:
        """The counters of fal's stand-in."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.fal_url}/sandbox/state") as response:
            state: dict[str, Any] = await response.json()
            return state


def _reading(process: psutil.Process, read: Callable[[psutil.Process], Figure]) -> Figure | int:
    try:
        return read(process)
    except psutil.NoSuchProcess:
        return 0


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def bot_before(checkout: Path) -> Bot:
    """The Easel of another checkout.

    Raises NotACheckout where Python would import another `bot` than the checkout's, such as the installed one.
    """
    root = checkout.resolve()
    found = subprocess.run(
        (sys.executable, "-P", "-c", "import bot; print(bot.__file__)"),
        env=_environment(root),
        capture_output=True,
        text=True,
        check=False,
    )
    imported = Path(found.stdout.strip())
    if found.returncode or imported.resolve() != root / "bot" / "__init__.py":
        raise NotACheckout(
            f"{checkout} holds no Easel: {found.stderr.strip() or f'Python would import {imported}'}"
        )
    return Bot(name="before", arguments=EASEL.arguments, root=root)


@asynccontextmanager
async def start_bot(bot: Bot, options: StandInOptions, output: Path) -> AsyncIterator[RunningBot]:
    """Start the stand-ins and the bot; all of them are stopped in the end, whatever happens."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=output, prefix="run-")))
        log = stack.enter_context((output / f"{bot.name}.log").open("w"))
        stand_in = partial(_child, root=ROOT, folder=folder, log=log)
        arguments = ("--one-picture", "--picture-bytes", str(options.picture_bytes))
        fal = await stack.enter_async_context(stand_in("-m", "bot.sandbox.fal", *arguments))
        fal_url = (await _first_line(fal)).strip()
        sandbox = await stack.enter_async_context(stand_in("-m", "bot.sandbox.discord"))
        discord = json.loads(await _first_line(sandbox))
        control = await stack.enter_async_context(DiscordControl(discord["base_url"]))
        await control.configure(discard_files=True)
        for route in UNLIMITED_ROUTES:
            await control.rate_limit(route, 10**6, 1)
        guild = await control.create_guild("benchmark")
        channels = [await control.create_channel(guild, f"canvas-{n}") for n in range(options.channels)]
        members = [await control.create_member(guild, f"member-{n}") for n in range(options.members)]
        settings = _settings(discord, fal_url, folder)
        if options.lumenfall:
            lumenfall = await stack.enter_async_context(stand_in("-m", "bot.sandbox.lumenfall", *arguments))
            settings |= _lumenfall_settings((await _first_line(lumenfall)).strip())
        process = await stack.enter_async_context(
            _child(*bot.arguments, root=bot.root, folder=folder, log=log, settings=settings)
        )
        await control.wait_connected(within=START_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        yield RunningBot(
            discord=control,
            fal_url=fal_url,
            process=psutil.Process(process.pid),
            channels=channels,
            members=members,
        )


def _settings(discord: Mapping[str, str], fal_url: str, folder: Path) -> dict[str, str]:
    """The addresses of the stand-ins, and a quota that refuses no one: every other setting keeps its default."""
    return {
        "DISCORD_TOKEN": "benchmark.token.of-nobody",
        "DISCORD_API_URL": discord["api_url"],
        "DISCORD_GATEWAY_URL": discord["gateway_url"],
        "DISCORD_MEDIA_HOSTS": "127.0.0.1:*",
        "DATABASE_URL": f"sqlite:///{folder / 'easel.db'}",
        "FAL_KEY": "benchmark:key",
        "FAL_QUEUE_URL": fal_url,
        "FAL_REST_URL": fal_url,
        "FAL_API_URL": f"{fal_url}/v1",
        "FAL_MEDIA_HOSTS": "127.0.0.1:*",
        "DEFAULT_QUOTA": "999999/day",
    }


def _lumenfall_settings(url: str) -> dict[str, str]:
    return {
        "LUMENFALL_API_KEY": "lmnfl_benchmark.key",
        "LUMENFALL_BASE_URL": f"{url}/openai/v1",
        "LUMENFALL_MEDIA_HOSTS": "127.0.0.1:*",
        "LUMENFALL_INLINE": "true",
        "LUMENFALL_PARTIALS": "2",
        "DEFAULT_MODEL": "gpt-image-1.5",
        "SERVICE_ORDER": "gpt-image-1.5=lumenfall",
    }


def _environment(root: Path) -> dict[str, str]:
    """Nothing of the operator's own but PATH. PYTHONPATH comes before an installed Easel."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(root)}


@asynccontextmanager
async def _child(
    *arguments: str, root: Path, folder: Path, log: IO[str], settings: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    # A session of its own: Ctrl-C reaches this process only, which stops its children in order.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=_environment(root) | dict(settings or {}),
        cwd=folder,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await asyncio.shield(_stop(process))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _first_line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe for its output")
    async with asyncio.timeout(START_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a stand-in did not start; its log says why")
    return line.decode()
