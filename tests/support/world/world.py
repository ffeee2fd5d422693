"""The real bot between stand-ins, over sockets: in this process, or as `python -m bot run`."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot import app, settings
from bot.app import App
from bot.chat.discord.client import log_in
from bot.domain.clock import Clock
from bot.providers.shared.polling import PollPolicy
from bot.routing.breaker import BreakerSettings
from bot.sandbox.discord.server import DiscordSandbox
from bot.sandbox.fal.server import FalSandbox
from bot.sandbox.lumenfall.server import LumenfallSandbox
from bot.sandbox.oxen.server import OxenSandbox
from bot.worker.context import RetryPolicy
from tests.support.databases import place_database
from tests.support.picture_processes import SHARED
from tests.support.world.bot_process import BotProcess
from tests.support.world.discord_members import DiscordMembers, Message
from tests.support.world.stored_jobs import CHARGED, StoredJobs

ROOT = Path(__file__).parents[3]
TOKEN = "MTA1.a-token-that-nobody-may-read.0123456789"
KEY = "key-id-00112233:key-secret-that-nobody-may-read"
LUMENFALL_KEY = "lmnfl_key-id-44556677.secret-that-nobody-may-read"
OXEN_KEY = "oxen-secret-that-nobody-may-read-8899"
FAST_RETRIES = RetryPolicy(submit=1.5, post=8, first_retry=0.1, longest_retry=0.3)
FAST_BREAKER = BreakerSettings(first=0.2, longest=0.4, misconfigured=0.3)
FAST_POLLING = PollPolicy(first=0.05, longest=0.1, first_retry=0.05, longest_retry=0.1, failures=3)


class World(DiscordMembers, StoredJobs):
    """A guild with a channel and a member, the bot, and the providers."""

    def __init__(
        self,
        discord_: DiscordSandbox,
        fal: FalSandbox,
        folder: Path,
        lumenfall: LumenfallSandbox | None = None,
        oxen: OxenSandbox | None = None,
    ) -> None:
        DiscordMembers.__init__(self, discord_)
        StoredJobs.__init__(self, folder / "easel.db")
        self.fal = fal
        self._lumenfall = lumenfall
        self._oxen = oxen
        self.folder = folder
        self.tree = ROOT
        """Where the processes take Easel from."""
        self.processes: list[BotProcess] = []
        self._outputs = itertools.count(1)

    @property
    def lumenfall(self) -> LumenfallSandbox:
        """Lumenfall's stand-in, in a world with all providers."""
        assert self._lumenfall is not None
        return self._lumenfall

    @property
    def oxen(self) -> OxenSandbox:
        """Oxen's stand-in, in a world with all providers."""
        assert self._oxen is not None
        return self._oxen

    def environment(self, **more: str | None) -> dict[str, str]:
        """The variables that an operator would set; None leaves one out."""
        given: dict[str, str | None] = {
            "DISCORD_TOKEN": TOKEN,
            "DEFAULT_MODEL": "gpt-image-1.5",
            "DISCORD_API_URL": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            "DISCORD_MEDIA_HOSTS": self.discord.cdn,
            "DATABASE_URL": f"sqlite:///{self.database}",
            "FAL_KEY": KEY,
            "FAL_QUEUE_URL": self.fal.url,
            "FAL_REST_URL": self.fal.url,
            "FAL_API_URL": f"{self.fal.url}/v1",
            "FAL_MEDIA_HOSTS": self.fal.url.partition("//")[2],
            "LEASE_SECONDS": "2",
            "LOG_LEVEL": "DEBUG",
        }
        if self._lumenfall is not None:
            given |= {
                "LUMENFALL_API_KEY": LUMENFALL_KEY,
                "LUMENFALL_BASE_URL": self._lumenfall.base_url,
                "LUMENFALL_MEDIA_HOSTS": self._lumenfall.url.partition("//")[2],
            }
        if self._oxen is not None:
            given |= {
                "OXEN_API_KEY": OXEN_KEY,
                "OXEN_BASE_URL": self._oxen.base_url,
                "OXEN_MEDIA_HOSTS": "127.0.0.1:*",
            }
        return {name: value for name, value in (given | more).items() if value is not None}

    @asynccontextmanager
    async def process(self, **more: str | None) -> AsyncIterator[BotProcess]:
        """The bot as a process of its own, perhaps not connected yet; killed in the end."""
        output = self.folder / f"log-{next(self._outputs)}"
        with output.open("wb") as file:
            started = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run"),
                cwd=self.folder,
                env=self.environment(**more) | {"PYTHONPATH": str(self.tree)},
                stdout=file,
                stderr=file,
            )
        process = BotProcess(started, output)
        self.processes.append(process)
        try:
            yield process
        finally:
            await process.kill()

    @asynccontextmanager
    async def connected_process(self, **more: str | None) -> AsyncIterator[BotProcess]:
        """The bot as a process of its own, connected to the gateway."""
        identifies = self.discord.gateway.identifies
        async with self.process(**more) as process:
            await self.discord.wait_connected(identifies=identifies + 1, within=15)
            yield process

    @asynccontextmanager
    async def bot(
        self, *, retry_policy: RetryPolicy = FAST_RETRIES, clock: Clock | None = None, **more: str
    ) -> AsyncIterator[App]:
        """The bot in this process, connected to the gateway, with its worker."""
        values = {name.lower(): value for name, value in self.environment(**more).items()}
        loaded = settings.given(**values)
        async with app.open_app(
            loaded,
            clock=clock,
            retry_policy=retry_policy,
            poll_policy=FAST_POLLING,
            breaker_settings=FAST_BREAKER,
            picture_processes=SHARED,
        ) as opened:
            opened.client._connection.guild_ready_timeout = 0.02
            await log_in(opened.client, opened.settings.discord_token)
            identifies = self.discord.gateway.identifies
            async with asyncio.TaskGroup() as group:
                group.create_task(opened.client.connect())
                worker = group.create_task(opened.worker.run())
                await self.discord.wait_connected(identifies=identifies + 1)
                await opened.client.wait_until_ready()
                try:
                    yield opened
                finally:
                    opened.worker.stop()
                    await asyncio.wait({worker})
                    await opened.client.close()

    async def paint(self, prompt: str = "a red boat", **options: Any) -> Message:
        """`/imagine`, and the message with its pictures once the job is done."""
        job = await self.imagine(prompt, **options)
        message = await self.result_message(job)
        await self.wait_finished(job)
        return message

    async def assert_one_picture(self, job: int) -> Message:
        """The job's message is the only one in the channel, its card is deleted, and one picture is charged."""
        message = await self.result_message(job)
        assert await self.wait_finished(job) == "done"
        await self.wait_card_deleted(job)
        assert [found["id"] for found in await self.result_messages()] == [message["id"]]
        assert self.ledger_images(job) == CHARGED
        return message

    def check_invariants(self) -> None:
        """True after every test: the bot sent valid requests only, and no log holds a secret or a traceback."""
        assert self.discord.violations == []
        assert self.discord.traffic.unknown == []
        tokens = list(self.discord.world.tokens)
        for process in self.processes:
            for secret in (TOKEN, KEY, KEY.partition(":")[2], LUMENFALL_KEY, OXEN_KEY, *tokens):
                assert secret not in process.log
            assert "hm=" not in process.log.replace("hm=***", "")
            assert "Traceback" not in process.log


