"""Creating, editing and deleting messages (docs: resources/message)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.sandbox.discord.files import Blob, Json, StoredFile
from bot.sandbox.discord.gateway import DIRECT_MESSAGES, GUILD_MESSAGES, Gateway
from bot.sandbox.discord.model import (
    COMPONENTS_V2,
    DM_CHANNEL,
    EPHEMERAL,
    LOADING,
    ApiError,
    Channel,
    Interaction,
    Message,
    text_of,
)
from bot.sandbox.discord.traffic import Traffic
from bot.sandbox.discord.validation import Problem, check_message, error_tree
from bot.sandbox.discord.world import World

_USER, _ROLE = re.compile(r"<@!?(\d+)>"), re.compile(r"<@&(\d+)>")
_SETTABLE = EPHEMERAL | COMPONENTS_V2 | 1 << 2 | 1 << 12


class Messages:
    """Creates, edits and deletes messages, and sends their events."""

    def __init__(self, world: World, gateway: Gateway, traffic: Traffic) -> None:
        self.world = world
        self.gateway = gateway
        self.traffic = traffic
        self.posts = 0

    def check(self, route: str, problems: Iterable[Problem]) -> None:
        """Record broken rules; ApiError 400 for them when the stand-in is strict."""
        found = list(problems)
        for problem in found:
            self.traffic.violation(route, ".".join(map(str, problem.path)), problem.message)
        if found and self.world.settings.strict:
            raise ApiError(400, 50035, "Invalid Form Body", error_tree(found))

    def create(
        self,
        channel: Channel,
        body: Json,
        files: Mapping[int, Blob],
        *,
        author_id: int,
        route: str = "",
        interaction: Interaction | None = None,
        kind: int = 0,
    ) -> Message:
        """Create a message; for a repeated enforced nonce, return the first one."""
        from_bot = author_id == self.world.bot.id
        if from_bot:
            names = {blob.filename for blob in files.values()}
            self.check(route, check_message(body, files=files.keys(), names=names))
            self._check_sizes(channel, files, interaction)
        if first := self._repeated(channel, body):
            return first
        allowed = body.get("allowed_mentions")
        message = Message(
            id=self.world.new_id(),
            channel_id=channel.id,
            author_id=author_id,
            type=kind,
            content=body.get("content") or "",
            embeds=body.get("embeds") or [],
            components=self._numbered(body.get("components") or []),
            flags=(body.get("flags") or 0) & _SETTABLE,
            nonce=body.get("nonce"),
            allowed_mentions=allowed,
            interaction=interaction,
        )
        self._refer(channel, message, body.get("message_reference"))
        self._attach(message, body, files)
        if from_bot and not (message.content or message.embeds or message.components or message.files):
            raise ApiError(400, 50006, "Cannot send an empty message")
        self._mention(message, body, ping=True)
        self.store(channel, message)
        if message.nonce is not None and body.get("enforce_nonce"):
            self.world.nonces[channel.id, message.nonce] = (time.monotonic(), message.id)
        self.posts += from_bot
        return message

    def store(self, channel: Channel, message: Message) -> None:
        """Put a new message into its channel, and announce it."""
        channel.messages[message.id] = message
        self._snapshot(message)
        self.announce(channel, message, "MESSAGE_CREATE")

    def announce(self, channel: Channel, message: Message, event: str) -> None:
        """Send the message's event, unless it is ephemeral, and wake the waiting tests."""
        if not message.ephemeral:
            self.send(channel, event, self.world.message_event(message))
        channel.changed()
        for observer in list(self.world.observers):
            observer(message)

    def send(self, channel: Channel, event: str, data: Json) -> None:
        """Send a message event to the sessions with the intent, if the bot can see the channel."""
        if channel.guild_id is not None and not self.world.permissions(channel, self.world.bot.id):
            return
        intents = DIRECT_MESSAGES if channel.type == DM_CHANNEL else GUILD_MESSAGES
        self.gateway.dispatch(event, data, channel.guild_id, intents=intents)

    def edit(self, message: Message, body: Json, files: Mapping[int, Blob], *, route: str = "") -> Message:
        """Change the fields that are in the body."""
        channel = self.world.channels[message.channel_id]
        listed = body.get("attachments")
        kept = self._kept(message, listed)
        names = {file.blob.filename for file in kept} | {blob.filename for blob in files.values()}
        flags = message.flags & COMPONENTS_V2
        self.check(route, check_message(body, flags=flags, files=files.keys(), names=names))
        self._check_sizes(channel, files, message.interaction)
        if len(kept) + len(files) > 10:
            raise ApiError(400, 30015, "Maximum number of attachments in a message reached (10)")
        if message.author_id == self.world.bot.id:
            message.flags = (message.flags & ~LOADING) | ((body.get("flags") or 0) & COMPONENTS_V2)
        if "content" in body:
            message.content = body["content"] or ""
        if "embeds" in body:
            message.embeds = body["embeds"] or []
        if "components" in body:
            message.components = self._numbered(body["components"] or [])
        message.files = kept
        self._attach(message, body, files)
        self._mention(message, body, ping=False)
        message.edited_at = time.time()
        self._snapshot(message)
        self.announce(channel, message, "MESSAGE_UPDATE")
        return message

    def delete(self, message: Message) -> None:
        """Mark a message as deleted; its record stays."""
        channel = self.world.channels[message.channel_id]
        message.deleted = True
        data = {"id": str(message.id), "channel_id": str(channel.id)}
        if channel.guild_id is not None:
            data["guild_id"] = str(channel.guild_id)
        if not message.ephemeral:
            self.send(channel, "MESSAGE_DELETE", data)
        channel.changed()

    def _repeated(self, channel: Channel, body: Json) -> Message | None:
        nonce = body.get("nonce")
        if nonce is None or not body.get("enforce_nonce"):
            return None
        at, first = self.world.nonces.get((channel.id, str(nonce)), (0.0, 0))
        fresh = time.monotonic() - at < self.world.settings.nonce_window
        return channel.messages.get(first) if fresh else None

    def _check_sizes(self, channel: Channel, files: Mapping[int, Blob], interaction: Interaction | None) -> None:
        limit = interaction.file_limit if interaction else channel.file_limit
        if any(blob.size > (limit or self.world.settings.file_limit) for blob in files.values()):
            raise ApiError(413, 40005, "Request entity too large")

    def _numbered(self, components: Sequence[Json]) -> list[Json]:
        # Discord gives every component that has none an id of its own.
        counter = iter(range(1, 1000))

        def number(component: Json) -> Json:
            numbered = {"id": next(counter)} | {k: v for k, v in component.items() if k != "id" or v}
            if "components" in component:
                numbered["components"] = [number(inner) for inner in component["components"]]
            if component.get("accessory"):
                numbered["accessory"] = number(component["accessory"])
            return numbered

        return [number(component) for component in components]

    def _refer(self, channel: Channel, message: Message, reference: Any) -> None:
        if not reference or not reference.get("message_id"):
            return
        target = channel.messages.get(int(reference["message_id"]))
        if target is not None and not target.deleted and not target.ephemeral:
            message.reply_to, message.type = target.id, 19
        elif reference.get("fail_if_not_exists", True):
            problem = Problem(("message_reference",), "Unknown message", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE")
            raise ApiError(400, 50035, "Invalid Form Body", error_tree([problem]))

    def _kept(self, message: Message, listed: list[Json] | None) -> list[StoredFile]:
        if listed is None:
            return list(message.files)
        stay = {int(attachment["id"]): attachment for attachment in listed}
        kept = [file for file in message.files if file.id in stay]
        for file in kept:
            file.description = stay[file.id].get("description", file.description)
        return kept

    def _attach(self, message: Message, body: Json, files: Mapping[int, Blob]) -> None:
        listed = {int(a["id"]): a for a in body.get("attachments") or []}
        for number, blob in files.items():
            about = listed.get(number, {})
            file = StoredFile(
                id=self.world.new_id(),
                folder=f"attachments/{message.channel_id}",
                blob=blob,
                description=about.get("description"),
            )
            self.world.cdn.files[file.id] = file
            message.files.append(file)

    def _mention(self, message: Message, body: Json, *, ping: bool) -> None:
        allowed: Json = body.get("allowed_mentions") or {}
        # Without allowed_mentions a message pings all that it mentions, an interaction's response only users.
        default = ["users"] if message.interaction else ["users", "roles", "everyone"]
        parse = (allowed.get("parse") or []) if body.get("allowed_mentions") is not None else default
        text = text_of(message.content, message.components)
        users = list(dict.fromkeys(map(int, _USER.findall(text))))
        roles = list(dict.fromkeys(map(int, _ROLE.findall(text))))
        if "users" not in parse:
            users = [user for user in users if str(user) in map(str, allowed.get("users") or [])]
        if "roles" not in parse:
            roles = [role for role in roles if str(role) in map(str, allowed.get("roles") or [])]
        everyone = "everyone" in parse and ("@everyone" in text or "@here" in text)
        replied = self._replied_user(message)
        reply_pings = allowed.get("replied_user", False) if body.get("allowed_mentions") is not None else True
        if replied is not None and reply_pings and replied not in users:
            users.append(replied)
        message.mentions, message.mention_roles, message.mention_everyone = users, roles, everyone
        if ping:
            message.pinged = {"users": users, "roles": roles, "everyone": everyone}

    def _replied_user(self, message: Message) -> int | None:
        target = self.world.channels[message.channel_id].messages.get(message.reply_to or 0)
        # A reply to an interaction's response does not mention the app.
        return None if target is None or target.interaction is not None else target.author_id

    def _snapshot(self, message: Message) -> None:
        message.versions.append(
            {
                "at_ms": self.world.since_start(time.monotonic()),
                "content": message.content,
                "embeds": message.embeds,
                "components": message.components,
                "flags": message.flags,
                "files": [file.blob.filename for file in message.files],
            }
        )
