"""The process is killed or stopped while providers paint: no picture is lost, none is delivered twice."""

from __future__ import annotations

import hashlib

from tests.support.waiting import wait_until
from tests.support.world.bot_process import BotProcess
from tests.support.world.discord_members import POST_MESSAGE
from tests.support.world.providers import provider_order, submits
from tests.support.world.stored_jobs import CHARGED, RELEASED
from tests.support.world.world import World


async def create_servers(world: World, **services: str) -> dict[str, int]:
    """A server for each name, with its own provider order; the channel of each."""
    channels = {}
    for name, order in services.items():
        guild = await world.discord.create_guild(name)
        channels[name] = await world.discord.create_channel(guild, "canvas")
        moderator = await world.create_moderator(guild)
        reply = await world.moderate(moderator, "model", channels[name], model="gpt-image-1.5", services=order)
        assert "is now painted by" in reply
    return channels


async def test_after_a_kill_between_submit_and_ticket_each_providers_picture_still_arrives_once(
    full_world: World,
) -> None:
    async with full_world.connected_process() as bot:
        channels = await create_servers(full_world, fal="fal", lumenfall="lumenfall", oxen="oxen")
        full_world.fal.faults.set("submit_slow", seconds=30, times=1)
        full_world.oxen.faults.set("submit_slow", seconds=30, times=1)
        full_world.lumenfall.run_seconds = 4.0
        guilds = {name: full_world.discord.world.channels[channel].guild_id for name, channel in channels.items()}
        members = {name: await full_world.discord.create_member(guilds[name], name) for name in channels}
        jobs = {
            name: await full_world.imagine(f"a boat of {name}", channel=channel, member=members[name])
            for name, channel in channels.items()
        }
        await wait_until(lambda: submits(full_world) == (1, 1, 1) or None)
        await bot.kill()
    full_world.lumenfall.run_seconds = 0.1
    async with full_world.connected_process() as bot:
        for name, job in jobs.items():
            await full_world.result_message(job, channel=channels[name], within=20)
            assert await full_world.wait_finished(job) == "done"
            assert full_world.ledger_images(job) == CHARGED
            assert len(await full_world.result_messages(channels[name])) == 1
            assert full_world.job(job)["provider"] == name
        await bot.stop()
    assert submits(full_world) == (2, 2, 1)
    assert "may have been paid twice" in full_world.operator_notes(jobs["fal"])[0]
    assert "was paid for pictures that were lost" in full_world.operator_notes(jobs["lumenfall"])[0]
    assert full_world.operator_notes(jobs["oxen"]) == []


async def test_inline_pictures_outlive_a_kill_before_the_post_unchanged(
    full_world: World,
) -> None:
    inline = {"LUMENFALL_INLINE": "true", "SERVICE_ORDER": provider_order("lumenfall", "fal")}
    await full_world.discord.delay(POST_MESSAGE, 30)
    async with full_world.connected_process(**inline) as bot:
        job = await full_world.imagine()
        await full_world.wait_state(job, "delivering")
        await bot.kill()
    pieces = full_world.rows("SELECT content FROM spool WHERE job_id = ? ORDER BY number, piece", job)
    spooled = b"".join(piece["content"] for piece in pieces)
    await full_world.discord.clear_faults()
    async with full_world.connected_process(**inline) as bot:
        message = await full_world.assert_one_picture(job)
        await bot.stop()
    posted = await full_world.discord.file(int(message["attachments"][0]["id"]))
    assert hashlib.sha256(posted).digest() == hashlib.sha256(spooled).digest()
    assert submits(full_world) == (0, 1, 0)
    assert full_world.ledger_micros(job, "settle") == full_world.lumenfall.history.spent_micros
    assert full_world.rows("SELECT 1 FROM spool") == []


async def test_a_stop_during_a_synchronous_submit_waits_for_it_and_the_next_process_only_posts(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 1.2
    async with full_world.connected_process(SERVICE_ORDER=provider_order("lumenfall")) as bot:
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        code, seconds = await bot.stop()
        assert (code, seconds < 4) == (0, True)
    row = full_world.job(job)
    assert (row["state"], row["ticket"] is not None) == ("waiting", True)
    async with full_world.connected_process(SERVICE_ORDER=provider_order("lumenfall")) as bot:
        await full_world.assert_one_picture(job)
        await bot.stop()
    assert submits(full_world) == (0, 1, 0)
    assert full_world.operator_notes(job) == []


async def test_a_synchronous_submit_cut_by_a_stop_is_reconciled_by_the_next_process(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 1.5
    full_world.lumenfall.stores_payloads = True
    async with full_world.connected_process(
        SHUTDOWN_SECONDS="0.2", SERVICE_ORDER=provider_order("lumenfall")
    ) as bot:
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        code, seconds = await bot.stop()
        assert (code, seconds < 2) == (0, True)
    assert full_world.job(job)["submitted_at"] is not None
    async with full_world.connected_process(SERVICE_ORDER=provider_order("lumenfall")) as bot:
        await full_world.result_message(job, within=20)
        await full_world.assert_one_picture(job)
        await bot.stop()
    assert submits(full_world) == (0, 1, 0)
    assert full_world.operator_notes(job) == []


async def test_the_next_process_remembers_a_retired_model(full_world: World) -> None:
    full_world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1.5")
    full_world.fal.faults.set("platform_error")
    async with full_world.connected_process() as bot:
        await full_world.paint()
        await bot.kill()
    async with full_world.connected_process() as bot:
        await full_world.paint("another boat")
        assert _count_in_log(bot, "no longer has") == 0
        await bot.stop()
    assert submits(full_world) == (1, 2, 0)


async def test_what_was_reserved_by_a_services_own_price_is_painted_after_a_restart(full_world: World) -> None:
    only_oxen = {"SERVICE_ORDER": provider_order("oxen"), "FAL_KEY": None, "LUMENFALL_API_KEY": None}
    full_world.oxen.faults.set("slow_run", seconds=30, times=1)
    async with full_world.connected_process(JOBS_AT_ONCE="1", **only_oxen) as bot:
        await full_world.wait_accepted(await full_world.imagine())
        job = await full_world.imagine("another boat")
        await full_world.wait_state(job, "waiting")
        await bot.kill()
    full_world.oxen.faults.set("models_slow", seconds=1.5)
    async with full_world.connected_process(JOBS_AT_ONCE="2", **only_oxen) as bot:
        assert await full_world.wait_finished(job) == "done"
        await bot.stop()
    assert full_world.ledger_images(job) == CHARGED


async def test_a_job_at_a_provider_no_longer_configured_is_released_and_logged(
    full_world: World,
) -> None:
    full_world.fal.faults.set("slow_run", seconds=30)
    async with full_world.connected_process() as bot:
        job = await full_world.imagine()
        await full_world.wait_accepted(job)
        await bot.kill()
    async with full_world.connected_process(FAL_KEY=None) as bot:
        assert "operator has been told" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
        assert _count_in_log(bot, "needs its operator: fal is not configured") == 1
        await bot.stop()
    assert full_world.ledger_images(job) == RELEASED


def _count_in_log(bot: BotProcess, words: str) -> int:
    return bot.log.count(words)
