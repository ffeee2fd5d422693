"""The state of Discord's stand-in: guilds, members, channels, messages, and their JSON objects."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from bot.sandbox.discord.files import Cdn, Json
from bot.sandbox.discord.model import (
    ADMINISTRATOR,
    ALL_PERMISSIONS,
    DISCORD_EPOCH_MS,
    DM_CHANNEL,
    EVERYONE_PERMISSIONS,
    VIEW_CHANNEL,
    Channel,
    Guild,
    Interaction,
    Message,
    Role,
    Settings,
    User,
)


class World:
    """All objects by id, and their JSON."""

    def __init__(self, settings: Settings, application_name: str) -> None:
        self.settings = settings
        self.cdn = Cdn(lifetime=settings.cdn_lifetime)
        self.started = time.monotonic()
        self.started_at = time.time()
        self._last_id = 0
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.interactions: dict[int, Interaction] = {}
        self.tokens: dict[str, Interaction] = {}
        self.modals: dict[str, Json] = {}
        self.commands: list[Json] = []
        self.nonces: dict[tuple[int, str], tuple[float, int]] = {}
        self.observers: list[Callable[[Message], None]] = []
        self.bot = User(id=self.new_id(), name=application_name, bot=True)
        self.owner = User(id=self.new_id(), name="owner")
        self.users |= {self.bot.id: self.bot, self.owner.id: self.owner}

    def new_id(self) -> int:
        """A new snowflake: the current time, and larger than every earlier one."""
        now = (int(time.time() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last_id = max(self._last_id + 1, now)
        return self._last_id

    def dm(self, user_id: int) -> Channel:
        """The DM channel between the bot and a user."""
        for channel in self.channels.values():
            if channel.recipient_id == user_id:
                return channel
        channel = Channel(id=self.new_id(), name="", recipient_id=user_id)
        self.channels[channel.id] = channel
        return channel

    def since_start(self, at: float) -> float:
        """Milliseconds from the start of the stand-in to a monotonic time."""
        return round((at - self.started) * 1000, 3)

    def permissions(self, channel: Channel, user_id: int) -> int:
        """A member's permissions in a channel: owner, roles, then overwrites (docs: topics/permissions)."""
        if channel.guild_id is None:
            return EVERYONE_PERMISSIONS
        guild = self.guilds[channel.guild_id]
        if user_id not in guild.members:
            return 0
        overwrites = self.channels[channel.parent_id or channel.id].overwrites  # a thread has its parent's
        roles = [guild.id, *guild.members[user_id]]
        value = 0
        for role in roles:
            value |= guild.roles[role].permissions
        if user_id == guild.owner_id or value & ADMINISTRATOR:
            return ALL_PERMISSIONS
        for targets in ([guild.id], roles[1:], [user_id]):
            pairs = [overwrites.get(target, (0, 0)) for target in targets]
            for _, deny in pairs:
                value &= ~deny
            for allow, _ in pairs:
                value |= allow
        return value if value & VIEW_CHANNEL else 0

    def content_visible(self, message: Message) -> bool:
        """Whether the app sees the message's content (docs: events/gateway, message content intent)."""
        return (
            self.settings.message_content
            or message.author_id == self.bot.id
            or self.bot.id in message.mentions
            or self.channels[message.channel_id].type == DM_CHANNEL
        )

    def user_json(self, user: User) -> Json:
        """The user object."""
        return {
            "id": str(user.id),
            "username": user.name,
            "global_name": user.name.title(),
            "discriminator": "0",
            "avatar": None,
            "bot": user.bot,
            "public_flags": 0,
            "flags": 0,
        }

    def member_json(self, guild: Guild, user_id: int, *, user: bool = True) -> Json:
        """The guild member object; ``user=False`` where Discord leaves ``user`` out."""
        data: Json = {
            "nick": None,
            "avatar": None,
            "roles": [str(role) for role in guild.members.get(user_id, ())],
            "joined_at": "2024-01-01T00:00:00.000000+00:00",
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "pending": False,
            "flags": 0,
            "communication_disabled_until": iso(guild.timeouts[user_id]) if user_id in guild.timeouts else None,
        }
        if user:
            data["user"] = self.user_json(self.users[user_id])
        return data

    def role_json(self, role: Role) -> Json:
        """The role object."""
        return {
            "id": str(role.id),
            "name": role.name,
            "permissions": str(role.permissions),
            "position": role.position,
            "color": 0,
            "hoist": False,
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }

    def channel_json(self, channel: Channel) -> Json:
        """The channel object."""
        last = next(reversed(channel.messages), None)
        data: Json = {"id": str(channel.id), "type": channel.type, "flags": 0}
        data["last_message_id"] = None if last is None else str(last)
        if channel.recipient_id is not None:
            data["recipients"] = [self.user_json(self.users[channel.recipient_id])]
        if channel.guild_id is None:
            return data
        guild = self.guilds[channel.guild_id]
        if channel.parent_id is not None:
            return data | self._thread_fields(channel)
        overwrites = [
            {
                "id": str(target),
                "type": int(target not in guild.roles),
                "allow": str(allow),
                "deny": str(deny),
            }
            for target, (allow, deny) in channel.overwrites.items()
        ]
        return data | {
            "guild_id": str(channel.guild_id),
            "name": channel.name,
            "position": 0,
            "parent_id": None,
            "topic": None,
            "nsfw": False,
            "rate_limit_per_user": 0,
            "permission_overwrites": overwrites,
        }

    def _thread_fields(self, channel: Channel) -> Json:
        began = iso(self.started_at)
        return {
            "guild_id": str(channel.guild_id),
            "name": channel.name,
            "parent_id": str(channel.parent_id),
            "owner_id": str(self.owner.id),
            "message_count": len(channel.messages),
            "member_count": 1,
            "rate_limit_per_user": 0,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": began,
                "create_timestamp": began,
                "locked": False,
            },
        }

    def guild_channels(self, guild: Guild, *, threads: bool = False) -> list[Channel]:
        """The channels of a guild, or its threads, oldest first."""
        of_guild = (channel for channel in self.channels.values() if channel.guild_id == guild.id)
        return [channel for channel in of_guild if (channel.parent_id is not None) == threads]

    def guild_json(self, guild: Guild, *, event: bool = False) -> Json:
        """The guild object; with ``event`` as in GUILD_CREATE, which lists only the bot as a member."""
        data: Json = {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "owner_id": str(guild.owner_id),
            "roles": [self.role_json(role) for role in guild.roles.values()],
            "emojis": [],
            "stickers": [],
            "features": [],
            "preferred_locale": guild.locale,
            "premium_tier": 0,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "afk_timeout": 300,
            "system_channel_flags": 0,
            "public_updates_channel_id": guild.updates_channel_id and str(guild.updates_channel_id),
            "premium_progress_bar_enabled": False,
        }
        if not event:
            return data
        return data | {
            "unavailable": False,
            "large": False,
            "joined_at": "2024-01-01T00:00:00.000000+00:00",
            "member_count": len(guild.members),
            "members": [self.member_json(guild, self.bot.id)] if guild.with_bot else [],
            "channels": [self.channel_json(channel) for channel in self.guild_channels(guild)],
            "threads": [self.channel_json(thread) for thread in self.guild_channels(guild, threads=True)],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def message_json(self, message: Message, *, full: bool = False, nested: bool = False) -> Json:
        """The message object for the app; ``full`` for a member, ``nested`` inside a reply."""
        shown = full or self.content_visible(message)
        attachments = [self.cdn.attachment_json(f, ephemeral=message.ephemeral) for f in message.files]
        data: Json = {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "type": message.type,
            "author": self.user_json(self.users[message.author_id]),
            "content": message.content if shown else "",
            "attachments": attachments if shown else [],
            "embeds": message.embeds if shown else [],
            "components": message.components if shown else [],
            "timestamp": iso(message.created_at),
            "edited_timestamp": iso(message.edited_at) if message.edited_at else None,
            "tts": False,
            "pinned": False,
            "flags": message.flags,
            "mention_everyone": message.mention_everyone,
            "mentions": [self.user_json(self.users[u]) for u in message.mentions if u in self.users],
            "mention_roles": [str(role) for role in message.mention_roles],
        }
        if message.nonce is not None:
            data["nonce"] = message.nonce
        if message.interaction is not None:
            data |= self._interaction_fields(message, message.interaction)
        if message.reply_to is not None:
            channel = self.channels[message.channel_id]
            data["message_reference"] = {
                "type": 0,
                "message_id": str(message.reply_to),
                "channel_id": str(message.channel_id),
            }
            if channel.guild_id is not None:
                data["message_reference"]["guild_id"] = str(channel.guild_id)
            if not nested:
                target = channel.messages.get(message.reply_to)
                gone = target is None or target.deleted
                data["referenced_message"] = (
                    None if target is None or gone else self.message_json(target, full=full, nested=True)
                )
        return data

    def _interaction_fields(self, message: Message, interaction: Interaction) -> Json:
        metadata: Json = {
            "id": str(interaction.id),
            "type": interaction.payload["type"],
            "user": self.user_json(self.users[interaction.user_id]),
            "authorizing_integration_owners": interaction.payload["authorizing_integration_owners"],
        }
        if interaction.kind == "click" and interaction.source_id is not None:
            metadata["interacted_message_id"] = str(interaction.source_id)
        if interaction.original_id not in (None, message.id):
            metadata["original_response_message_id"] = str(interaction.original_id)
        # A modal's metadata would nest the interaction that opened it; left out, since Easel does not read it.
        fields: Json = {"application_id": str(self.bot.id), "webhook_id": str(self.bot.id)}
        return fields if interaction.kind == "modal" else fields | {"interaction_metadata": metadata}

    def message_event(self, message: Message) -> Json:
        """The message of MESSAGE_CREATE and MESSAGE_UPDATE."""
        data = self.message_json(message)
        channel = self.channels[message.channel_id]
        data["channel_type"] = channel.type
        if channel.guild_id is not None:
            guild = self.guilds[channel.guild_id]
            data["guild_id"] = str(guild.id)
            if message.interaction is None and message.author_id in guild.members:
                data["member"] = self.member_json(guild, message.author_id, user=False)
        return data

    def report_message(self, message: Message) -> Json:
        """A message for tests: the full message object, and under ``sandbox`` what Discord does not show."""
        return self.message_json(message, full=True) | {
            "sandbox": {
                "at_ms": self.since_start(message.at),
                "ephemeral": message.ephemeral,
                "deleted": message.deleted,
                "interaction_id": message.interaction.id if message.interaction else None,
                "nonce": message.nonce,
                "allowed_mentions": message.allowed_mentions,
                "pinged": message.pinged,
                "reactions": message.reactions,
                "files": [
                    {"filename": f.blob.filename, "size": f.blob.size, "sha256": f.blob.sha256}
                    for f in message.files
                ],
                "versions": message.versions,
            }
        }


def iso(at: float) -> str:
    """A Unix time in Discord's ISO 8601 form."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="microseconds")
