"""More pictures than a provider paints per submit: several submits, one message, partial results delivered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.waiting import wait_until
from tests.support.world.discord_members import POST_MESSAGE, Message, Quota
from tests.support.world.providers import PERSISTENT_RETRIES, provider_order, submits
from tests.support.world.world import FAST_RETRIES, World


async def assert_delivered(world: World, job: int, pictures: int) -> Message:
    """One message with so many of ten pictures, as many charged, and the card deleted."""
    message = await world.result_message(job)
    assert await world.wait_finished(job) == "done"
    await world.wait_card_deleted(job)
    assert len(await world.result_messages()) == 1
    assert len(message["attachments"]) == pictures == world.job(job)["charged_images"]
    released = {"release": 10 - pictures} if pictures < 10 else {}
    assert world.ledger_images(job) == {"reserve": 10, "settle": pictures, **released}
    return message


def pictures_per_submit(world: World) -> list[int]:
    """The number of pictures of each submit that fal accepted."""
    return [request.shown["num_images"] for request in world.fal.requests.values()]


async def test_ten_pictures_are_three_submits_at_fal_and_one_message(full_world: World) -> None:
    async with full_world.bot():
        job = await full_world.imagine(count=10)
        message = await assert_delivered(full_world, job, 10)
        assert await full_world.quota() == Quota(left=0, spent=10, reserved=0)
    assert "10 pictures" in message["content"]
    assert [attachment["filename"] for attachment in message["attachments"]] == [
        f"easel-{job}-{number}.png" for number in range(1, 11)
    ]
    assert (pictures_per_submit(full_world), submits(full_world)) == ([4, 4, 2], (3, 0, 0))


async def test_parts_that_the_first_provider_refuses_are_painted_by_the_next_for_the_same_message(
    full_world: World,
) -> None:
    full_world.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with full_world.bot():
        job = await full_world.imagine(count=10)
        await wait_until(lambda: full_world.fal.submits)
        full_world.fal.faults.set("locked")
        await assert_delivered(full_world, job, 10)
    assert submits(full_world) == (2, 1, 0)
    [rest] = full_world.lumenfall.requests.values()
    assert rest.params is not None
    assert rest.params.n == 6


@pytest.mark.parametrize("trouble", ["locked", "submit_ingress"])
async def test_where_no_provider_accepts_the_rest_the_finished_part_is_delivered_and_charged(
    world: World, trouble: str
) -> None:
    world.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with world.bot():
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set(trouble)
        message = await assert_delivered(world, job, 4)
    assert "The service painted 4 of 10 pictures." in message["content"]
    assert world.ledger_micros(job, "reserve") == world.ledger_micros(job, "settle") + world.ledger_micros(
        job, "release"
    )


async def test_a_part_that_discord_refuses_at_first_is_still_delivered(world: World) -> None:
    world.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with world.bot(retry_policy=replace(FAST_RETRIES, post=0.4)):
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set("locked")
        await world.discord.fail(POST_MESSAGE, 503, times=4)
        await assert_delivered(world, job, 4)


async def test_a_part_not_yet_posted_at_a_kill_is_delivered_by_the_next_process(
    world: World,
) -> None:
    world.fal.faults.set("submit_slow", seconds=0.6, times=1)
    await world.discord.delay(POST_MESSAGE, 30)
    async with world.connected_process() as bot:
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set("locked")
        await world.wait_state(job, "delivering")
        await bot.kill()
    world.fal.faults.clear()
    await world.discord.clear_faults()
    async with world.connected_process() as bot:
        await assert_delivered(world, job, 4)
        await bot.stop()
    assert len(world.fal.requests) == 1


async def test_a_stop_does_not_wait_for_the_part_that_is_still_painted(world: World) -> None:
    world.fal.faults.set("submit_slow", seconds=0.6, times=1)
    world.fal.faults.set("slow_run", seconds=30, times=1)
    async with world.connected_process() as bot:
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set("locked")
        await world.wait_accepted(job)
        await wait_until(lambda: "goes on with a part" in bot.log or None)
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
    assert world.job(job)["state"] == "waiting"


async def test_a_response_lost_in_the_middle_is_one_submit_more_and_a_note(world: World) -> None:
    world.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with world.bot():
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set("submit_lost", times=1)
        await assert_delivered(world, job, 10)
    assert (pictures_per_submit(world), len(world.operator_notes(job))) == ([4, 4, 4, 2], 1)


async def test_after_a_kill_between_the_first_and_the_second_ticket_all_ten_arrive_once(world: World) -> None:
    world.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with world.connected_process() as bot:
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set("submit_slow", seconds=30, times=1)
        await wait_until(lambda: world.fal.submits == 2)
        assert len(world.tickets(job)) == 1
        await bot.kill()
    async with world.connected_process() as bot:
        await assert_delivered(world, job, 10)
        await bot.stop()
    assert (pictures_per_submit(world), len(world.operator_notes(job))) == ([4, 4, 4, 2], 1)


@pytest.mark.parametrize("fault", ["slow_queue", "slow_run"])
async def test_a_cancel_while_three_parts_run_drops_them_all_and_costs_nothing(world: World, fault: str) -> None:
    world.fal.faults.set(fault, seconds=20)
    async with world.bot(retry_policy=PERSISTENT_RETRIES):
        job = await world.imagine(count=10)
        await wait_until(lambda: len(world.tickets(job)) == 3)
        await world.press(await world.card(job), "cancel")
        assert await world.wait_finished(job) == "cancelled"
        await world.wait_card_deleted(job)
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert world.ledger_images(job) == {"reserve": 10, "release": 10}
    assert all(request.cancelled for request in world.fal.requests.values())


async def test_a_cancel_too_late_for_one_part_delivers_and_charges_that_part(world: World) -> None:
    world.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with world.bot(retry_policy=PERSISTENT_RETRIES):
        job = await world.imagine(count=10)
        await wait_until(lambda: world.fal.submits)
        world.fal.faults.set("slow_queue", seconds=20)
        await wait_until(lambda: len(world.tickets(job)) == 3)
        oldest = next(iter(world.fal.requests.values()))
        await wait_until(lambda: oldest.state == "COMPLETED" or None)
        await world.press(await world.card(job), "cancel")
        await assert_delivered(world, job, 4)


async def test_pictures_that_fail_at_oxen_are_not_charged(full_world: World) -> None:
    full_world.oxen.faults.set("fail_some", count=2, times=1)
    async with full_world.bot(SERVICE_ORDER=provider_order("oxen")):
        job = await full_world.imagine(count=10)
        message = await assert_delivered(full_world, job, 8)
    assert "8 of 10 pictures" in message["content"]
    assert full_world.ledger_micros(job, "settle") == 8 * 40_000


async def test_a_cancel_between_oxens_synchronous_submits_delivers_the_finished_pictures(
    full_world: World,
) -> None:
    full_world.oxen.run_seconds = 0.3
    async with full_world.bot(OXEN_QUEUE="false", SERVICE_ORDER=provider_order("oxen")):
        job = await full_world.imagine(count=10)
        await wait_until(lambda: len(full_world.tickets(job)) == 2)
        await full_world.press(await full_world.card(job), "cancel")
        message = await full_world.result_message(job)
        assert await full_world.wait_finished(job) == "done"
    delivered = len(message["attachments"])
    assert delivered == full_world.oxen.submits == full_world.job(job)["charged_images"]
    assert 2 <= delivered <= 4


async def test_a_removed_key_loses_only_its_own_part(full_world: World) -> None:
    full_world.fal.faults.set("slow_run", seconds=30)
    full_world.oxen.run_seconds = 0.5
    order = {"SERVICE_ORDER": "gpt-image-1.5=oxen,fal", "OXEN_QUEUE": "false"}
    async with full_world.connected_process(**order) as process:
        job = await full_world.imagine(count=2)
        await wait_until(lambda: full_world.oxen.generations or None)
        full_world.oxen.faults.set("submit_rate_limited")
        await wait_until(lambda: full_world.fal.requests or None, within=15)
        await full_world.wait_accepted(job)
        await wait_until(lambda: "fal" in (full_world.job(job)["ticket"] or "") or None)
        await process.kill()
    async with full_world.connected_process(OXEN_QUEUE="false", FAL_KEY=None):
        message = await full_world.result_message(job, within=20)
        assert await full_world.wait_finished(job) == "done"
    assert len(message["attachments"]) == 1
    assert "The service painted 1 of 2 pictures." in message["content"]
    assert full_world.ledger_images(job) == {"reserve": 2, "settle": 1, "release": 1}