@asynccontextmanager
async def open_world(folder: Path, *, all_providers: bool = False) -> AsyncIterator[World]:
    """The stand-ins, a guild, a channel and a member; discord.py's addresses are restored in the end.

    `all_providers`: Lumenfall and Oxen beside fal.
    """
    async with AsyncExitStack() as stack:
        stack.callback(setattr, Route, "BASE", Route.BASE)
        stack.callback(setattr, DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
        sandbox = await stack.enter_async_context(DiscordSandbox())
        fal = FalSandbox(key=KEY, queue_seconds=0.06, run_seconds=0.06, one_picture=True)
        more: dict[str, Any] = {}
        if all_providers:
            lumenfall = LumenfallSandbox(key=LUMENFALL_KEY, run_seconds=0.06, partial_seconds=0.02)
            oxen = OxenSandbox(key=OXEN_KEY, queue_seconds=0.05, run_seconds=0.06)
            more["lumenfall"] = await stack.enter_async_context(lumenfall)
            more["oxen"] = await stack.enter_async_context(oxen)
        await place_database(folder / "easel.db")
        world = World(sandbox, await stack.enter_async_context(fal), folder, **more)
        world.guild = await sandbox.create_guild("gallery")
        world.channel = await sandbox.create_channel(world.guild, "canvas")
        world.member = await sandbox.create_member(world.guild, "ann")
        yield world
