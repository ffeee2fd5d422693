"""Tells each server's moderators, once, that a model is announced to be switched off.

Discord has a place for that: the channel in which moderators of a community get its news. Where a server has
none, or Easel may not write there, `/moderate services` says it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import discord

from bot.chat.discord.client import Easel
from bot.chat.discord.errors import DISCORD_TROUBLE, failure_kind
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.notices import notice_text
from bot.domain.clock import Clock
from bot.ports import Database
from bot.storage import notes
from bot.usecases.moderators import ModeratorService

log = logging.getLogger(__name__)


class Announcer:
    """`tell` is called now and then, and says each thing once in each server."""

    def __init__(self, *, client: Easel, treasury: ModeratorService, database: Database, clock: Clock) -> None:
        self._client = client
        self._treasury = treasury
        self._database = database
        self._clock = clock

    async def tell(self) -> None:
        """Say what is new; never raises for Discord's sake."""
        notices = self._treasury.notices()
        for guild in self._client.guilds if notices else ():
            channel = _moderators_channel(guild)
            for notice in notices if channel else ():
                await self._once(guild.id, channel, notice)

    async def _once(self, guild_id: int, channel: discord.TextChannel | None, notice: str) -> None:
        name = f"told {guild_id}: {notice}"
        if channel is None or await self._database.read(notes.note(name)) is not None:
            return
        # Written down first: better said never than twice.
        today = datetime.fromtimestamp(self._clock.now() / 1000, UTC).date()
        await self._database.write(notes.write_note(name, today.isoformat()))
        try:
            await channel.send(notice_text(notice), allowed_mentions=NO_MENTIONS)
        except DISCORD_TROUBLE as error:
            log.info("the moderators of %d could not be told: %s", guild_id, failure_kind(error))


def _moderators_channel(guild: discord.Guild) -> discord.TextChannel | None:
    channel = guild.public_updates_channel
    if channel is None or guild.me is None or not channel.permissions_for(guild.me).send_messages:
        return None
    return channel
