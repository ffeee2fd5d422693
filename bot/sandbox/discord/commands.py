"""The control commands of Discord's stand-in, for tests and benchmarks: arguments and results are JSON."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from bot.sandbox.discord.burst import Burst
from bot.sandbox.discord.files import Blob, Json
from bot.sandbox.discord.gateway import INVALID_SESSION, RECONNECT, Gateway
from bot.sandbox.discord.interactions import Interactions
from bot.sandbox.discord.messages import Messages
from bot.sandbox.discord.model import (
    EPHEMERAL,
    EVERYONE_PERMISSIONS,
    Channel,
    Guild,
    Interaction,
    Message,
    Role,
    Settings,
    User,
)
from bot.sandbox.discord.rest import Rest
from bot.sandbox.discord.traffic import Fault, RateLimit, Traffic
from bot.sandbox.discord.world import World


class ControlCommands:
    """Each control command is a method of this class; the command's JSON holds its keyword arguments."""

    def __init__(self, settings: Settings, application_name: str) -> None:
        self.world = World(settings, application_name)
        self.traffic = Traffic(settings.recent)
        self.gateway = Gateway(self.world)
        self.chat = Messages(self.world, self.gateway, self.traffic)
        self.rest = Rest(self.world, self.gateway, self.traffic, self.chat)
        self.interactions = Interactions(self.world, self.gateway)

    # Guilds, channels, members

    def info(self) -> Json:
        """The bot's ids, and the addresses of gateway and CDN."""
        bot = self.world.bot.id
        return {"application_id": bot, "bot_id": bot, "gateway_url": self.gateway.url, "cdn": self.world.cdn.base}

    def configure(self, **settings: Any) -> None:
        """Change fields of `Settings`."""
        for name, value in settings.items():
            if name not in {f.name for f in fields(Settings)}:
                raise LookupError(f"no setting {name!r}")
            setattr(self.world.settings, name, value)
        self.world.cdn.lifetime = self.world.settings.cdn_lifetime

    def create_guild(self, *, name: str, with_bot: bool, bot_permissions: int, locale: str) -> int:
        """Create a guild; its id is also the role id of @everyone."""
        world = self.world
        guild = Guild(id=world.new_id(), name=name, owner_id=world.owner.id, with_bot=with_bot, locale=locale)
        world.guilds[guild.id] = guild
        guild.roles[guild.id] = Role(id=guild.id, name="@everyone", permissions=EVERYONE_PERMISSIONS, position=0)
        guild.members[world.owner.id] = []
        if with_bot:
            role = Role(id=world.new_id(), name=world.bot.name, permissions=bot_permissions, position=1)
            guild.roles[role.id] = role
            guild.members[world.bot.id] = [role.id]
            self.gateway.dispatch("GUILD_CREATE", world.guild_json(guild, event=True), guild.id)
        return guild.id

    def create_role(self, *, guild: int, name: str, permissions: int) -> int:
        """Create a role above the existing ones."""
        roles = self.world.guilds[guild].roles
        role = Role(id=self.world.new_id(), name=name, permissions=permissions, position=len(roles))
        roles[role.id] = role
        self._dispatch(guild, "GUILD_ROLE_CREATE", {"guild_id": str(guild), "role": self.world.role_json(role)})
        return role.id

    def create_channel(self, *, guild: int, name: str, file_limit: int | None, updates: bool = False) -> int:
        """Create a text channel; with `updates` it is the guild's public updates channel."""
        channel = Channel(id=self.world.new_id(), name=name, guild_id=guild, file_limit=file_limit)
        self.world.channels[channel.id] = channel
        if updates:
            self.world.guilds[guild].updates_channel_id = channel.id
        self._dispatch(guild, "CHANNEL_CREATE", self.world.channel_json(channel))
        return channel.id

    def create_thread(self, *, channel: int, name: str) -> int:
        """Create a public thread below a text channel."""
        parent = self.world.channels[channel]
        thread = Channel(id=self.world.new_id(), name=name, guild_id=parent.guild_id, parent_id=channel)
        self.world.channels[thread.id] = thread
        if parent.guild_id is not None:
            self._dispatch(parent.guild_id, "THREAD_CREATE", self.world.channel_json(thread))
        return thread.id

    def time_out(self, *, guild: int, member: int, seconds: float) -> None:
        """Time a member out; the interactions of one still come, and their permissions stay as they are."""
        self.world.guilds[guild].timeouts[member] = time.time() + seconds

    def create_member(self, *, guild: int | None, name: str, roles: Sequence[int], accepts_dms: bool) -> int:
        """Create a user, as a member of a guild or only as an account."""
        user = User(id=self.world.new_id(), name=name, accepts_dms=accepts_dms)
        self.world.users[user.id] = user
        if guild is not None:
            self.world.guilds[guild].members[user.id] = list(roles)
        return user.id

    def set_roles(self, *, guild: int, member: int, roles: Sequence[int]) -> None:
        """Make a user a member of a guild with exactly these roles."""
        self.world.guilds[guild].members[member] = list(roles)

    def create_dm(self, *, member: int) -> int:
        """The DM channel between the bot and a user."""
        return self.world.dm(member).id

    def set_permissions(self, *, channel: int, target: int | None, allow: int, deny: int) -> None:
        """Set a channel overwrite for a role or a user; without target: for the bot."""
        place = self.world.channels[channel]
        place.overwrites[target or self.world.bot.id] = (allow, deny)
        if place.guild_id is not None:
            self._dispatch(place.guild_id, "CHANNEL_UPDATE", self.world.channel_json(place))

    def _dispatch(self, guild: int, event: str, data: Json) -> None:
        if self.world.guilds[guild].with_bot:
            self.gateway.dispatch(event, data, guild)

    # Interactions

    def interact(self, *, spec: Json) -> int:
        """Send an interaction; returns its id."""
        return self.interactions.start(spec).id

    async def answer(self, *, interaction: int, within: float) -> Json:
        """Wait for the first response."""
        found = self.world.interactions[interaction]
        response = await found.wakeup.wait(lambda: found.response, within)
        return self._report_response(found, response)

    def _report_response(self, found: Interaction, response: Json) -> Json:
        message = self._messages_of(found).get(found.original_id or 0)
        asked_ephemeral = bool((response["data"].get("flags") or 0) & EPHEMERAL)
        return {
            "interaction": found.id,
            "type": response["type"],
            "data": response["data"],
            "ephemeral": message.ephemeral if message else asked_ephemeral,
            "ms": round(found.age(found.responded_at or found.started) * 1000, 3),
            "message": found.original_id,
        }

    def interaction(self, *, interaction: int) -> Json:
        """The interaction's event, its responses and its state."""
        found = self.world.interactions[interaction]
        messages = self._messages_of(found)
        original = messages.get(found.original_id or 0)
        return {
            "interaction": found.id,
            "token": found.token,
            "payload": found.payload,
            "delivered": found.delivered,
            "callbacks": found.callbacks,
            "expired": time.monotonic() > found.expires_at,
            "answer": self._report_response(found, found.response) if found.response else None,
            "original": self.world.report_message(original) if original else None,
            "followups": [self.world.report_message(messages[m]) for m in found.followups],
        }

    def ephemeral(self, *, interaction: int) -> list[Json]:
        """The messages that only the interaction's member sees, oldest first."""
        found = self.world.interactions[interaction]
        ids = [i for i in (found.original_id, *found.followups) if i is not None]
        messages = [self._messages_of(found)[i] for i in ids]
        return [self.world.report_message(m) for m in messages if m.ephemeral and not m.deleted]

    def _messages_of(self, found: Interaction) -> dict[int, Message]:
        return self.world.channels[found.channel_id].messages

    def redeliver(self, *, interaction: int) -> None:
        """Send the same event again."""
        self.interactions.send(self.world.interactions[interaction])

    async def burst(
        self, *, spec: Json, n: int, rate: float | None, members: Sequence[int], until: str, within: float
    ) -> Json:
        """Send many interactions and time them."""
        return await Burst(self.world, self.interactions).run(spec, n, rate, members, until, within)

    # Messages

    def post_message(
        self,
        *,
        member: int,
        channel: int,
        content: str,
        attachments: Sequence[Json],
        reply_to: int | None,
        ping: bool,
        mentions: Sequence[int],
    ) -> int:
        """Post a member's message; ``mentions`` are put in front of the text."""
        named = [f"<@{user}>" for user in mentions if f"<@{user}>" not in content]
        body: Json = {"content": " ".join([*named, content]).strip(), "allowed_mentions": None}
        if reply_to is not None:
            parse = {"parse": ["users", "roles"], "replied_user": ping}
            body |= {"message_reference": {"message_id": reply_to}, "allowed_mentions": parse}
        files = {number: Blob.from_json(upload) for number, upload in enumerate(attachments)}
        return self.chat.create(self.world.channels[channel], body, files, author_id=member).id

    def delete_message(self, *, message: int) -> None:
        """Delete a message."""
        self.chat.delete(self._message(message))

    def redeliver_message(self, *, message: int) -> None:
        """Send the message's MESSAGE_CREATE again."""
        found = self._message(message)
        channel = self.world.channels[found.channel_id]
        self.chat.send(channel, "MESSAGE_CREATE", self.world.message_event(found))

    def _message(self, message: int) -> Message:
        for channel in self.world.channels.values():
            if found := channel.messages.get(message):
                return found
        raise LookupError(f"no message {message}")

    def messages(self, *, channel: int, after: int, ephemeral: bool, deleted: bool) -> list[Json]:
        """The messages of a channel, oldest first."""
        return [
            self.world.report_message(message)
            for message in self.world.channels[channel].messages.values()
            if message.id > after and (ephemeral or not message.ephemeral) and (deleted or not message.deleted)
        ]

    async def poll(
        self, *, channel: int, version: int, after: int, ephemeral: bool, deleted: bool, within: float
    ) -> Json:
        """Wait until the channel's version is above this one, and return its messages."""
        place = self.world.channels[channel]
        await place.wakeup.wait(lambda: place.version if place.version > version else None, within)
        found = self.messages(channel=channel, after=after, ephemeral=ephemeral, deleted=deleted)
        return {"version": place.version, "messages": found}

    def file(self, *, attachment: int) -> Json:
        """An attachment's bytes, even when its link has expired."""
        blob = self.world.cdn.files[attachment].blob
        content = base64.b64encode(blob.content or b"").decode()
        return {"filename": blob.filename, "size": blob.size, "sha256": blob.sha256, "base64": content}

    # Faults

    def fault(self, **fault: Any) -> None:
        """Add a fault; see `Fault` for the fields."""
        self.traffic.faults.append(Fault(**fault))

    def rate_limit(self, *, route: str, limit: int, per: float, hidden: bool) -> None:
        """Add a rate limit."""
        self.traffic.limits.append(RateLimit(route=route, limit=limit, per=per, hidden=hidden))

    def clear_faults(self) -> None:
        """Remove all faults and rate limits."""
        self.traffic.faults.clear()
        self.traffic.limits.clear()

    def expire_tokens(self, *, interaction: int | None) -> None:
        """Expire the token of one interaction, or of all so far."""
        known = self.world.interactions
        for found in known.values() if interaction is None else [known[interaction]]:
            found.expires_at = float("-inf")

    def expire_links(self) -> None:
        """Expire all CDN links handed out so far."""
        self.world.cdn.expire_links()

    def forget_nonces(self) -> None:
        """Forget the nonces, so that a repeated one makes a new message."""
        self.world.nonces.clear()

    async def disconnect_gateway(self, *, code: int, resumable: bool) -> int:
        """Close the sockets; code 0 resets them. Returns how many there were."""
        return await self.gateway.disconnect(code, resumable=resumable)

    def ask_reconnect(self) -> int:
        """Send RECONNECT (op 7) to all sessions; returns how many there were."""
        return self.gateway.send_to_all(RECONNECT)

    def invalidate_sessions(self, *, resumable: bool) -> int:
        """Send INVALID_SESSION (op 9) to all sessions; returns how many there were."""
        return self.gateway.send_to_all(INVALID_SESSION, resumable=resumable)

    async def wait_connected(self, *, sessions: int, identifies: int, within: float) -> None:
        """Wait until so many sessions are live and so many IDENTIFYs and RESUMEs were accepted."""

        def check() -> bool | None:
            joined = self.gateway.identifies + self.gateway.resumes
            return True if len(self.gateway.live) >= sessions and joined >= identifies else None

        await self.gateway.wakeup.wait(check, within)

    async def wait_disconnected(self, *, within: float) -> None:
        """Wait until no session has a socket, for example after the bot was killed."""
        await self.gateway.wakeup.wait(lambda: None if self.gateway.live else True, within)

    def report(self) -> Json:
        """Counters and the latest requests."""
        return {
            "requests": dict(self.traffic.requests),
            "statuses": dict(self.traffic.statuses),
            "unknown_routes": list(self.traffic.unknown),
            "violations": list(self.traffic.violations),
            "recent": list(self.traffic.recent),
            "command_syncs": self.rest.syncs,
            "commands": self.world.commands,
            "message_posts": self.chat.posts,
            "typing": {str(c.id): c.typing for c in self.world.channels.values() if c.typing},
            "identifies": self.gateway.identifies,
            "resumes": self.gateway.resumes,
            "sessions": len(self.gateway.live),
            "intents": [session.intents for session in self.gateway.live],
        }

    async def run(self, command: str, arguments: Json) -> Any:
        """Run a command by name. LookupError: there is no such command."""
        method = None if command.startswith("_") or command == "run" else getattr(type(self), command, None)
        if method is None:
            raise LookupError(f"no command {command!r}")
        result = method(self, **arguments)
        return await result if asyncio.iscoroutine(result) else result
