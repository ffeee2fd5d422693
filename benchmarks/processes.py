"""The processes of a benchmark: both stand-ins and one bot, each its own, all ended by their pid."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Any

import aiohttp
import psutil

from bot.sandbox.discord.server import DiscordControl

ROOT = Path(__file__).parent.parent
BOTS = {"easel": ("-m", "bot", "run"), "floor": ("-m", "benchmarks.baseline")}
LIFTED = (
    "POST /channels/{channel}/messages",
    "PATCH /channels/{channel}/messages/{message}",
    "DELETE /channels/{channel}/messages/{message}",
)
"""Routes on which discord.py would send one request at a time until it has read a limit from an answer."""
START_SECONDS = 30.0
END_SECONDS = 15.0
SETTLE_SECONDS = 3.0
"""discord.py waits two seconds for more servers before it says that it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How big the world is that a bot meets."""

    channels: int = 10
    members: int = 100
    picture_bytes: int = 1_500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One bot, online, between its two stand-ins."""

    discord: DiscordControl
    fal_url: str
    process: psutil.Process
    channels: Sequence[int]
    members: Sequence[int]

    async def fal_state(self) -> dict[str, Any]:
        """What fal's stand-in was asked for."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.fal_url}/sandbox/state") as response:
            state: dict[str, Any] = await response.json()
            return state


@asynccontextmanager
async def raised(bot: str, shape: Shape, output: Path) -> AsyncIterator[Stage]:
    """Start everything; whatever happens, nothing is left running."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=output, prefix="run-")))
        log = stack.enter_context((output / f"{bot}.log").open("w"))
        child = partial(_child, folder=folder, log=log)
        arguments = ("--one-picture", "--picture-bytes", str(shape.picture_bytes))
        fal = await stack.enter_async_context(child("-m", "bot.sandbox.fal", *arguments))
        fal_url = (await _first_line(fal)).strip()
        sandbox = await stack.enter_async_context(child("-m", "bot.sandbox.discord"))
        discord = json.loads(await _first_line(sandbox))
        control = await stack.enter_async_context(DiscordControl(discord["base_url"]))
        await control.configure(discard_files=True)
        for route in LIFTED:
            await control.rate_limit(route, 10**6, 1)
        guild = await control.create_guild("benchmark")
        channels = [await control.create_channel(guild, f"canvas-{n}") for n in range(shape.channels)]
        members = [await control.create_member(guild, f"member-{n}") for n in range(shape.members)]
        settings = _settings(discord, fal_url, folder)
        process = await stack.enter_async_context(child(*BOTS[bot], settings=settings))
        await control.wait_connected(within=START_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        yield Stage(
            discord=control,
            fal_url=fal_url,
            process=psutil.Process(process.pid),
            channels=channels,
            members=members,
        )


def _settings(discord: Mapping[str, str], fal_url: str, folder: Path) -> dict[str, str]:
    """Only where things are, and room for everybody: every other setting keeps its default."""
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


@asynccontextmanager
async def _child(
    *arguments: str, folder: Path, log: IO[str], settings: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    # Nothing of the operator's own but the way to programs, and a session of its own: Ctrl-C reaches this
    # process only, which ends its children in order.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **(settings or {})},
        cwd=folder,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _first_line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise RuntimeError("its output is not read")
    async with asyncio.timeout(START_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a stand-in did not start; its log says why")
    return line.decode()
