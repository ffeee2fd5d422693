"""Providers that paint within the submit: unfinished pictures, cancels, time-outs, memory for sources."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.support.picture_files import misdescribed, png
from tests.support.waiting import wait_until
from tests.support.world.discord_members import Message, Quota
from tests.support.world.providers import PERSISTENT_RETRIES, provider_order, submits
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import FAST_RETRIES, World

MIB = 1024 * 1024


async def card_with_picture(world: World) -> Message:
    """The card, once it carries an unfinished picture."""
    return await world.discord.wait_for_message(
        world.channel,
        lambda message: any("unfinished" in each["filename"] for each in message["attachments"]),
    )


async def test_the_card_carries_the_unfinished_picture_until_the_finished_one_is_there(full_world: World) -> None:
    full_world.lumenfall.run_seconds = 0.2
    full_world.lumenfall.partial_seconds = 0.5
    async with full_world.bot(
        retry_policy=replace(FAST_RETRIES, card=0.1), SERVICE_ORDER=provider_order("lumenfall")
    ):
        job = await full_world.imagine(size="16:9")
        card = await card_with_picture(full_world)
        assert card["id"] == (await full_world.card(job))["id"]
        assert "Taking shape…" in card["content"]
        assert "16:9 became 3:2." in card["content"]
        [attachment] = card["attachments"]
        assert attachment["filename"] == f"unfinished-{job}.webp"
        [preview] = await full_world.download_pictures(card)
        assert max(preview.size) <= 640
        assert [item["label"] for row in card["components"] for item in row["components"]] == ["Cancel"]
        message = await full_world.assert_one_picture(job)
    assert all("unfinished" not in each["filename"] for each in message["attachments"])
    assert submits(full_world) == (0, 1, 0)


async def test_an_unfinished_picture_with_a_spoiler_is_hidden_as_well(full_world: World) -> None:
    full_world.lumenfall.partial_seconds = 0.5
    async with full_world.bot(
        retry_policy=replace(FAST_RETRIES, card=0.1), SERVICE_ORDER=provider_order("lumenfall")
    ):
        job = await full_world.imagine(spoiler=True)
        card = await card_with_picture(full_world)
        assert card["attachments"][0]["filename"].startswith("SPOILER_")
        await full_world.assert_one_picture(job)


async def test_a_cancel_during_a_synchronous_submit_comes_too_late_and_the_picture_is_charged_once(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 0.8
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        await full_world.press(await full_world.card(job), "cancel")
        await full_world.assert_one_picture(job)
        assert await full_world.quota() == Quota(left=9, spent=1, reserved=0)
    assert submits(full_world) == (0, 1, 0)


async def test_a_cancel_during_a_refused_submit_keeps_the_job_from_the_next_provider(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 0.8
    full_world.lumenfall.faults.set("exhausted")
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "fal")):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        await full_world.press(await full_world.card(job), "cancel")
        assert await full_world.wait_finished(job) == "cancelled"
        await full_world.wait_card_deleted(job)
    assert submits(full_world) == (0, 1, 0)
    assert full_world.ledger_images(job) == RELEASED


async def test_two_jobs_at_once_at_a_synchronous_provider_are_two_pictures(full_world: World) -> None:
    full_world.lumenfall.run_seconds = 0.4
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall")):
        jobs = [await full_world.imagine(), await full_world.imagine()]
        for job in jobs:
            await full_world.result_message(job)
            await full_world.wait_finished(job)
    records = list(full_world.lumenfall.requests.values())
    assert {record.params.user for record in records if record.params} == {f"easel-{job}-0" for job in jobs}
    assert records[1].created_at < (records[0].finished_at or 0)


async def test_a_job_that_times_out_while_a_submits_outcome_is_unknown_charges_nothing(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("stuck")
    full_world.lumenfall.faults.set("lost", seconds=0.1)
    async with full_world.bot(
        retry_policy=replace(PERSISTENT_RETRIES, submit=8_000),
        SERVICE_ORDER=provider_order("lumenfall", "fal"),
    ):
        job = await full_world.imagine()
        await wait_until(lambda: full_world.lumenfall.submits)
        await full_world.wait_state(job, "waiting")
        full_world.update("UPDATE jobs SET waited_ms = patience_ms WHERE id = ?", job)
        assert "longer than an hour" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
        await full_world.wait_card_deleted(job)
    assert submits(full_world) == (0, 1, 0)
    assert full_world.ledger_images(job) == RELEASED
    assert "may have been paid for nothing" in full_world.operator_notes(job)[0]


async def test_large_pictures_wait_for_room_that_synchronous_submits_hold_until_they_are_cancelled(
    full_world: World,
) -> None:
    full_world.lumenfall.run_seconds = 2.0
    full_world.lumenfall.one_picture = True
    source = misdescribed("boat.png", png(), size=20 * MIB)
    sources = dict.fromkeys(("image", "image2", "image3", "image4"), source)
    most = 0

    async def count_running() -> None:
        nonlocal most
        while True:
            running = [one for one in full_world.lumenfall.requests.values() if one.finished_at is None]
            most = max(most, len(running))
            await asyncio.sleep(0.01)

    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall")):
        counter = asyncio.create_task(count_running())
        members = (full_world.member, await full_world.discord.create_member(full_world.guild, "yuki"))
        jobs = [await full_world.edit("a boat", **sources, member=members[number % 2]) for number in range(8)]
        await wait_until(lambda: len(full_world.lumenfall.requests) == 6)
        [waiting] = [job for job in jobs[::2] if not full_world.job(job)["submitted_at"]]
        await full_world.press(await full_world.card(waiting), "cancel")
        for job in jobs:
            await full_world.wait_finished(job)
        counter.cancel()
    assert most == 6
    assert [full_world.job(job)["state"] for job in jobs].count("done") == 7
    assert full_world.job(waiting)["state"] == "cancelled"
    assert full_world.ledger_images(waiting) == RELEASED
    assert submits(full_world) == (0, 7, 0)
