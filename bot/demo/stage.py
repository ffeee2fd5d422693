"""The real Easel in a simulated Discord, for the demo and the tests.

SimCord stands in for Discord, bot.sandbox for the providers, and `LocalCdn` serves attachments; everything else
runs as in production. SimCord waits for all that the bot starts, so the worker is started here.
"""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
from bot.domain.clock import Clock, elapsed
from bot.domain.errors import EaselError
from bot.pictures.processes import Processes
from bot.ports import Unit
from bot.providers.shared.polling import PollPolicy
from bot.routing.breaker import BreakerSettings
from bot.sandbox.fal.server import FalSandbox
from bot.worker.context import RetryPolicy
from bot.worker.provider_refresh import refresh

Value = TypeVar("Value")

POLL_POLICY = PollPolicy(first=0.1, longest=0.4, first_retry=0.05, longest_retry=0.2)
RETRY_POLICY = RetryPolicy(first_retry=0.1, longest_retry=0.5)
TIMEOUT = 20.0
"""Seconds that anything may take to show."""
EPHEMERAL = 64
"""The flag of a message that only one member sees."""
RESULT_FILE = re.compile(r"(?:SPOILER_)?easel-(\d+)-\d+\.\w+")


@dataclass(kw_only=True)
class Stage:
    """A server with one channel, three members and Easel; Easel's worker; and the providers."""

    env: simcord.Env
    app: App
    providers: StandIns
    clock: StageClock
    guild: simcord.GuildHandle
    channel: simcord.ChannelHandle
    members: simcord.RoleHandle
    nora: simcord.MemberActor
    theo: simcord.MemberActor
    mika: simcord.MemberActor
    """The moderator."""
    worker: asyncio.Task[None]
    reopen: Callable[[], Awaitable[tuple[App, asyncio.Task[None]]]]
    """Opens Easel again over the same database and starts its worker."""

    @property
    def fal(self) -> FalSandbox:
        """The provider that every stage has."""
        return self.providers.fal

    @property
    def mention(self) -> str:
        """Easel, mentioned."""
        user = self.env.bot.user
        return user.mention if user else ""

    async def until(self, condition: Callable[[], Value]) -> Value:
        """Wait until a condition is met; returns its value.

        Raises:
            TimeoutError: it was not met in time; says what the channel has instead.
        """
        end = time.monotonic() + TIMEOUT
        while not (value := condition()):
            await self._wait(end)
        return value

    async def _wait(self, end: float) -> None:
        """Wait a moment; raises the worker's error, or TimeoutError after `end`."""
        if self.worker.done():
            self.worker.result()
        if time.monotonic() > end:
            raise TimeoutError("nothing came in time; the channel has:\n" + self.env.transcript())
        await asyncio.sleep(0.01)

    def pictures(self) -> list[discord.Message]:
        """The messages with Easel's results, oldest first."""
        return [item for item in self.channel.history() if item.author.bot and _is_result(item)]

    async def picture(self, number: int = 1) -> discord.Message:
        """Wait for Easel's result with this number, and for its job to end."""
        await self.until(lambda: len(self.pictures()) >= number)
        await self.idle()
        return self.pictures()[number - 1]

    async def idle(self) -> None:
        """Wait until no job waits or runs, and the cards are gone."""
        end = time.monotonic() + TIMEOUT
        while await self.running():
            await self._wait(end)
        await self.until(lambda: not self.cards())

    async def running(self) -> int:
        """How many jobs have not ended."""
        return await self.app.database.read(_running_jobs())

    def cards(self) -> list[discord.Message]:
        """The progress cards in the channel."""
        return [item for item in self.channel.history() if "Cancel" in labels(item)]

    async def restart(self) -> None:
        """Stop Easel gracefully and start it again over the same database, as an update does."""
        self.app.worker.stop()
        await asyncio.wait({self.worker})
        self.app, self.worker = await self.reopen()

    async def catch_up(self) -> None:
        """Advance Discord's clock to Easel's."""
        behind = elapsed(self.clock.discord_now(), self.clock.now())
        if behind > 0:
            await self.env.advance_time(behind)


def labels(message: discord.Message) -> list[str]:
    """The labels of a message's buttons."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    return [child.label or "" for row in rows for child in row.children if isinstance(child, discord.Button)]


def initial_response(env: simcord.Env) -> dict[str, Any]:
    """The bot's latest initial response to an interaction, as it was before any edit."""
    callbacks = [call for call in env.http_requests if call.path.endswith("/callback")]
    data: dict[str, Any] = (callbacks[-1].json or {}).get("data") or {}
    return data


def _is_result(message: discord.Message) -> bool:
    """Whether a message has finished pictures; a card may have an unfinished one."""
    return any(RESULT_FILE.fullmatch(attachment.filename) for attachment in message.attachments)


