"""The answers to `/moderate limit`, `clear`, `limits` and `grant`."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.discord.messages.content import join_lines
from bot.chat.discord.messages.descriptions import describe_allowance, describe_limit, describe_subject, pictures
from bot.domain.limits import Allowance, Limit


def limit_set_text(limit: Limit, before: Limit) -> str:
    """The answer to `/moderate limit`: the limit now, and the one that held before."""
    was = f"Before: {_with_origin(before)}."
    if limit.stops:
        others = " Limits of members and roles still hold." if limit.subject == "everyone" else ""
        return f"Painting is now off {describe_subject(limit)}, also for granted pictures.{others} {was}"
    return f"The limit is now {describe_limit(limit)}. {was}"


def limit_cleared_text(former: Limit | None, now: Limit) -> str:
    """The answer to `/moderate clear`: the limit that went, None where there was none, and the one that holds."""
    if former is None:
        return f"There was no such limit. It is still {_with_origin(now)}. `/moderate limits` shows all."
    gone = f"the limit of 0 {describe_subject(former)}" if former.stops else describe_limit(former)
    holds = (
        f"Painting is now off {describe_subject(now)}" if now.stops else f"The limit is now {_with_origin(now)}"
    )
    return f"Removed: {gone}. {holds}."


def _with_origin(limit: Limit) -> str:
    """For example: 10 pictures per day for everyone, Easel's default."""
    return describe_limit(limit) + ("" if limit.set_by else ", Easel's default")


def limits_text(limits: Sequence[Limit]) -> str:
    """The answer to `/moderate limits`."""
    order = ("member", "role", "everyone")
    lines = [
        f"- {_with_origin(limit)}" + (f", set by <@{limit.set_by}>" if limit.set_by else "")
        for limit in sorted(limits, key=lambda limit: order.index(limit.subject) if limit.subject in order else -1)
    ]
    rule = (
        "A member's own limit holds first, then the most generous of their roles', then everyone's. "
        "“No pictures” for a role beats its members' other roles."
    )
    return join_lines([rule, *lines])


def grant_text(member_id: int, change: int, allowance: Allowance) -> str:
    """The answer to `/moderate grant`; `change` is negative where pictures were taken back."""
    if change == 0:
        return f"<@{member_id}> has no granted pictures that could be taken back."
    if change > 0 and allowance.limit.stops:
        return (
            f"<@{member_id}> was given {pictures(change)}, but painting is switched off "
            f"{describe_subject(allowance.limit)}. `/moderate clear` or another limit switches it on again."
        )
    if change > 0:
        return f"<@{member_id}> was given {pictures(change)} and now has {describe_allowance(allowance)}."
    return (
        f"{-change} granted {'picture' if change == -1 else 'pictures'} taken back. "
        f"<@{member_id}> now has {describe_allowance(allowance)}."
    )
