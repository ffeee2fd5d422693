"""Cancelling, deleting, forms and moderating: permissions, moments and effects."""

from __future__ import annotations

import asyncio
import itertools

import discord
import pytest

from tests.support.world.discord_members import MANAGE_MESSAGES, POST_MESSAGE, Message, Quota
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import World

# Cancelling and deleting


async def test_a_waiting_request_is_cancelled_at_once(world: World) -> None:
    world.fal.faults.set("slow_queue", seconds=1.0, times=1)
    async with world.bot(JOBS_AT_ONCE="1"):
        first = await world.imagine()
        await world.wait_accepted(first)
        second = await world.imagine("another")
        interactions = await world.press(await world.card(second), "cancel")
        assert await world.private_reply(interactions) == "Cancelled. Nothing was charged."
        await world.wait_card_deleted(second)
        await world.result_message(first)
    assert (world.job(second)["state"], world.ledger_images(second)) == ("cancelled", RELEASED)
    assert world.fal.submits == 1


@pytest.mark.parametrize("fault", ["slow_queue", "slow_run"])
async def test_a_request_at_the_provider_is_cancelled_there_also_when_cancel_is_pressed_twice(
    world: World, fault: str
) -> None:
    world.fal.faults.set(fault, seconds=20)
    async with world.bot():
        job = await world.imagine()
        await world.wait_accepted(job)
        card = await world.card(job)
        interactions = await asyncio.gather(world.press(card, "cancel"), world.press(card, "cancel"))
        for interaction in interactions:
            assert (await world.private_reply(interaction)).startswith(
                ("Easel asked the service to stop.", "This request has")
            )
        assert await world.wait_finished(job) == "cancelled"
        await world.wait_card_deleted(job)
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert world.ledger_images(job) == RELEASED
    assert await world.result_messages() == []


async def test_a_cancel_while_the_picture_is_posted_is_too_late(world: World) -> None:
    async with world.bot():
        await world.discord.delay(POST_MESSAGE, 0.6)
        job = await world.imagine()
        await world.wait_state(job, "delivering")
        interactions = await world.press(await world.card(job), "cancel")
        assert await world.private_reply(interactions) == "Too late to cancel: the picture is on its way."
        await world.assert_one_picture(job)


async def test_only_the_requester_and_moderators_may_cancel_or_delete(world: World) -> None:
    other = await world.discord.create_member(world.guild, "other")
    role = await world.discord.create_role(world.guild, "moderators", permissions=MANAGE_MESSAGES)
    moderator = await world.discord.create_member(world.guild, "moderator", roles=[role])
    async with world.bot():
        world.fal.faults.set("slow_queue", seconds=20, times=1)
        waiting = await world.imagine()
        await world.wait_accepted(waiting)
        card = await world.card(waiting)
        assert "moderator, can cancel" in await world.private_reply(
            await world.press(card, "cancel", member=other)
        )
        await world.private_reply(await world.press(card, "cancel", member=moderator))
        assert await world.wait_finished(waiting) == "cancelled"

        first, second = (
            await world.result_message(await world.imagine()),
            await world.result_message(await world.imagine()),
        )
        assert "moderator, can delete" in await world.private_reply(
            await world.press(first, "delete", member=other)
        )
        assert len(await world.result_messages()) == 2
        await world.press(first, "delete", member=moderator)
        await world.press(second, "delete")
        await world.discord.wait_for_messages(world.channel, lambda seen: not any(m["attachments"] for m in seen))


async def test_deleting_a_picture_that_is_already_deleted_is_no_error(world: World) -> None:
    async with world.bot():
        message = await world.result_message(await world.imagine())
        await world.discord.lose_answer("DELETE /channels/{channel}/messages/{message}", worked=True)
        interactions = [await world.press(message, "delete"), await world.press(message, "delete")]
        await world.discord.wait_for_messages(world.channel, lambda seen: not any(m["attachments"] for m in seen))
        await world.quota()  # the bot has handled both clicks
    for interaction in interactions:
        for follow_up in (await world.discord.interaction(interaction))["followups"]:
            assert "our side" not in follow_up["content"]


