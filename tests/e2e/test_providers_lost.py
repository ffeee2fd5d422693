"""The response to a submit is lost: the job is reconciled with the provider, and delivered once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.domain.money import Money
from tests.support.clock import AdjustableClock
from tests.support.waiting import wait_until
from tests.support.world.providers import PERSISTENT_RETRIES, provider_order, submits
from tests.support.world.stored_jobs import CHARGED, RELEASED
from tests.support.world.world import FAST_RETRIES, World


async def test_a_lost_submit_at_fal_is_sent_once_more_to_fal_alone(
    full_world: World,
) -> None:
    full_world.fal.faults.set("submit_lost", times=1)
    async with full_world.bot():
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (2, 0, 0)
    [note] = full_world.operator_notes(job)
    assert "may have been paid twice" in note
    assert (full_world.job(job)["provider"], full_world.job(job)["resubmits"]) == ("fal", 1)


async def test_a_504_of_a_proxy_is_a_lost_response(full_world: World) -> None:
    full_world.fal.faults.set("submit_bare", status=504, times=1)
    async with full_world.bot():
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (2, 0, 0)
    assert full_world.job(job)["resubmits"] == 1


GARBLED = {
    "no id": {"status": "IN_QUEUE"},
    "no links": {"status": "IN_QUEUE", "request_id": "r1"},
    "nested": "[" * 100_000,
    "nested beyond bounds": "[" * 2_000_000,
    "nothing": "",
}


@pytest.mark.parametrize("body", GARBLED.values(), ids=GARBLED)
async def test_after_a_garbled_response_of_fal_another_provider_paints(full_world: World, body: object) -> None:
    full_world.fal.faults.set("submit_odd", body=body)
    async with full_world.bot():
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert (submits(full_world), full_world.job(job)["provider"]) == ((1, 1, 0), "lumenfall")
    [note] = full_world.operator_notes(job)
    assert note.startswith("fal gave an unreadable answer: $")


async def test_a_garbled_response_of_a_lone_provider_that_cannot_be_asked_ends_the_job(world: World) -> None:
    world.fal.faults.set("submit_odd", body="")
    async with world.bot(retry_policy=PERSISTENT_RETRIES):
        job = await world.imagine()
        assert "an answer that Easel cannot read" in await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
    assert (world.fal.submits, world.ledger_images(job)) == (1, RELEASED)
    [note] = world.operator_notes(job)
    assert note.endswith(" may have been paid for nothing")


async def test_after_a_lost_submit_no_other_provider_gets_the_job(full_world: World) -> None:
    full_world.fal.faults.set("submit_lost", times=1)
    async with full_world.bot(retry_policy=replace(PERSISTENT_RETRIES, first_retry=0.8, longest_retry=0.8)):
        job = await full_world.imagine()
        await full_world.wait_state(job, "waiting")
        await wait_until(lambda: full_world.fal.submits)
        full_world.fal.faults.set("locked")
        assert "not available to this bot right now" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert submits(full_world) == (2, 0, 0)
    assert full_world.ledger_images(job) == RELEASED
    assert len(full_world.operator_notes(job)) == 1


async def test_a_submit_lost_twice_is_not_sent_a_third_time_and_costs_the_member_nothing(
    full_world: World,
) -> None:
    full_world.fal.faults.set("submit_lost", times=2)
    async with full_world.bot():
        job = await full_world.imagine()
        assert "did not confirm your request, twice" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert submits(full_world) == (2, 0, 0)
    assert full_world.ledger_images(job) == RELEASED
    assert [note.partition("$")[0] for note in full_world.operator_notes(job)] == ["a lost answer: "] * 2


async def test_a_lost_submit_at_a_paused_provider_is_sent_at_most_once_more(
    world: World,
) -> None:
    world.fal.faults.set("submit_lost")
    async with world.bot(retry_policy=PERSISTENT_RETRIES, DEFAULT_QUOTA="20/day"):
        jobs = [await world.imagine(f"boat {number}") for number in range(5)]
        for job in jobs:
            assert await world.wait_finished(job, within=15) == "failed"
    for job in jobs:
        assert world.ledger_images(job) == RELEASED
        assert [note[-len("nothing") :] for note in world.operator_notes(job)] == ["d twice", "nothing"]
    assert world.fal.submits == 10


async def test_pictures_billed_by_lumenfall_in_a_lost_response_are_noted_at_their_cost(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("lost", times=1)
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal", "oxen")):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 2, 0)
    lost, second = full_world.lumenfall.requests.values()
    [note] = full_world.operator_notes(job)
    assert note == f"a lost answer: {Money(lost.cost_micros)} was paid for pictures that were lost"
    assert full_world.ledger_micros(job, "settle") == second.cost_micros


async def test_pictures_billed_by_lumenfall_behind_a_5xx_are_noted_and_the_next_provider_paints(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("answer_html", status=502)
    async with full_world.bot(LUMENFALL_PARTIALS="0", SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert (submits(full_world), full_world.job(job)["attempts"]) == ((1, 1, 0), 1)
    cost = Money(full_world.lumenfall.history.spent_micros)
    assert full_world.operator_notes(job) == [f"a lost answer: {cost} was paid for pictures that were lost"]


async def test_a_lost_submit_that_lumenfall_still_paints_is_not_repeated_before_it_ends(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 0.9
    full_world.lumenfall.faults.set("lost", times=1, seconds=0.1)
    async with full_world.bot(retry_policy=PERSISTENT_RETRIES, SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits == 2)
        lost, second = full_world.lumenfall.requests.values()
        assert lost.finished_at is not None
        assert lost.finished_at <= second.created_at
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 2, 0)
    assert len(full_world.operator_notes(job)) == 1


async def test_a_submit_that_never_reached_lumenfall_is_repeated_without_a_note(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("refused", times=1)
    clock = AdjustableClock()
    async with full_world.bot(
        retry_policy=PERSISTENT_RETRIES, clock=clock.clock, SERVICE_ORDER=provider_order("lumenfall", "fal")
    ):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        await full_world.wait_state(job, "waiting")
        assert submits(full_world) == (0, 1, 0)
        clock.advance(16)
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 2, 0)
    assert (full_world.operator_notes(job), full_world.job(job)["resubmits"]) == ([], 0)


async def test_where_lumenfall_stores_payloads_lost_pictures_need_no_second_submit(
    full_world: World,
) -> None:
    full_world.lumenfall.stores_payloads = True
    full_world.lumenfall.faults.set("lost", times=1)
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 1, 0)
    assert full_world.operator_notes(job) == []
    assert full_world.ledger_micros(job, "settle") == full_world.lumenfall.history.spent_micros


async def test_a_prompt_refused_by_lumenfall_in_a_lost_response_is_not_sent_again(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("lost", times=1)
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine("forbidden things")
        assert "will not paint this prompt" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert submits(full_world) == (0, 1, 0)
    assert full_world.ledger_images(job) == RELEASED


async def test_a_cancel_while_a_submits_outcome_is_unknown_is_free_and_noted(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 1.5
    full_world.lumenfall.faults.set("lost", times=1, seconds=0.1)
    async with full_world.bot(retry_policy=PERSISTENT_RETRIES, SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        await full_world.wait_state(job, "waiting")
        await full_world.press(await full_world.card(job), "cancel")
        assert await full_world.wait_finished(job) == "cancelled"
        await full_world.wait_card_deleted(job)
    assert full_world.ledger_images(job) == RELEASED
    [note] = full_world.operator_notes(job)
    assert note.endswith("may have been paid for nothing")
    assert submits(full_world) == (0, 1, 0)


async def test_pictures_that_lumenfall_no_longer_has_are_released_and_noted_at_their_cost(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("cdn_error")
    async with full_world.bot(LUMENFALL_PARTIALS="0", SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        assert "painted this, but no longer had it" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert full_world.ledger_images(job) == RELEASED
    cost = Money(full_world.lumenfall.history.spent_micros)
    assert await wait_until(lambda: full_world.operator_notes(job)) == [
        f"a lost answer: {cost} was paid for pictures that were lost"
    ]
    assert submits(full_world) == (0, 1, 0)


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        ("fal", "not_a_picture"),
        ("fal", "result_expired"),
        ("fal", "cdn_error"),
        ("oxen", "not_a_picture"),
        ("oxen", "result_missing"),
        ("oxen", "cdn_error"),
        ("lumenfall", "not_a_picture"),
    ],
)
async def test_what_was_painted_and_cannot_be_used_is_released_and_noted_for_the_operator(
    full_world: World, service: str, fault: str
) -> None:
    getattr(full_world, service).faults.set(fault)
    async with full_world.bot(LUMENFALL_PARTIALS="0", SERVICE_ORDER=provider_order(service)):
        job = await full_world.imagine()
        await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert (full_world.ledger_images(job), sum(submits(full_world))) == (RELEASED, 1)
    [note] = full_world.operator_notes(job)
    assert note.startswith(f"{service}: $")
    sure = "was paid" if service == "lumenfall" else "may have been paid"  # it states its price
    assert note.endswith(f" {sure} for pictures that cannot be used")


async def test_what_cannot_be_used_and_was_not_billed_is_not_noted(world: World) -> None:
    world.fal.faults.set("not_a_picture")
    world.fal.faults.set("result_units", body="0")
    async with world.bot():
        job = await world.imagine()
        await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
    assert (world.ledger_images(job), world.operator_notes(job)) == (RELEASED, [])


async def test_a_provider_removed_from_the_order_still_delivers_what_it_has_painted(
    full_world: World,
) -> None:
    full_world.lumenfall.stores_payloads = True
    full_world.lumenfall.faults.set("lost", times=1)
    full_world.lumenfall.faults.set("history_error")
    moderator = await full_world.create_moderator()
    async with full_world.bot(retry_policy=PERSISTENT_RETRIES, SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        await full_world.wait_state(job, "waiting")
        assert "is now painted by fal" in await full_world.moderate(
            moderator, "model", model="gpt-image-1.5", services="fal"
        )
        full_world.lumenfall.faults.clear()
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 1, 0)
    assert (full_world.job(job)["provider"], full_world.operator_notes(job)) == ("lumenfall", [])


@pytest.mark.parametrize("fault", ["submit_lost", "submit_truncated", "submit_error_late"])
async def test_a_submit_that_oxen_accepted_in_a_lost_response_is_found_and_followed(
    full_world: World, fault: str
) -> None:
    full_world.oxen.faults.set(fault, times=1)
    async with full_world.bot(SERVICE_ORDER=provider_order("oxen", "fal", "lumenfall")):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 0, 1)
    assert (full_world.operator_notes(job), full_world.job(job)["resubmits"]) == ([], 0)


async def test_a_submit_that_never_reached_oxen_is_repeated_without_a_note(
    full_world: World,
) -> None:
    full_world.oxen.faults.set("submit_refused", times=1)
    clock = AdjustableClock()
    async with full_world.bot(
        retry_policy=PERSISTENT_RETRIES, clock=clock.clock, SERVICE_ORDER=provider_order("oxen", "fal")
    ):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.oxen.submits)
        await full_world.wait_state(job, "waiting")
        clock.advance(11)
        await full_world.assert_one_picture(job)
    assert submits(full_world) == (0, 0, 2)
    assert len(full_world.oxen.generations) == 1
    assert full_world.operator_notes(job) == []


async def test_two_members_with_the_same_prompt_and_lost_responses_get_a_picture_each(
    full_world: World,
) -> None:
    full_world.oxen.faults.set("submit_lost", times=2)
    full_world.oxen.faults.set("slow_run", seconds=1.5)
    bob = await full_world.discord.create_member(full_world.guild, "bob")
    async with full_world.bot(
        retry_policy=replace(FAST_RETRIES, submit=20), SERVICE_ORDER=provider_order("oxen", "fal")
    ):
        both = [await full_world.imagine(), await full_world.imagine(member=bob)]
        await asyncio.gather(*(full_world.wait_accepted(job) for job in both))
        followed = [one for job in both for ticket in full_world.tickets(job) for one in ticket["data"]["ids"]]
        assert sorted(followed) == sorted(full_world.oxen.generations)
        for job in both:
            await full_world.result_message(job)
            await full_world.wait_finished(job)
            assert full_world.ledger_images(job) == CHARGED
    assert submits(full_world) == (0, 0, 2)
    assert len(await full_world.result_messages()) == 2
