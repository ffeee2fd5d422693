"""Members, channels and pictures of Discord's, as the core knows them."""

from __future__ import annotations

import discord

from bot.chat.discord.client import Interaction
from bot.domain.errors import NotAllowed
from bot.domain.requests import ReplyAddress, Requester, Source

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


def requester(interaction: Interaction) -> Requester:
    """Who asks, as the core knows it.

    Raises:
        NotAllowed: not in a server.
    """
    member = interaction.user
    if interaction.guild_id is None or not isinstance(member, discord.Member):
        raise NotAllowed("Easel paints in servers only. Ask it there.")
    return requester_of(member, interaction.channel_id or 0, str(interaction.locale))


def requester_of(member: discord.Member, channel_id: int, locale: str = "en-US") -> Requester:
    """A member of a server, as the core knows them."""
    return Requester(
        user_id=member.id,
        guild_id=member.guild.id,
        channel_id=channel_id,
        # As Discord sent them: `member.roles` leaves out what is not cached yet, just after a start.
        role_ids=tuple(member._roles),  # noqa: SLF001 - discord.py is pinned to 2.7.1
        locale=locale,
    )


def reply_address(interaction: Interaction) -> ReplyAddress:
    """Where the pictures go.

    Raises:
        NotAllowed: Easel may not post there; better said before anything is spent.
    """
    check_may_post(interaction.app_permissions, interaction.channel)
    return ReplyAddress(
        application_id=interaction.application_id,
        channel_id=interaction.channel_id or 0,
        token=interaction.token,
        expires_at=int(interaction.expires_at.timestamp() * 1000),
        file_limit=interaction.filesize_limit,
    )


def check_may_post(held: discord.Permissions, channel: object) -> None:
    """Refuse where Easel could not post the result."""
    in_thread = isinstance(channel, discord.Thread)
    may_send = held.send_messages_in_threads if in_thread else held.send_messages
    missing = [
        name
        for name, granted in (
            ("View Channel", held.view_channel),
            ("Send Messages in Threads" if in_thread else "Send Messages", may_send),
            ("Attach Files", held.attach_files),
            ("Read Message History", held.read_message_history),
        )
        if not granted
    ]
    if missing:
        raise NotAllowed(f"Easel may not post pictures here. Ask a moderator to give it: {', '.join(missing)}.")
