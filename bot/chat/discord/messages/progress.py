"""The card of a job: accepted, and under way."""

from __future__ import annotations

from bot.chat.discord.messages.buttons import cancel_button, view
from bot.chat.discord.messages.content import MessageContent, as_sentences, escape, join_lines, timestamp, truncate
from bot.chat.discord.messages.descriptions import describe_allowance, describe_options
from bot.domain.jobs import AcceptedJob, Job, Progress


def accepted_message(commission: AcceptedJob, label: str, note: str = "") -> MessageContent:
    """The first answer: what was asked, what it will cost at most, what is left."""
    job = commission.job
    verb = "Editing" if job.request.kind == "edit" else "Painting"
    place = f"{commission.ahead} ahead" if commission.ahead else "next in line"
    lines = [
        f"🎨 **{verb}:** {escape(truncate(job.request.prompt, 200))}",
        f"-# {describe_options(job.request, label)}",
        f"Queued, {place} · at most {commission.price} · {describe_allowance(commission.allowance)}",
    ]
    if commission.changes:
        lines.append(f"-# {as_sentences(commission.changes)}")
    if note:
        lines.append(note)
    return MessageContent(content=join_lines(lines), view=view(cancel_button(job.id)))


def progress_message(job: Job, progress: Progress, label: str) -> MessageContent:
    """The card while the job runs."""
    verb = "Editing" if job.request.kind == "edit" else "Painting"
    news = progress.note or "Working on it."
    if progress.preview is not None:
        news = "Not finished yet"
    if progress.position:
        news = f"In the service's queue, {progress.position} ahead"
    lines = [
        f"🎨 **{verb}:** {escape(truncate(job.request.prompt, 200))}",
        f"-# {describe_options(job.request, label)}",
        f"{news[:1].upper()}{news[1:]} · started {timestamp(job.created_at)}",
    ]
    if progress.changes:
        lines.append(f"-# {as_sentences(progress.changes)}")
    return MessageContent(content=join_lines(lines), view=view(cancel_button(job.id)))
