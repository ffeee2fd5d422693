"""The message with the finished pictures."""

from __future__ import annotations

import re

import discord

from bot.chat.discord.messages.buttons import delete_button, edit_button, view
from bot.chat.discord.messages.content import BRAND_COLOUR, MessageContent, escape, join_lines, truncate
from bot.chat.discord.messages.descriptions import describe_options
from bot.domain.jobs import Finished, Job
from bot.domain.requests import ImageRequest

ALT_TEXT = 1024
"""Characters in an attachment's description: the same page."""


SHOWN_PROMPT = 1500


def result_message(job: Job, finished: Finished, label: str) -> MessageContent:
    """The message that holds the pictures."""
    lines = [f"<@{job.requester.user_id}>"]
    embeds = []
    prompt = escape(job.request.prompt)
    if len(prompt) <= SHOWN_PROMPT:
        lines[0] += f" {prompt}"
    else:
        embeds.append(discord.Embed(description=_whole_prompt(job.request.prompt), colour=BRAND_COLOUR))
    if finished.note:
        lines.append(finished.note)
    lines += [
        f"[Picture {number}]({link}): too large for this channel" for number, link in enumerate(finished.links, 1)
    ]
    advice = "reply to change it" if len(finished.pictures) == 1 else "reply with #2 … to change the second"
    lines.append(f"-# {describe_options(job.request, label)} · {job.charged.money} · {advice}")
    buttons = view(edit_button(job.id), delete_button(job.id))
    return MessageContent(content=join_lines(lines), embeds=embeds, view=buttons)


def _whole_prompt(prompt: str) -> str:
    """All of a long prompt, literally; Discord's embeds hold 4096 characters."""
    escaped = escape(prompt)
    if len(escaped) <= 4096:
        return escaped
    unfenced = re.sub("``(?=`)", "``\u200b", prompt)
    return f"```\n{truncate(unfenced, 4080)}\n```"


def alt_text(request: ImageRequest, *, finished: bool = True) -> str:
    """What a screen reader says of a picture."""
    return truncate(request.prompt if finished else f"Not finished yet: {request.prompt}", ALT_TEXT)
