"""Many at once, the same twice, lost responses, closed channels: one picture, one charge, no false message."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from PIL import Image

from bot.domain.clock import Clock, real_time
from bot.sandbox.discord.server import Upload
from bot.sandbox.kit.files import StoredFile
from tests.support.picture_files import encoded, noise
from tests.support.raw_server import Connection, serving
from tests.support.waiting import wait_until
from tests.support.world.discord_members import (
    ATTACH_FILES,
    INTERACTION_CALLBACK,
    POST_MESSAGE,
    SEND_MESSAGES,
    Quota,
)
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import FAST_RETRIES, World

# Many at once


async def test_64_requests_at_once_with_5_left_are_5_pictures_and_59_private_refusals(world: World) -> None:
    async with world.bot(DEFAULT_QUOTA="5/day"):
        spec = {
            "kind": "slash",
            "channel": world.channel,
            "command": "imagine",
            "options": {"prompt": "{i} boats", "quality": "low"},
        }
        report = await world.discord.burst(spec, 64, members=[world.member], until="ack", within=20)
        assert report["ack"]["missing"] == 0
        assert Counter(record["ephemeral"] for record in report["records"]) == {False: 5, True: 59}
        refused = [record["interaction"] for record in report["records"] if record["ephemeral"]]
        assert "have 0 left" in await world.refusal(refused[-1])
        for record in report["records"]:
            if not record["ephemeral"]:
                await world.result_message(record["interaction"])
                await world.wait_finished(record["interaction"])
        assert await world.quota() == Quota(left=0, spent=5, reserved=0)
        assert world.fal.submits == len(await world.result_messages()) == 5


async def test_dripping_results_of_one_member_hold_up_no_picture_of_another(world: World) -> None:
    async def drip(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                await connection.send(b"\0")
                await asyncio.sleep(0.1)

    other = await world.discord.create_member(world.guild, "yuki")
    async with serving(drip) as dripping, world.bot(FAL_MEDIA_HOSTS="127.0.0.1:*"):
        world.fal.faults.set("foreign_picture", times=6, url=dripping.url() + "/a.png")
        jobs = [await world.imagine() for _ in range(6)]
        await wait_until(lambda: world.fal.faults.struck.get("foreign_picture") == 6)
        await dripping.until(lambda server: bool(server.heads))
        await world.result_message(await world.imagine(member=other), within=4)
        assert {world.job(job)["state"] for job in jobs} == {"running"}


async def test_huge_pictures_of_one_member_hold_up_no_picture_of_another(world: World) -> None:
    huge = Upload("huge.gif", encoded(Image.new("P", (7000, 7000)), "GIF"))
    other = await world.discord.create_member(world.guild, "yuki")
    async with world.bot(DEFAULT_QUOTA="50/day"):
        for _ in range(16):
            await world.edit(image=huge)
        await wait_until(lambda: world.rows("SELECT id FROM jobs WHERE state = 'running'"), within=20)
        await world.result_message(await world.imagine(member=other), within=12)
        assert len(world.rows("SELECT id FROM jobs WHERE state = 'done'")) < 16


async def test_stalled_uploads_of_one_member_hold_up_no_edit_of_another(world: World) -> None:
    await world.discord.delay("GET /ephemeral-attachments", 60, times=5)
    other = await world.discord.create_member(world.guild, "yuki")
    async with world.bot():
        stalled = [await world.edit() for _ in range(5)]
        for job in stalled:
            await world.card(job)
        await wait_until(lambda: world.discord.traffic.requests["GET /ephemeral-attachments"])
        await world.discord.clear_faults()
        await world.result_message(await world.edit(member=other))
        assert {world.job(job)["state"] for job in stalled} == {"waiting"}


async def test_30_members_in_several_channels_at_once_each_get_their_picture(world: World) -> None:
    channels = [world.channel] + [await world.discord.create_channel(world.guild, f"c{n}") for n in range(2)]
    members = [await world.discord.create_member(world.guild, f"m{n}") for n in range(30)]
    async with world.bot():
        requests = {
            await world.imagine(f"boat {number}", member=member, channel=channels[number % 3]): (
                member,
                channels[number % 3],
            )
            for number, member in enumerate(members)
        }
        for job, (member, channel) in requests.items():
            message = await world.result_message(job, channel=channel, within=30)
            assert message["sandbox"]["pinged"] == {"users": [member], "roles": [], "everyone": False}
        await asyncio.gather(*(world.wait_finished(job) for job in requests))
    assert sum([len(await world.result_messages(channel)) for channel in channels]) == 30


async def test_an_interaction_that_discord_delivers_twice_is_one_picture_and_no_error(world: World) -> None:
    async with world.bot():
        job = await world.imagine()
        await world.discord.redeliver(job)
        await world.assert_one_picture(job)
        await world.discord.redeliver(job)
        refused = await world.imagine("   ")
        await world.discord.redeliver(refused)
        await world.refusal(refused)
        assert await world.quota() == Quota(left=9, spent=1, reserved=0)
    for interaction in (job, refused):
        assert (await world.discord.interaction(interaction))["followups"] == []


# Responses that are lost, refused or late


async def test_a_lost_response_to_the_post_leaves_one_picture(world: World) -> None:
    async with world.bot():
        await world.discord.lose_answer(POST_MESSAGE)
        await world.assert_one_picture(await world.imagine())
        assert (await world.discord.report())["requests"][POST_MESSAGE] == 1


async def test_posts_that_fail_are_repeated_until_one_succeeds(world: World) -> None:
    async with world.bot():
        await world.discord.fail(POST_MESSAGE, 503, times=2)
        await world.assert_one_picture(await world.imagine())


async def test_a_rate_limited_post_is_repeated_after_its_wait(world: World) -> None:
    async with world.bot():
        await world.discord.fail(POST_MESSAGE, 429, retry_after=0.4)
        await world.assert_one_picture(await world.imagine())
        assert (await world.discord.report())["requests"][POST_MESSAGE] == 2


async def test_a_connection_that_breaks_before_the_post_is_retried(world: World) -> None:
    async with world.bot():
        await world.discord.lose_answer(POST_MESSAGE, times=2, worked=False)
        await world.assert_one_picture(await world.imagine())


async def test_discord_unreachable_for_longer_than_the_post_timeout_only_delays_the_picture(world: World) -> None:
    async with world.bot(retry_policy=replace(FAST_RETRIES, post=0.7)):
        await world.discord.fail(POST_MESSAGE, 503, times=4)
        await world.assert_one_picture(await world.imagine())


async def test_a_post_that_succeeds_after_its_timeout_is_found_and_not_repeated(world: World) -> None:
    async with world.bot(retry_policy=replace(FAST_RETRIES, post=0.7)):
        await world.discord.delay(POST_MESSAGE, 1.5, worked=True)
        job = await world.imagine()
        await world.result_message(job)
        await world.discord.forget_nonces()
        await world.assert_one_picture(job)


async def test_a_picture_that_is_too_large_for_the_channel_is_made_to_fit(world: World) -> None:
    world.fal.picture_bytes = 3_000_000
    small = await world.discord.create_channel(world.guild, "small", file_limit=400_000)
    async with world.bot():
        known = await world.imagine(channel=small)
        message = await world.result_message(known, channel=small)
        assert message["attachments"][0]["size"] <= 400_000
        [original] = re.findall(
            r"\nMade smaller to fit this channel: \[original\]\(<(.+)>\)\n", message["content"]
        )
        assert original.startswith(world.fal.url)
        await world.discord.fail(POST_MESSAGE, 413, {"message": "Request entity too large", "code": 40005})
        job = await world.imagine()
        message = await world.assert_one_picture(job)
        assert message["attachments"][0]["size"] <= 1_500_000
        assert message["attachments"][0]["filename"].endswith((".jpeg", ".webp"))
        assert "\nMade smaller to fit this channel: [original](<" in message["content"]
        world.fal.picture_bytes = 0
        assert "smaller" not in (await world.paint())["content"]


async def test_a_signed_link_to_the_original_is_not_shown(world: World) -> None:
    path = world.fal.files.new_path("large.png")
    large = encoded(noise((512, 512)), "PNG")
    world.fal.files.put(path, StoredFile(large, "image/png", "large.png"))
    world.fal.faults.set("foreign_picture", url=f"{world.fal.url}{path}?X-Amz-Signature=0123456789")
    small = await world.discord.create_channel(world.guild, "small", file_limit=100_000)
    async with world.bot():
        message = await world.result_message(await world.imagine(channel=small), channel=small)
    assert "\nMade smaller to fit this channel.\n" in message["content"]
    assert "Signature" not in message["content"]


async def test_a_deleted_card_does_not_stop_the_picture(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=0.5)
    async with world.bot():
        job = await world.imagine()
        await world.discord.delete_message(int((await world.card(job))["id"]))
        await world.assert_one_picture(job)


async def test_a_first_response_without_confirmation_sends_no_failure_and_its_card_is_deleted(
    world: World,
) -> None:
    async with world.bot():
        await world.discord.lose_answer(INTERACTION_CALLBACK)
        job = await world.imagine()
        await world.assert_one_picture(job)
        assert (await world.discord.interaction(job))["followups"] == []


async def test_a_refused_first_response_does_not_stop_the_picture(world: World) -> None:
    async with world.bot():
        await world.discord.fail(INTERACTION_CALLBACK, 404, {"message": "Unknown interaction", "code": 10062})
        job = await world.imagine()
        await world.result_message(job)
        assert await world.wait_finished(job) == "done"
        world.fal.forbidden = ("weapon",)
        await world.discord.fail(INTERACTION_CALLBACK, 404, {"message": "Unknown interaction", "code": 10062})
        await world.imagine("a weapon")
        notice = await world.discord.wait_for_message(
            world.channel, lambda message: "will not paint this prompt" in message["content"]
        )
        assert notice["sandbox"]["pinged"]["users"] == [world.member]


async def test_a_card_that_appears_after_the_picture_is_still_deleted(world: World) -> None:
    async with world.bot():
        await world.discord.delay(INTERACTION_CALLBACK, 0.9, worked=True)
        job = await world.imagine()
        await world.result_message(job)
        await world.wait_card_deleted(job)
        assert await world.wait_finished(job) == "done"


async def test_a_gateway_that_breaks_and_resumes_loses_nothing(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=0.4)
    async with world.bot():
        first = await world.imagine()
        await world.discord.answer(first)
        await world.discord.disconnect_gateway(4000)
        second = await world.imagine("while the gateway is away")
        await world.result_message(first)
        await world.result_message(second)
        await asyncio.gather(world.wait_finished(first), world.wait_finished(second))
        assert (await world.discord.report())["resumes"] == 1
    assert len(await world.result_messages()) == 2


# Channels that close


@pytest.mark.parametrize(
    "denied", [SEND_MESSAGES, ATTACH_FILES, 0], ids=["may not send", "may not attach", "channel deleted"]
)
async def test_a_channel_that_closes_before_the_post_costs_nothing_and_the_member_is_told(
    world: World, denied: int
) -> None:
    world.fal.faults.set("slow_run", seconds=0.4)
    async with world.bot():
        job = await world.imagine()
        await world.discord.answer(job)
        if denied:
            await world.discord.set_permissions(world.channel, deny=denied)
        else:
            await world.discord.fail(POST_MESSAGE, 404, {"message": "Unknown Channel", "code": 10003}, times=None)
        assert "may not post" in await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert world.ledger_images(job) == RELEASED
    assert world.job(job)["charged_micros"] > 0  # the operator pays all the same


async def test_where_easel_may_not_post_it_says_so_before_anything_is_spent(world: World) -> None:
    await world.discord.set_permissions(world.channel, deny=ATTACH_FILES)
    async with world.bot():
        assert "Attach Files" in await world.private_reply(await world.imagine())
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert world.fal.submits == 0


async def test_a_job_that_outlives_its_interaction_still_arrives_or_says_why_not(world: World) -> None:
    world.fal.faults.set("slow_run", seconds=0.4)
    async with world.bot():
        job, bad = await world.imagine(), await world.imagine("forbidden things")
        await asyncio.gather(world.discord.answer(job), world.discord.answer(bad))
        await world.discord.expire_tokens()
        await world.result_message(job)
        notice = await world.discord.wait_for_message(
            world.channel, lambda message: "will not paint this prompt" in message["content"]
        )
        assert notice["content"].startswith(f"<@{world.member}> ")
        assert notice["content"].endswith("Nothing was charged.")
        assert notice["sandbox"]["pinged"]["users"] == [world.member]
        await world.wait_card_deleted(job)
        await world.wait_card_deleted(bad)


async def test_a_job_past_its_interactions_fifteen_minutes_says_publicly_why_it_failed(
    world: World,
) -> None:
    clock = Clock(discord_now=lambda: real_time() + 16 * 60 * 1000)
    async with world.bot(clock=clock):
        bad = await world.imagine("forbidden things")
        await world.discord.wait_for_message(
            world.channel, lambda message: "will not paint this prompt" in message["content"]
        )
        assert (await world.discord.interaction(bad))["followups"] == []
