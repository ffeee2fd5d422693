"""Attacks on jobs and money: a member pays once for each picture in the channel, and for nothing else."""

from __future__ import annotations

import asyncio
import base64
import json
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
from tests.support.picture_files import png, png_without_pixels
from tests.support.waiting import wait_until
from tests.support.world.discord_members import (
    INTERACTION_CALLBACK,
    MANAGE_MESSAGES,
    POST_MESSAGE,
    Message,
    Quota,
    button_id,
)
from tests.support.world.interposer import Interposer
from tests.support.world.stored_jobs import CHARGED, RELEASED
from tests.support.world.world import FAST_RETRIES, World

DELETE = "DELETE /channels/{channel}/messages/{message}"
EDIT = "PATCH /channels/{channel}/messages/{message}"


# Results and failures


async def test_a_slow_failure_notice_outlives_its_lease_and_the_card_is_deleted(world: World) -> None:
    async with world.bot(retry_policy=replace(FAST_RETRIES, lease=0.3)):
        await world.discord.delay(DELETE, 0.7, times=None)
        bad, good = await world.imagine("forbidden things"), await world.imagine()
        assert "will not paint this prompt" in await world.private_failure(bad)
        await world.wait_card_deleted(bad)
        await world.result_message(good)
        await world.wait_card_deleted(good)
    assert (world.ledger_images(bad), world.ledger_images(good)) == (RELEASED, CHARGED)


async def test_a_picture_too_large_for_its_channel_is_linked_and_charged_once(world: World) -> None:
    path = world.fal.files.new_path("large.png")
    world.fal.files.put(path, StoredFile(png(), "image/png", "large.png"))
    world.fal.faults.set("foreign_picture", url=world.fal.url + path)
    small = await world.discord.create_channel(world.guild, "small", file_limit=50)
    async with world.bot():
        job = await world.imagine(channel=small)
        message = await world.discord.wait_for_message(small, lambda seen: world.fal.url + path in seen["content"])
        assert await world.wait_finished(job) == "done"
        assert message["attachments"] == []
        assert button_id(message, "delete")
        assert await world.quota() == Quota(left=9, spent=1, reserved=0)
    assert world.ledger_images(job) == CHARGED


async def test_a_picture_too_large_for_its_channel_and_without_a_link_costs_nothing(world: World) -> None:
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    world.fal.faults.set("foreign_picture", url=url)
    small = await world.discord.create_channel(world.guild, "small", file_limit=50)
    async with world.bot():
        job = await world.imagine(channel=small)
        assert await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert world.ledger_images(job) == RELEASED
    assert await world.discord.messages(small) == []


async def test_a_picture_that_nobody_can_open_is_neither_posted_nor_charged(world: World) -> None:
    url = f"data:image/png;base64,{base64.b64encode(png_without_pixels()).decode()}"
    world.fal.faults.set("foreign_picture", url=url)
    async with world.bot():
        job = await world.imagine()
        assert "not a usable picture" in await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
    assert world.ledger_images(job) == RELEASED
    assert await world.result_messages() == []


async def test_one_unusable_link_among_four_leaves_three_pictures_delivered_and_charged(world: World) -> None:
    bad: list[object] = [{"url": "http://xn--zzzz/x.png"}, {"url": None}, {}, None]

    async def replace_last_link(_: str, path: str, answer: web.Response) -> web.Response:
        if "/requests/" not in path or not isinstance(answer.body, bytes) or b'"images"' not in answer.body:
            return answer
        result = json.loads(answer.body)
        result["images"][-1] = bad.pop(0)
        return web.json_response(result)

    async with Interposer(world.fal.url, replace_last_link) as interposer:
        await interposer.listen()
        world.fal.hosts = PublicHosts(queue=interposer.url, rest=world.fal.url, cdn=world.fal.url)
        async with world.bot(FAL_QUEUE_URL=interposer.url, DEFAULT_QUOTA="50/day"):
            for _ in range(len(bad)):
                job = await world.imagine(count=4)
                message = await world.result_message(job)
                assert await world.wait_finished(job) == "done"
                assert len(message["attachments"]) == 3
                assert "painted 3 of 4" in message["content"]
                assert world.ledger_images(job) == {"reserve": 4, "settle": 3, "release": 1}
    assert bad == []


# Responses that say something else


async def test_an_unreadable_response_to_the_post_refunds_no_picture_that_was_posted(
    world: World,
) -> None:
    posts = count(1)

    async def replace_response(method: str, path: str, answer: web.Response) -> web.Response:
        if (method, path) == ("POST", f"/api/v10/channels/{world.channel}/messages") and next(posts) == 1:
            return web.Response(text="<html>a proxy's page</html>", content_type="text/html")
        return answer

    world.fal.faults.set("submit_ingress", times=6)
    patient = replace(FAST_RETRIES, submit=30, first_retry=0.03, longest_retry=0.06)
    async with Interposer(world.discord.base_url, replace_response) as interposer:
        await interposer.listen()
        async with world.bot(retry_policy=patient, DISCORD_API_URL=f"{interposer.url}/api/v10"):
            job = await world.imagine()
            await world.assert_one_picture(job)
            assert (await world.discord.interaction(job))["followups"] == []
    assert (world.job(job)["attempts"] > 5, next(posts) > 1) == (True, True)


