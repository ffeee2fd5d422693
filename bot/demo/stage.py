"""The real Easel in a simulated Discord: what the demo and the tests play on.

SimCord is Discord, stand-ins are the services, `LocalCdn` serves attachments; everything else is what runs in
production. SimCord waits for whatever the bot itself starts, so the worker is started here, beside it.
"""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import discord
import simcord
from discord import app_commands
from PIL import Image

from bot import settings
from bot.app import App, open_app
from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.error_replies import answer_error
from bot.demo.cdn import LocalCdn
from bot.demo.clock import StageClock
from bot.demo.providers import StandIns, open_stand_ins
from bot.domain.clock import Clock
from bot.domain.errors import EaselError
from bot.ports import Unit
from bot.providers.health import refresh
from bot.providers.shared.polling import PollPolicy
from bot.sandbox.fal.server import FalSandbox
from bot.worker.context import RetryPolicy

Seen = TypeVar("Seen")

PACE = PollPolicy(first=0.1, longest=0.4, trouble=0.05, trouble_longest=0.2)
PATIENCE = RetryPolicy(first_retry=0.1, longest_retry=0.5)
LIMIT = 20.0
"""Seconds that anything may take to be seen."""
NAMED_AFTER_JOB = re.compile(r"(?:SPOILER_)?easel-(\d+)-\d+\.\w+")


@dataclass(kw_only=True)
class Stage:
    """A server with one channel and three people, Easel in it, its worker, and the services."""

    env: simcord.Env
    app: App
    services: StandIns
    time: StageClock
    guild: simcord.GuildHandle
    channel: simcord.ChannelHandle
    members: simcord.RoleHandle
    nora: simcord.MemberActor
    theo: simcord.MemberActor
    mika: simcord.MemberActor
    """The moderator."""
    work: asyncio.Task[None]
    open_again: Callable[[], Any]

    @property
    def fal(self) -> FalSandbox:
        """The service that is always there."""
        return self.services.fal

    async def until(self, seen: Callable[[], Seen], limit: float = LIMIT) -> Seen:
        """Wait for what a person would see.

        Raises:
            TimeoutError: it was not seen within `limit` seconds; what the channel holds instead.
        """
        end = time.monotonic() + limit
        while not (value := seen()):
            if self.work.done():
                self.work.result()
            if time.monotonic() > end:
                raise TimeoutError("not seen in time; the channel holds:\n" + self.env.transcript())
            await asyncio.sleep(0.01)
        return value

    def pictures(self) -> list[discord.Message]:
        """Easel's results, oldest first."""
        return [item for item in self.channel.history() if item.author.bot and _is_result(item)]

    async def picture(self, number: int = 1) -> discord.Message:
        """Easel's result with this number, once it is there and its job is settled."""
        await self.until(lambda: len(self.pictures()) >= number)
        await self.idle()
        return self.pictures()[number - 1]

    async def idle(self) -> None:
        """Return once no job waits or runs, and the cards are gone."""
        end = time.monotonic() + LIMIT
        while await self.running():
            if self.work.done():
                self.work.result()
            if time.monotonic() > end:
                raise TimeoutError("a job did not end; the channel holds:\n" + self.env.transcript())
            await asyncio.sleep(0.01)
        await self.until(lambda: not self.cards())

    async def running(self) -> int:
        """How many jobs wait or run."""
        return await self.app.database.read(_running())

    def cards(self) -> list[discord.Message]:
        """The progress cards that stand in the channel."""
        return [item for item in self.channel.history() if "Cancel" in labels(item)]

    async def restart(self) -> None:
        """Stop Easel in good order and start it again over the same database, as an update would."""
        self.app.worker.stop()
        await asyncio.wait({self.work})
        self.app, self.work = await self.open_again()

    async def catch_up(self) -> None:
        """Put Discord's clock where Easel's is."""
        behind = (self.time.now() - self.time.discord_now()) / 1000
        if behind > 0:
            await self.env.advance_time(behind)


def labels(message: discord.Message) -> list[str]:
    """The labels of a message's buttons."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    return [child.label or "" for row in rows for child in row.children if isinstance(child, discord.Button)]


def first_answer(env: simcord.Env) -> dict[str, Any]:
    """What the bot sent as its latest first answer to an interaction, before anything edited it."""
    answers = [item for item in env.http_requests if item.path.endswith("/callback")]
    data: dict[str, Any] = (answers[-1].json or {}).get("data") or {}
    return data


def _is_result(message: discord.Message) -> bool:
    """Whether it holds finished pictures; a card may hold an unfinished one."""
    return any(NAMED_AFTER_JOB.fullmatch(attachment.filename) for attachment in message.attachments)


def job_of(message: discord.Message) -> int:
    """The job whose pictures a message holds."""
    found = NAMED_AFTER_JOB.fullmatch(message.attachments[0].filename)
    if found is None:
        raise ValueError(message.attachments[0].filename)
    return int(found[1])


def image_of(content: bytes) -> Image.Image:
    """A picture, decoded."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _running() -> Unit[int]:
    rows = yield "SELECT COUNT(*) AS jobs FROM jobs WHERE state IN ('waiting', 'running', 'delivering')", ()
    return int(rows[0]["jobs"])


