"""The answer to `/quota`."""

from __future__ import annotations

import discord

from bot.chat.discord.messages.content import BRAND_COLOUR, MessageContent, timestamp
from bot.chat.discord.messages.descriptions import describe_limit
from bot.domain.limits import Allowance


def quota_message(of: Allowance) -> MessageContent:
    """What `/quota` shows."""
    pictures = "picture" if of.left == 1 else "pictures"
    advice = "Type /imagine to paint one." if of.left else "A moderator can give you more."
    embed = discord.Embed(title=f"{of.left} {pictures} left", description=advice, colour=BRAND_COLOUR)
    embed.add_field(name="Limit", value=describe_limit(of.why), inline=False)
    embed.add_field(name="Spent", value=str(of.spent))
    embed.add_field(name="Reserved", value=str(of.reserved))
    if of.granted:
        embed.add_field(name="Granted", value=f"{of.granted}, used after the limit’s own")
    resets = f"{timestamp(of.resets_at, 'f')} ({timestamp(of.resets_at)})"
    embed.add_field(name="Starts anew", value=resets, inline=False)
    return MessageContent(embeds=[embed])
