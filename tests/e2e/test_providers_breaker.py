"""A service that fails again and again is left alone, probed by one job, and used again when it is well."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from tests.e2e.test_refusals import blob
from tests.support.world.providers import AdjustableClock, asked, errors, first, moderate, moderator
from tests.support.world.world import QUICK, World, assert_one_picture, moved, until

FAILURES = 5


async def fail_over(house: World, number: int) -> None:
    """So many members' pictures, each of them after a service that does not take it."""
    house.lumenfall.one_picture = True
    jobs = [await house.imagine(f"boat {each}") for each in range(number)]
    for job in jobs:
        await house.picture(job)
        await house.ended(job)


async def test_after_five_failures_in_a_row_the_others_are_asked_at_once_until_one_job_finds_it_well(
    three: World, caplog: pytest.LogCaptureFixture
) -> None:
    three.fal.faults.set("submit_ingress")
    who = await moderator(three)
    clock = AdjustableClock(still=True)
    async with three.bot(clock=clock.clock, DEFAULT_QUOTA="30/day"):
        await fail_over(three, FAILURES)
        assert asked(three) == (5, 5, 0)
        await fail_over(three, 3)
        assert asked(three) == (5, 8, 0)
        assert "fal (not answering) → Lumenfall" in await moderate(three, who, "services")
        clock.jump(0.3)
        await fail_over(three, 1)  # the probe, and it is still not well
        assert asked(three) == (6, 9, 0)
        clock.jump(0.3)  # left alone for twice as long
        await fail_over(three, 1)
        assert asked(three) == (6, 10, 0)
        three.fal.faults.clear()
        clock.jump(0.2)
        for prompt in ("a probe", "a boat"):
            job = await three.imagine(prompt)
            await three.picture(job)
            await three.ended(job)
            assert three.job(job)["provider"] == "fal"
        assert "fal → Lumenfall" in await moderate(three, who, "services")
    assert errors(caplog.records) == []
    assert sum("takes work again" in record.getMessage() for record in caplog.records) == 1


async def test_of_many_waiting_jobs_one_probes_a_service_and_the_others_follow_when_it_is_well(
    house: World,
) -> None:
    house.fal.faults.set("submit_ingress")
    async with house.bot(patience=replace(QUICK, submit=20), DEFAULT_QUOTA="30/day"):
        jobs = [await house.imagine(f"boat {number}") for number in range(12)]
        await until(lambda: house.fal.submits >= FAILURES)
        for job in jobs:
            await house.stands(job, "waiting")
        house.fal.faults.set("submit_slow", seconds=0.8, times=1)
        house.fal.faults.clear("submit_ingress")
        await until(lambda: len(house.fal.requests))
        begun, submits = time.monotonic(), house.fal.submits
        while time.monotonic() - begun < 0.6:  # the probe is under way
            assert house.fal.submits == submits
            await asyncio.sleep(0.02)
        for job in jobs:
            await house.picture(job)
            assert await house.ended(job) == "done"
            assert moved(house, job) == {"reserve": 1, "settle": 1}
    assert len(house.fal.requests) == len(await house.pictures()) == 12


async def test_a_job_whose_picture_cannot_be_read_does_not_use_a_probe_up(three: World) -> None:
    three.fal.faults.set("submit_ingress")
    clock = AdjustableClock(still=True)
    async with three.bot(clock=clock.clock):
        await fail_over(three, FAILURES)
        three.fal.faults.clear()
        clock.jump(0.3)
        bad = await three.edit(image=blob("boat.png", b"no picture at all"))
        await three.whisper(bad)
        job = await three.imagine("the next boat")
        await three.picture(job)
        await three.ended(job)
    assert three.job(job)["provider"] == "fal"


async def test_a_service_that_asks_to_wait_is_well_and_asked_by_the_next_job_again(three: World) -> None:
    three.fal.faults.set("submit_rate_limited", times=7)
    async with three.bot(clock=AdjustableClock(still=True).clock, DEFAULT_QUOTA="30/day"):
        await fail_over(three, 7)
        job = await three.imagine()
        await three.picture(job)
        await three.ended(job)
    assert three.job(job)["provider"] == "fal"
    assert asked(three) == (8, 7, 0)


async def test_a_service_that_refuses_prompts_is_well(three: World) -> None:
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal")):
        for number in range(FAILURES + 1):
            job = await three.imagine(f"forbidden thing {number}")
            await three.whisper(job)
            await three.ended(job)
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert three.job(job)["provider"] == "lumenfall"


async def test_where_one_service_rests_and_the_other_has_no_money_the_job_waits_for_the_first(
    three: World,
) -> None:
    three.fal.faults.set("submit_ingress")
    who = await moderator(three)
    clock = AdjustableClock(still=True)
    async with three.bot(patience=replace(QUICK, submit=60), clock=clock.clock):
        await fail_over(three, FAILURES)
        await moderate(three, who, "model", model="gpt-image-1.5", services="fal, lumenfall")
        three.fal.faults.clear()
        three.lumenfall.faults.set("unauthorized")
        job = await three.imagine()
        await three.stands(job, "waiting")
        await until(lambda: three.lumenfall.calls[-1]["status"] == 401)
        clock.jump(2)
        await three.picture(job)
        await three.ended(job)
    assert three.job(job)["provider"] == "fal"
