"""What a message or an option points at, as the core knows it."""

from __future__ import annotations

import discord

from bot.domain.requests import Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def source_of(attachment: discord.Attachment, message: discord.Message | None = None) -> Source:
    """An attachment as the core knows it; with its message where it belongs to one."""
    return Source(
        url=attachment.url,
        filename=attachment.filename,
        content_type=attachment.content_type,
        size=attachment.size,
        width=attachment.width,
        height=attachment.height,
        channel_id=message.channel.id if message else None,
        message_id=message.id if message else None,
        attachment_id=attachment.id,
    )


def pictures_in(message: discord.Message) -> list[Source]:
    """The pictures that hang on a message, or on the one that it forwards."""
    own = [source_of(item, message) for item in message.attachments if _is_picture(item)]
    forwarded = [
        source_of(item) for copy in message.message_snapshots for item in copy.attachments if _is_picture(item)
    ]
    return own or forwarded


def _is_picture(attachment: discord.Attachment) -> bool:
    kind = attachment.content_type or ""
    return kind.startswith("image/") or attachment.filename.lower().endswith(SUFFIXES)
