"""The answer to a submit is lost: the service is asked what became of it, and the picture comes once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.domain.money import Money
from tests.support.world.providers import (
    PATIENT,
    AdjustableClock,
    asked,
    first,
    micros,
    moderate,
    moderator,
    notes,
    tickets,
)
from tests.support.world.world import QUICK, World, assert_one_picture, moved, until

GIVEN_BACK = {"reserve": 1, "refund": 1}


async def test_fal_cannot_be_asked_so_the_work_is_sent_to_it_once_more_and_to_nobody_else(three: World) -> None:
    three.fal.faults.set("submit_lost", times=1)
    async with three.bot():
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert asked(three) == (2, 0, 0)
    [note] = notes(three, job)
    assert "may have been paid twice" in note
    assert (three.job(job)["provider"], three.job(job)["resubmits"]) == ("fal", 1)


async def test_after_a_lost_submit_no_other_service_is_ever_asked(three: World) -> None:
    three.fal.faults.set("submit_lost", times=1)
    async with three.bot(patience=replace(PATIENT, first_retry=0.8, longest_retry=0.8)):
        job = await three.imagine()
        await three.stands(job, "waiting")
        await until(lambda: three.fal.submits)
        three.fal.faults.set("locked")
        assert "not available to this bot right now" in await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert asked(three) == (2, 0, 0)
    assert moved(three, job) == GIVEN_BACK
    assert len(notes(three, job)) == 1


async def test_lost_twice_the_work_is_not_sent_a_third_time_and_the_member_pays_nothing(three: World) -> None:
    three.fal.faults.set("submit_lost", times=2)
    async with three.bot():
        job = await three.imagine()
        assert "did not confirm your request, twice" in await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert asked(three) == (2, 0, 0)
    assert moved(three, job) == GIVEN_BACK
    assert [note.partition("$")[0] for note in notes(three, job)] == ["a lost answer: "] * 2


async def test_a_lost_submit_that_meets_a_resting_service_is_still_sent_no_more_than_once_more(
    house: World,
) -> None:
    house.fal.faults.set("submit_lost")
    async with house.bot(patience=PATIENT, DEFAULT_QUOTA="20/day"):
        asked_for = [await house.imagine(f"boat {number}") for number in range(5)]
        for job in asked_for:
            assert await house.ended(job, within=15) == "failed"
    for job in asked_for:
        assert moved(house, job) == GIVEN_BACK
        assert [note[-len("nothing") :] for note in notes(house, job)] == ["d twice", "nothing"]
    assert house.fal.submits == 10


async def test_what_lumenfall_painted_and_billed_before_its_answer_was_lost_is_noted_at_its_cost(
    three: World,
) -> None:
    three.lumenfall.faults.set("lost", times=1)
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal", "oxen")):
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert asked(three) == (0, 2, 0)
    lost, kept = three.lumenfall.requests.values()
    [note] = notes(three, job)
    assert note == f"a lost answer: {Money(lost.cost_micros)} was paid for pictures that were lost"
    assert micros(three, job, "settle") == kept.cost_micros


async def test_what_lumenfall_is_still_painting_is_waited_for_and_not_sent_again_before_it_is_over(
    three: World,
) -> None:
    three.lumenfall.run_seconds = 0.9
    three.lumenfall.faults.set("lost", times=1, seconds=0.1)
    async with three.bot(patience=PATIENT, SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits == 2)
        lost, again = three.lumenfall.requests.values()
        assert lost.finished_at is not None
        assert lost.finished_at <= again.created_at
        await assert_one_picture(three, job)
    assert asked(three) == (0, 2, 0)
    assert len(notes(three, job)) == 1


async def test_what_never_came_to_lumenfall_is_submitted_once_it_must_be_listed_and_without_a_note(
    three: World,
) -> None:
    three.lumenfall.faults.set("refused", times=1)
    clock = AdjustableClock()
    async with three.bot(patience=PATIENT, clock=clock.clock, SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        await three.stands(job, "waiting")
        assert asked(three) == (0, 1, 0)
        clock.jump(16)
        await assert_one_picture(three, job)
    assert asked(three) == (0, 2, 0)
    assert (notes(three, job), three.job(job)["resubmits"]) == ([], 0)


async def test_where_lumenfall_keeps_what_it_painted_the_lost_pictures_are_had_without_a_second_submit(
    three: World,
) -> None:
    three.lumenfall.stores_payloads = True
    three.lumenfall.faults.set("lost", times=1)
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert asked(three) == (0, 1, 0)
    assert notes(three, job) == []
    assert micros(three, job, "settle") == three.lumenfall.history.spent_micros


async def test_a_prompt_that_lumenfall_refused_in_a_lost_answer_is_refused_and_not_sent_again(
    three: World,
) -> None:
    three.lumenfall.faults.set("lost", times=1)
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine("forbidden things")
        assert "will not paint this prompt" in await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert asked(three) == (0, 1, 0)
    assert moved(three, job) == GIVEN_BACK


async def test_a_cancel_while_nobody_knows_what_became_of_a_submit_is_free_and_noted_for_the_operator(
    three: World,
) -> None:
    three.lumenfall.run_seconds = 1.5
    three.lumenfall.faults.set("lost", times=1, seconds=0.1)
    async with three.bot(patience=PATIENT, SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        await three.stands(job, "waiting")
        await three.press(await three.card(job), "cancel")
        assert await three.ended(job) == "cancelled"
        await three.card_gone(job)
    assert moved(three, job) == GIVEN_BACK
    [note] = notes(three, job)
    assert note.endswith("may have been paid for nothing")
    assert asked(three) == (0, 1, 0)


async def test_pictures_that_lumenfall_no_longer_has_are_refunded_and_noted_at_their_cost(three: World) -> None:
    three.lumenfall.faults.set("cdn_error")
    async with three.bot(LUMENFALL_PARTIALS="0", SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        assert "painted this, but no longer had it" in await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert moved(three, job) == GIVEN_BACK
    cost = Money(three.lumenfall.history.spent_micros)
    assert await until(lambda: notes(three, job)) == [
        f"a lost answer: {cost} was paid for pictures that were lost"
    ]
    assert asked(three) == (0, 1, 0)


async def test_a_moderator_who_takes_a_service_out_does_not_lose_what_it_has_already_painted(
    three: World,
) -> None:
    three.lumenfall.stores_payloads = True
    three.lumenfall.faults.set("lost", times=1)
    three.lumenfall.faults.set("history_error")
    who = await moderator(three)
    async with three.bot(patience=PATIENT, SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await three.stands(job, "waiting")
        assert "is now painted by fal" in await moderate(
            three, who, "model", model="gpt-image-1.5", services="fal"
        )
        three.lumenfall.faults.clear()
        await assert_one_picture(three, job)
    assert asked(three) == (0, 1, 0)
    assert (three.job(job)["provider"], notes(three, job)) == ("lumenfall", [])


@pytest.mark.parametrize("fault", ["submit_lost", "submit_truncated", "submit_error_late"])
async def test_what_oxen_took_before_its_answer_was_lost_is_found_in_its_list_and_followed(
    three: World, fault: str
) -> None:
    three.oxen.faults.set(fault, times=1)
    async with three.bot(SERVICE_ORDER=first("oxen", "fal", "lumenfall")):
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert asked(three) == (0, 0, 1)
    assert (notes(three, job), three.job(job)["resubmits"]) == ([], 0)


async def test_what_never_came_to_oxen_is_submitted_once_it_must_be_listed_and_without_a_note(
    three: World,
) -> None:
    three.oxen.faults.set("submit_refused", times=1)
    clock = AdjustableClock()
    async with three.bot(patience=PATIENT, clock=clock.clock, SERVICE_ORDER=first("oxen", "fal")):
        job = await three.imagine()
        await until(lambda: three.oxen.submits)
        await three.stands(job, "waiting")
        clock.jump(11)
        await assert_one_picture(three, job)
    assert asked(three) == (0, 0, 2)
    assert len(three.oxen.generations) == 1
    assert notes(three, job) == []


async def test_two_members_with_the_same_prompt_whose_answers_are_both_lost_get_a_picture_each(
    three: World,
) -> None:
    three.oxen.faults.set("submit_lost", times=2)
    three.oxen.faults.set("slow_run", seconds=1.5)
    bob = await three.discord.create_member(three.guild, "bob")
    async with three.bot(patience=replace(QUICK, submit=20), SERVICE_ORDER=first("oxen", "fal")):
        both = [await three.imagine(), await three.imagine(member=bob)]
        await asyncio.gather(*(three.accepted(job) for job in both))
        followed = [one for job in both for ticket in tickets(three, job) for one in ticket["data"]["ids"]]
        assert sorted(followed) == sorted(three.oxen.generations)
        for job in both:
            await three.picture(job)
            await three.ended(job)
            assert moved(three, job) == {"reserve": 1, "settle": 1}
    assert asked(three) == (0, 0, 2)
    assert len(await three.pictures()) == 2
