"""The bot as operators run it: a process with an environment, started, stopped, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from tests.support.world.world import POST, TOKEN, BotProcess, World, until

REFUSED = 78


async def test_it_starts_paints_and_stops_and_tells_discord_the_commands_only_when_they_changed(
    house: World,
) -> None:
    async with house.started() as bot:
        job = await house.imagine("a lighthouse at sunset")
        message = await house.picture(job)
        assert message["content"].startswith(f"<@{house.member}> a lighthouse at sunset")
        edited = await house.edit()
        await house.picture(edited)
        await house.ended(edited)
        assert (await house.quota()).spent == 2
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
        assert "INTERACTION_CREATE" in bot.log  # as talkative as it can be, and still without a secret
    names = {command["name"] for command in (await house.discord.report())["commands"]}
    assert names == {"imagine", "edit", "jobs", "quota", "moderate", "Edit image"}
    async with house.started() as bot:
        assert (await bot.stop())[0] == 0
    assert (await house.discord.report())["command_syncs"] == 1
    with contextlib.closing(sqlite3.connect(house.database)) as connection, connection:
        assert connection.execute("UPDATE notes SET content = 'those of an older Easel'").rowcount == 1
    async with house.started() as bot:
        assert (await house.discord.report())["command_syncs"] == 2
        await bot.stop()


async def test_a_stop_leaves_the_waiting_job_to_the_next_start_which_finishes_it_once(house: World) -> None:
    house.fal.faults.set("slow_run", seconds=1.5, times=1)
    async with house.started() as bot:
        job = await house.imagine()
        await house.accepted(job)
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
        assert house.job(job)["state"] == "waiting"
    async with house.started() as bot:
        await house.picture(job)
        assert await house.ended(job) == "done"
        await bot.stop()
    assert_once(house, job, submits=1)
    assert len(await house.pictures()) == 1


async def test_a_stop_lets_the_picture_that_is_being_posted_arrive(house: World) -> None:
    async with house.started() as bot:
        await house.discord.delay(POST, 1.0)
        job = await house.imagine()
        await house.stands(job, "delivering")
        code, seconds = await bot.stop()
        assert (code, seconds < 5) == (0, True)
    assert house.job(job)["state"] == "done"
    assert len(await house.pictures()) == 1
    assert_once(house, job, submits=1)


async def test_a_stop_does_not_wait_longer_for_a_post_than_it_was_told(house: World) -> None:
    async with house.started(SHUTDOWN_SECONDS="0.3") as bot:
        await house.discord.delay(POST, 3.0, worked=True)
        job = await house.imagine()
        await house.picture(job)
        code, seconds = await bot.stop()
        assert (code, seconds < 2.5) == (0, True)
    async with house.started() as bot:
        assert await house.ended(job) == "done"
        await bot.stop()
    assert len(await house.pictures()) == 1
    assert_once(house, job, submits=1)


async def test_killed_while_the_service_paints_the_picture_still_arrives_once(house: World) -> None:
    house.fal.faults.set("slow_run", seconds=1.0, times=1)
    async with house.started() as bot:
        job = await house.imagine()
        await house.accepted(job)
        await bot.kill()
    async with house.started() as bot:
        await house.picture(job)
        assert await house.ended(job) == "done"
        await house.card_gone(job)
        await bot.stop()
    assert len(await house.pictures()) == 1
    assert_once(house, job, submits=1)


async def test_killed_before_the_service_confirmed_the_operator_learns_of_a_possible_double_cost(
    house: World,
) -> None:
    house.fal.faults.set("submit_slow", seconds=30, times=1)
    async with house.started() as bot:
        job = await house.imagine()
        await until(lambda: house.fal.submits)
        await bot.kill()
    async with house.started() as bot:
        await house.picture(job)
        assert await house.ended(job) == "done"
        await bot.stop()
        assert "may bill it twice" in bot.log
    assert len(await house.pictures()) == 1
    assert_once(house, job, submits=2)
    [note] = house.rows("SELECT * FROM ledger WHERE job_id = ? AND entry = 'adjust'", job)
    assert (note["images"], note["micros"]) == (0, 0)
    assert "paid twice" in note["reason"]


async def test_killed_while_posting_the_picture_is_not_posted_again(house: World) -> None:
    async with house.started() as bot:
        await house.discord.delay(POST, 30.0, worked=True)
        job = await house.imagine()
        await house.picture(job)
        assert house.job(job)["state"] == "delivering"
        await bot.kill()
    await house.discord.forget_nonces()
    async with house.started() as bot:
        assert await house.ended(job) == "done"
        await house.card_gone(job)
        await bot.stop()
    assert len(await house.pictures()) == 1
    assert_once(house, job, submits=1)


def assert_once(house: World, job: int, *, submits: int) -> None:
    """One picture was charged, whatever happened in between."""
    assert house.fal.submits == submits
    charged = {kind: images for kind, images in house.entries(job).items() if images}
    assert charged == {"reserve": 1, "settle": 1}
    assert house.job(job)["charged_images"] == 1


# Settings

WRONG: dict[str, dict[str, str | None]] = {
    "DISCORD_TOKEN is not set": {"DISCORD_TOKEN": None},
    "No image service is set. Put FAL_KEY": {"FAL_KEY": None},
    "DEFAULT_QUOTA is not valid": {"DEFAULT_QUOTA": "ten a day"},
    "DISCORD_MEDIA_HOSTS is not valid": {"DISCORD_MEDIA_HOSTS": "https://cdn.example/pictures"},
    "DATABASE_URL is not valid": {"DATABASE_URL": "mysql://localhost/easel"},
    "DISCORD_TOKEN is refused": {"DISCORD_TOKEN": "MTA1.an-old-one", "DATABASE_URL": "sqlite:///another.db"},
}


NOBODY_MAY_WRITE = Path("/proc/easel.db")
"""Not even the superuser."""


async def test_every_wrong_setting_and_every_unusable_database_is_named_in_one_line(house: World) -> None:
    await house.discord.configure(token=TOKEN)
    (house.folder / "full").mkdir()
    letter = house.folder / "letter.db"
    letter.write_bytes(b"Dear reader, this is no database at all. " * 100)
    with contextlib.closing(sqlite3.connect(house.database, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN EXCLUSIVE")
        wrong = {
            f"DATABASE_URL: {path}": {"DATABASE_URL": f"sqlite:///{path}"}
            for path in (house.database, house.folder / "full", letter, NOBODY_MAY_WRITE)
        } | WRONG
        a_few_at_once = asyncio.Semaphore(3)

        async def start(more: Mapping[str, str | None]) -> tuple[BotProcess, int]:
            async with a_few_at_once, house.process(**more) as bot:
                return bot, await bot.ended(30)

        outcomes = await asyncio.gather(*(start(more) for more in wrong.values()))
    for words, (bot, code) in zip(wrong, outcomes, strict=True):
        assert code == REFUSED, words
        assert_one_line(bot, words)


def assert_one_line(bot: BotProcess, words: str) -> None:
    [line] = [line for line in bot.log.splitlines() if line.startswith("easel: ")]
    assert words in line
    assert bot.log.endswith(f"{line}\n")


async def test_without_discord_the_start_ends_with_one_line(house: World) -> None:
    async with house.process(DISCORD_API_URL="http://127.0.0.1:9/api/v10") as bot:
        assert await bot.ended() == 1
        assert_one_line(bot, "Discord cannot be reached")


async def test_a_discord_that_does_not_take_the_commands_ends_the_start_with_one_line(house: World) -> None:
    await house.discord.fail("PUT /applications/{application}/commands", 403, {"message": "no", "code": 50001})
    async with house.process() as bot:
        assert await bot.ended() == 1
        assert_one_line(bot, "Discord answered 403")


async def test_a_token_that_is_reset_while_it_runs_ends_it_with_one_line(house: World) -> None:
    async with house.started() as bot:
        await house.discord.disconnect_gateway(4004, resumable=False)
        assert await bot.ended() == REFUSED
        assert_one_line(bot, "DISCORD_TOKEN is refused")
