"""Moderators are told, once, before a model is switched off."""

from __future__ import annotations

import datetime as dt

import discord

from bot.domain.clock import Clock, real_time
from tests.support.world.world import World

DAY = dt.timedelta(days=1)


def clock_at(day: dt.date) -> Clock:
    """A clock that shows that day and goes on from there."""
    noon = dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)
    ahead = int(noon.timestamp() * 1000) - real_time()
    return Clock(now=lambda: real_time() + ahead)


async def said(world: World, channel: int) -> list[str]:
    return [str(message["content"]) for message in await world.discord.messages(channel)]


async def test_moderators_are_told_once_in_their_own_channel_before_a_model_is_switched_off(world: World) -> None:
    news = await world.discord.create_channel(world.guild, "moderators-only", updates=True)
    for _ in range(2):  # also after a restart
        async with world.bot(clock=clock_at(dt.date(2026, 11, 1))) as opened:
            await opened.announcer.announce()
            await opened.announcer.announce()
            told = await said(world, news)
            about = [
                line for line in told if "GPT Image 1.5 is announced to be switched off on 1 December 2026" in line
            ]
            assert len(about) == 1, told
            assert "Its successor is GPT Image 2.5 Flare: try it now." in about[0]
    assert await said(world, world.channel) == []


async def test_nobody_is_told_long_before_and_nothing_is_said_where_easel_may_not_write(world: World) -> None:
    news = await world.discord.create_channel(world.guild, "moderators-only", updates=True)
    async with world.bot(clock=clock_at(dt.date(2026, 3, 1))) as opened:
        await opened.announcer.announce()
        assert await said(world, news) == []
    deny = discord.Permissions(send_messages=True).value
    await world.discord.set_permissions(news, deny=deny)
    async with world.bot(clock=clock_at(dt.date(2026, 11, 1))) as opened:
        await opened.announcer.announce()
        assert await said(world, news) == []


async def test_the_bot_tells_them_by_itself_at_its_start(world: World) -> None:
    news = await world.discord.create_channel(world.guild, "moderators-only", updates=True)
    async with world.connected_process():
        # GPT Image 1 was announced for a day that is past on every day that this can run.
        await world.discord.wait_for_message(
            news, lambda message: "GPT Image 1 was announced" in message["content"], within=10
        )
