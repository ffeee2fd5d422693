"""Lost and late responses, rate limits, expired tokens."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import pytest

from tests.support.sandbox.discord import RunningBot, names, picture, png


async def test_a_lost_response_leaves_the_work_done(running: RunningBot) -> None:
    await running.discord.lose_answer("POST /channels/*/messages")
    with pytest.raises(aiohttp.ClientError):
        await running.room.send("one", nonce="8")
    assert len(await running.discord.messages(running.channel)) == 1
    await running.room.send("one", nonce="8")
    assert len(await running.discord.messages(running.channel)) == 1
    await running.discord.lose_answer("POST /channels/*/messages", worked=False)
    with pytest.raises(aiohttp.ClientError):
        await running.room.send("two")
    assert len(await running.discord.messages(running.channel)) == 1


async def test_a_slow_response_comes_after_the_work(running: RunningBot) -> None:
    await running.discord.delay("POST /channels/*/messages", 0.2, worked=True)
    sending = asyncio.create_task(running.room.send("one"))
    await running.discord.wait_for_message(running.channel, lambda m: m["content"] == "one")
    assert not sending.done()
    await sending


async def test_too_many_requests_get_a_429(running: RunningBot) -> None:
    await running.discord.fail("POST /channels/*/messages", 429, retry_after=0.02)
    await running.room.send("one")
    await running.discord.rate_limit("POST /channels/{channel}/messages", 2, 0.2, hidden=True)
    for text in ("two", "three", "four"):
        await running.room.send(text)
    report = await running.discord.report()
    assert report["statuses"]["429"] == 2
    assert len(await running.discord.messages(running.channel)) == 4


async def test_headers_warn_of_a_visible_limit(running: RunningBot) -> None:
    await running.discord.rate_limit("POST /channels/{channel}/messages", 1, 0.15)
    for text in ("one", "two"):
        await running.room.send(text)
    assert "429" not in (await running.discord.report())["statuses"]


async def test_a_file_above_the_limit_is_refused(running: RunningBot) -> None:
    tight = await running.discord.create_channel(running.guild, "tight", file_limit=100)
    room = running.bot.get_partial_messageable(tight, guild_id=running.guild)
    with pytest.raises(discord.HTTPException) as caught:
        await room.send(file=picture(content=png() + b"\0" * 100))
    assert (caught.value.status, caught.value.code) == (413, 40005)
    assert await running.discord.messages(tight) == []


async def test_an_expired_token_is_refused_but_the_bot_may_still_edit(running: RunningBot) -> None:
    asked = await running.discord.slash(running.ann, running.channel, "paint", {"prompt": "x"})
    interaction = await asyncio.wait_for(running.bot.asked.get(), 2)
    card = (await running.discord.answer(asked))["message"]
    await running.discord.wait_for_message(running.channel, names)
    await running.discord.expire_tokens(asked)
    with pytest.raises(discord.HTTPException) as caught:
        await interaction.edit_original_response(content="late")
    assert (caught.value.status, caught.value.code) == (401, 50027)
    await running.room.get_partial_message(card).edit(content="in time")
    found = await running.discord.wait_for_message(running.channel, lambda m: m["content"] == "in time")
    assert found["id"] == str(card)


async def test_a_redelivered_event_accepts_only_one_response(running: RunningBot) -> None:
    asked = await running.discord.slash(running.ann, running.channel, "paint", {"prompt": "x"})
    await running.discord.wait_for_message(running.channel, names)
    first = await asyncio.wait_for(running.bot.asked.get(), 2)
    await running.discord.redeliver(asked)
    second = await asyncio.wait_for(running.bot.asked.get(), 2)
    assert first.id == second.id
    assert "40060" in await running.failure()
    assert (await running.discord.interaction(asked))["callbacks"] == 2
    assert len(await running.discord.messages(running.channel)) == 2
    assert (await running.discord.report())["statuses"]["400"] == 1


async def test_a_response_after_the_deadline_is_refused(running: RunningBot) -> None:
    await running.discord.configure(ack_within=0.0)
    asked = await running.discord.slash(running.ann, running.channel, "whisper")
    assert "10062" in await running.failure()
    with pytest.raises(TimeoutError):
        await running.discord.answer(asked, 0.01)
