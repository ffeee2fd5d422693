"""The message that has the pictures."""

from __future__ import annotations

import re

import discord

from bot.chat.discord.messages.buttons import delete_button, edit_button, view
from bot.chat.discord.messages.content import (
    BRAND_COLOUR,
    MAX_CONTENT,
    MessageContent,
    as_sentences,
    escape,
    join_lines,
    truncate,
)
from bot.chat.discord.messages.descriptions import describe_options
from bot.domain.jobs import Finished, Job
from bot.domain.requests import ImageRequest

MAX_ALT_TEXT = 1024
"""Characters of an attachment's description: Discord's docs, Message resource."""
MAX_EMBED = 4096
"""Characters of an embed's description: the same page."""
LASTING_LINK = re.compile(r"https?://[\w.:\[\]-]+/[\w./%~+-]*", re.ASCII)
"""Neither a query nor credentials, in which signatures stand, nor a character that ends a link in Discord."""
INLINE_PROMPT = 1500
"""Characters of the longest prompt that is shown in the content; a longer one takes an embed."""


def result_message(job: Job, finished: Finished, model_label: str) -> MessageContent:
    """Mentions the member, and shows the prompt, the options and the price; the pictures are attached to it."""
    lines = [f"<@{job.requester.user_id}>"]
    if notes := " ".join(filter(None, (as_sentences(job.request.fallbacks), finished.note))):
        lines.append(notes)
    lines += _size_lines(finished, hidden=job.request.spoiler)
    one = len(finished.pictures) == 1
    advice = "reply with @Easel to change it" if one else "reply with @Easel #2 to change the second"
    options = describe_options(job.request, model_label, finished.quality, finished.seed)
    lines.append(f"-# {options} · {job.charged.money} · {advice}")
    embeds = []
    prompt = escape(job.request.prompt)
    if len(prompt) <= min(INLINE_PROMPT, MAX_CONTENT - len("\n".join(lines)) - 1):
        lines[0] += f" {prompt}"
    else:
        embeds.append(discord.Embed(description=_embedded_prompt(job.request.prompt), colour=BRAND_COLOUR))
    buttons = view(edit_button(job.id), delete_button(job.id))
    return MessageContent(content=join_lines(lines), embeds=embeds, view=buttons)


def _size_lines(finished: Finished, *, hidden: bool) -> list[str]:
    """Which pictures are only links, and which were made smaller, with links to the originals.

    Discord shows what a bare link leads to, so that of a hidden picture is in angle brackets.
    """
    lines = [
        f"[Picture {number}]({f'<{link}>' if hidden else link}): too large for this channel"
        for number, link in enumerate(finished.links, 1)
    ]
    reduced = [(number, picture) for number, picture in enumerate(finished.pictures, 1) if picture.reduced]
    if not reduced:
        return lines
    originals = ", ".join(
        f"[{'original' if len(finished.pictures) == 1 else f'original {number}'}](<{link}>)"
        for number, picture in reduced
        if (link := _lasting(picture.url))
    )
    said = "Made smaller to fit this channel"
    return [*lines, f"{said}: {originals}" if originals else f"{said}."]


def _lasting(link: str | None) -> str | None:
    """A link without a signature, which would end soon and is not for everybody to keep."""
    return link if link is not None and LASTING_LINK.fullmatch(link) else None


def _embedded_prompt(prompt: str) -> str:
    """All of a long prompt, escaped or, where that is too long for an embed, in a code block."""
    escaped = escape(prompt)
    if len(escaped) <= MAX_EMBED:
        return escaped
    unfenced = re.sub("``(?=`)", "``\u200b", prompt)
    return f"```\n{truncate(unfenced, MAX_EMBED - 16)}\n```"


def alt_text(request: ImageRequest, *, finished: bool = True) -> str:
    """What a screen reader says of a picture."""
    return truncate(request.prompt if finished else f"Not finished yet: {request.prompt}", MAX_ALT_TEXT)
