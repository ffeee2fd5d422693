"""The card that a request is answered with and that shows its progress."""

from __future__ import annotations

from bot.chat.discord.messages.buttons import cancel_button, view
from bot.chat.discord.messages.content import MessageContent, as_sentences, escape, join_lines, timestamp, truncate
from bot.chat.discord.messages.descriptions import describe_allowance, describe_options
from bot.domain.jobs import AcceptedJob, Job, Progress


def accepted_message(accepted: AcceptedJob, model_label: str, note: str = "") -> MessageContent:
    """The card at first: the request, its highest price, what is left of the allowance."""
    job = accepted.job
    place = f"{accepted.ahead} ahead" if accepted.ahead else "next in line"
    lines = [
        *_request_lines(job, model_label, accepted.quality),
        f"Queued, {place} · at most {accepted.price} · {describe_allowance(accepted.allowance)}",
    ]
    if accepted.changes:
        lines.append(f"-# {as_sentences(accepted.changes)}")
    if note:
        lines.append(note)
    return MessageContent(content=join_lines(lines), view=view(cancel_button(job.id)))


def progress_message(job: Job, progress: Progress, model_label: str) -> MessageContent:
    """The card while the job runs."""
    lines = [
        *_request_lines(job, model_label, progress.quality),
        f"{_status(progress).removesuffix('.')} · asked {timestamp(job.created_at)}",
    ]
    if changes := (*job.request.fallbacks, *progress.changes):
        lines.append(f"-# {as_sentences(changes)}")
    return MessageContent(content=join_lines(lines), view=view(cancel_button(job.id)))


def _status(progress: Progress) -> str:
    if progress.position is not None:
        return f"In the service's queue, {progress.position} ahead" if progress.position else "You are next"
    if progress.preview is not None:
        return "Taking shape…"
    # The line above says that it is being painted, or edited.
    note = progress.note if progress.note not in ("", "painting") else "at work"
    return f"{note[:1].upper()}{note[1:]}"


def _request_lines(job: Job, model_label: str, quality: str | None) -> list[str]:
    verb = "Editing" if job.request.kind == "edit" else "Painting"
    return [
        f"🎨 **{verb}:** {escape(truncate(job.request.prompt, 200))}",
        f"-# {describe_options(job.request, model_label, quality)}",
    ]
