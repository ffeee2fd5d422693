"""What members and Easel may do in a channel."""

from __future__ import annotations

import discord

from bot.domain.errors import NotAllowed


def may_write(member: discord.abc.User, permissions: discord.Permissions, channel: object) -> bool:
    """Whether a member with these permissions in a channel may write there, and is not timed out."""
    timed_out = isinstance(member, discord.Member) and member.is_timed_out() and not permissions.administrator
    return not timed_out and _may_send(permissions, channel)


def known_permissions(
    channel: discord.abc.MessageableChannel, member: discord.Member | None
) -> discord.Permissions | None:
    """A member's permissions in a channel, None where discord.py does not know it, as just after a start."""
    if member is None or isinstance(channel, discord.PartialMessageable):
        return None
    if isinstance(channel, discord.Thread) and channel.parent is None:
        return None
    return channel.permissions_for(member)


def _may_send(permissions: discord.Permissions, channel: object) -> bool:
    in_thread = isinstance(channel, discord.Thread)
    return permissions.send_messages_in_threads if in_thread else permissions.send_messages


def check_may_post(permissions: discord.Permissions, channel: object) -> None:
    """Check Easel's permissions in a channel before anything is spent.

    Raises:
        NotAllowed: Easel could not post the result there.
    """
    in_thread = isinstance(channel, discord.Thread)
    missing = [
        name
        for name, granted in (
            ("View Channel", permissions.view_channel),
            ("Send Messages in Threads" if in_thread else "Send Messages", _may_send(permissions, channel)),
            ("Attach Files", permissions.attach_files),
            ("Read Message History", permissions.read_message_history),
        )
        if not granted
    ]
    if missing:
        raise NotAllowed(f"Easel may not post pictures here. Ask a moderator to give it: {', '.join(missing)}.")
