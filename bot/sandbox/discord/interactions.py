"""Interaction events in Discord's form (docs: interactions/receiving-and-responding)."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from bot.sandbox.discord.files import Blob, Json, StoredFile
from bot.sandbox.discord.gateway import Gateway
from bot.sandbox.discord.model import (
    Channel,
    Guild,
    Interaction,
    Message,
    walk_components,
)
from bot.sandbox.discord.world import World

TYPES = {"slash": 2, "message": 2, "click": 3, "autocomplete": 4, "modal": 5}
SUBCOMMAND, GROUP, USER, CHANNEL, ROLE, MENTIONABLE, ATTACHMENT = 1, 2, 6, 7, 8, 9, 11
TEXT_INPUT, TEXT_DISPLAY, LABEL, UPLOAD, CHECKBOX = 4, 10, 18, 19, 23


class Interactions:
    """Builds interactions and sends them to the bot."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self.world = world
        self.gateway = gateway

    def start(self, spec: Json) -> Interaction:
        """Build the interaction of a spec, and send it.

        LookupError or ValueError for a spec that does not fit the bot's commands or components.
        """
        world, kind = self.world, str(spec["kind"])
        source = self._message(spec["message"]) if spec.get("message") else None
        channel = world.channels[source.channel_id if source else self._channel_id(spec)]
        user_id = int(spec["member"])
        identity = world.new_id()
        limit = spec.get("attachment_size_limit") or channel.file_limit or world.settings.file_limit
        data = self._data(kind, spec, channel, source)
        owners = self._owners(spec, channel, user_id)
        payload = self._envelope(identity, channel, user_id, owners) | {
            "type": TYPES[kind],
            "data": data,
            "attachment_size_limit": limit,
            "locale": spec.get("locale", "en-US"),
        }
        if source is not None:
            payload["message"] = world.message_json(source, full=True)
        interaction = Interaction(
            id=identity,
            token=payload["token"],
            kind=kind,
            user_id=user_id,
            channel_id=channel.id,
            payload=payload,
            file_limit=limit,
            source_id=source.id if source else None,
            user_only="0" not in owners,
            expires_at=time.monotonic() + world.settings.token_lifetime,
        )
        world.interactions[identity] = world.tokens[interaction.token] = interaction
        self.send(interaction)
        return interaction

    def send(self, interaction: Interaction) -> None:
        """Send the interaction's event; may be called again."""

        def sent() -> None:
            if interaction.sent_at is None:
                interaction.sent_at = time.monotonic()

        guild_id = self.world.channels[interaction.channel_id].guild_id
        interaction.delivered += self.gateway.dispatch(
            "INTERACTION_CREATE", interaction.payload, guild_id, sent=sent
        )

    def _channel_id(self, spec: Json) -> int:
        if spec.get("target"):
            return self._message(spec["target"]).channel_id
        return int(spec["channel"])

    def _message(self, message_id: Any) -> Message:
        for channel in self.world.channels.values():
            if found := channel.messages.get(int(message_id)):
                return found
        raise LookupError(f"no message {message_id}")

    def _owners(self, spec: Json, channel: Channel, user_id: int) -> dict[str, str]:
        guild = self.world.guilds.get(channel.guild_id or 0)
        owners: dict[str, str] = {}
        if guild is None or guild.with_bot:
            owners["0"] = "0" if guild is None else str(guild.id)
        if spec.get("user_installed") or not owners:
            owners["1"] = str(user_id)
        return owners

    def _envelope(self, identity: int, channel: Channel, user_id: int, owners: dict[str, str]) -> Json:
        world = self.world
        guild = world.guilds.get(channel.guild_id or 0)
        envelope: Json = {
            "id": str(identity),
            "application_id": str(world.bot.id),
            "token": secrets.token_urlsafe(120),
            "version": 1,
            "channel_id": str(channel.id),
            "channel": world.channel_json(channel),
            "app_permissions": str(self._app_permissions(channel, guild)),
            "entitlements": [],
            "entitlement_sku_ids": [],
            "authorizing_integration_owners": owners,
            "context": 1 if guild is None else 0,
        }
        if guild is None:
            return envelope | {"user": world.user_json(world.users[user_id])}
        permissions = str(world.permissions(channel, user_id))
        envelope["channel"]["permissions"] = permissions
        return envelope | {
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
            "guild_locale": guild.locale,
            "member": world.member_json(guild, user_id) | {"permissions": permissions},
        }

    def _app_permissions(self, channel: Channel, guild: Guild | None) -> int:
        if guild is not None and not guild.with_bot:
            return guild.roles[guild.id].permissions
        return self.world.permissions(channel, self.world.bot.id)

    def _data(self, kind: str, spec: Json, channel: Channel, source: Message | None) -> Json:
        if kind in ("slash", "autocomplete"):
            return self._slash(spec, channel)
        if kind == "message":
            return self._message_command(spec, channel)
        if kind == "click" and source is not None:
            return self._click(spec, source)
        if kind == "modal":
            return self._modal(spec)
        raise ValueError(f"cannot make {kind!r} of this spec")

    def _command(self, name: str, kind: int) -> Json:
        for command in self.world.commands:
            if command["name"] == name and command["type"] == kind:
                return command
        raise LookupError(f"the bot registered no command {name!r} of type {kind}")

    def _slash(self, spec: Json, channel: Channel) -> Json:
        name, *path = spec["command"].split()
        command = self._command(name, 1)
        resolved: Json = {}
        node, inner = command, []
        for word in path:
            node = next((o for o in node.get("options") or [] if o["name"] == word), {})
            if node.get("type") not in (SUBCOMMAND, GROUP):
                raise LookupError(f"{spec['command']!r} has no part {word!r}")
            inner.append({"name": word, "type": node["type"]})
        options = self._options(node.get("options") or [], spec, channel, resolved)
        for part in reversed(inner):
            options = [part | {"options": options}]
        data: Json = {"id": command["id"], "name": name, "type": 1, "options": options}
        # While a command is typed, there are only ids: github.com/discordjs/discord.js/pull/8058.
        return data | ({"resolved": resolved} if resolved and spec["kind"] == "slash" else {})

    def _options(self, schema: list[Json], spec: Json, channel: Channel, resolved: Json) -> list[Json]:
        types = {option["name"]: option["type"] for option in schema}
        options = []
        for name, value in (spec.get("options") or {}).items():
            if name not in types:
                raise LookupError(f"{spec['command']!r} has no option {name!r}")
            kind = types[name]
            if kind == ATTACHMENT:
                value = self._upload(value, resolved)
            elif kind in (USER, CHANNEL, ROLE, MENTIONABLE):
                value = self._resolve(kind, int(value), channel, resolved)
            option = {"name": name, "type": kind, "value": value}
            options.append(option | ({"focused": True} if spec.get("focused") == name else {}))
        return options

    def _upload(self, upload: Blob | Mapping[str, Any], resolved: Json) -> str:
        blob = upload if isinstance(upload, Blob) else Blob.from_json(upload)
        folder = f"ephemeral-attachments/{self.world.bot.id}"
        file = StoredFile(id=self.world.new_id(), folder=folder, blob=blob)
        self.world.cdn.files[file.id] = file
        attachment = self.world.cdn.attachment_json(file, ephemeral=True)
        resolved.setdefault("attachments", {})[str(file.id)] = attachment
        return str(file.id)

    def _resolve(self, kind: int, value: int, channel: Channel, resolved: Json) -> str:
        world, key = self.world, str(value)
        guild = world.guilds.get(channel.guild_id or 0)
        if kind == CHANNEL:
            resolved.setdefault("channels", {})[key] = world.channel_json(world.channels[value]) | {
                "permissions": str(world.permissions(world.channels[value], world.bot.id))
            }
        elif guild is not None and kind in (ROLE, MENTIONABLE) and value in guild.roles:
            resolved.setdefault("roles", {})[key] = world.role_json(guild.roles[value])
        else:
            resolved.setdefault("users", {})[key] = world.user_json(world.users[value])
            if guild is not None and value in guild.members:
                member = world.member_json(guild, value, user=False)
                member["permissions"] = str(world.permissions(channel, value))
                resolved.setdefault("members", {})[key] = member
        return key

    def _message_command(self, spec: Json, channel: Channel) -> Json:
        command = self._command(spec["command"], 3)
        target = str(spec["target"])
        # The target has its content even without the message content intent.
        message = self.world.message_json(channel.messages[int(target)], full=True)
        resolved = {"messages": {target: message}}
        return {
            "id": command["id"],
            "name": command["name"],
            "type": 3,
            "target_id": target,
            "resolved": resolved,
        }

    def _click(self, spec: Json, source: Message) -> Json:
        components = walk_components(source.components)
        found = next((c for c in components if c.get("custom_id") == spec["custom_id"]), None)
        if (found is None or found.get("disabled")) and not spec.get("force"):
            raise LookupError(f"no usable component {spec['custom_id']!r} on message {source.id}")
        component = found or {"type": 2, "id": 1}
        data: Json = {
            "custom_id": spec["custom_id"],
            "component_type": component["type"],
            "id": component.get("id", 1),
        }
        return data | ({"values": spec["values"]} if spec.get("values") is not None else {})

    def _modal(self, spec: Json) -> Json:
        values = dict(spec.get("values") or {})
        resolved: Json = {}
        parts: list[Json] = []
        for number, part in enumerate(self.world.modals.get(spec["custom_id"], {}).get("components") or [], 1):
            children = part.get("components") or [part.get("component")]
            if part["type"] == TEXT_DISPLAY:
                parts.append({"type": TEXT_DISPLAY, "id": number})
                continue
            child = children[0]
            value = values.pop(child["custom_id"], None)
            field = self._field(child["type"], child["custom_id"], value, resolved) | {"id": 100 + number}
            place = {"component": field} if part["type"] == LABEL else {"components": [field]}
            parts.append({"type": part["type"], "id": number} | place)
        for number, (custom_id, value) in enumerate(values.items(), 50):
            field = self._field(_guess_type(value), custom_id, value, resolved) | {"id": 100 + number}
            parts.append({"type": LABEL, "id": number, "component": field})
        data: Json = {"custom_id": spec["custom_id"], "components": parts}
        return data | ({"resolved": resolved} if resolved else {})

    def _field(self, kind: int, custom_id: str, value: Any, resolved: Json) -> Json:
        field: Json = {"type": kind, "custom_id": custom_id}
        if kind == UPLOAD:
            return field | {"values": [self._upload(upload, resolved) for upload in value or []]}
        if kind == TEXT_INPUT:
            return field | {"value": value or ""}
        if kind in (21, CHECKBOX):
            return field | {"value": value}
        return field | {"values": [] if value is None else list(value)}


def _guess_type(value: Any) -> int:
    if isinstance(value, bool):
        return CHECKBOX
    if isinstance(value, str):
        return TEXT_INPUT
    return UPLOAD if value and not isinstance(value[0], str) else 3


def numbered(spec: Json, number: int) -> Json:
    """A copy of a spec in which ``{i}`` in string options is this number."""
    options = {
        name: re.sub(r"\{i\}", str(number), value) if isinstance(value, str) else value
        for name, value in (spec.get("options") or {}).items()
    }
    return spec | {"options": options}
