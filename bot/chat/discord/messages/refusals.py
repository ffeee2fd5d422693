"""What members read where Easel refuses or fails."""

from __future__ import annotations

from bot.chat.discord.messages.content import timestamp
from bot.chat.discord.messages.descriptions import describe_limit, switched_off_text
from bot.domain.errors import EaselError, QuotaExceeded

NOTHING_CHARGED = "Nothing was charged."


def refusal_text(error: EaselError) -> str:
    """The error's sentence and, where a picture was asked for, that it cost nothing."""
    sentence = _quota_sentences(error) if isinstance(error, QuotaExceeded) else error.sentence
    return f"{sentence} {NOTHING_CHARGED}" if error.about_a_picture else sentence


def _quota_sentences(error: QuotaExceeded) -> str:
    if error.limit.stops:
        return switched_off_text(error.limit)
    return (
        f"{error.sentence} The limit is {describe_limit(error.limit)}. "
        f"You get more {timestamp(error.resets_at)}, or ask a moderator."
    )
