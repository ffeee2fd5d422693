"""Attacks on the process: kills, stops at bad moments, an unreachable gateway, a full disk."""

from __future__ import annotations

import re
import resource

import pytest

from bot import settings
from bot.domain.clock import Clock, real_time
from bot.domain.errors import SetupError
from bot.sandbox.discord.server import Upload
from tests.support.picture_files import encoded, noise
from tests.support.waiting import wait_until
from tests.support.world.bot_process import BotProcess
from tests.support.world.discord_members import POST_MESSAGE, Quota
from tests.support.world.interposer import Interposer
from tests.support.world.stored_jobs import CHARGED
from tests.support.world.world import FAST_RETRIES, KEY, TOKEN, World

RECONNECT = re.compile(r"reconnect in (\d+\.\d+)s")
LOGIN, SYNC = "GET /users/@me", "PUT /applications/{application}/commands"


async def test_a_process_killed_after_posting_into_a_busy_channel_neither_repeats_nor_refunds_the_pictures(
    world: World,
) -> None:
    channels = [world.channel, await world.discord.create_channel(world.guild, "attic")]
    async with world.connected_process() as bot:
        await world.discord.delay(POST_MESSAGE, 30.0, times=2, worked=True)
        recent, expired = [await world.imagine(channel=channel) for channel in channels]
        for job, channel in zip((recent, expired), channels, strict=True):
            await world.result_message(job, channel=channel)
            await world.wait_state(job, "delivering")
        await bot.kill()
    for number in range(2_001):  # more than the bot searches
        for channel in channels:
            await world.discord.post_message(world.member, channel, f"chat {number}")
    await world.discord.forget_nonces()
    world.update("UPDATE jobs SET waited_ms = patience_ms WHERE id = ?", expired)
    async with world.connected_process() as bot:
        for job in (recent, expired):
            assert await world.wait_finished(job) == "done"
        assert await world.quota() == Quota(left=8, spent=2, reserved=0)
        await bot.stop()
    assert world.fal.submits == 2
    for job, channel in zip((recent, expired), channels, strict=True):
        assert len(await world.result_messages(channel)) == 1
        assert world.ledger_images(job) == CHARGED
        assert (await world.discord.interaction(job))["followups"] == []


# Stops


async def test_a_stop_while_a_submit_is_under_way_waits_for_its_ticket_and_not_for_the_picture(
    world: World,
) -> None:
    world.fal.faults.set("submit_slow", seconds=1.0, times=1)
    world.fal.faults.set("slow_run", seconds=8.0, times=1)
    async with world.connected_process() as bot:
        job = await world.imagine()
        await wait_until(lambda: world.fal.submits)
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
    row = world.job(job)
    assert (row["state"], row["ticket"] is not None) == ("waiting", True)
    assert "may bill it twice" not in bot.log
    assert world.fal.submits == 1


@pytest.mark.parametrize("route", [LOGIN, SYNC], ids=["during the login", "during the command sync"])
async def test_a_stop_during_the_start_exits_with_zero(world: World, route: str) -> None:
    await world.discord.delay(route, 20)
    async with world.process() as bot:
        await wait_until(lambda: world.discord.traffic.requests[route] or None)
        assert_at_once(await bot.stop())


async def test_the_process_waits_for_an_unreachable_gateway_until_it_is_stopped(world: World) -> None:
    async with (
        Interposer(world.discord.base_url) as interposer,
        world.process(DISCORD_GATEWAY_URL=interposer.gateway_url) as waiting,
        world.process(
            DISCORD_GATEWAY_URL=interposer.gateway_url, DATABASE_URL=f"sqlite:///{world.folder}/2.db"
        ) as stopped,
    ):
        for bot in (waiting, stopped):
            await wait_until(lambda: _logged(bot, "gateway does not answer"), within=15)  # noqa: B023
        assert_at_once(await stopped.stop())
        await interposer.listen()
        await world.discord.wait_connected(within=10)
        await world.paint()
        assert_at_once(await waiting.stop())


async def test_a_stop_while_the_gateway_is_away_ends_the_process_at_once(world: World) -> None:
    async with Interposer(world.discord.base_url) as interposer:
        await interposer.listen()
        world.discord.gateway.url = interposer.gateway_url
        async with world.connected_process(DISCORD_GATEWAY_URL=interposer.gateway_url) as bot:
            await world.paint()
            await interposer.stop_listening()
            await wait_until(lambda: [wait for wait in RECONNECT.findall(bot.log) if float(wait) > 2], within=20)
            assert_at_once(await bot.stop())


def _logged(bot: BotProcess, words: str) -> bool | None:
    return words in bot.log or None


def assert_at_once(end: tuple[int, float]) -> None:
    """Exit code 0, within a second and a half."""
    code, seconds = end
    assert (code, seconds < 1.5) == (0, True)


# The disk


async def test_a_full_disk_after_the_first_response_sends_no_failure_for_a_job_that_goes_on(
    world: World,
) -> None:
    async with world.connected_process() as bot:
        await world.paint()
        largest = max(path.stat().st_size for path in world.folder.glob("easel.db*"))
        # The row of a job fits; its picture in the spool does not.
        resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (largest + 1_000_000, resource.RLIM_INFINITY))
        job = await world.edit(image=Upload("noise.png", encoded(noise((1_200, 1_200)), "PNG", compress_level=0)))
        await world.card(job)
        await wait_until(lambda: _logged(bot, f"job {job}: The database"))
        await bot.stop()
    assert (await world.discord.interaction(job))["followups"] == []
    assert world.job(job)["state"] == "waiting"
    async with world.bot(clock=Clock(now=lambda: real_time() + 60_000)):
        await world.result_message(job)
        assert await world.wait_finished(job) == "done"
    assert world.ledger_images(job) == CHARGED
    assert (await world.discord.interaction(job))["followups"] == []


# Settings


async def test_settings_with_spaces_around_them_work(world: World) -> None:
    padded = {name: f"  {value} " for name, value in world.environment().items()}
    async with world.bot(retry_policy=FAST_RETRIES, clock=None, **padded):
        await world.paint()
        edited = await world.edit()
        await world.result_message(edited)
        await world.wait_finished(edited)


@pytest.mark.parametrize("path", [":memory:", " ", ":memory: ", ""])
def test_a_database_that_would_not_outlive_the_process_is_refused(path: str) -> None:
    with pytest.raises(SetupError, match=r"^DATABASE_URL is not valid: write it as sqlite:///"):
        settings.load(_env_file=None, discord_token=TOKEN, fal_key=KEY, database_url=f"sqlite:///{path}")
