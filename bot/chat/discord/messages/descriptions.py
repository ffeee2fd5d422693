"""Requests, limits and allowances in a few words, the same in every message."""

from __future__ import annotations

from bot.chat.discord.messages.content import escape
from bot.domain.limits import Allowance, Limit
from bot.domain.money import Money
from bot.domain.requests import ImageRequest


def describe_options(
    request: ImageRequest, model_label: str, quality: str | None = None, seed: int | None = None
) -> str:
    """The model, the quality, and those of the other options that are not the default.

    `quality` is the one that is painted in, empty where the service chooses it itself; None: as asked. `seed` is
    the one that was painted with, where it is known.
    """
    parts = [model_label]
    if request.count > 1:
        parts.append(pictures(request.count))
    if request.size != "auto":
        parts.append(escape(request.size))
    if painted := request.quality if quality is None else quality:
        parts.append(painted if painted != "auto" else "auto quality")
    if request.background != "auto":
        parts.append(request.background)
    if request.output_format not in ("png", "jpeg", "webp"):
        parts.append(request.output_format.upper())
    if (seed := request.seed if seed is None else seed) is not None:
        parts.append(f"seed {seed}")
    return " · ".join(parts)


def describe_limit(limit: Limit) -> str:
    """For example: 10 pictures per day for everyone."""
    if limit.stops:
        return f"no pictures {describe_subject(limit)}"
    amount = pictures(limit.amount) if limit.unit == "images" else Money(limit.amount)
    return f"{amount} per {limit.window} {describe_subject(limit)}"


def describe_subject(limit: Limit) -> str:
    """Whom a limit is for, for example: for everyone."""
    return {
        "member": f"for <@{limit.subject_id}>",
        "role": f"for <@&{limit.subject_id}>",
        "everyone": "for everyone",
        "guild": "for the whole server",
        "operator": "for all of Easel",
    }[limit.subject]


def switched_off_text(limit: Limit) -> str:
    """What members read of a limit of 0."""
    return f"Painting is switched off here {describe_subject(limit)}. A moderator can switch it on again."


def describe_allowance(allowance: Allowance) -> str:
    """For example: 7 of 10 left today and 3 granted."""
    period = {"day": "today", "week": "this week", "month": "this month"}[allowance.limit.window]
    granted = f" and {allowance.granted} granted" if allowance.granted else ""
    return f"{allowance.left - allowance.granted} of {allowance.total} left {period}{granted}"


def pictures(count: int) -> str:
    """For example: 1 picture, 2 pictures."""
    return f"{count} picture" if count == 1 else f"{count} pictures"