async def test_a_provider_that_agrees_to_cancel_and_paints_on_delivers_no_uncharged_picture(world: World) -> None:
    delays = iter((0.0, 0.3, 1.1, 1.2, 1.3, 1.4, 1.5, 4.0))

    async def delay_cancel(_: str, path: str, answer: web.Response) -> web.Response:
        if path.endswith("/cancel"):
            await asyncio.sleep(next(delays))
        return answer

    world.fal.faults.set("cancel_answer", status=200, body={"status": "OK"})
    world.fal.faults.set("cancel_ignored")
    world.fal.faults.set("slow_run", seconds=0.8)
    channels = [await world.discord.create_channel(world.guild, f"c{number}") for number in range(8)]
    async with Interposer(world.fal.url, delay_cancel) as interposer:
        await interposer.listen()
        world.fal.hosts = PublicHosts(queue=interposer.url, rest=world.fal.url, cdn=world.fal.url)
        async with world.bot(FAL_QUEUE_URL=interposer.url, UPLOADS_AT_ONCE="8"):
            await world.discord.delay(POST_MESSAGE, 0.7, times=None, worked=True)
            jobs = {await world.imagine(channel=channel): channel for channel in channels}
            cards = {job: (await world.discord.answer(job))["message"] for job in jobs}
            await wait_until(lambda: [found.state for found in world.fal.requests.values()] == ["IN_PROGRESS"] * 8)
            for job, card in cards.items():
                await world.wait_accepted(job)
                await world.discord.click(world.member, card, f"easel:cancel:{job}")
            states = {job: await world.wait_finished(job) for job in jobs}
    for job, state in states.items():
        outcome = (len(await world.result_messages(jobs[job])), world.ledger_images(job))
        assert outcome == ((1, CHARGED) if state == "done" else (0, RELEASED))
    assert set(states.values()) == {"done", "cancelled"}


async def test_a_clock_that_jumps_ahead_causes_no_second_submit(world: World) -> None:
    ahead = 0
    world.fal.faults.set("submit_slow", seconds=0.8, times=3)
    async with world.bot(
        clock=Clock(now=lambda: real_time() + ahead), retry_policy=replace(FAST_RETRIES, submit=180)
    ):
        jobs = [await world.imagine(f"boat {number}") for number in range(3)]
        await wait_until(lambda: world.fal.submits == 3)
        ahead = 10 * 60 * 1000
        jobs.append(await world.imagine("a boat that wakes the worker"))
        for job in jobs:
            await world.result_message(job)
            assert await world.wait_finished(job) == "done"
    assert world.fal.submits == len(await world.result_messages()) == 4
    assert [world.job(job)["attempts"] for job in jobs] == [1, 1, 1, 1]


# Limits, permissions and prompts


async def test_a_roles_limit_holds_for_the_first_command_after_a_start(world: World) -> None:
    muted = await world.discord.create_role(world.guild, "muted")
    moderator = await world.create_moderator()
    member = await world.discord.create_member(world.guild, "member", roles=[muted])
    async with world.bot():
        options = {"images": 0, "per": "day", "role": muted}
        await world.private_reply(await world.discord.slash(moderator, world.channel, "moderate limit", options))
    async with Interposer(world.discord.base_url) as interposer:
        interposer.dropped_events.add("GUILD_CREATE")
        await interposer.listen()
        async with world.bot(DISCORD_GATEWAY_URL=interposer.gateway_url) as opened:
            assert all(guild.unavailable for guild in opened.client.guilds)
            assert f"for <@&{muted}>" in await world.refusal(await world.imagine(member=member))
            await world.result_message(await world.imagine())
    assert world.fal.submits == 1


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
    world: World, caplog: pytest.LogCaptureFixture, command: str, options: dict[str, Any]
) -> None:
    moderator = await world.create_moderator()
    arguments = options | ({"member": world.member} if command == "grant" else {})
    async with world.bot():
        interaction = await world.discord.slash(moderator, world.channel, f"moderate {command}", arguments)
        reply = await world.private_reply(interaction)
        assert "\n" not in reply
        assert reply.startswith(("Give a number", "“"))
        assert await world.quota() == Quota(left=10, spent=0, reserved=0)
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


