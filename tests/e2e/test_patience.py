"""What Easel waits for, for how long, and what it tidies up after a crash."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.clock import Clock, real_time
from tests.support.waiting import wait_until
from tests.support.world.discord_members import INTERACTION_CALLBACK, POST_MESSAGE, Quota
from tests.support.world.stored_jobs import CHARGED, RELEASED
from tests.support.world.world import FAST_RETRIES, World

DELETE_MESSAGE = "DELETE /channels/{channel}/messages/{message}"
TWO_HOURS = 2 * 60 * 60 * 1000
WHOLE = Quota(left=10, spent=0, reserved=0)


# Pictures that cannot be fetched


async def test_a_picture_that_cannot_be_fetched_is_given_up_and_costs_nothing(world: World) -> None:
    world.fal.faults.set("cdn_error", status=503)
    async with world.bot(retry_policy=replace(FAST_RETRIES, fetch=0.4)):
        job = await world.imagine()
        waiting = "The image service painted this, but Easel could not fetch it yet. Trying again soon · asked"
        await world.discord.wait_for_message(world.channel, lambda message: waiting in message["content"])
        failure = "painted this, but Easel could not fetch it. Asking again may work. Nothing was charged."
        assert failure in await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
        assert await world.quota() == WHOLE
    assert world.ledger_images(job) == RELEASED
    assert [note.partition(":")[0] for note in world.operator_notes(job)] == ["never fetched"]
    assert world.fal.submits == 1


async def test_cancel_frees_a_member_whose_picture_cannot_be_fetched(world: World) -> None:
    world.fal.faults.set("cdn_error", status=503)
    async with world.bot():
        job = await world.imagine()
        card = await world.card(job)
        await wait_until(lambda: world.job(job)["fetch_failed"])
        await world.press(card, "cancel")
        assert await world.wait_finished(job) == "cancelled"
        assert await world.quota() == WHOLE
    assert world.ledger_images(job) == RELEASED
    assert [note.partition(":")[0] for note in world.operator_notes(job)] == ["never fetched"]


async def test_cancel_frees_a_member_whose_picture_does_not_end(world: World) -> None:
    world.fal.faults.set("cdn_slow", seconds=8)
    async with world.bot(retry_policy=replace(FAST_RETRIES, cancel=0.1)):
        job = await world.imagine()
        card = await world.card(job)
        await wait_until(lambda: world.fal.faults.struck.get("cdn_slow"))
        await world.press(card, "cancel")
        assert await world.wait_finished(job) == "cancelled"
        assert await world.quota() == WHOLE


# The clock is not the patience


async def test_what_was_painted_while_easel_was_stopped_for_two_hours_is_delivered(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=0.3)
    async with world.bot():
        job = await world.imagine()
        await world.wait_accepted(job)
    async with world.bot(clock=Clock(now=lambda: real_time() + TWO_HOURS)):
        await world.assert_one_picture(job)
    assert world.fal.submits == 1


async def test_a_clock_that_jumps_ahead_gives_up_nothing(world: World) -> None:
    ahead = 0
    world.fal.faults.set("slow_run", seconds=0.5)
    async with world.bot(clock=Clock(now=lambda: real_time() + ahead)):
        job = await world.imagine()
        await world.wait_accepted(job)
        ahead = TWO_HOURS
        await world.assert_one_picture(job)
    assert world.job(job)["attempts"] == 1


async def test_a_request_that_waits_for_a_provider_outlives_a_stop_of_two_hours(world: World) -> None:
    world.fal.faults.set("submit_rate_limited", retry_after="0.2", times=2)
    async with world.bot():
        job = await world.imagine()
        await wait_until(lambda: world.fal.faults.struck.get("submit_rate_limited"))
    async with world.bot(clock=Clock(now=lambda: real_time() + TWO_HOURS)):
        await world.assert_one_picture(job)


async def test_a_job_whose_time_is_up_is_looked_at_once_more(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=0.3)
    async with world.bot():
        job = await world.imagine()
        await world.wait_accepted(job)
    world.update("UPDATE jobs SET waited_ms = patience_ms WHERE id = ?", job)
    async with world.bot():
        await world.assert_one_picture(job)


async def test_a_job_that_never_ends_is_given_up_and_costs_nothing(world: World) -> None:
    world.fal.faults.set("stuck")
    async with world.bot():
        job = await world.imagine()
        await world.wait_accepted(job)
    world.update("UPDATE jobs SET waited_ms = patience_ms WHERE id = ?", job)
    async with world.bot(retry_policy=replace(FAST_RETRIES, last_look=0.3)):
        assert "longer than an hour" in await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
        assert await world.quota() == WHOLE


async def test_pictures_that_discord_took_for_a_day_neither_shows_nor_takes_are_given_up(world: World) -> None:
    async with world.bot(retry_policy=replace(FAST_RETRIES, post=0.2, deliver=0.5)):
        await world.discord.fail(POST_MESSAGE, 500, {"message": "no", "code": 0}, times=None)
        job = await world.imagine()
        assert await world.wait_finished(job) == "failed"
        await world.discord.clear_faults()
        assert await world.quota() == WHOLE
    assert world.job(job)["error"] == "DeliveryTimeout"
    assert world.job(job)["charged_micros"] > 0  # the operator pays all the same


# Tidying up


async def test_a_card_left_by_a_killed_process_is_deleted_by_the_next(world: World) -> None:
    await world.discord.delay(DELETE_MESSAGE, 30.0)
    async with world.connected_process():
        job = await world.imagine()
        await world.result_message(job)
        await world.wait_finished(job)
    assert world.job(job)["untidy"]
    async with world.connected_process():
        await world.wait_card_deleted(job, within=10)
        await wait_until(lambda: not world.job(job)["untidy"])
    assert len(await world.result_messages()) == 1
    assert world.ledger_images(job) == CHARGED


async def test_a_failure_that_a_killed_process_could_not_tell_is_told_by_the_next(world: World) -> None:
    world.fal.forbidden = ("weapon",)
    await world.discord.delay(DELETE_MESSAGE, 30.0)
    async with world.connected_process():
        job = await world.imagine("a weapon")
        assert await world.wait_finished(job) == "failed"
    async with world.connected_process():
        notice = await world.discord.wait_for_message(
            world.channel, lambda message: "while Easel was being restarted" in message["content"]
        )
        assert notice["sandbox"]["pinged"]["users"] == [world.member]
        await world.wait_card_deleted(job)


async def test_a_card_whose_id_was_lost_in_a_crash_is_deleted_with_the_result(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=0.5, times=1)
    await world.discord.delay(INTERACTION_CALLBACK, 30.0, worked=True)
    async with world.connected_process():
        job = await world.imagine()
        await world.wait_accepted(job)
    assert '"card_id":null' in world.job(job)["reply"]
    async with world.connected_process():
        await world.result_message(job)
        await world.wait_finished(job)
        await world.wait_card_deleted(job)
