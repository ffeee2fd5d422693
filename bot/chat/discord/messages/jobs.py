"""The answer to `/jobs`."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.chat.discord.messages.buttons import cancel_button, view
from bot.chat.discord.messages.content import MessageContent, escape, join_lines, timestamp, truncate
from bot.domain.jobs import Job, JobState

STATES = {
    JobState.WAITING: "waiting",
    JobState.RUNNING: "painting",
    JobState.DELIVERING: "posting",
    JobState.DONE: "done",
    JobState.FAILED: "failed, nothing charged",
    JobState.CANCELLED: "cancelled, nothing charged",
}


def jobs_message(of: Sequence[Job], guild_id: int) -> MessageContent:
    """What `/jobs` shows: running ones with a button that cancels them, then recent ones."""
    if not of:
        return MessageContent(content="You have no pictures yet. Type /imagine to paint one.")
    lines = ["**Your latest requests**"]
    buttons: list[discord.ui.Button[discord.ui.View]] = []
    for number, job in enumerate(of, 1):
        lines.append(_history_line(number, job, guild_id))
        if job.state in (JobState.WAITING, JobState.RUNNING) and len(buttons) < 5:
            buttons.append(cancel_button(job.id, f"Cancel {number}"))
    return MessageContent(content=join_lines(lines), view=view(*buttons) if buttons else None)


def _history_line(number: int, job: Job, guild_id: int) -> str:
    state = STATES[job.state]
    if job.state is JobState.DONE:
        pictures = "picture" if job.charged.images == 1 else "pictures"
        state = f"{job.charged.images} {pictures}, {job.charged.money}"
    line = f"{number}. {escape(truncate(job.request.prompt, 60))} · {state} · {timestamp(job.created_at)}"
    if job.result_message_id:
        place = f"{guild_id}/{job.requester.channel_id}/{job.result_message_id}"
        line += f" · [see it](https://discord.com/channels/{place})"
    return line