async def test_buttons_work_after_a_restart(world: World) -> None:
    world.fal.faults.set("slow_queue", seconds=20, times=1)
    async with world.bot():
        waiting = await world.imagine()
        await world.wait_accepted(waiting)
        done = await world.imagine()
        message = await world.result_message(done)
        await world.wait_finished(done)
    async with world.bot():
        await world.private_reply(await world.press(await world.card(waiting), "cancel"))
        assert await world.wait_finished(waiting) == "cancelled"
        form = await world.discord.answer(await world.press(message, "edit"))
        assert form["data"]["title"] == "Edit this picture"
        await world.press(message, "delete")
        await world.discord.wait_for_messages(world.channel, lambda seen: not any(m["attachments"] for m in seen))


# Forms


async def open_form(world: World, picture: Message, member: int = 0) -> str:
    """The custom id of the form behind a picture's Edit button."""
    answer = await world.discord.answer(await world.press(picture, "edit", member=member))
    return str(answer["data"]["custom_id"])


async def submit_form(world: World, form: str, member: int = 0, **values: object) -> int:
    """Submit a form; the interaction's id."""
    given = {"prompt": "a hat", **values}
    return await world.discord.submit_modal(member or world.member, world.channel, form, given)


async def test_a_form_is_one_edit_of_its_member_in_whichever_process_it_is_submitted(world: World) -> None:
    other = await world.discord.create_member(world.guild, "other")
    async with world.bot():
        picture = await world.paint()
        form = await open_form(world, picture)
    async with world.bot(), world.bot():
        submitted = await asyncio.gather(
            *(submit_form(world, form, member) for member in (world.member, other, world.member, other))
        )
        job = int(form.rpartition(":")[2])
        assert await world.wait_finished(job) == "done"
        answers = [str((await world.discord.answer(each))["data"]["content"]) for each in submitted]
        assert sorted(answer.partition(".")[0] for answer in answers if "**Editing:**" not in answer) == [
            "Somebody else opened this form",
            "Somebody else opened this form",
            "This form was submitted before",
        ]
        assert await world.quota() == Quota(left=8, spent=2, reserved=0)
        assert len(await world.result_messages()) == 2
    assert world.fal.submits == 2


async def test_a_forged_form_or_button_is_refused_in_one_sentence_and_takes_nobodys_job(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    mallory = await world.discord.create_member(world.guild, "mallory")
    async with world.bot():
        picture = await world.paint()
        mine, theirs = await open_form(world, picture), await open_form(world, picture, mallory)
        job = await world.imagine()
        for forged in (mine, f"easel:form:{job}", "easel:form:1", f"easel:form:{'9' * 20}", "easel:form:x", "x"):
            assert "\n" not in await world.refusal(await submit_form(world, forged, mallory))
        assert "no such picture" in await world.refusal(await submit_form(world, theirs, mallory, which=["9"]))
        for verb, number in itertools.product(("edit", "cancel", "delete"), ("9" * 20, 2**63, "1" * 90)):
            pressed = await world.discord.click(
                mallory, int(picture["id"]), f"easel:{verb}:{number}"[:100], force=True
            )
            assert "older Easel" in await world.refusal(pressed)
        await submit_form(world, mine)
        assert await world.wait_finished(job) == await world.wait_finished(int(mine.rpartition(":")[2])) == "done"
        assert await world.quota(mallory) == Quota(left=10, spent=0, reserved=0)
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []
    assert world.fal.submits == 3


async def test_a_button_of_another_version_is_answered_politely(world: World) -> None:
    async with world.bot():
        picture = await world.paint()
        pressed = await world.discord.click(world.member, int(picture["id"]), "easel:paint:1", force=True)
        assert "older Easel" in await world.refusal(pressed)
    assert world.fal.submits == 1


NOT_HERE = "You may not write here at the moment, so Easel does not post here for you either."


@pytest.mark.parametrize("way", ["denied", "timed out", "denied in threads"])
async def test_who_may_not_write_in_a_channel_has_nothing_posted_there_by_easel(world: World, way: str) -> None:
    muted = await world.discord.create_member(world.guild, "muted")
    channel = world.channel
    async with world.bot():
        if way == "denied in threads":
            world.channel = await world.discord.create_thread(channel)
        picture = await world.paint()
        form = await open_form(world, picture, muted)
        if way == "timed out":
            await world.discord.time_out(world.guild, muted)
        else:
            deny = discord.Permissions(send_messages=way == "denied", send_messages_in_threads=way != "denied")
            await world.discord.set_permissions(channel, target=muted, deny=deny.value)
        mention = f"<@{world.discord.bot_id}> a hat"
        for refused in (
            await world.press(picture, "edit", member=muted),
            await world.discord.message_command(muted, "Edit image", int(picture["id"])),
            await submit_form(world, form, muted),
            await world.imagine(member=muted),
        ):
            assert await world.private_reply(refused) == NOT_HERE
        first = await world.discord.post_message(muted, world.channel, mention, reply_to=int(picture["id"]))
        await world.reply_to(await world.discord.post_message(world.member, world.channel, mention))
        answers = await world.discord.messages(world.channel, after=first)
        assert [seen["author"]["bot"] for seen in answers] == [False, True]  # an answer to the second alone
        assert await world.quota(muted) == Quota(left=10, spent=0, reserved=0)
    assert world.fal.submits == 1


# Moderation


async def test_members_without_manage_server_are_refused_in_code(world: World) -> None:
    async with world.bot():
        for command, options in (
            ("moderate limit", {"images": 100, "per": "day"}),
            ("moderate clear", {}),
            ("moderate limits", {}),
            ("moderate grant", {"member": world.member, "images": 50, "reason": "me"}),
        ):
            interaction = await world.discord.slash(world.member, world.channel, command, options)
            assert "Manage Server" in await world.private_reply(interaction)
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)


