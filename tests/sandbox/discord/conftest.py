"""The stand-in for Discord as a fixture, and a bot that is logged in to it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.sandbox.discord.server import DiscordSandbox
from tests.support.sandbox.discord import RunningBot, logged_in_bot


@pytest.fixture
async def sandbox() -> AsyncIterator[DiscordSandbox]:
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    async with DiscordSandbox() as discord_sandbox:
        Route.BASE = discord_sandbox.api_url
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(discord_sandbox.gateway_url)
        try:
            yield discord_sandbox
        finally:
            Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@pytest.fixture
async def running(sandbox: DiscordSandbox) -> AsyncIterator[RunningBot]:
    guild = await sandbox.create_guild("studio")
    channel = await sandbox.create_channel(guild, "canvas")
    ann = await sandbox.create_member(guild, "ann")
    async with logged_in_bot() as bot:
        await sandbox.wait_connected()
        await asyncio.wait_for(bot.wait_until_ready(), 2)
        yield RunningBot(sandbox, bot, guild, channel, ann)
