"""Many at once, the same twice, lost answers and closed channels: one picture, one charge, no wrong word."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from bot.domain.clock import Clock, real_time
from tests.support.world.world import (
    ATTACH_FILES,
    CALLBACK,
    POST,
    QUICK,
    SEND_MESSAGES,
    Quota,
    World,
    assert_one_picture,
    moved,
)

GIVEN_BACK = {"reserve": 1, "refund": 1}


# Many at once


async def test_64_requests_at_once_with_5_left_are_5_pictures_and_59_private_refusals(house: World) -> None:
    async with house.bot(DEFAULT_QUOTA="5/day"):
        spec = {
            "kind": "slash",
            "channel": house.channel,
            "command": "imagine",
            "options": {"prompt": "{i} boats", "quality": "low"},
        }
        fired = await house.discord.burst(spec, 64, members=[house.member], until="ack", within=20)
        assert fired["ack"]["missing"] == 0
        assert Counter(record["ephemeral"] for record in fired["records"]) == {False: 5, True: 59}
        refused = [record["interaction"] for record in fired["records"] if record["ephemeral"]]
        assert "have 0 left" in await house.refusal(refused[-1])
        for record in fired["records"]:
            if not record["ephemeral"]:
                await house.picture(record["interaction"])
                await house.ended(record["interaction"])
        assert await house.quota() == Quota(left=0, spent=5, reserved=0)
        assert house.fal.submits == len(await house.pictures()) == 5


async def test_30_members_in_several_channels_at_once_all_get_theirs(house: World) -> None:
    channels = [house.channel] + [await house.discord.create_channel(house.guild, f"c{n}") for n in range(2)]
    members = [await house.discord.create_member(house.guild, f"m{n}") for n in range(30)]
    async with house.bot():
        asked = {
            await house.imagine(f"boat {number}", member=member, channel=channels[number % 3]): (
                member,
                channels[number % 3],
            )
            for number, member in enumerate(members)
        }
        for job, (member, channel) in asked.items():
            message = await house.picture(job, channel=channel, within=30)
            assert message["sandbox"]["pinged"] == {"users": [member], "roles": [], "everyone": False}
        await asyncio.gather(*(house.ended(job) for job in asked))
    assert sum([len(await house.pictures(channel)) for channel in channels]) == 30


async def test_an_interaction_that_discord_delivers_twice_is_one_picture_and_no_error(house: World) -> None:
    async with house.bot():
        job = await house.imagine()
        await house.discord.redeliver(job)
        await assert_one_picture(house, job)
        await house.discord.redeliver(job)
        refused = await house.imagine("   ")
        await house.discord.redeliver(refused)
        await house.refusal(refused)
        assert await house.quota() == Quota(left=9, spent=1, reserved=0)
    for asked in (job, refused):
        assert (await house.discord.interaction(asked))["followups"] == []


# Answers that are lost, refused or late


async def test_the_answer_to_the_post_is_lost_and_the_picture_still_stands_there_once(house: World) -> None:
    async with house.bot():
        await house.discord.lose_answer(POST)
        await assert_one_picture(house, await house.imagine())
        assert (await house.discord.report())["requests"][POST] == 1


async def test_posts_that_fail_are_repeated_until_one_is_taken(house: World) -> None:
    async with house.bot():
        await house.discord.fail(POST, 503, times=2)
        await assert_one_picture(house, await house.imagine())


async def test_a_post_that_discord_slows_down_arrives_when_it_may(house: World) -> None:
    async with house.bot():
        await house.discord.fail(POST, 429, retry_after=0.4)
        await assert_one_picture(house, await house.imagine())
        assert (await house.discord.report())["requests"][POST] == 2


async def test_a_connection_that_breaks_before_the_post_is_no_trouble(house: World) -> None:
    async with house.bot():
        await house.discord.lose_answer(POST, times=2, worked=False)
        await assert_one_picture(house, await house.imagine())


async def test_discord_out_of_reach_for_longer_than_a_post_may_take_only_delays_the_picture(house: World) -> None:
    async with house.bot(patience=replace(QUICK, post=0.7)):
        await house.discord.fail(POST, 503, times=4)
        await assert_one_picture(house, await house.imagine())


async def test_a_post_that_is_given_up_while_discord_takes_it_is_found_and_not_repeated(house: World) -> None:
    async with house.bot(patience=replace(QUICK, post=0.7)):
        await house.discord.delay(POST, 1.5, worked=True)
        job = await house.imagine()
        await house.picture(job)
        await house.discord.forget_nonces()
        await assert_one_picture(house, job)


async def test_a_picture_that_is_too_large_for_the_channel_is_made_to_fit(house: World) -> None:
    house.fal.picture_bytes = 3_000_000
    small = await house.discord.create_channel(house.guild, "small", file_limit=400_000)
    async with house.bot():
        known = await house.imagine(channel=small)
        message = await house.picture(known, channel=small)
        assert message["attachments"][0]["size"] <= 400_000
        await house.discord.fail(POST, 413, {"message": "Request entity too large", "code": 40005})
        job = await house.imagine()
        message = await assert_one_picture(house, job)
        assert message["attachments"][0]["size"] <= 1_500_000
        assert message["attachments"][0]["filename"].endswith((".jpeg", ".webp"))


async def test_a_card_that_somebody_deletes_does_not_keep_the_picture_away(house: World) -> None:
    house.fal.faults.set("slow_run", seconds=0.5)
    async with house.bot():
        job = await house.imagine()
        await house.discord.delete_message(int((await house.card(job))["id"]))
        await assert_one_picture(house, job)


async def test_a_first_answer_whose_confirmation_is_lost_says_no_wrong_word_and_its_card_goes(
    house: World,
) -> None:
    async with house.bot():
        await house.discord.lose_answer(CALLBACK)
        job = await house.imagine()
        await assert_one_picture(house, job)
        assert (await house.discord.interaction(job))["followups"] == []


async def test_a_first_answer_that_discord_refuses_does_not_keep_the_picture_away(house: World) -> None:
    async with house.bot():
        await house.discord.fail(CALLBACK, 404, {"message": "Unknown interaction", "code": 10062})
        job = await house.imagine()
        await house.picture(job)
        assert await house.ended(job) == "done"
        house.fal.forbidden = ("weapon",)
        await house.discord.fail(CALLBACK, 404, {"message": "Unknown interaction", "code": 10062})
        await house.imagine("a weapon")
        told = await house.discord.wait_for_message(
            house.channel, lambda message: "will not paint this prompt" in message["content"]
        )
        assert told["sandbox"]["pinged"]["users"] == [house.member]


async def test_the_picture_is_there_before_the_card_and_the_card_still_goes(house: World) -> None:
    async with house.bot():
        await house.discord.delay(CALLBACK, 0.9, worked=True)
        job = await house.imagine()
        await house.picture(job)
        await house.card_gone(job)
        assert await house.ended(job) == "done"


async def test_a_gateway_that_breaks_and_resumes_loses_nothing(house: World) -> None:
    house.fal.faults.set("slow_run", seconds=0.4)
    async with house.bot():
        first = await house.imagine()
        await house.discord.answer(first)
        await house.discord.disconnect_gateway(4000)
        second = await house.imagine("while nobody listened")
        await house.picture(first)
        await house.picture(second)
        await asyncio.gather(house.ended(first), house.ended(second))
        assert (await house.discord.report())["resumes"] == 1
    assert len(await house.pictures()) == 2


# Channels that close


@pytest.mark.parametrize(
    "way", [SEND_MESSAGES, ATTACH_FILES, 0], ids=["may not send", "may not attach", "channel deleted"]
)
async def test_a_channel_that_closes_before_the_post_costs_nothing_and_the_asker_is_told(
    house: World, way: int
) -> None:
    house.fal.faults.set("slow_run", seconds=0.4)
    async with house.bot():
        job = await house.imagine()
        await house.discord.answer(job)
        if way:
            await house.discord.set_permissions(house.channel, deny=way)
        else:
            await house.discord.fail(POST, 404, {"message": "Unknown Channel", "code": 10003}, times=None)
        assert "may not post" in await house.whisper(job)
        assert await house.ended(job) == "failed"
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)
    assert moved(house, job) == GIVEN_BACK
    assert house.job(job)["charged_micros"] > 0  # the operator's money is gone all the same


async def test_where_easel_may_not_post_it_says_so_before_anything_is_spent(house: World) -> None:
    await house.discord.set_permissions(house.channel, deny=ATTACH_FILES)
    async with house.bot():
        assert "Attach Files" in await house.said(await house.imagine())
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)
    assert house.fal.submits == 0


async def test_a_job_that_outlives_its_interaction_still_arrives_or_says_why_not(house: World) -> None:
    house.fal.faults.set("slow_run", seconds=0.4)
    async with house.bot():
        job, bad = await house.imagine(), await house.imagine("forbidden things")
        await asyncio.gather(house.discord.answer(job), house.discord.answer(bad))
        await house.discord.expire_tokens()
        await house.picture(job)
        told = await house.discord.wait_for_message(
            house.channel, lambda message: "will not paint this prompt" in message["content"]
        )
        assert told["content"].startswith(f"<@{house.member}> ")
        assert told["content"].endswith("Nothing was charged.")
        assert told["sandbox"]["pinged"]["users"] == [house.member]
        await house.card_gone(job)
        await house.card_gone(bad)


async def test_a_job_whose_fifteen_minutes_are_over_by_the_clock_says_publicly_why_it_failed(
    house: World,
) -> None:
    clock = Clock(discord_now=lambda: real_time() + 16 * 60 * 1000)
    async with house.bot(clock=clock):
        bad = await house.imagine("forbidden things")
        await house.discord.wait_for_message(
            house.channel, lambda message: "will not paint this prompt" in message["content"]
        )
        assert (await house.discord.interaction(bad))["followups"] == []
