"""What moderators are told without asking."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.discord.messages.content import join_lines


def with_notices(sentence: str, notices: Sequence[str]) -> str:
    """An answer to a moderator, and below it what is announced, as far as there is room."""
    return join_lines([sentence, *(f"-# ⚠️ {notice}" for notice in notices)])


def notice_text(notice: str) -> str:
    """News for moderators."""
    return f"{notice}\n-# `/moderate services` shows which models there are, and who paints them."
