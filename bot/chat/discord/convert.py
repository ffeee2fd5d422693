"""Converts discord.py's objects to the nouns of `bot.domain`: sources, requesters, reply addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord

from bot.chat.discord.client import Interaction
from bot.chat.discord.permissions import check_may_post, may_write
from bot.domain.clock import instant_of
from bot.domain.errors import NotAllowed
from bot.domain.requests import ReplyAddress, Requester, Source

SPOILER_FLAG = 1 << 3
"""Discord's docs, Message resource, Attachment Flags."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def source_of(attachment: discord.Attachment, message: discord.Message | None = None) -> Source:
    """A source for an attachment; with its message, so that its link can be renewed, where it belongs to one."""
    return Source(
        url=attachment.url,
        filename=attachment.filename,
        content_type=attachment.content_type,
        size=attachment.size,
        width=_side(attachment.width),
        height=_side(attachment.height),
        channel_id=message.channel.id if message else None,
        message_id=message.id if message else None,
        attachment_id=attachment.id,
        spoiler=attachment.is_spoiler(),
    )


def source_of_upload(upload: Mapping[str, Any]) -> Source:
    """A source for a file of a form, which Discord sends as an attachment object (docs: resources/message)."""
    return Source(
        url=str(upload["url"]),
        filename=str(upload["filename"]),
        content_type=upload.get("content_type"),
        size=int(upload["size"]),
        width=_side(upload.get("width")),
        height=_side(upload.get("height")),
        attachment_id=int(upload["id"]),
        spoiler=str(upload["filename"]).startswith("SPOILER_") or bool(upload.get("flags", 0) & SPOILER_FLAG),
    )


def _side(pixels: Any) -> int | None:
    """A picture's width or height; None where Discord does not say one that can be."""
    return pixels if isinstance(pixels, int) and pixels > 0 else None


def pictures_in(message: discord.Message) -> list[Source]:
    """The pictures that are attached to a message or, where it has none, to the message that it forwards."""
    own = [source_of(item, message) for item in message.attachments if _is_picture(item)]
    forwarded = [
        source_of(item) for copy in message.message_snapshots for item in copy.attachments if _is_picture(item)
    ]
    return own or forwarded


def _is_picture(attachment: discord.Attachment) -> bool:
    content_type = attachment.content_type or ""
    return content_type.startswith("image/") or attachment.filename.lower().endswith(PICTURE_SUFFIXES)


def requester(interaction: Interaction) -> Requester:
    """The member behind an interaction.

    Raises:
        NotAllowed: the interaction is not in a server.
    """
    member = interaction.user
    if interaction.guild_id is None or not isinstance(member, discord.Member):
        raise NotAllowed("Easel paints in servers only. Ask it there.")
    return requester_of(member, interaction.channel_id or 0, str(interaction.locale))


def requester_of(member: discord.Member, channel_id: int, locale: str = "en-US") -> Requester:
    """A member, asking in a channel of their server."""
    return Requester(
        user_id=member.id,
        guild_id=member.guild.id,
        channel_id=channel_id,
        # `member.roles` leaves out roles that are not cached yet just after a start.
        role_ids=tuple(member._roles),  # noqa: SLF001 - discord.py is pinned to 2.7.1
        locale=locale,
    )


def reply_address(interaction: Interaction) -> ReplyAddress:
    """Where the pictures of an interaction's request go.

    Raises:
        NotAllowed: the member or Easel may not post there.
    """
    check_may_ask(interaction)
    check_may_post(interaction.app_permissions, interaction.channel)
    return ReplyAddress(
        application_id=interaction.application_id,
        channel_id=interaction.channel_id or 0,
        event_id=interaction.id,
        token=interaction.token,
        expires_at=instant_of(interaction.expires_at),
        file_limit=interaction.filesize_limit,
    )


def check_may_ask(interaction: Interaction) -> None:
    """Check that the member may write where the picture would be posted.

    Raises:
        NotAllowed: they may not, so Easel does not for them.
    """
    if not may_write(interaction.user, interaction.permissions, interaction.channel):
        raise NotAllowed("You may not write here at the moment, so Easel does not post here for you either.")
