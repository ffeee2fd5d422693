"""The bot as operators run it: a process that is started, stopped, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from bot.__main__ import main
from bot.sandbox.kit.files import StoredFile
from bot.settings import Settings
from tests.support.picture_files import slow_jpeg
from tests.support.waiting import wait_until
from tests.support.world.bot_process import BotProcess
from tests.support.world.discord_members import POST_MESSAGE
from tests.support.world.stored_jobs import CHARGED
from tests.support.world.world import TOKEN, World

REFUSED = 78


async def test_the_process_paints_stops_and_syncs_commands_only_when_they_changed(
    world: World,
) -> None:
    async with world.connected_process() as bot:
        job = await world.imagine("a lighthouse at sunset")
        message = await world.result_message(job)
        assert message["content"].startswith(f"<@{world.member}> a lighthouse at sunset")
        edited = await world.edit()
        await world.result_message(edited)
        await world.wait_finished(edited)
        assert (await world.quota()).spent == 2
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
        assert "INTERACTION_CREATE" in bot.log  # the most verbose level, whose log holds no secret either
    names = {command["name"] for command in (await world.discord.report())["commands"]}
    assert names == {"imagine", "edit", "jobs", "quota", "moderate", "Edit image"}
    async with world.connected_process() as bot:
        assert (await bot.stop())[0] == 0
    assert (await world.discord.report())["command_syncs"] == 1
    with contextlib.closing(sqlite3.connect(world.database)) as connection, connection:
        assert connection.execute("UPDATE notes SET content = 'those of an older Easel'").rowcount == 1
    async with world.connected_process() as bot:
        assert (await world.discord.report())["command_syncs"] == 2
        await bot.stop()


async def test_a_stop_leaves_the_waiting_job_to_the_next_process_which_finishes_it_once(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=1.5, times=1)
    async with world.connected_process() as bot:
        job = await world.imagine()
        await world.wait_accepted(job)
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
        assert world.job(job)["state"] == "waiting"
    async with world.connected_process() as bot:
        await world.result_message(job)
        assert await world.wait_finished(job) == "done"
        await bot.stop()
    assert_once(world, job, submits=1)
    assert len(await world.result_messages()) == 1


async def test_a_stop_waits_for_the_picture_that_is_being_posted(world: World) -> None:
    async with world.connected_process() as bot:
        await world.discord.delay(POST_MESSAGE, 1.0)
        job = await world.imagine()
        await world.wait_state(job, "delivering")
        code, seconds = await bot.stop()
        assert (code, seconds < 5) == (0, True)
    assert world.job(job)["state"] == "done"
    assert len(await world.result_messages()) == 1
    assert_once(world, job, submits=1)


async def test_a_stop_does_not_wait_longer_for_a_post_than_shutdown_seconds(world: World) -> None:
    async with world.connected_process(SHUTDOWN_SECONDS="0.3") as bot:
        await world.discord.delay(POST_MESSAGE, 3.0, worked=True)
        job = await world.imagine()
        await world.result_message(job)
        code, seconds = await bot.stop()
        assert (code, seconds < 2.5) == (0, True)
    async with world.connected_process() as bot:
        assert await world.wait_finished(job) == "done"
        await bot.stop()
    assert len(await world.result_messages()) == 1
    assert_once(world, job, submits=1)


async def test_after_a_kill_while_the_provider_paints_the_picture_still_arrives_once(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=1.0, times=1)
    async with world.connected_process() as bot:
        job = await world.imagine()
        await world.wait_accepted(job)
        await bot.kill()
    async with world.connected_process() as bot:
        await world.result_message(job)
        assert await world.wait_finished(job) == "done"
        await world.wait_card_deleted(job)
        await bot.stop()
    assert len(await world.result_messages()) == 1
    assert_once(world, job, submits=1)


async def test_after_a_kill_during_a_submit_the_operator_learns_of_a_possible_double_cost(
    world: World,
) -> None:
    world.fal.faults.set("submit_slow", seconds=30, times=1)
    async with world.connected_process() as bot:
        job = await world.imagine()
        await wait_until(lambda: world.fal.submits)
        await bot.kill()
    async with world.connected_process() as bot:
        await world.result_message(job)
        assert await world.wait_finished(job) == "done"
        await bot.stop()
        assert "may bill it twice" in bot.log
    assert len(await world.result_messages()) == 1
    assert_once(world, job, submits=2)
    [note] = world.rows("SELECT * FROM ledger WHERE job_id = ? AND entry = 'adjust'", job)
    assert (note["images"], note["micros"]) == (0, 0)
    assert "paid twice" in note["reason"]


async def test_after_a_kill_the_next_process_takes_over_without_waiting_for_the_lease(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=1.0, times=1)
    async with world.connected_process(LEASE_SECONDS="60"):
        job = await world.imagine()
        await world.wait_accepted(job)
    async with world.connected_process(LEASE_SECONDS="60") as bot:
        assert await world.wait_finished(job) == "done"
        assert "has ended without giving back its jobs; 1 go on here" in bot.log
        await bot.stop()
    assert_once(world, job, submits=1)


async def test_after_a_kill_while_posting_the_picture_is_not_posted_again(world: World) -> None:
    async with world.connected_process() as bot:
        await world.discord.delay(POST_MESSAGE, 30.0, worked=True)
        job = await world.imagine()
        await world.result_message(job)
        assert world.job(job)["state"] == "delivering"
        await bot.kill()
    await world.discord.forget_nonces()
    async with world.connected_process() as bot:
        assert await world.wait_finished(job) == "done"
        await world.wait_card_deleted(job)
        await bot.stop()
    assert len(await world.result_messages()) == 1
    assert_once(world, job, submits=1)


async def test_a_picture_that_takes_minutes_to_open_holds_up_neither_others_nor_a_stop(world: World) -> None:
    path = world.fal.files.new_path("slow.jpg")
    world.fal.files.put(path, StoredFile(slow_jpeg(), "image/jpeg", "slow.jpg"))
    world.fal.faults.set("foreign_picture", url=world.fal.url + path, times=4)
    async with world.connected_process() as bot:
        slow = [await world.imagine() for _ in range(4)]
        children = await wait_until(lambda: _busy_children(bot.pid))
        other = await world.discord.create_member(world.guild, "yuki")
        await world.result_message(await world.imagine(member=other))
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
    assert not any(child.is_running() for child in children)
    assert all(world.job(job)["state"] in ("waiting", "running") for job in slow)


def _busy_children(parent: int) -> list[psutil.Process]:
    """A process's processes, once one of them has computed for half a second."""
    found = psutil.Process(parent).children()
    return found if any(child.cpu_times().user > 0.5 for child in found) else []


