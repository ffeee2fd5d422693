"""The answers to `/moderate limit`, `clear`, `limits` and `grant`."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.discord.messages.content import join_lines
from bot.chat.discord.messages.descriptions import describe_allowance, describe_limit, describe_subject, pictures
from bot.domain.limits import Allowance, Limit


def limit_set_text(limit: Limit, former: Limit | None) -> str:
    """The answer to `/moderate limit`: the limit now and before."""
    before = describe_limit(former) if former else "none of their own"
    if limit.stops:
        return f"Painting is now off {describe_subject(limit)}, also for granted pictures. Before: {before}."
    return f"The limit is now {describe_limit(limit)}. Before: {before}."


def limit_cleared_text(former: Limit | None) -> str:
    """The answer to `/moderate clear`; None: there was no such limit."""
    if former is None:
        return "There was no such limit. `/moderate limits` shows those there are."
    return f"Removed: {describe_limit(former)}. The next wider limit holds now."


def limits_text(limits: Sequence[Limit]) -> str:
    """The answer to `/moderate limits`."""
    lines = [
        f"- {describe_limit(limit)}" + (f", set by <@{limit.set_by}>" if limit.set_by else ", Easel's default")
        for limit in limits
    ]
    return join_lines(
        [
            "A member's own limit holds first, then their role's (0, else the most generous), then everyone's.",
            *lines,
        ]
    )


def grant_text(member_id: int, change: int, allowance: Allowance) -> str:
    """The answer to `/moderate grant`; `change` is negative where pictures were taken back."""
    if change == 0:
        return f"<@{member_id}> has no granted pictures that could be taken back."
    if change > 0 and allowance.limit.stops:
        return (
            f"<@{member_id}> was given {pictures(change)}, for when painting is no longer switched off "
            f"{describe_subject(allowance.limit)}. `/moderate clear` or another limit does that."
        )
    if change > 0:
        return f"<@{member_id}> was given {pictures(change)} and now has {describe_allowance(allowance)}."
    return (
        f"{-change} granted {'picture' if change == -1 else 'pictures'} taken back. "
        f"<@{member_id}> now has {describe_allowance(allowance)}."
    )
