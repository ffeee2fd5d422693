"""What an attacker tried against jobs and money: the member pays, once, for what stands in the channel."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
import zlib
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import discord
import pytest
from aiohttp import web

from bot.domain.clock import Clock, real_time
from bot.sandbox.fal.options import PublicHosts
from bot.sandbox.kit.files import StoredFile
from bot.worker.context import RetryPolicy
from tests.support.world.interposer import Interposer
from tests.support.world.world import (
    CALLBACK,
    MANAGE_GUILD,
    MANAGE_MESSAGES,
    POST,
    QUICK,
    Message,
    Quota,
    World,
    assert_one_picture,
    button,
    moved,
    until,
)

GIVEN_BACK = {"reserve": 1, "refund": 1}
CHARGED = {"reserve": 1, "settle": 1}
DELETE = "DELETE /channels/{channel}/messages/{message}"
EDIT = "PATCH /channels/{channel}/messages/{message}"


def broken_png() -> bytes:
    """Every check sum is right, and there are no pixels in it."""
    header = struct.pack(">IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for part in (b"IHDR" + header, b"IDAT" + random.Random(1).randbytes(300_000), b"IEND"):
        content += struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
    return content


# The end of a job


async def test_who_is_told_slowly_why_a_job_failed_is_told_it_all_the_same_and_the_card_goes(house: World) -> None:
    async with house.bot(patience=replace(QUICK, lease=0.3)):
        await house.discord.delay(DELETE, 0.7, times=None)
        bad, good = await house.imagine("forbidden things"), await house.imagine()
        assert "will not paint this prompt" in await house.whisper(bad)
        await house.card_gone(bad)
        await house.picture(good)
        await house.card_gone(good)
    assert (moved(house, bad), moved(house, good)) == (GIVEN_BACK, CHARGED)


async def test_a_picture_that_no_channel_takes_is_linked_and_charged_once(house: World) -> None:
    path = house.fal.files.new_path("broken.png")
    house.fal.files.put(path, StoredFile(broken_png(), "image/png", "broken.png"))
    house.fal.faults.set("foreign_picture", url=house.fal.url + path)
    small = await house.discord.create_channel(house.guild, "small", file_limit=100_000)
    async with house.bot():
        job = await house.imagine(channel=small)
        message = await house.discord.wait_for_message(small, lambda seen: house.fal.url + path in seen["content"])
        assert await house.ended(job) == "done"
        assert message["attachments"] == []
        assert button(message, "delete")
        assert await house.quota() == Quota(left=9, spent=1, reserved=0)
    assert moved(house, job) == CHARGED


async def test_a_picture_that_no_channel_takes_and_no_link_shows_costs_nothing(house: World) -> None:
    url = f"data:image/png;base64,{base64.b64encode(broken_png()).decode()}"
    house.fal.faults.set("foreign_picture", url=url)
    small = await house.discord.create_channel(house.guild, "small", file_limit=100_000)
    async with house.bot():
        job = await house.imagine(channel=small)
        assert await house.whisper(job)
        assert await house.ended(job) == "failed"
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)
    assert moved(house, job) == GIVEN_BACK
    assert await house.discord.messages(small) == []


async def test_one_unusable_link_among_four_is_three_pictures_delivered_and_charged(house: World) -> None:
    bad: list[object] = [{"url": "http://xn--zzzz/x.png"}, {"url": None}, {}, None]

    async def spoil(_: str, path: str, answer: web.Response) -> web.Response:
        if "/requests/" not in path or not isinstance(answer.body, bytes) or b'"images"' not in answer.body:
            return answer
        result = json.loads(answer.body)
        result["images"][-1] = bad.pop(0)
        return web.json_response(result)

    async with Interposer(house.fal.url, spoil) as between:
        await between.open()
        house.fal.hosts = PublicHosts(queue=between.url, rest=house.fal.url, cdn=house.fal.url)
        async with house.bot(FAL_QUEUE_URL=between.url, DEFAULT_QUOTA="50/day"):
            for _ in range(len(bad)):
                job = await house.imagine(count=4)
                message = await house.picture(job)
                assert await house.ended(job) == "done"
                assert len(message["attachments"]) == 3
                assert "painted 3 of 4" in message["content"]
                assert moved(house, job) == {"reserve": 4, "settle": 3, "refund": 1}
    assert bad == []


# Answers that say something else


async def test_an_unreadable_answer_to_the_post_after_much_trouble_is_no_refund_for_a_picture_that_stands(
    house: World,
) -> None:
    posts = count(1)

    async def garble(method: str, path: str, answer: web.Response) -> web.Response:
        if (method, path) == ("POST", f"/api/v10/channels/{house.channel}/messages") and next(posts) == 1:
            return web.Response(text="<html>a proxy's page</html>", content_type="text/html")
        return answer

    house.fal.faults.set("submit_ingress", times=6)
    patient = replace(QUICK, submit=30, first_retry=0.03, longest_retry=0.06)
    async with Interposer(house.discord.base_url, garble) as between:
        await between.open()
        async with house.bot(patience=patient, DISCORD_API_URL=f"{between.url}/api/v10"):
            job = await house.imagine()
            await assert_one_picture(house, job)
            assert (await house.discord.interaction(job))["followups"] == []
    assert (house.job(job)["attempts"] > 5, next(posts) > 1) == (True, True)


async def test_a_service_that_agrees_to_cancel_and_paints_on_never_gives_what_is_not_charged(house: World) -> None:
    delays = iter((0.0, 0.3, 1.1, 1.2, 1.3, 1.4, 1.5, 4.0))

    async def late(_: str, path: str, answer: web.Response) -> web.Response:
        if path.endswith("/cancel"):
            await asyncio.sleep(next(delays))
        return answer

    house.fal.faults.set("cancel_answer", status=200, body={"status": "OK"})
    house.fal.faults.set("cancel_ignored")
    house.fal.faults.set("slow_run", seconds=0.8)
    channels = [await house.discord.create_channel(house.guild, f"c{number}") for number in range(8)]
    async with Interposer(house.fal.url, late) as between:
        await between.open()
        house.fal.hosts = PublicHosts(queue=between.url, rest=house.fal.url, cdn=house.fal.url)
        async with house.bot(FAL_QUEUE_URL=between.url, UPLOADS_AT_ONCE="8"):
            await house.discord.delay(POST, 0.7, times=None, worked=True)
            jobs = {await house.imagine(channel=channel): channel for channel in channels}
            cards = {job: (await house.discord.answer(job))["message"] for job in jobs}
            await until(lambda: [found.state for found in house.fal.requests.values()] == ["IN_PROGRESS"] * 8)
            for job, card in cards.items():
                await house.accepted(job)
                await house.discord.click(house.member, card, f"easel:cancel:{job}")
            states = {job: await house.ended(job) for job in jobs}
    for job, state in states.items():
        outcome = (len(await house.pictures(jobs[job])), moved(house, job))
        assert outcome == ((1, CHARGED) if state == "done" else (0, GIVEN_BACK))
    assert set(states.values()) == {"done", "cancelled"}


async def test_a_clock_that_jumps_ahead_ends_no_lease_and_submits_nothing_twice(house: World) -> None:
    ahead = 0
    house.fal.faults.set("submit_slow", seconds=0.8, times=3)
    async with house.bot(clock=Clock(now=lambda: real_time() + ahead), patience=replace(QUICK, submit=180)):
        jobs = [await house.imagine(f"boat {number}") for number in range(3)]
        await until(lambda: house.fal.submits == 3)
        ahead = 10 * 60 * 1000
        jobs.append(await house.imagine("what wakes the worker"))
        for job in jobs:
            await house.picture(job)
            assert await house.ended(job) == "done"
    assert house.fal.submits == len(await house.pictures()) == 4
    assert [house.job(job)["attempts"] for job in jobs] == [1, 1, 1, 1]


# Who may, and how much


async def test_a_roles_limit_holds_for_the_first_command_after_a_start(house: World) -> None:
    muted = await house.discord.create_role(house.guild, "muted")
    boss = await house.discord.create_role(house.guild, "boss", permissions=MANAGE_GUILD)
    moderator = await house.discord.create_member(house.guild, "moderator", roles=[boss])
    member = await house.discord.create_member(house.guild, "member", roles=[muted])
    async with house.bot():
        options = {"images": 0, "per": "day", "role": muted}
        await house.said(await house.discord.slash(moderator, house.channel, "moderate limit", options))
    async with Interposer(house.discord.base_url) as between:
        between.held.add("GUILD_CREATE")
        await between.open()
        async with house.bot(DISCORD_GATEWAY_URL=between.gateway_url) as opened:
            assert all(guild.unavailable for guild in opened.client.guilds)
            assert f"for <@&{muted}>" in await house.refusal(await house.imagine(member=member))
            await house.picture(await house.imagine())
    assert house.fal.submits == 1


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("limit", {"images": -1, "per": "day"}),
        ("limit", {"images": 10**30, "per": "day"}),
        ("limit", {"images": 5, "per": "year"}),
        ("grant", {"images": 10**30, "reason": "much"}),
        ("grant", {"images": -(10**30), "reason": "little"}),
        ("grant", {"images": 0, "reason": "nothing"}),
    ],
    ids=str,
)
async def test_a_moderators_forged_number_is_refused_in_one_sentence(
    house: World, caplog: pytest.LogCaptureFixture, command: str, options: dict[str, Any]
) -> None:
    boss = await house.discord.create_role(house.guild, "boss", permissions=MANAGE_GUILD)
    moderator = await house.discord.create_member(house.guild, "moderator", roles=[boss])
    given = options | ({"member": house.member} if command == "grant" else {})
    async with house.bot():
        asked = await house.discord.slash(moderator, house.channel, f"moderate {command}", given)
        refused = await house.said(asked)
        assert "\n" not in refused
        assert refused.startswith(("Give a number", "“"))
        assert await house.quota() == Quota(left=10, spent=0, reserved=0)
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


async def test_a_moderator_cannot_cancel_another_servers_request_by_forging_its_button(house: World) -> None:
    other = await house.discord.create_guild("other")
    there = await house.discord.create_channel(other, "there")
    role = await house.discord.create_role(other, "moderators", permissions=MANAGE_MESSAGES)
    mallory = await house.discord.create_member(other, "mallory", roles=[role])
    house.fal.faults.set("slow_run", seconds=0.8)
    async with house.bot() as opened:
        victim = await house.imagine()
        await house.accepted(victim)
        view = discord.ui.View()
        view.add_item(discord.ui.Button(label="Cancel", custom_id=f"easel:cancel:{victim}"))
        forged = await opened.client.get_partial_messageable(there).send(view=view)
        pressed = await house.discord.click(mallory, forged.id, f"easel:cancel:{victim}")
        assert "does not know this request" in await house.said(pressed)
        await assert_one_picture(house, victim)


@pytest.mark.parametrize(
    "prompt", ["\u200b\u200d", "\u2060\ufeff \u200e", "\u0000", "\u034f\ufe0f", "\u3164\u2800"], ids=ascii
)
async def test_a_prompt_that_nobody_can_see_is_empty(house: World, prompt: str) -> None:
    async with house.bot():
        assert "Your prompt is empty." in await house.refusal(await house.imagine(prompt))
    assert house.fal.submits == 0


# The card


async def test_a_job_that_was_claimed_before_its_card_was_there_shows_its_news_on_it(house: World) -> None:
    house.fal.faults.set("slow_queue", seconds=0.8)
    house.fal.faults.set("slow_run", seconds=0.8)
    async with house.bot(patience=replace(QUICK, card=0.1)):
        await house.discord.delay(CALLBACK, 0.3)
        job = await house.imagine()
        await house.accepted(job)
        assert (await house.discord.interaction(job))["answer"] is None
        card = await house.card(job)
        await assert_one_picture(house, job)
        shown = await _versions(house, card)
    assert any("ahead" in words for words in shown)
    assert any("\nPainting" in words for words in shown[1:])


async def test_a_card_is_edited_no_faster_than_discord_likes_it(house: World) -> None:
    assert RetryPolicy().card == 3
    house.fal.queue_ahead = 30
    house.fal.faults.set("slow_queue", seconds=2.0)
    async with house.bot(patience=replace(QUICK, card=0.5)):
        job = await house.imagine()
        card = await house.card(job)
        await assert_one_picture(house, job)
        recent = (await house.discord.report())["recent"]
    edits = [entry["at_ms"] for entry in recent if entry["route"] == EDIT]
    assert 2 <= len(edits) <= 4
    assert min(late - early for early, late in pairwise(edits)) > 400
    assert len(set(await _versions(house, card))) == len(edits) + 1  # none of them said nothing new


async def _versions(house: World, card: Message) -> list[str]:
    seen = await house.discord.messages(house.channel, deleted=True)
    [found] = [message for message in seen if message["id"] == card["id"]]
    return [str(version["content"]) for version in found["sandbox"]["versions"]]