def assert_once(world: World, job: int, *, submits: int) -> None:
    """One picture was charged, after so many submits."""
    assert world.fal.submits == submits
    assert world.ledger_images(job) == CHARGED
    assert world.job(job)["charged_images"] == 1


# Settings

WRONG_SETTINGS: dict[str, dict[str, str | None]] = {
    "DISCORD_TOKEN is not set": {"DISCORD_TOKEN": None},
    "DEFAULT_QUOTA is not valid": {"DEFAULT_QUOTA": "ten a day"},
    "DISCORD_MEDIA_HOSTS is not valid": {"DISCORD_MEDIA_HOSTS": "https://cdn.example/pictures"},
    "DATABASE_URL is not valid": {"DATABASE_URL": "mysql://localhost/easel"},
}
WRONG_TOGETHER: dict[str, dict[str, str | None]] = {
    "No image service is set. Put FAL_KEY": {"FAL_KEY": None},
    "DISCORD_TOKEN is refused": {"DISCORD_TOKEN": "MTA1.an-old-one", "DATABASE_URL": "sqlite:///another.db"},
}


UNWRITABLE = Path("/proc/easel.db")
"""Even for the superuser."""


@pytest.mark.parametrize("words", WRONG_SETTINGS)
async def test_every_wrong_setting_is_named_in_one_line(
    world: World, words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in world.environment(**WRONG_SETTINGS[words]).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.folder)
    assert await asyncio.to_thread(main, ["run"]) == REFUSED
    output, errors = capfd.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert errors.startswith(f"easel: {words}")


async def test_a_missing_key_a_refused_token_and_every_unusable_database_is_named_in_one_line(
    world: World,
) -> None:
    await world.discord.configure(token=TOKEN)
    (world.folder / "full").mkdir()
    letter = world.folder / "letter.db"
    letter.write_bytes(b"Dear reader, this is no database at all. " * 100)
    with contextlib.closing(sqlite3.connect(world.database, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN EXCLUSIVE")
        wrong = {
            f"DATABASE_URL: {path}": {"DATABASE_URL": f"sqlite:///{path}"}
            for path in (world.database, world.folder / "full", letter, UNWRITABLE)
        } | WRONG_TOGETHER
        at_once = asyncio.Semaphore(3)

        async def start(more: Mapping[str, str | None]) -> tuple[BotProcess, int]:
            async with at_once, world.process(**more) as bot:
                return bot, await bot.exit_code(30)

        outcomes = await asyncio.gather(*(start(more) for more in wrong.values()))
    for words, (bot, code) in zip(wrong, outcomes, strict=True):
        assert code == REFUSED, words
        assert_one_line(bot, words)


def assert_one_line(bot: BotProcess, words: str) -> None:
    """The log ends with one line for the operator."""
    [line] = [line for line in bot.log.splitlines() if line.startswith("easel: ")]
    assert words in line
    assert bot.log.endswith(f"{line}\n")


async def test_without_discord_the_start_ends_with_one_line(world: World) -> None:
    async with world.process(DISCORD_API_URL="http://127.0.0.1:9/api/v10") as bot:
        assert await bot.exit_code() == 1
        assert_one_line(bot, "Discord cannot be reached")


async def test_refused_commands_end_the_start_with_one_line(world: World) -> None:
    await world.discord.fail("PUT /applications/{application}/commands", 403, {"message": "no", "code": 50001})
    async with world.process() as bot:
        assert await bot.exit_code() == 1
        assert_one_line(bot, "Discord answered 403")


async def test_a_token_that_is_reset_ends_the_running_process_with_one_line(world: World) -> None:
    async with world.connected_process() as bot:
        await world.discord.disconnect_gateway(4004, resumable=False)
        assert await bot.exit_code() == REFUSED
        assert_one_line(bot, "DISCORD_TOKEN is refused")
