"""The process is killed or stopped while services have its work: no picture is lost, none is painted twice."""

from __future__ import annotations

import hashlib

from tests.support.world.providers import asked, first, micros, moderate, moderator, notes
from tests.support.world.world import POST, BotProcess, World, assert_one_picture, moved, until


async def servers(house: World, **services: str) -> dict[str, int]:
    """A server for each name, with its own order of services; the channel of each."""
    channels = {}
    for name, order in services.items():
        guild = await house.discord.create_guild(name)
        channels[name] = await house.discord.create_channel(guild, "canvas")
        who = await moderator(house, guild)
        told = await moderate(house, who, "model", channels[name], model="gpt-image-1.5", services=order)
        assert "is now painted by" in told
    return channels


async def test_killed_between_submit_and_ticket_at_all_three_services_each_picture_still_arrives_once(
    three: World,
) -> None:
    async with three.started() as bot:
        channels = await servers(three, fal="fal", lumenfall="lumenfall", oxen="oxen")
        three.fal.faults.set("submit_slow", seconds=30, times=1)
        three.oxen.faults.set("submit_slow", seconds=30, times=1)
        three.lumenfall.run_seconds = 4.0
        members = {name: await three.discord.create_member(None, name) for name in channels}
        jobs = {
            name: await three.imagine(f"a boat of {name}", channel=channel, member=members[name])
            for name, channel in channels.items()
        }
        await until(lambda: asked(three) == (1, 1, 1) or None)
        await bot.kill()
    three.lumenfall.run_seconds = 0.1
    async with three.started() as bot:
        for name, job in jobs.items():
            await three.picture(job, channel=channels[name], within=20)
            assert await three.ended(job) == "done"
            assert moved(three, job) == {"reserve": 1, "settle": 1}
            assert len(await three.pictures(channels[name])) == 1
            assert three.job(job)["provider"] == name
        await bot.stop()
    assert asked(three) == (2, 2, 1)
    assert "may have been paid twice" in notes(three, jobs["fal"])[0]
    assert "was paid for pictures that were lost" in notes(three, jobs["lumenfall"])[0]
    assert notes(three, jobs["oxen"]) == []


async def test_inline_pictures_outlive_a_kill_before_they_were_posted_and_are_posted_byte_by_byte(
    three: World,
) -> None:
    inline = {"LUMENFALL_INLINE": "true", "SERVICE_ORDER": first("lumenfall", "fal")}
    await three.discord.delay(POST, 30)
    async with three.started(**inline) as bot:
        job = await three.imagine()
        await three.stands(job, "delivering")
        await bot.kill()
    [kept] = three.rows("SELECT content FROM spool WHERE job_id = ?", job)
    await three.discord.clear_faults()
    async with three.started(**inline) as bot:
        message = await assert_one_picture(three, job)
        await bot.stop()
    posted = await three.discord.file(int(message["attachments"][0]["id"]))
    assert hashlib.sha256(posted).digest() == hashlib.sha256(kept["content"]).digest()
    assert asked(three) == (0, 1, 0)
    assert micros(three, job, "settle") == three.lumenfall.history.spent_micros
    assert three.rows("SELECT 1 FROM spool") == []


async def test_a_stop_during_a_synchronous_submit_waits_for_it_and_the_next_start_only_posts(three: World) -> None:
    three.lumenfall.run_seconds = 1.2
    async with three.started(SERVICE_ORDER=first("lumenfall")) as bot:
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        code, seconds = await bot.stop()
        assert (code, seconds < 4) == (0, True)
    row = three.job(job)
    assert (row["state"], row["ticket"] is not None) == ("waiting", True)
    async with three.started(SERVICE_ORDER=first("lumenfall")) as bot:
        await assert_one_picture(three, job)
        await bot.stop()
    assert asked(three) == (0, 1, 0)
    assert notes(three, job) == []


async def test_a_stop_that_may_not_wait_cuts_a_synchronous_submit_and_the_next_start_asks_what_became_of_it(
    three: World,
) -> None:
    three.lumenfall.run_seconds = 1.5
    three.lumenfall.stores_payloads = True
    async with three.started(SHUTDOWN_SECONDS="0.2", SERVICE_ORDER=first("lumenfall")) as bot:
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        code, seconds = await bot.stop()
        assert (code, seconds < 2) == (0, True)
    assert three.job(job)["submitted_at"] is not None
    async with three.started(SERVICE_ORDER=first("lumenfall")) as bot:
        await three.picture(job, within=20)
        await assert_one_picture(three, job)
        await bot.stop()
    assert asked(three) == (0, 1, 0)
    assert notes(three, job) == []


async def test_a_model_that_is_gone_is_remembered_by_the_next_process(three: World) -> None:
    three.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    three.fal.faults.set("platform_error")
    async with three.started() as bot:
        await three.painted()
        await bot.kill()
    async with three.started() as bot:
        await three.painted("another boat")
        assert _tells(bot, "no longer has") == 0
        await bot.stop()
    assert asked(three) == (1, 2, 0)


async def test_work_at_a_service_whose_key_was_taken_away_before_the_start_is_refunded_and_the_operator_is_told(
    three: World,
) -> None:
    three.fal.faults.set("slow_run", seconds=30)
    async with three.started() as bot:
        job = await three.imagine()
        await three.accepted(job)
        await bot.kill()
    async with three.started(FAL_KEY=None) as bot:
        assert "operator has been told" in await three.whisper(job)
        assert await three.ended(job) == "failed"
        assert _tells(bot, "needs its operator: fal is not configured") == 1
        await bot.stop()
    assert moved(three, job) == {"reserve": 1, "refund": 1}


def _tells(bot: BotProcess, words: str) -> int:
    return bot.log.count(words)
