"""More pictures than a service paints at a time: several submits, one message, and what there is is delivered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.world.providers import PATIENT, asked, first, micros, notes, tickets
from tests.support.world.world import POST, QUICK, Message, Quota, World, moved, until


async def delivered(house: World, job: int, pictures: int) -> Message:
    """One message with so many pictures, so many charged, and no card any more."""
    message = await house.picture(job)
    assert await house.ended(job) == "done"
    await house.card_gone(job)
    assert len(await house.pictures()) == 1
    assert len(message["attachments"]) == pictures == house.job(job)["charged_images"]
    given_back = {"refund": 10 - pictures} if pictures < 10 else {}
    assert moved(house, job) == {"reserve": 10, "settle": pictures, **given_back}
    return message


def counts(house: World) -> list[int]:
    """How many pictures each accepted submit at fal asked for."""
    return [request.shown["num_images"] for request in house.fal.requests.values()]


async def test_ten_pictures_are_three_submits_at_fal_and_one_message(three: World) -> None:
    async with three.bot():
        job = await three.imagine(count=10)
        message = await delivered(three, job, 10)
        assert await three.quota() == Quota(left=0, spent=10, reserved=0)
    assert "10 pictures" in message["content"]
    assert [attachment["filename"] for attachment in message["attachments"]] == [
        f"easel-{job}-{number}.png" for number in range(1, 11)
    ]
    assert (counts(three), asked(three)) == ([4, 4, 2], (3, 0, 0))


async def test_what_the_first_service_no_longer_takes_the_next_one_paints_for_the_same_message(
    three: World,
) -> None:
    three.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with three.bot():
        job = await three.imagine(count=10)
        await until(lambda: three.fal.submits)
        three.fal.faults.set("locked")
        await delivered(three, job, 10)
    assert asked(three) == (2, 1, 0)
    [rest] = three.lumenfall.requests.values()
    assert rest.params is not None
    assert rest.params.n == 6


@pytest.mark.parametrize("trouble", ["locked", "submit_ingress"])
async def test_where_nobody_takes_the_rest_what_there_is_is_delivered_and_charged(
    house: World, trouble: str
) -> None:
    house.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with house.bot():
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set(trouble)
        message = await delivered(house, job, 4)
    assert "The service painted 4 of 10 pictures." in message["content"]
    assert micros(house, job, "reserve") == micros(house, job, "settle") + micros(house, job, "refund")


async def test_a_part_that_discord_did_not_take_at_first_is_still_delivered(house: World) -> None:
    house.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with house.bot(patience=replace(QUICK, post=0.4)):
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set("locked")
        await house.discord.fail(POST, 503, times=4)
        await delivered(house, job, 4)


async def test_a_part_that_was_about_to_be_posted_when_the_process_was_killed_is_delivered_by_the_next(
    house: World,
) -> None:
    house.fal.faults.set("submit_slow", seconds=0.6, times=1)
    await house.discord.delay(POST, 30)
    async with house.started() as bot:
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set("locked")
        await house.stands(job, "delivering")
        await bot.kill()
    house.fal.faults.clear()
    await house.discord.clear_faults()
    async with house.started() as bot:
        await delivered(house, job, 4)
        await bot.stop()
    assert len(house.fal.requests) == 1


async def test_a_stop_does_not_wait_for_the_part_that_is_still_painted(house: World) -> None:
    house.fal.faults.set("submit_slow", seconds=0.6, times=1)
    house.fal.faults.set("slow_run", seconds=30, times=1)
    async with house.started() as bot:
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set("locked")
        await house.accepted(job)
        await until(lambda: "goes on with a part" in bot.log or None)
        code, seconds = await bot.stop()
        assert (code, seconds < 3) == (0, True)
    assert house.job(job)["state"] == "waiting"


async def test_an_answer_that_is_lost_in_the_middle_is_one_submit_more_and_a_note(house: World) -> None:
    house.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with house.bot():
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set("submit_lost", times=1)
        await delivered(house, job, 10)
    assert (counts(house), len(notes(house, job))) == ([4, 4, 4, 2], 1)


async def test_killed_between_the_first_and_the_second_ticket_all_ten_arrive_once(house: World) -> None:
    house.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with house.started() as bot:
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set("submit_slow", seconds=30, times=1)
        await until(lambda: house.fal.submits == 2)
        assert len(tickets(house, job)) == 1
        await bot.kill()
    async with house.started() as bot:
        await delivered(house, job, 10)
        await bot.stop()
    assert (counts(house), len(notes(house, job))) == ([4, 4, 4, 2], 1)


@pytest.mark.parametrize("fault", ["slow_queue", "slow_run"])
async def test_a_cancel_while_three_pieces_are_under_way_drops_them_all_and_costs_nothing(
    house: World, fault: str
) -> None:
    house.fal.faults.set(fault, seconds=20)
    async with house.bot(patience=PATIENT):
        job = await house.imagine(count=10)
        await until(lambda: len(tickets(house, job)) == 3)
        await house.press(await house.card(job), "cancel")
        assert await house.ended(job) == "cancelled"
        await house.card_gone(job)
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)
    assert moved(house, job) == {"reserve": 10, "refund": 10}
    assert all(request.cancelled for request in house.fal.requests.values())


async def test_a_cancel_that_comes_too_late_for_one_piece_delivers_and_charges_that_one(house: World) -> None:
    house.fal.faults.set("submit_slow", seconds=0.4, times=1)
    async with house.bot(patience=PATIENT):
        job = await house.imagine(count=10)
        await until(lambda: house.fal.submits)
        house.fal.faults.set("slow_queue", seconds=20)
        await until(lambda: len(tickets(house, job)) == 3)
        oldest = next(iter(house.fal.requests.values()))
        await until(lambda: oldest.state == "COMPLETED" or None)
        await house.press(await house.card(job), "cancel")
        await delivered(house, job, 4)


async def test_pictures_that_fail_at_oxen_are_not_charged(three: World) -> None:
    three.oxen.faults.set("fail_some", count=2, times=1)
    async with three.bot(SERVICE_ORDER=first("oxen")):
        job = await three.imagine(count=10)
        message = await delivered(three, job, 8)
    assert "8 of 10 pictures" in message["content"]
    assert micros(three, job, "settle") == 8 * 40_000


async def test_ten_pictures_in_oxens_synchronous_way_are_ten_submits_and_a_cancel_keeps_what_there_is(
    three: World,
) -> None:
    three.oxen.run_seconds = 0.3
    async with three.bot(OXEN_QUEUE="false", SERVICE_ORDER=first("oxen")):
        job = await three.imagine(count=10)
        await until(lambda: len(tickets(three, job)) == 2)
        await three.press(await three.card(job), "cancel")
        message = await three.picture(job)
        assert await three.ended(job) == "done"
    painted = len(message["attachments"])
    assert painted == three.oxen.submits == three.job(job)["charged_images"]
    assert 2 <= painted <= 4


async def test_a_key_that_was_taken_away_costs_only_its_own_part(three: World) -> None:
    three.fal.faults.set("slow_run", seconds=30)
    three.oxen.run_seconds = 0.5
    order = {"SERVICE_ORDER": "gpt-image-1.5=oxen,fal", "OXEN_QUEUE": "false"}
    async with three.started(**order) as process:
        job = await three.imagine(count=2)
        await until(lambda: three.oxen.generations or None)
        three.oxen.faults.set("submit_rate_limited")
        await until(lambda: three.fal.requests or None, within=15)
        await three.accepted(job)
        await until(lambda: "fal" in (three.job(job)["ticket"] or "") or None)
        await process.kill()
    async with three.started(OXEN_QUEUE="false", FAL_KEY=None):
        message = await three.picture(job, within=20)
        assert await three.ended(job) == "done"
    assert len(message["attachments"]) == 1
    assert "The service painted 1 of 2 pictures." in message["content"]
    assert moved(three, job) == {"reserve": 2, "settle": 1, "refund": 1}