async def test_a_moderator_cannot_cancel_another_servers_request_by_forging_its_button(world: World) -> None:
    other = await world.discord.create_guild("other")
    there = await world.discord.create_channel(other, "there")
    role = await world.discord.create_role(other, "moderators", permissions=MANAGE_MESSAGES)
    moderator = await world.discord.create_member(other, "mallory", roles=[role])
    world.fal.faults.set("slow_run", seconds=0.8)
    async with world.bot() as opened:
        job = await world.imagine()
        await world.wait_accepted(job)
        view = discord.ui.View()
        view.add_item(discord.ui.Button(label="Cancel", custom_id=f"easel:cancel:{job}"))
        forged_message = await opened.client.get_partial_messageable(there).send(view=view)
        click = await world.discord.click(moderator, forged_message.id, f"easel:cancel:{job}")
        assert "does not know this request" in await world.private_reply(click)
        await world.assert_one_picture(job)


@pytest.mark.parametrize(
    "prompt", ["\u200b\u200d", "\u2060\ufeff \u200e", "\u0000", "\u034f\ufe0f", "\u3164\u2800"], ids=ascii
)
async def test_a_prompt_of_invisible_characters_is_empty(world: World, prompt: str) -> None:
    async with world.bot():
        assert "Your prompt is empty." in await world.refusal(await world.imagine(prompt))
    assert world.fal.submits == 0


# The card


async def test_a_job_claimed_before_its_card_exists_shows_its_progress_on_the_card(world: World) -> None:
    world.fal.faults.set("slow_queue", seconds=0.8)
    world.fal.faults.set("slow_run", seconds=0.8)
    async with world.bot(retry_policy=replace(FAST_RETRIES, card=0.1)):
        await world.discord.delay(INTERACTION_CALLBACK, 0.3)
        job = await world.imagine()
        await world.wait_accepted(job)
        assert (await world.discord.interaction(job))["answer"] is None
        card = await world.card(job)
        await world.assert_one_picture(job)
        texts = await _versions(world, card)
    assert any("\nYou are next" in words for words in texts)
    assert any("\nAt work" in words for words in texts[1:])


@pytest.mark.parametrize("place", [-3, 10**40])
async def test_a_card_shows_no_nonsense_of_a_service_and_none_of_its_words(world: World, place: int) -> None:
    world.fal.faults.set("odd_place", body=place)
    world.fal.faults.set("odd_log", body="Running on the painter: 250 %")
    for fault in ("slow_queue", "slow_run"):
        world.fal.faults.set(fault, seconds=0.5)
    async with world.bot(retry_policy=replace(FAST_RETRIES, card=0.1)):
        job = await world.imagine()
        card = await world.card(job)
        await world.assert_one_picture(job)
        texts = await _versions(world, card)
    states = [words.splitlines()[2].partition(" · ")[0] for words in texts]
    assert set(states) <= {"Queued, next in line", "Queued at the service", "At work", "Painted"}
    assert {"Queued at the service", "At work"} <= set(states)


async def test_a_card_says_who_is_next(world: World) -> None:
    world.fal.queue_ahead = 0
    world.fal.faults.set("slow_queue", seconds=0.5)
    async with world.bot(retry_policy=replace(FAST_RETRIES, card=0.1)):
        job = await world.imagine()
        card = await world.card(job)
        await world.assert_one_picture(job)
        texts = await _versions(world, card)
    assert any("\nYou are next · asked <t:" in words for words in texts)
    assert all(words.count("Painting") <= 1 for words in texts)


async def test_a_card_is_edited_no_more_often_than_the_retry_policy_says(world: World) -> None:
    assert RetryPolicy().card == 3
    world.fal.queue_ahead = 30
    world.fal.faults.set("slow_queue", seconds=2.0)
    async with world.bot(retry_policy=replace(FAST_RETRIES, card=0.5)):
        job = await world.imagine()
        card = await world.card(job)
        await world.assert_one_picture(job)
        recent = (await world.discord.report())["recent"]
    edits = [entry["at_ms"] for entry in recent if entry["route"] == EDIT]
    assert 2 <= len(edits) <= 4
    assert min(late - early for early, late in pairwise(edits)) > 400
    assert len(set(await _versions(world, card))) == len(edits) + 1  # every edit changed the text


async def _versions(world: World, card: Message) -> list[str]:
    seen = await world.discord.messages(world.channel, deleted=True)
    [found] = [message for message in seen if message["id"] == card["id"]]
    return [str(version["content"]) for version in found["sandbox"]["versions"]]


async def test_a_client_closed_before_its_servers_are_announced_ends_without_an_error(world: World) -> None:
    async with world.bot() as running:
        connected = asyncio.ensure_future(running.client.wait_for("connect"))
        await world.discord.disconnect_gateway(4009, resumable=False)
        await connected
        becoming_ready = running.client._connection._ready_task
        assert becoming_ready is not None
        await running.client.close()
        await becoming_ready
