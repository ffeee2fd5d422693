"""Notices to moderators that a model will be switched off."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.discord.messages.content import join_lines


def with_notices(text: str, notices: Sequence[str]) -> str:
    """An answer to a moderator with the notices below it, cut to the length of one message."""
    return join_lines([text, *(f"-# ⚠️ {notice}" for notice in notices)])


def notice_text(notice: str) -> str:
    """A notice as a message of its own."""
    return f"{notice}\n-# `/moderate services` shows which models there are, and who paints them."
