"""A service that paints while it is submitted to: unfinished pictures, cancels, patience, held sources."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.e2e.test_refusals import blob
from tests.support.world.providers import PATIENT, AdjustableClock, asked, first, notes, shown
from tests.support.world.world import QUICK, Message, Quota, World, assert_one_picture, moved, png, until

MIB = 1024 * 1024


async def card_with_picture(house: World) -> Message:
    """The card, once it carries an unfinished picture."""
    return await house.discord.wait_for_message(
        house.channel,
        lambda message: any("unfinished" in each["filename"] for each in message["attachments"]),
    )


async def test_the_card_carries_the_unfinished_picture_until_the_finished_one_is_there(three: World) -> None:
    three.lumenfall.run_seconds = 0.2
    three.lumenfall.partial_seconds = 0.5
    async with three.bot(patience=replace(QUICK, card=0.1), SERVICE_ORDER=first("lumenfall")):
        job = await three.imagine(size="16:9")
        card = await card_with_picture(three)
        assert card["id"] == (await three.card(job))["id"]
        assert "Not finished yet" in card["content"]
        assert "16:9 became 3:2." in card["content"]
        [attachment] = card["attachments"]
        assert attachment["filename"] == f"unfinished-{job}.webp"
        [preview] = await shown(three, card)
        assert max(preview.size) <= 640
        assert [item["label"] for row in card["components"] for item in row["components"]] == ["Cancel"]
        message = await assert_one_picture(three, job)
    assert all("unfinished" not in each["filename"] for each in message["attachments"])
    assert asked(three) == (0, 1, 0)


async def test_an_unfinished_picture_with_a_spoiler_is_hidden_as_well(three: World) -> None:
    three.lumenfall.partial_seconds = 0.5
    async with three.bot(patience=replace(QUICK, card=0.1), SERVICE_ORDER=first("lumenfall")):
        job = await three.imagine(spoiler=True)
        card = await card_with_picture(three)
        assert card["attachments"][0]["filename"].startswith("SPOILER_")
        await assert_one_picture(three, job)


async def test_a_cancel_during_a_synchronous_submit_comes_too_late_and_the_picture_is_charged_once(
    three: World,
) -> None:
    three.lumenfall.run_seconds = 0.8
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        await three.press(await three.card(job), "cancel")
        await assert_one_picture(three, job)
        assert await three.quota() == Quota(left=9, spent=1, reserved=0)
    assert asked(three) == (0, 1, 0)


async def test_a_cancel_during_a_submit_that_nobody_takes_keeps_the_work_from_the_next_service(
    three: World,
) -> None:
    three.lumenfall.run_seconds = 0.8
    three.lumenfall.faults.set("exhausted")
    async with three.bot(SERVICE_ORDER=first("lumenfall", "fal")):
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        await three.press(await three.card(job), "cancel")
        assert await three.ended(job) == "cancelled"
        await three.card_gone(job)
    assert asked(three) == (0, 1, 0)
    assert moved(three, job) == {"reserve": 1, "refund": 1}


async def test_two_at_once_at_a_synchronous_service_are_two_pictures(three: World) -> None:
    three.lumenfall.run_seconds = 0.4
    async with three.bot(SERVICE_ORDER=first("lumenfall")):
        jobs = [await three.imagine(), await three.imagine()]
        for job in jobs:
            await three.picture(job)
            await three.ended(job)
    records = list(three.lumenfall.requests.values())
    assert {record.params.user for record in records if record.params} == {f"easel-{job}-0" for job in jobs}
    assert records[1].created_at < (records[0].finished_at or 0)


async def test_patience_runs_out_while_nobody_knows_what_became_of_a_submit_and_nothing_is_charged(
    three: World,
) -> None:
    three.lumenfall.faults.set("stuck")
    three.lumenfall.faults.set("lost", seconds=0.1)
    clock = AdjustableClock()
    async with three.bot(
        patience=replace(PATIENT, submit=8_000), clock=clock.clock, SERVICE_ORDER=first("lumenfall", "fal")
    ):
        job = await three.imagine()
        await until(lambda: three.lumenfall.submits)
        await three.stands(job, "waiting")
        clock.jump(3_601)
        assert "longer than an hour" in await three.whisper(job)
        assert await three.ended(job) == "failed"
        await three.card_gone(job)
    assert asked(three) == (0, 1, 0)
    assert moved(three, job) == {"reserve": 1, "refund": 1}
    assert "may have been paid for nothing" in notes(three, job)[0]


async def test_large_pictures_wait_for_their_turn_while_a_synchronous_service_holds_others_and_a_cancel_ends_that(
    three: World,
) -> None:
    three.lumenfall.run_seconds = 2.0
    three.lumenfall.one_picture = True
    source = blob("boat.png", png(), size=20 * MIB)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            running = [one for one in three.lumenfall.requests.values() if one.finished_at is None]
            most = max(most, len(running))
            await asyncio.sleep(0.01)

    async with three.bot(SERVICE_ORDER=first("lumenfall")):
        watcher = asyncio.create_task(watch())
        jobs = [await three.edit(f"boat {number}", image=source) for number in range(8)]
        await until(lambda: len(three.lumenfall.requests) == 6)
        waiting = [job for job in jobs if not three.job(job)["submitted_at"]]
        assert len(waiting) == 2
        await three.press(await three.card(waiting[1]), "cancel")
        for job in jobs:
            await three.ended(job)
        watcher.cancel()
    assert most == 6
    assert [three.job(job)["state"] for job in jobs].count("done") == 7
    assert three.job(waiting[1])["state"] == "cancelled"
    assert moved(three, waiting[1]) == {"reserve": 1, "refund": 1}
    assert asked(three) == (0, 7, 0)
