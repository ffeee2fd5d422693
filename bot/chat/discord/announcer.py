"""Tells each server's moderators, once, that a model will be switched off.

It writes to the channel in which Discord sends a community's moderators its updates. Where a server has none, or
Easel may not write there, moderators read the same in `/moderate services`.
"""

from __future__ import annotations

import logging

import discord

from bot.chat.discord.client import Easel
from bot.chat.discord.errors import DISCORD_ERRORS, error_kind
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.notices import notice_text
from bot.domain.clock import Clock, as_datetime
from bot.ports import Database
from bot.storage import notes
from bot.usecases.moderators import ModeratorService

log = logging.getLogger(__name__)


class Announcer:
    """Remembers in the database which notice each server has had, so `announce` can be called again and again."""

    def __init__(self, *, client: Easel, moderators: ModeratorService, database: Database, clock: Clock) -> None:
        self._client = client
        self._moderators = moderators
        self._database = database
        self._clock = clock

    async def announce(self) -> None:
        """Send each server the notices that it has not had. Discord's errors are logged, not raised."""
        notices = self._moderators.notices()
        for guild in self._client.guilds:
            channel = _updates_channel(guild)
            if channel is None:
                continue
            for notice in notices:
                await self._send_once(channel, notice)

    async def _send_once(self, channel: discord.TextChannel, notice: str) -> None:
        name = f"told {channel.guild.id}: {notice}"
        if await self._database.read(notes.read(name)) is not None:
            return
        # Written down before it is sent: a notice may be lost in a crash but never comes twice.
        today = as_datetime(self._clock.now()).date()
        await self._database.write(notes.write(name, today.isoformat()))
        try:
            await channel.send(notice_text(notice), allowed_mentions=NO_MENTIONS)
        except DISCORD_ERRORS as error:
            log.info("the moderators of %d could not be told: %s", channel.guild.id, error_kind(error))


def _updates_channel(guild: discord.Guild) -> discord.TextChannel | None:
    channel = guild.public_updates_channel
    if channel is None or guild.me is None or not channel.permissions_for(guild.me).send_messages:
        return None
    return channel
