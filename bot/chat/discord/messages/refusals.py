"""What members read where Easel refuses or fails."""

from __future__ import annotations

from bot.chat.discord.messages.buttons import retry_button, view
from bot.chat.discord.messages.content import MessageContent, timestamp
from bot.chat.discord.messages.descriptions import describe_limit, switched_off_text
from bot.domain.choices import AlternativeModel
from bot.domain.errors import EaselError, QuotaExceeded
from bot.domain.jobs import Job

NOTHING_CHARGED = "Nothing was charged."


def refusal_text(error: EaselError) -> str:
    """The error's sentence and, where a picture was asked for, that it cost nothing."""
    sentence = _quota_sentences(error) if isinstance(error, QuotaExceeded) else error.sentence
    return f"{sentence} {NOTHING_CHARGED}" if error.about_a_picture else sentence


def failure_message(job: Job, error: EaselError, alternative: AlternativeModel | None) -> MessageContent:
    """Why a job has failed and, where there is one, a button for the same with another model."""
    buttons = view(retry_button(job.id, alternative)) if alternative else None
    return MessageContent(content=refusal_text(error), view=buttons)


def _quota_sentences(error: QuotaExceeded) -> str:
    if error.limit.stops:
        return switched_off_text(error.limit)
    return (
        f"{error.sentence} The limit is {describe_limit(error.limit)}. "
        f"You get more {timestamp(error.resets_at)}, or ask a moderator."
    )