def stage_settings(database: Path, cdn: LocalCdn, services: StandIns, **more: Any) -> settings.Settings:
    """Every setting, each with a value of its own, so that nothing is taken from the environment."""
    defaults = {
        name: field.default for name, field in settings.Settings.model_fields.items() if not field.is_required()
    }
    ours = {
        "discord_token": "simulated",
        "discord_media_hosts": cdn.host,
        "database_url": f"sqlite:///{database}",
        "shutdown_seconds": 2,
        **services.settings(),
    }
    return settings.load(_env_file=None, **{**defaults, **ours, **more})


@asynccontextmanager
async def open_stage(
    database: Path,
    *,
    quota: str = "10/day",
    at: float = 0,
    patience: RetryPolicy = PATIENCE,
    three: bool = False,
) -> AsyncIterator[Stage]:
    """Build the world over a database file, new or old, and start the worker; `at` is seconds into 2026.

    `three`: Lumenfall and Oxen.ai as well, not fal alone.
    """
    clock = StageClock()
    async with AsyncExitStack() as stack:
        cdn = await stack.enter_async_context(LocalCdn())
        services = await stack.enter_async_context(open_stand_ins(three=three))
        found = stage_settings(database, cdn, services, default_quota=quota)
        easels = await stack.enter_async_context(AsyncExitStack())

        async def open_easel() -> App:
            times = Clock(now=clock.now, discord_now=clock.discord_now)
            opened = await easels.enter_async_context(open_app(found, clock=times, patience=patience, pace=PACE))
            if three:  # what it asks its services at every start
                await refresh(opened.services, opened.routes, opened.database, opened.clock)
            return opened

        app = await open_easel()
        env = simcord.Env(app.client, check_errors=False)
        await env.start()
        stack.push_async_callback(env.shutdown)
        _let_refuse(app.client)
        await env.advance_time(at)
        clock.begin(env)
        cdn.attach(env)

        def start_worker(of: App) -> asyncio.Task[None]:
            with env.time_context():  # its task takes SimCord's clock and webhooks along
                return asyncio.create_task(of.worker.run(), name="worker")

        async def open_again() -> tuple[App, asyncio.Task[None]]:
            again = await open_easel()
            await env.restart_bot(again.client)
            _let_refuse(again.client)
            return again, start_worker(again)

        world = {"env": env, "services": services, "time": clock, **_furnish(env)}
        stage = Stage(app=app, work=start_worker(app), open_again=open_again, **world)
        try:
            yield stage
        finally:
            await _stop(stage)


def _let_refuse(client: Easel) -> None:
    """SimCord takes whatever a command raises for a crash, and its page says so; a refusal is an answer."""
    recorded = client.tree.on_error

    async def on_error(interaction: Interaction, error: app_commands.AppCommandError) -> None:
        cause = getattr(error, "original", error)
        if isinstance(cause, EaselError):
            await answer_error(interaction, cause)
        else:
            await recorded(interaction, error)

    client.tree.on_error = on_error  # type: ignore[method-assign]


async def _stop(stage: Stage) -> None:
    """End the worker as SIGTERM would; whatever it raised is the caller's to see."""
    stage.app.worker.stop()
    _, late = await asyncio.wait({stage.work}, timeout=LIMIT)
    for task in late:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await stage.work


def _furnish(env: simcord.Env) -> dict[str, Any]:
    """The server, its channel and its people."""
    env.backend.edit_bot_profile("Easel")
    env.backend.bot_user.avatar = "easel"
    guild = env.create_guild("Easel's studio")
    channel = guild.create_text_channel("gallery", topic="Type /imagine to paint, reply to a picture to change it")
    rights = discord.Permissions(manage_guild=True, manage_messages=True)
    moderators = guild.create_role("Moderators", permissions=rights, color=0x2A9D8F)
    members = guild.create_role("Painters", color=0xE9A23B)
    people: dict[str, Sequence[simcord.RoleHandle]] = {
        "nora": [members], "theo": [], "mika": [moderators]
    }  # fmt: skip
    return {
        "guild": guild,
        "channel": channel,
        "members": members,
        **{
            name: guild.add_member(env.create_user(name, global_name=name.title(), avatar=name), roles=roles)
            for name, roles in people.items()
        },
    }
