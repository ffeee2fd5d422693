"""Cancelling, deleting and moderating: what came of it, who may, and in which moment."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.world.world import MANAGE_GUILD, MANAGE_MESSAGES, POST, Quota, World, assert_one_picture, moved

GIVEN_BACK = {"reserve": 1, "refund": 1}

# Cancelling and deleting


async def test_a_waiting_request_is_cancelled_at_once(house: World) -> None:
    house.fal.faults.set("slow_queue", seconds=1.0, times=1)
    async with house.bot(JOBS_AT_ONCE="1"):
        first = await house.imagine()
        await house.accepted(first)
        second = await house.imagine("another")
        pressed = await house.press(await house.card(second), "cancel")
        assert await house.said(pressed) == "Cancelled. Nothing was charged."
        await house.card_gone(second)
        await house.picture(first)
    assert (house.job(second)["state"], moved(house, second)) == ("cancelled", GIVEN_BACK)
    assert house.fal.submits == 1


@pytest.mark.parametrize("fault", ["slow_queue", "slow_run"])
async def test_a_request_at_the_service_is_cancelled_there_also_when_it_is_pressed_twice(
    house: World, fault: str
) -> None:
    house.fal.faults.set(fault, seconds=20)
    async with house.bot():
        job = await house.imagine()
        await house.accepted(job)
        card = await house.card(job)
        pressed = await asyncio.gather(house.press(card, "cancel"), house.press(card, "cancel"))
        for one in pressed:
            assert (await house.said(one)).startswith(("Easel asked the service to stop.", "This request has"))
        assert await house.ended(job) == "cancelled"
        await house.card_gone(job)
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)
    assert moved(house, job) == GIVEN_BACK
    assert await house.pictures() == []


async def test_a_cancel_while_the_picture_is_posted_is_too_late(house: World) -> None:
    async with house.bot():
        await house.discord.delay(POST, 0.6)
        job = await house.imagine()
        await house.stands(job, "delivering")
        pressed = await house.press(await house.card(job), "cancel")
        assert await house.said(pressed) == "Too late to cancel: the picture is on its way."
        await assert_one_picture(house, job)


async def test_only_the_asker_and_moderators_may_cancel_or_delete(house: World) -> None:
    stranger = await house.discord.create_member(house.guild, "stranger")
    role = await house.discord.create_role(house.guild, "moderators", permissions=MANAGE_MESSAGES)
    moderator = await house.discord.create_member(house.guild, "moderator", roles=[role])
    async with house.bot():
        house.fal.faults.set("slow_queue", seconds=20, times=1)
        waiting = await house.imagine()
        await house.accepted(waiting)
        card = await house.card(waiting)
        assert "moderator, can cancel" in await house.said(await house.press(card, "cancel", member=stranger))
        await house.said(await house.press(card, "cancel", member=moderator))
        assert await house.ended(waiting) == "cancelled"

        first, second = await house.picture(await house.imagine()), await house.picture(await house.imagine())
        assert "moderator, can delete" in await house.said(await house.press(first, "delete", member=stranger))
        assert len(await house.pictures()) == 2
        await house.press(first, "delete", member=moderator)
        await house.press(second, "delete")
        await house.discord.wait_for_messages(house.channel, lambda seen: not any(m["attachments"] for m in seen))


async def test_a_picture_that_is_gone_already_is_no_error_to_whoever_deletes_it(house: World) -> None:
    async with house.bot():
        message = await house.picture(await house.imagine())
        await house.discord.lose_answer("DELETE /channels/{channel}/messages/{message}", worked=True)
        pressed = [await house.press(message, "delete"), await house.press(message, "delete")]
        await house.discord.wait_for_messages(house.channel, lambda seen: not any(m["attachments"] for m in seen))
        await house.quota()  # the bot is alive and has seen both
    for one in pressed:
        for follow_up in (await house.discord.interaction(one))["followups"]:
            assert "our side" not in follow_up["content"]


async def test_buttons_work_after_a_restart(house: World) -> None:
    house.fal.faults.set("slow_queue", seconds=20, times=1)
    async with house.bot():
        waiting = await house.imagine()
        await house.accepted(waiting)
        done = await house.imagine()
        message = await house.picture(done)
        await house.ended(done)
    async with house.bot():
        await house.said(await house.press(await house.card(waiting), "cancel"))
        assert await house.ended(waiting) == "cancelled"
        form = await house.discord.answer(await house.press(message, "edit"))
        assert form["data"]["title"] == "Edit this picture"
        await house.press(message, "delete")
        await house.discord.wait_for_messages(house.channel, lambda seen: not any(m["attachments"] for m in seen))


# Moderation


async def test_members_without_manage_server_are_refused_in_code(house: World) -> None:
    async with house.bot():
        for command, options in (
            ("moderate limit", {"images": 100, "per": "day"}),
            ("moderate clear", {}),
            ("moderate limits", {}),
            ("moderate grant", {"member": house.member, "images": 50, "reason": "me"}),
        ):
            asked = await house.discord.slash(house.member, house.channel, command, options)
            assert "Manage Server" in await house.said(asked)
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)


async def test_limits_and_grants_show_in_the_quota_of_whom_they_are_for(house: World) -> None:
    role = await house.discord.create_role(house.guild, "moderators", permissions=MANAGE_GUILD)
    boss = await house.discord.create_member(house.guild, "boss", roles=[role])

    async def moderate(command: str, **options: object) -> str:
        return await house.said(await house.discord.slash(boss, house.channel, f"moderate {command}", options))

    async with house.bot():
        said = await moderate("limit", images=3, per="week", member=house.member)
        assert said == f"The limit is now 3 pictures per week for <@{house.member}>. Before: none of their own."
        assert await house.quota() == Quota(left=3, spent=0, reserved=0)
        assert await house.quota(boss) == Quota(left=10, spent=0, reserved=0)
        assert "for everyone. Before: 10 pictures per day" in await moderate("limit", images=1, per="day")
        assert await house.quota(boss) == Quota(left=1, spent=0, reserved=0)
        assert "was given 2 pictures and now has 3 of 3 left this week and 2 granted." in await moderate(
            "grant", member=house.member, images=2, reason="a contest"
        )
        for _ in range(4):
            await house.painted()
        assert await house.quota() == Quota(left=1, spent=3, reserved=0)
        said = await moderate("limits")
        assert f"3 pictures per week for <@{house.member}>, set by <@{boss}>" in said
        said = await moderate("grant", member=house.member, images=-5, reason="enough")
        assert "1 granted picture taken back. " in said
        assert "Removed: 3 pictures per week" in await moderate("clear", member=house.member)
        assert "no such limit" in await moderate("clear", member=house.member)
        assert (await house.quota()).left == 0  # everyone's one a day holds now
        assert (
            await moderate("clear") == "Removed: 1 picture per day for everyone. The next wider limit holds now."
        )
