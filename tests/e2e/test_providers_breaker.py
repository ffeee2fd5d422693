"""A provider that keeps failing gets no jobs but a probe, and all of them once a probe succeeds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from tests.support.clock import AdjustableClock
from tests.support.picture_files import misdescribed
from tests.support.waiting import wait_until
from tests.support.world.providers import logged_errors, provider_order, submits
from tests.support.world.stored_jobs import CHARGED
from tests.support.world.world import FAST_RETRIES, World

FAILURES = 5


async def paint_each(world: World, number: int) -> None:
    """Paint so many pictures, one job each."""
    world.lumenfall.one_picture = True
    jobs = [await world.imagine(f"boat {each}") for each in range(number)]
    for job in jobs:
        await world.result_message(job)
        await world.wait_finished(job)


async def test_after_five_failures_in_a_row_jobs_go_to_other_providers_until_a_probe_succeeds(
    full_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    full_world.fal.faults.set("submit_ingress")
    moderator = await full_world.create_moderator()
    clock = AdjustableClock(frozen=True)
    async with full_world.bot(clock=clock.clock, DEFAULT_QUOTA="30/day"):
        await paint_each(full_world, FAILURES)
        assert submits(full_world) == (5, 5, 0)
        await paint_each(full_world, 3)
        assert submits(full_world) == (5, 8, 0)
        assert "fal (not answering) → Lumenfall" in await full_world.moderate(moderator, "services")
        clock.advance(0.3)
        await paint_each(full_world, 1)  # a probe, which fails
        assert submits(full_world) == (6, 9, 0)
        clock.advance(0.3)  # paused for twice as long
        await paint_each(full_world, 1)
        assert submits(full_world) == (6, 10, 0)
        full_world.fal.faults.clear()
        clock.advance(0.2)
        for prompt in ("a probe", "a boat"):
            job = await full_world.imagine(prompt)
            await full_world.result_message(job)
            await full_world.wait_finished(job)
            assert full_world.job(job)["provider"] == "fal"
        assert "fal → Lumenfall" in await full_world.moderate(moderator, "services")
    assert logged_errors(caplog.records) == []
    assert sum("takes work again" in record.getMessage() for record in caplog.records) == 1


async def test_a_clock_that_is_set_back_lengthens_no_pause(full_world: World) -> None:
    full_world.fal.faults.set("submit_ingress")
    clock = AdjustableClock(frozen=True)
    async with full_world.bot(clock=clock.clock, DEFAULT_QUOTA="30/day"):
        await paint_each(full_world, FAILURES)
        full_world.fal.faults.clear()
        clock.advance(-3600)
        await paint_each(full_world, 1)
    assert submits(full_world) == (FAILURES + 1, FAILURES, 0)


async def test_5xx_to_submits_open_the_breaker(full_world: World) -> None:
    full_world.fal.faults.set("submit_error", status=500)
    async with full_world.bot(clock=AdjustableClock(frozen=True).clock, DEFAULT_QUOTA="30/day"):
        await paint_each(full_world, FAILURES)
        await paint_each(full_world, 1)
    assert submits(full_world) == (FAILURES, FAILURES + 1, 0)


async def test_one_of_many_waiting_jobs_probes_the_provider_and_the_others_follow_its_success(
    world: World,
) -> None:
    world.fal.faults.set("submit_ingress")
    async with world.bot(retry_policy=replace(FAST_RETRIES, submit=20), DEFAULT_QUOTA="30/day"):
        jobs = [await world.imagine(f"boat {number}") for number in range(12)]
        await wait_until(lambda: world.fal.submits >= FAILURES)
        for job in jobs:
            await world.wait_state(job, "waiting")
        world.fal.faults.set("submit_slow", seconds=0.8, times=1)
        world.fal.faults.clear("submit_ingress")
        await wait_until(lambda: len(world.fal.requests))
        begun, submits = time.monotonic(), world.fal.submits
        while time.monotonic() - begun < 0.6:  # the probe runs
            assert world.fal.submits == submits
            await asyncio.sleep(0.02)
        for job in jobs:
            await world.result_message(job)
            assert await world.wait_finished(job) == "done"
            assert world.ledger_images(job) == CHARGED
    assert len(world.fal.requests) == len(await world.result_messages()) == 12


async def test_a_job_with_an_unreadable_picture_is_no_probe(full_world: World) -> None:
    full_world.fal.faults.set("submit_ingress")
    clock = AdjustableClock(frozen=True)
    async with full_world.bot(clock=clock.clock):
        await paint_each(full_world, FAILURES)
        full_world.fal.faults.clear()
        clock.advance(0.3)
        bad = await full_world.edit(image=misdescribed("boat.png", b"no picture at all"))
        await full_world.private_failure(bad)
        job = await full_world.imagine("the next boat")
        await full_world.result_message(job)
        await full_world.wait_finished(job)
    assert full_world.job(job)["provider"] == "fal"


async def test_a_rate_limit_does_not_open_the_breaker(full_world: World) -> None:
    full_world.fal.faults.set("submit_rate_limited", times=7)
    async with full_world.bot(clock=AdjustableClock(frozen=True).clock, DEFAULT_QUOTA="30/day"):
        await paint_each(full_world, 7)
        job = await full_world.imagine()
        await full_world.result_message(job)
        await full_world.wait_finished(job)
    assert full_world.job(job)["provider"] == "fal"
    assert submits(full_world) == (8, 7, 0)


async def test_refused_prompts_do_not_open_the_breaker(full_world: World) -> None:
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal")):
        for number in range(FAILURES + 1):
            job = await full_world.imagine(f"forbidden thing {number}")
            await full_world.private_failure(job)
            await full_world.wait_finished(job)
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert full_world.job(job)["provider"] == "lumenfall"


async def test_with_one_provider_paused_and_the_other_out_of_money_the_job_waits_for_the_first(
    full_world: World,
) -> None:
    full_world.fal.faults.set("submit_ingress")
    moderator = await full_world.create_moderator()
    clock = AdjustableClock(frozen=True)
    async with full_world.bot(retry_policy=replace(FAST_RETRIES, submit=60), clock=clock.clock):
        await paint_each(full_world, FAILURES)
        await full_world.moderate(moderator, "model", model="gpt-image-1.5", services="fal, lumenfall")
        full_world.fal.faults.clear()
        full_world.lumenfall.faults.set("unauthorized")
        job = await full_world.imagine()
        await full_world.wait_state(job, "waiting")
        await wait_until(lambda: full_world.lumenfall.calls[-1]["status"] == 401)
        clock.advance(2)
        await full_world.result_message(job)
        await full_world.wait_finished(job)
    assert full_world.job(job)["provider"] == "fal"
