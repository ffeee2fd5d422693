"""The answer to `/quota`."""

from __future__ import annotations

import discord

from bot.chat.discord.messages.content import BRAND_COLOUR, MessageContent, timestamp
from bot.chat.discord.messages.descriptions import describe_limit, pictures, switched_off_text
from bot.domain.limits import Allowance


def quota_message(allowance: Allowance) -> MessageContent:
    """What is left of a member's allowance, the limit behind it and, unless that is 0, when it starts anew."""
    advice = "Type /imagine to paint one." if allowance.left else "A moderator can give you more."
    if allowance.limit.stops:
        advice = switched_off_text(allowance.limit)
    embed = discord.Embed(title=f"{pictures(allowance.left)} left", description=advice, colour=BRAND_COLOUR)
    embed.add_field(name="Limit", value=describe_limit(allowance.limit), inline=False)
    embed.add_field(name="Spent", value=str(allowance.spent))
    embed.add_field(name="Reserved", value=str(allowance.reserved))
    if allowance.granted:
        embed.add_field(name="Granted", value=f"{allowance.granted}, used after the limit's own")
    if not allowance.limit.stops:
        resets = f"{timestamp(allowance.resets_at, 'f')} ({timestamp(allowance.resets_at)})"
        embed.add_field(name="Starts anew", value=resets, inline=False)
    return MessageContent(embeds=[embed])
