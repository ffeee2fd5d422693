"""The answer to `/jobs`."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.chat.discord.messages.buttons import cancel_button, view
from bot.chat.discord.messages.content import MessageContent, escape, join_lines, timestamp, truncate
from bot.chat.discord.messages.descriptions import pictures
from bot.domain.jobs import Job, JobState

STATES = {
    JobState.WAITING: "waiting",
    JobState.RUNNING: "painting",
    JobState.DELIVERING: "posting",
    JobState.DONE: "done",
    JobState.FAILED: "failed, nothing charged",
    JobState.CANCELLED: "cancelled, nothing charged",
}
MAX_BUTTONS = 5
"""Discord's limit for one row."""


def jobs_message(jobs: Sequence[Job], guild_id: int) -> MessageContent:
    """A member's jobs, newest first; those that wait or run have a Cancel button."""
    if not jobs:
        return MessageContent(content="You have no pictures yet. Type /imagine to paint one.")
    lines = ["**Your latest requests**"]
    buttons: list[discord.ui.Button[discord.ui.View]] = []
    for number, job in enumerate(jobs, 1):
        lines.append(_job_line(number, job, guild_id))
        if job.state in (JobState.WAITING, JobState.RUNNING) and len(buttons) < MAX_BUTTONS:
            buttons.append(cancel_button(job.id, f"Cancel {number}"))
    return MessageContent(content=join_lines(lines), view=view(*buttons) if buttons else None)


def _job_line(number: int, job: Job, guild_id: int) -> str:
    state = STATES[job.state]
    if job.state is JobState.DONE:
        state = f"{pictures(job.charged.images)}, {job.charged.money}"
    line = f"{number}. {escape(truncate(job.request.prompt, 60))} · {state} · {timestamp(job.created_at)}"
    if job.result_message_id:
        path = f"{guild_id}/{job.requester.channel_id}/{job.result_message_id}"
        line += f" · [see it](https://discord.com/channels/{path})"
    return line
