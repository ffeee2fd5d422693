"""What moderators read about limits and grants."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.discord.messages.content import join_lines
from bot.chat.discord.messages.descriptions import describe_allowance, describe_limit
from bot.domain.limits import Allowance, Limit


def limit_set_text(rule: Limit, former: Limit | None) -> str:
    """The answer to `/moderate limit`: what holds now and how to undo it."""
    before = describe_limit(former) if former else "none of their own"
    return f"The limit is now {describe_limit(rule)}. Before: {before}."


def limits_text(rules: Sequence[Limit]) -> str:
    """The answer to `/moderate limits`."""
    lines = [
        f"- {describe_limit(rule)}" + (f", set by <@{rule.set_by}>" if rule.set_by else ", Easel's default")
        for rule in rules
    ]
    return join_lines(
        ["A member's own limit holds first, then their most generous role's, then everyone's.", *lines]
    )


def grant_text(member_id: int, change: int, left: Allowance) -> str:
    """The answer to `/moderate grant`."""
    if change == 0:
        return f"<@{member_id}> has no granted pictures that could be taken back."
    pictures = "picture" if abs(change) == 1 else "pictures"
    if change > 0:
        return f"<@{member_id}> was given {change} {pictures} and now has {describe_allowance(left)}."
    return f"{-change} granted {pictures} taken back. <@{member_id}> now has {describe_allowance(left)}."


def limit_cleared_text(former: Limit | None) -> str:
    """The answer to `/moderate clear`."""
    if former is None:
        return "There was no such limit. `/moderate limits` shows those there are."
    return f"Removed: {describe_limit(former)}. The next wider limit holds now."
