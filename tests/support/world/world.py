"""The real bot between two stand-ins, over sockets: in this process, or as `python -m bot run`."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import itertools
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

import discord
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image

from bot import app, settings
from bot.app import App
from bot.chat.discord.client import log_in
from bot.domain.clock import Clock
from bot.providers.shared.polling import PollPolicy
from bot.routing.breaker import BreakerSettings
from bot.sandbox.discord.server import DiscordSandbox, Upload
from bot.sandbox.fal.server import FalSandbox
from bot.sandbox.lumenfall.server import LumenfallSandbox
from bot.sandbox.oxen.server import OxenSandbox
from bot.worker.context import RetryPolicy

ROOT = Path(__file__).parents[3]
TOKEN = "MTA1.a-token-that-nobody-may-read.0123456789"
KEY = "key-id-00112233:key-secret-that-nobody-may-read"
IMAGINE = "fal-ai/gpt-image-1.5"
POST, CALLBACK = "POST /channels/{channel}/messages", "POST /interactions/{interaction}/{token}/callback"
QUICK = RetryPolicy(submit=1.5, post=8, first_retry=0.1, longest_retry=0.3)
LUMENFALL_KEY = "lmnfl_key-id-44556677.secret-that-nobody-may-read"
OXEN_KEY = "oxen-secret-that-nobody-may-read-8899"
QUICK_COOLING = BreakerSettings(first=0.2, longest=0.4, misconfigured=0.3)
QUICK_PACE = PollPolicy(first=0.05, longest=0.1, trouble=0.05, trouble_longest=0.1, failures=3)

Value = TypeVar("Value")
Message = dict[str, Any]


def png(width: int = 64, height: int = 64, colour: str | tuple[int, ...] = "tomato", mode: str = "RGB") -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def until(look: Callable[[], Value | None], within: float = 8.0) -> Value:
    """What `look` returns once it is something; for what nobody announces."""
    async with asyncio.timeout(within):
        while True:
            if found := look():
                return found
            await asyncio.sleep(0.02)


@dataclasses.dataclass(frozen=True)
class Quota:
    """What `/quota` shows."""

    left: int
    spent: int
    reserved: int


class BotProcess:
    """`python -m bot run`, with nothing but settings."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """Its number, for limits of the operating system."""
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has written."""
        return self._output.read_text()

    async def ended(self, within: float = 15.0) -> int:
        """The exit code."""
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def stop(self) -> tuple[int, float]:
        """SIGTERM: exit code, and seconds until it was gone."""
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return await self.ended(), time.monotonic() - begun

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class World:
    """A guild with a channel and a member, the bot, and both services."""

    def __init__(
        self,
        discord_: DiscordSandbox,
        fal: FalSandbox,
        folder: Path,
        lumenfall: LumenfallSandbox | None = None,
        oxen: OxenSandbox | None = None,
    ) -> None:
        self.discord = discord_
        self.fal = fal
        self._lumenfall = lumenfall
        self._oxen = oxen
        self.folder = folder
        self.guild = self.channel = self.member = 0
        self.processes: list[BotProcess] = []
        self._outputs = itertools.count(1)

    @property
    def database(self) -> Path:
        """The bot's file."""
        return self.folder / "easel.db"

    @property
    def lumenfall(self) -> LumenfallSandbox:
        """The second service, in a house that has it."""
        assert self._lumenfall is not None
        return self._lumenfall

    @property
    def oxen(self) -> OxenSandbox:
        """The third service, in a house that has it."""
        assert self._oxen is not None
        return self._oxen

    def environment(self, **more: str | None) -> dict[str, str]:
        """What an operator would set; None leaves a variable out."""
        given: dict[str, str | None] = {
            "DISCORD_TOKEN": TOKEN,
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
        """The bot as its own process, not waited for; killed in the end."""
        output = self.folder / f"log-{next(self._outputs)}"
        with output.open("wb") as file:
            begun = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run"),
                cwd=self.folder,
                env=self.environment(**more) | {"PYTHONPATH": str(ROOT)},
                stdout=file,
                stderr=file,
            )
        process = BotProcess(begun, output)
        self.processes.append(process)
        try:
            yield process
        finally:
            await process.kill()

    @asynccontextmanager
    async def started(self, **more: str | None) -> AsyncIterator[BotProcess]:
        """The bot as its own process, at the gateway."""
        joined = self.discord.gateway.identifies
        async with self.process(**more) as process:
            await self.discord.wait_connected(identifies=joined + 1, within=15)
            yield process

    @asynccontextmanager
    async def bot(
        self, *, patience: RetryPolicy = QUICK, clock: Clock | None = None, **more: str
    ) -> AsyncIterator[App]:
        """The bot in this process, at the gateway, with its worker."""
        given = {name.lower(): value for name, value in self.environment(**more).items()}
        found = settings.load(_env_file=None, **given)
        async with app.open_app(
            found, clock=clock, patience=patience, pace=QUICK_PACE, cooling=QUICK_COOLING
        ) as opened:
            opened.client._connection.guild_ready_timeout = 0.05
            await log_in(opened.client, opened.settings.discord_token)
            joined = self.discord.gateway.identifies
            async with asyncio.TaskGroup() as group:
                group.create_task(opened.client.connect())
                worker = group.create_task(opened.worker.run())
                await self.discord.wait_connected(identifies=joined + 1)
                await opened.client.wait_until_ready()
                try:
                    yield opened
                finally:
                    opened.worker.stop()
                    await asyncio.wait({worker})
                    await opened.client.close()

    # What members do

    async def imagine(
        self, prompt: str = "a red boat", *, member: int = 0, channel: int = 0, **options: Any
    ) -> int:
        """`/imagine`; the interaction's id, which is the job's."""
        asked = {"prompt": prompt, "quality": "low", **options}
        return await self.discord.slash(member or self.member, channel or self.channel, "imagine", asked)

    async def painted(self, prompt: str = "a red boat", **options: Any) -> Message:
        """`/imagine`, and the message that came of it, when all is written down."""
        job = await self.imagine(prompt, **options)
        message = await self.picture(job)
        await self.ended(job)
        return message

    async def edit(self, prompt: str = "make it snow", *, member: int = 0, **options: Any) -> int:
        """`/edit` of a small picture, if no other `image` is given."""
        asked = {"prompt": prompt, "image": Upload("boat.png", png()), "quality": "low", **options}
        return await self.discord.slash(member or self.member, self.channel, "edit", asked)

    async def press(self, message: Message, verb: str, *, member: int = 0) -> int:
        """Click one of Easel's buttons."""
        return await self.discord.click(member or self.member, int(message["id"]), button(message, verb))

    # What members see

    async def refusal(self, interaction: int) -> str:
        """The first answer, which only the asker sees and which says that it cost nothing."""
        answer = await self.discord.answer(interaction)
        assert answer["ephemeral"], answer
        text = str(answer["data"]["content"])
        assert text.endswith("Nothing was charged."), text
        return text

    async def said(self, interaction: int) -> str:
        """The first answer, which only the asker sees."""
        answer = await self.discord.answer(interaction)
        assert answer["ephemeral"], answer
        return str(answer["data"]["content"])

    async def card(self, interaction: int) -> Message:
        """The first answer, which everybody sees."""
        answer = await self.discord.answer(interaction)
        assert not answer["ephemeral"], answer
        return next(
            message
            for message in await self.discord.messages(self.channel, deleted=True)
            if message["id"] == str(answer["message"])
        )

    async def whisper(self, interaction: int, within: float = 8.0) -> str:
        """What the asker is told privately after the card; it says that it cost nothing."""
        asked = self.discord.world.interactions[interaction]
        await until(lambda: asked.followups or None, within)
        text = str((await self.discord.ephemeral(interaction))[-1]["content"])
        assert text.endswith("Nothing was charged."), text
        return text

    async def picture(self, job: int, *, channel: int = 0, within: float = 10.0) -> Message:
        """The message with a job's pictures."""
        return await self.discord.wait_for_message(
            channel or self.channel, lambda message: _of(message, job), within=within
        )

    async def pictures(self, channel: int = 0) -> list[Message]:
        """Every message of the bot's with pictures that stands in a channel."""
        found = await self.discord.messages(channel or self.channel)
        bot = str(self.discord.bot_id)
        return [message for message in found if message["attachments"] and message["author"]["id"] == bot]

    async def reply_to(self, message: int) -> Message:
        """The bot's reply to a message."""
        return await self.discord.wait_for_message(
            self.channel, lambda seen: seen.get("message_reference", {}).get("message_id") == str(message)
        )

    async def gone(self, message: str, within: float = 5.0) -> None:
        """Until a message does not stand in the channel any more."""
        await self.discord.wait_for_messages(
            self.channel, lambda seen: all(other["id"] != message for other in seen), within=within
        )

    async def card_gone(self, interaction: int, within: float = 5.0) -> None:
        """Until the card does not stand in the channel any more."""
        await self.gone(str((await self.discord.answer(interaction))["message"]), within)

    async def quota(self, member: int = 0) -> Quota:
        """What `/quota` shows."""
        asked = await self.discord.slash(member or self.member, self.channel, "quota")
        answer = await self.discord.answer(asked)
        assert answer["ephemeral"]
        [embed] = answer["data"]["embeds"]
        fields = {item["name"]: item["value"] for item in embed["fields"]}
        return Quota(int(embed["title"].split()[0]), int(fields["Spent"]), int(fields["Reserved"]))

    # What is written down

    def rows(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        """Look into the bot's database."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, parameters).fetchall()

    def job(self, job: int) -> sqlite3.Row:
        """A job's row."""
        return self.rows("SELECT * FROM jobs WHERE id = ?", job)[0]

    async def stands(self, job: int, *states: str, within: float = 8.0) -> str:
        """Its state, once it is one of these."""

        def look() -> str | None:
            found = [str(row["state"]) for row in self.rows("SELECT state FROM jobs WHERE id = ?", job)]
            return found[0] if found and found[0] in states else None

        return await until(look, within)

    async def ended(self, job: int, within: float = 8.0) -> str:
        """The state in which a job ended."""
        return await self.stands(job, "done", "failed", "cancelled", within=within)

    async def accepted(self, job: int) -> None:
        """Until the service has it and Easel has written its ticket down."""
        await until(lambda: self.rows("SELECT id FROM jobs WHERE id = ? AND ticket IS NOT NULL", job))

    def entries(self, job: int) -> dict[str, int]:
        """Images by kind of ledger entry: what was reserved is settled or given back."""
        sql = "SELECT entry, SUM(images) AS images FROM ledger WHERE job_id = ? GROUP BY entry"
        return {row["entry"]: row["images"] for row in self.rows(sql, job)}

    def check(self) -> None:
        """What holds after every test: valid requests only, and no secret in any log."""
        assert self.discord.violations == []
        assert self.discord.traffic.unknown == []
        tokens = list(self.discord.world.tokens)
        for process in self.processes:
            for secret in (TOKEN, KEY, KEY.partition(":")[2], LUMENFALL_KEY, OXEN_KEY, *tokens):
                assert secret not in process.log
            assert "hm=" not in process.log.replace("hm=***", "")
            assert "Traceback" not in process.log


def _of(message: Message, job: int) -> bool:
    names = [attachment["filename"].removeprefix("SPOILER_") for attachment in message["attachments"]]
    return bool(names) and names[0].startswith(f"easel-{job}-")


def button(message: Message, verb: str) -> str:
    """The custom id of one of a message's buttons."""
    [row] = message["components"]
    return next(str(item["custom_id"]) for item in row["components"] if f":{verb}:" in item["custom_id"])


def moved(house: World, job: int) -> dict[str, int]:
    """What the ledger says of a job's pictures, without empty rows."""
    return {kind: images for kind, images in house.entries(job).items() if images}


async def assert_one_picture(house: World, job: int) -> Message:
    """One message, no card any more, one picture charged."""
    message = await house.picture(job)
    assert await house.ended(job) == "done"
    await house.card_gone(job)
    assert [found["id"] for found in await house.pictures()] == [message["id"]]
    assert moved(house, job) == {"reserve": 1, "settle": 1}
    return message


@asynccontextmanager
async def open_house(folder: Path, *, three: bool = False) -> AsyncIterator[World]:
    """The stand-ins, a guild, a channel and a member; discord.py's addresses are put back at the end.

    `three`: Lumenfall and Oxen as well, not fal alone.
    """
    async with AsyncExitStack() as stack:
        stack.callback(setattr, Route, "BASE", Route.BASE)
        stack.callback(setattr, DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
        sandbox = await stack.enter_async_context(DiscordSandbox())
        fal = FalSandbox(key=KEY, queue_seconds=0.06, run_seconds=0.06, one_picture=True)
        more: dict[str, Any] = {}
        if three:
            lumenfall = LumenfallSandbox(key=LUMENFALL_KEY, run_seconds=0.06, partial_seconds=0.02)
            oxen = OxenSandbox(key=OXEN_KEY, queue_seconds=0.05, run_seconds=0.06)
            more["lumenfall"] = await stack.enter_async_context(lumenfall)
            more["oxen"] = await stack.enter_async_context(oxen)
        house = World(sandbox, await stack.enter_async_context(fal), folder, **more)
        house.guild = await sandbox.create_guild("gallery")
        house.channel = await sandbox.create_channel(house.guild, "canvas")
        house.member = await sandbox.create_member(house.guild, "ann")
        yield house


MANAGE_MESSAGES = discord.Permissions(manage_messages=True).value
MANAGE_GUILD = discord.Permissions(manage_guild=True).value
SEND_MESSAGES = discord.Permissions(send_messages=True).value
ATTACH_FILES = discord.Permissions(attach_files=True).value
