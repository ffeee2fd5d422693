"""Limits and grants: what moderators set, and what members may paint then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import simcord

from bot.demo.stage import Stage
from tests.support.demo.simcord_stage import imagine, open_test_stage, private_reply, quota


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_test_stage(tmp_path) as opened:
        yield opened


async def moderate(stage: Stage, verb: str, **options: object) -> str:
    """Have Mika type a command of `/moderate`; returns the reply that she alone sees."""
    return private_reply(await stage.mika.slash(stage.channel, f"moderate {verb}", **options))


async def test_a_members_limit_beats_a_roles_beats_everyones(stage: Stage) -> None:
    assert (await quota(stage, stage.nora)).limit == "10 pictures per day for everyone"
    reply = await moderate(stage, "limit", images=5, per="week")
    default = "10 pictures per day for everyone, Easel's default"
    assert reply == f"The limit is now 5 pictures per week for everyone. Before: {default}."
    assert (await quota(stage, stage.nora)).limit == "5 pictures per week for everyone"
    await moderate(stage, "limit", images=20, per="day", role=stage.members)
    painter = await quota(stage, stage.nora)
    assert (painter.left, painter.limit) == (20, f"20 pictures per day for <@&{stage.members.id}>")
    assert (await quota(stage, stage.theo)).left == 5
    reply = await moderate(stage, "limit", images=2, per="month", member=stage.nora)
    assert reply.endswith(f"{stage.nora.mention}. Before: 20 pictures per day for <@&{stage.members.id}>.")
    own = await quota(stage, stage.nora)
    assert (own.left, own.limit) == (2, f"2 pictures per month for {stage.nora.mention}")
    everything = await moderate(stage, "limits")
    assert everything.count(f"set by {stage.mika.mention}") == 3
    first, second, third = (line for line in everything.splitlines() if line.startswith("- "))
    assert stage.nora.mention in first
    assert f"<@&{stage.members.id}>" in second
    assert "for everyone" in third


async def test_clearing_lets_the_next_wider_limit_hold(stage: Stage) -> None:
    await moderate(stage, "limit", images=20, per="day", role=stage.members)
    await moderate(stage, "limit", images=2, per="day", member=stage.nora)
    reply = await moderate(stage, "clear", member=stage.nora)
    of_role = f"20 pictures per day for <@&{stage.members.id}>"
    assert reply == f"Removed: 2 pictures per day for {stage.nora.mention}. The limit is now {of_role}."
    assert (await quota(stage, stage.nora)).left == 20
    reply = await moderate(stage, "clear", member=stage.nora)
    assert reply == f"There was no such limit. It is still {of_role}. `/moderate limits` shows all."
    default = "10 pictures per day for everyone, Easel's default"
    assert await moderate(stage, "clear", role=stage.members) == f"Removed: {of_role}. The limit is now {default}."
    assert (await quota(stage, stage.nora)).left == 10
    reply = await moderate(stage, "clear")
    assert reply == f"There was no such limit. It is still {default}. `/moderate limits` shows all."
    assert default in await moderate(stage, "limits")


async def test_clearing_names_a_limit_of_0_that_holds_then(stage: Stage) -> None:
    reply = await moderate(stage, "limit", images=0, per="day")
    assert "off for everyone, also for granted pictures. Limits of members and roles still hold. Before:" in reply
    await moderate(stage, "limit", images=2, per="day", member=stage.theo)
    await imagine(stage, stage.theo)
    reply = await moderate(stage, "clear", member=stage.theo)
    assert reply == f"Removed: 2 pictures per day for {stage.theo.mention}. Painting is now off for everyone."
    reply = await moderate(stage, "clear")
    assert reply.startswith("Removed: the limit of 0 for everyone. The limit is now 10 pictures per day")


async def test_a_limit_counts_pictures_that_were_painted_before_it(stage: Stage) -> None:
    await imagine(stage, stage.nora, count=3)
    await moderate(stage, "limit", images=4, per="week")
    shown = await quota(stage, stage.nora)
    assert (shown.left, shown.spent) == (1, 3)
    assert (await stage.nora.slash(stage.channel, "imagine", prompt="a boat", count=2)).ephemeral


async def test_the_refusal_names_the_rule_and_when_it_starts_anew(stage: Stage) -> None:
    await moderate(stage, "limit", images=1, per="month", member=stage.nora)
    await imagine(stage, stage.nora)
    reply = private_reply(await stage.nora.slash(stage.channel, "imagine", prompt="a boat"))
    first_of_february = 1769904000
    assert reply == (
        f"You asked for 1 picture and have 0 left. The limit is 1 picture per month for {stage.nora.mention}. "
        f"You get more <t:{first_of_february}:R>, or ask a moderator. Nothing was charged."
    )


async def test_zero_stops_a_member(stage: Stage) -> None:
    await moderate(stage, "limit", images=0, per="day", member=stage.nora)
    assert (await stage.nora.slash(stage.channel, "imagine", prompt="a boat")).ephemeral
    assert stage.fal.submits == 0
    assert (await quota(stage, stage.nora)).starts_anew == ""
    await imagine(stage, stage.theo)


async def test_granted_pictures_come_after_the_limits_own_and_can_be_taken_back(stage: Stage) -> None:
    await moderate(stage, "limit", images=1, per="day")
    reply = await moderate(stage, "grant", member=stage.nora, images=3, reason="for the poster")
    assert reply == f"{stage.nora.mention} was given 3 pictures and now has 1 of 1 left today and 3 granted."
    await imagine(stage, stage.nora, count=2)
    shown = await quota(stage, stage.nora)
    assert (shown.left, shown.spent, shown.granted) == (2, 1, 2)
    reply = await moderate(stage, "grant", member=stage.nora, images=-5, reason="enough")
    assert reply == f"2 granted pictures taken back. {stage.nora.mention} now has 0 of 1 left today."
    reply = await moderate(stage, "grant", member=stage.nora, images=-1, reason="once more")
    assert reply == f"{stage.nora.mention} has no granted pictures that could be taken back."
    assert (await stage.nora.slash(stage.channel, "imagine", prompt="a boat")).ephemeral


async def test_contradicting_options_are_refused(stage: Stage) -> None:
    reply = await moderate(stage, "limit", images=1, per="day", member=stage.nora, role=stage.members)
    assert reply.startswith("Give a member or a role, not both.")
    assert (await moderate(stage, "grant", member=stage.nora, images=0, reason="x")).startswith("Give a number")
    assert (await quota(stage, stage.nora)).limit == "10 pictures per day for everyone"


async def test_replies_to_moderators_are_private_and_notify_no_member(stage: Stage) -> None:
    await moderate(stage, "limit", images=2, per="day", member=stage.nora)
    await moderate(stage, "grant", member=stage.nora, images=1, reason="x")
    assert stage.channel.history(viewer=stage.nora) == []
    answers = [call.json for call in stage.env.http_requests if call.path.endswith("/callback")]
    assert [answer["data"]["allowed_mentions"] for answer in answers if answer] == [{"parse": []}] * 2


async def test_without_manage_server_there_is_no_such_command(stage: Stage) -> None:
    for verb, options in (("limits", {}), ("limit", {"images": 99, "per": "day"})):
        with pytest.raises(simcord.SetupError):
            await stage.nora.slash(stage.channel, f"moderate {verb}", **options)


async def test_limits_and_grants_outlive_a_restart(stage: Stage) -> None:
    await moderate(stage, "limit", images=2, per="day")
    await moderate(stage, "grant", member=stage.nora, images=3, reason="x")
    await stage.restart()
    shown = await quota(stage, stage.nora)
    assert (shown.left, shown.granted, shown.limit) == (5, 3, "2 pictures per day for everyone")
