"""Refusals that everybody sees: a message has no private answer.

Discord takes five messages in five seconds in a channel. A flood of refusals would hold back everybody's pictures,
so only some are words, and the rest are reactions, which count apart.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import discord

from bot.chat.discord.errors import NO_READ_HISTORY
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.permissions import known_permissions

MEMBER_SECONDS = 60.0
"""Seconds between two refusals in words for one member in one channel."""
CHANNEL_SECONDS = 5.0
"""Seconds between two refusals in words in one channel: four of the five messages are left to pictures."""
REMOVED_AFTER = 30.0
"""Seconds after which a refusal is removed."""
MAX_REMEMBERED = 10_000
"""How many refusals are remembered; the oldest are forgotten first."""
REACTION = "❌"


class PublicRefusals:
    """Answers messages with a refusal. Times are seconds."""

    def __init__(
        self,
        *,
        member_seconds: float = MEMBER_SECONDS,
        channel_seconds: float = CHANNEL_SECONDS,
        removed_after: float = REMOVED_AFTER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.member_seconds = member_seconds
        self.channel_seconds = channel_seconds
        self.removed_after = removed_after
        self._now = now
        self._last: OrderedDict[tuple[int, int], float] = OrderedDict()
        """When a member of a channel had a refusal in words; for member 0, when the channel had one."""
        self._reacting: set[int] = set()
        """The channels to which a reaction is on its way."""

    async def refuse(self, message: discord.Message, text: str) -> None:
        """Reply with words or, soon after others, with a reaction; nothing where Easel may not react either.

        Raises:
            discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError: Discord did not take it.
        """
        if self.may_speak(message.channel.id, message.author.id):
            await self._reply(message, text)
        elif message.channel.id not in self._reacting and _may_react(message):
            self._reacting.add(message.channel.id)
            try:
                await message.add_reaction(REACTION)
            finally:
                self._reacting.discard(message.channel.id)

    def may_speak(self, channel_id: int, member_id: int) -> bool:
        """Whether a refusal for this member may be in words now; if so, the next must wait."""
        now = self._now()
        pauses = {(channel_id, member_id): self.member_seconds, (channel_id, 0): self.channel_seconds}
        if any(now - self._last.get(key, -pause) < pause for key, pause in pauses.items()):
            return False
        for key in pauses:
            self._last[key] = now
            self._last.move_to_end(key)
        while len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        return True

    async def _reply(self, message: discord.Message, text: str) -> None:
        try:
            await message.reply(text, delete_after=self.removed_after, allowed_mentions=NO_MENTIONS)
        except discord.HTTPException as failure:
            if failure.code != NO_READ_HISTORY:
                raise
            await message.channel.send(text, delete_after=self.removed_after, allowed_mentions=NO_MENTIONS)


def _may_react(message: discord.Message) -> bool:
    """Easel does not ask for the permission to react, which members usually have."""
    permissions = known_permissions(message.channel, message.guild.me if message.guild else None)
    return permissions is not None and permissions.add_reactions and permissions.read_message_history
