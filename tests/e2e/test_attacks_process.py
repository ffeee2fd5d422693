"""What an attacker did to the process: kills, stops at bad moments, a gateway that is away, a full disk."""

from __future__ import annotations

import contextlib
import io
import random
import re
import resource
import sqlite3

import pytest
from PIL import Image

from bot import settings
from bot.domain.clock import Clock, real_time
from bot.domain.errors import SetupError
from bot.sandbox.discord.server import Upload
from tests.support.world.interposer import Interposer
from tests.support.world.world import KEY, POST, QUICK, TOKEN, BotProcess, Quota, World, moved, until

CHARGED = {"reserve": 1, "settle": 1}
RECONNECT = re.compile(r"reconnect in (\d+\.\d+)s")
LOGIN, SYNC = "GET /users/@me", "PUT /applications/{application}/commands"


async def test_killed_after_its_pictures_were_posted_into_a_busy_channel_it_neither_repeats_nor_refunds_them(
    house: World,
) -> None:
    channels = [house.channel, await house.discord.create_channel(house.guild, "attic")]
    async with house.started() as bot:
        await house.discord.delay(POST, 30.0, times=2, worked=True)
        recent, expired = [await house.imagine(channel=channel) for channel in channels]
        for job, channel in zip((recent, expired), channels, strict=True):
            await house.picture(job, channel=channel)
            await house.stands(job, "delivering")
        await bot.kill()
    for number in range(2_001):  # more than are looked through
        for channel in channels:
            await house.discord.post_message(house.member, channel, f"chat {number}")
    await house.discord.forget_nonces()
    with contextlib.closing(sqlite3.connect(house.database)) as connection, connection:
        connection.execute("UPDATE jobs SET expires_at = created_at WHERE id = ?", (expired,))
    async with house.started() as bot:
        for job in (recent, expired):
            assert await house.ended(job) == "done"
        assert await house.quota() == Quota(left=8, spent=2, reserved=0)
        await bot.stop()
    assert house.fal.submits == 2
    for job, channel in zip((recent, expired), channels, strict=True):
        assert len(await house.pictures(channel)) == 1
        assert moved(house, job) == CHARGED
        assert (await house.discord.interaction(job))["followups"] == []


# Stops


async def test_a_stop_while_a_submit_is_under_way_waits_for_its_ticket_and_not_for_the_picture(
    house: World,
) -> None:
    house.fal.faults.set("submit_slow", seconds=1.0, times=1)
    house.fal.faults.set("slow_run", seconds=8.0, times=1)
    async with house.started() as bot:
        job = await house.imagine()
        await until(lambda: house.fal.submits)
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
    row = house.job(job)
    assert (row["state"], row["ticket"] is not None) == ("waiting", True)
    assert "may bill it twice" not in bot.log
    assert house.fal.submits == 1


@pytest.mark.parametrize("route", [LOGIN, SYNC], ids=["while it logs in", "while it tells the commands"])
async def test_a_stop_during_the_start_ends_it_well(house: World, route: str) -> None:
    await house.discord.delay(route, 20)
    async with house.process() as bot:
        await until(lambda: house.discord.traffic.requests[route] or None)
        assert_at_once(await bot.stop())


async def test_a_gateway_that_is_not_there_at_first_is_waited_for_and_a_stop_ends_the_wait(house: World) -> None:
    async with (
        Interposer(house.discord.base_url) as between,
        house.process(DISCORD_GATEWAY_URL=between.gateway_url) as waiting,
        house.process(
            DISCORD_GATEWAY_URL=between.gateway_url, DATABASE_URL=f"sqlite:///{house.folder}/2.db"
        ) as stopped,
    ):
        for bot in (waiting, stopped):
            await until(lambda: _tells(bot, "gateway does not answer"), within=15)  # noqa: B023
        assert_at_once(await stopped.stop())
        await between.open()
        await house.discord.wait_connected(within=10)
        await house.painted()
        assert_at_once(await waiting.stop())


async def test_a_stop_while_the_gateway_has_gone_away_ends_it_at_once(house: World) -> None:
    async with Interposer(house.discord.base_url) as between:
        await between.open()
        house.discord.gateway.url = between.gateway_url
        async with house.started(DISCORD_GATEWAY_URL=between.gateway_url) as bot:
            await house.painted()
            await between.shut()
            await until(lambda: [wait for wait in RECONNECT.findall(bot.log) if float(wait) > 2], within=20)
            assert_at_once(await bot.stop())


def _tells(bot: BotProcess, words: str) -> bool | None:
    return words in bot.log or None


def assert_at_once(end: tuple[int, float]) -> None:
    """Well, and without waiting for what nobody waits for any more."""
    code, seconds = end
    assert (code, seconds < 1.5) == (0, True)


# The disk


async def test_a_full_disk_after_the_first_answer_tells_nobody_that_a_job_that_runs_was_not_charged(
    house: World,
) -> None:
    async with house.started() as bot:
        await house.painted()
        largest = max(path.stat().st_size for path in house.folder.glob("easel.db*"))
        # The row of a job fits; a picture that is kept for it does not.
        resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (largest + 1_000_000, resource.RLIM_INFINITY))
        job = await house.edit(image=Upload("noise.png", noise(1_200)))
        await house.card(job)
        await until(lambda: _tells(bot, f"job {job}: The database"))
        await bot.stop()
    assert (await house.discord.interaction(job))["followups"] == []
    assert house.job(job)["state"] == "waiting"
    async with house.bot(clock=Clock(now=lambda: real_time() + 60_000)):
        await house.picture(job)
        assert await house.ended(job) == "done"
    assert moved(house, job) == CHARGED
    assert (await house.discord.interaction(job))["followups"] == []


def noise(side: int) -> bytes:
    """A picture of three bytes a pixel."""
    buffer = io.BytesIO()
    pixels = random.Random(5).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


# Settings


async def test_settings_with_spaces_around_them_work(house: World) -> None:
    given = {name: f"  {value} " for name, value in house.environment().items()}
    async with house.bot(patience=QUICK, clock=None, **given):
        await house.painted()
        edited = await house.edit()
        await house.picture(edited)
        await house.ended(edited)


@pytest.mark.parametrize("path", [":memory:", " ", ":memory: ", ""])
def test_a_database_that_no_restart_would_find_again_is_refused(path: str) -> None:
    with pytest.raises(SetupError, match=r"^DATABASE_URL is not valid: write it as sqlite:///"):
        settings.load(_env_file=None, discord_token=TOKEN, fal_key=KEY, database_url=f"sqlite:///{path}")