def job_of(message: discord.Message) -> int:
    """The id of the job whose pictures a message has."""
    found = RESULT_FILE.fullmatch(message.attachments[0].filename)
    if found is None:
        raise ValueError(message.attachments[0].filename)
    return int(found[1])


def image_of(content: bytes) -> Image.Image:
    """Decode a picture."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _running_jobs() -> Unit[int]:
    rows = yield "SELECT COUNT(*) AS jobs FROM jobs WHERE state IN ('waiting', 'running', 'delivering')", ()
    return int(rows[0]["jobs"])


def stage_settings(database: Path, cdn: LocalCdn, providers: StandIns, **more: Any) -> settings.Settings:
    """Settings of which none is read from the environment."""
    simulated = {
        "discord_token": "simulated",
        "discord_media_hosts": cdn.host,
        "database_url": f"sqlite:///{database}",
        "shutdown_seconds": 2,
        **providers.settings(),
    }
    return settings.given(**{**simulated, **more})


@asynccontextmanager
async def open_stage(
    database: Path,
    *,
    quota: str = "10/day",
    start: float = 0,
    retry_policy: RetryPolicy = RETRY_POLICY,
    breaker_settings: BreakerSettings | None = None,
    all_providers: bool = False,
    picture_processes: Processes | None = None,
) -> AsyncIterator[Stage]:
    """Open Easel over a database file, new or old, create the server and start the worker.

    `start` is in seconds since the beginning of 2026, where SimCord's clock starts. `all_providers` opens
    Lumenfall and Oxen.ai too, and not fal alone. `picture_processes` that are given stay open.
    """
    clock = StageClock()
    async with AsyncExitStack() as stack:
        cdn = await stack.enter_async_context(LocalCdn())
        providers = await stack.enter_async_context(open_stand_ins(all_providers=all_providers))
        found = stage_settings(database, cdn, providers, default_quota=quota)
        apps = await stack.enter_async_context(AsyncExitStack())

        async def open_easel() -> App:
            times = Clock(now=clock.now, discord_now=clock.discord_now)
            app = await apps.enter_async_context(
                open_app(
                    found,
                    clock=times,
                    retry_policy=retry_policy,
                    poll_policy=POLL_POLICY,
                    breaker_settings=breaker_settings,
                    picture_processes=picture_processes,
                )
            )
            if all_providers:  # as `bot.app.run` does at every start
                await refresh(app.providers, app.router, app.database, app.clock)
            return app

        first = await open_easel()
        env = simcord.Env(first.client, check_errors=False)
        await env.start()
        stack.push_async_callback(env.shutdown)
        _answer_refusals(first.client)
        await env.advance_time(start)
        clock.start(env)
        cdn.attach(env)

        def start_worker(app: App) -> asyncio.Task[None]:
            with env.time_context():  # its task takes SimCord's clock and webhooks along
                return asyncio.create_task(app.worker.run(), name="worker")

        async def reopen() -> tuple[App, asyncio.Task[None]]:
            app = await open_easel()
            await env.restart_bot(app.client)
            _answer_refusals(app.client)
            return app, start_worker(app)

        world = {"env": env, "providers": providers, "clock": clock, **_create_server(env)}
        stage = Stage(app=first, worker=start_worker(first), reopen=reopen, **world)
        try:
            yield stage
        finally:
            await _stop(stage)


def _answer_refusals(client: Easel) -> None:
    """Answer refusals before SimCord sees them: it takes every error of a command for a crash."""
    simcord_on_error = client.tree.on_error

    async def on_error(interaction: Interaction, error: app_commands.AppCommandError) -> None:
        cause = getattr(error, "original", error)
        if isinstance(cause, EaselError):
            await answer_error(interaction, cause)
        else:
            await simcord_on_error(interaction, error)

    client.tree.on_error = on_error  # type: ignore[method-assign]


async def _stop(stage: Stage) -> None:
    """Stop the worker as SIGTERM does; raises its error, if it had one."""
    stage.app.worker.stop()
    _, late = await asyncio.wait({stage.worker}, timeout=TIMEOUT)
    for task in late:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await stage.worker


def _create_server(env: simcord.Env) -> dict[str, Any]:
    """The server, its channel, the painters' role and the members, by the names of `Stage`'s fields."""
    env.backend.edit_bot_profile("Easel")
    env.backend.bot_user.avatar = "easel"
    guild = env.create_guild("Easel's studio")
    channel = guild.create_text_channel(
        "gallery", topic="Type /imagine to paint, reply with @Easel to change a picture"
    )
    permissions = discord.Permissions(manage_guild=True, manage_messages=True)
    moderators = guild.create_role("Moderators", permissions=permissions, color=0x2A9D8F)
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
