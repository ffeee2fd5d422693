"""What every message is made of: its content as data, and text that is safe and short enough to send."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import discord

MAX_CONTENT = 2000
"""Characters of a message: Discord's docs, Message resource."""
BRAND_COLOUR = discord.Colour(0xE4572E)
NO_MENTIONS = discord.AllowedMentions.none()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContent:
    """A message to be sent. discord.py sends `view` and does not keep it in memory."""

    content: str = ""
    embeds: list[discord.Embed] = field(default_factory=list)
    view: discord.ui.View | None = None


def join_lines(lines: Sequence[str]) -> str:
    """Lines as the content of a message, cut to the length that Discord takes."""
    return truncate("\n".join(lines), MAX_CONTENT)


def escape(text: str) -> str:
    """Text that Discord shows as it was written: no markdown, no mention, no link preview."""
    # discord.py's own escaping leaves alone what stands between two masked links.
    escaped = re.sub(r"[\\*_~|`\[<@]|:(?=//)", r"\\\g<0>", text)
    return re.sub(r"^([^\S\n]*)([#>+-])", r"\1\\\2", escaped, flags=re.MULTILINE)


def truncate(text: str, length: int) -> str:
    """At most `length` characters, with an ellipsis where something was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def timestamp(milliseconds: int, style: str = "R") -> str:
    """A Discord timestamp, which each reader sees in their own time zone."""
    return f"<t:{milliseconds // 1000}:{style}>"


def as_sentences(clauses: Sequence[str]) -> str:
    """Clauses as sentences, for example: 16:9 became 3:2. The service chooses the quality itself."""
    return " ".join(f"{clause[:1].upper()}{clause[1:].rstrip('.')}." for clause in clauses)
