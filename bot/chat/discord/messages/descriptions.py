"""Requests, limits and allowances in a few words, the same in every message."""

from __future__ import annotations

from bot.chat.discord.messages.content import escape
from bot.domain.limits import Allowance, Limit
from bot.domain.money import Money
from bot.domain.requests import ImageRequest


def describe_allowance(allowance: Allowance) -> str:
    """Seven of ten left today."""
    period = {"day": "today", "week": "this week", "month": "this month"}[allowance.why.window]
    granted = f" and {allowance.granted} granted" if allowance.granted else ""
    return f"{allowance.left - allowance.granted} of {allowance.limit} left {period}{granted}"


def describe_options(request: ImageRequest, label: str) -> str:
    """The options that a request was made with, those that say something."""
    parts = [label]
    if request.count > 1:
        parts.append(f"{request.count} pictures")
    if request.size != "auto":
        parts.append(escape(request.size))
    parts.append(request.quality if request.quality != "auto" else "auto quality")
    if request.background != "auto":
        parts.append(request.background)
    if request.output_format not in ("png", "jpeg", "webp"):
        parts.append(request.output_format.upper())
    return " · ".join(parts)


def describe_limit(rule: Limit) -> str:
    """A rule in words: 10 pictures per day for everyone."""
    whom = {
        "member": f"for <@{rule.subject_id}>",
        "role": f"for <@&{rule.subject_id}>",
        "everyone": "for everyone",
        "guild": "for the whole server",
        "operator": "for all of Easel",
    }[rule.subject]
    if rule.limit == 0:
        return f"no pictures {whom}"
    pictures = "1 picture" if rule.limit == 1 else f"{rule.limit} pictures"
    return f"{pictures if rule.unit == 'images' else Money(rule.limit)} per {rule.window} {whom}"
