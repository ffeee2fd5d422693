"""What a member reads when something was refused or went wrong."""

from __future__ import annotations

from bot.chat.discord.messages.content import timestamp
from bot.chat.discord.messages.descriptions import describe_limit
from bot.domain.errors import EaselError, QuotaExceeded


def refusal_text(error: EaselError) -> str:
    """One clear sentence; where a picture was asked for, also that it cost nothing."""
    if isinstance(error, QuotaExceeded):
        return f"{_no_room(error)} Nothing was charged."
    return f"{error.sentence} Nothing was charged." if error.about_a_picture else error.sentence


def _no_room(error: QuotaExceeded) -> str:
    if error.rule.limit == 0:
        return f"Painting is switched off here: {describe_limit(error.rule)}. A moderator can change that."
    pictures = "picture" if error.wanted == 1 else "pictures"
    return (
        f"You asked for {error.wanted} {pictures} and have {error.left} left. "
        f"The limit is {describe_limit(error.rule)}; it starts anew {timestamp(error.resets_at)}. "
        "A moderator can give you more."
    )