async def test_limits_and_grants_show_in_the_quota_of_the_member_they_are_for(world: World) -> None:
    boss = await world.create_moderator()

    async def moderate(command: str, **options: object) -> str:
        return await world.private_reply(
            await world.discord.slash(boss, world.channel, f"moderate {command}", options)
        )

    async with world.bot():
        default = "10 pictures per day for everyone, Easel's default"
        reply = await moderate("limit", images=3, per="week", member=world.member)
        assert reply == f"The limit is now 3 pictures per week for <@{world.member}>. Before: {default}."
        assert await world.quota() == Quota(left=3, spent=0, reserved=0)
        assert await world.quota(boss) == Quota(left=10, spent=0, reserved=0)
        assert "for everyone. Before: 10 pictures per day" in await moderate("limit", images=1, per="day")
        assert await world.quota(boss) == Quota(left=1, spent=0, reserved=0)
        assert "was given 2 pictures and now has 3 of 3 left this week and 2 granted." in await moderate(
            "grant", member=world.member, images=2, reason="a contest"
        )
        for _ in range(4):
            await world.paint()
        assert await world.quota() == Quota(left=1, spent=3, reserved=0)
        reply = await moderate("limits")
        assert f"3 pictures per week for <@{world.member}>, set by <@{boss}>" in reply
        reply = await moderate("grant", member=world.member, images=-5, reason="enough")
        assert "1 granted picture taken back. " in reply
        assert "Removed: 3 pictures per week" in await moderate("clear", member=world.member)
        assert "no such limit" in await moderate("clear", member=world.member)
        assert (await world.quota()).left == 0  # everyone's limit of one a day holds now
        assert await moderate("clear") == f"Removed: 1 picture per day for everyone. The limit is now {default}."


async def test_a_limit_of_0_means_nothing_at_all_until_a_moderator_lifts_it(world: World) -> None:
    muted = await world.discord.create_role(world.guild, "muted")
    artists = await world.discord.create_role(world.guild, "artists")
    member = await world.discord.create_member(world.guild, "member", roles=[artists, muted])
    boss = await world.create_moderator()
    none = Quota(left=0, spent=0, reserved=0)

    async def moderate(command: str, **options: object) -> str:
        return await world.private_reply(
            await world.discord.slash(boss, world.channel, f"moderate {command}", options)
        )

    async with world.bot():
        await moderate("limit", images=20, per="day", role=artists)
        reply = await moderate("limit", images=0, per="day", role=muted)
        assert reply.startswith(f"Painting is now off for <@&{muted}>, also for granted pictures.")
        reply = await moderate("grant", member=member, images=3, reason="a contest")
        assert f"was given 3 pictures, but painting is switched off for <@&{muted}>. `/moderate clear`" in reply
        refusal = await world.refusal(await world.imagine(member=member))
        assert refusal.startswith(f"Painting is switched off here for <@&{muted}>. A moderator can")
        assert await world.quota(member) == none
        await moderate("clear", role=muted)
        assert (await world.quota(member)).left == 23
        await moderate("limit", images=0, per="week", member=member)
        assert f"switched off here for <@{member}>" in await world.refusal(await world.imagine(member=member))
        assert await world.quota(member) == none
        await moderate("limit", images=1, per="week", member=member)
        await world.result_message(await world.imagine(member=member))
    assert world.fal.submits == 1
