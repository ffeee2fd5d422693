"""The control methods of Discord's stand-in, for tests and benchmarks in this process or another."""

from __future__ import annotations

import base64
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.sandbox.discord.files import Json

CONTROL = "/sandbox"


class ControlError(Exception):
    """A control command failed: an unknown id, command, option or component."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a member uploads."""

    filename: str
    content: bytes

    def to_json(self) -> Json:
        """The JSON form in a control command."""
        return {"filename": self.filename, "base64": base64.b64encode(self.content).decode()}


def _to_json(value: Any) -> Any:
    if isinstance(value, Upload):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _to_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(inner) for inner in value]
    return value


class ControlMethods(ABC):
    """One method for each control command. Ids are integers; ``within`` is in seconds, then TimeoutError."""

    @abstractmethod
    async def _call(self, command: str, /, **arguments: Any) -> Any: ...

    # Guilds, channels, members

    async def info(self) -> Json:
        """``application_id``, ``bot_id``, ``gateway_url``, ``cdn``."""
        result: Json = await self._call("info")
        return result

    async def configure(self, **settings: Any) -> None:
        """Change fields of `Settings` while it runs."""
        await self._call("configure", **settings)

    async def create_guild(
        self, name: str = "guild", *, with_bot: bool = True, bot_permissions: int = 0, locale: str = "en-US"
    ) -> int:
        """Create a guild (id = role id of @everyone); without the bot it is for user-installed apps."""
        return int(
            await self._call(
                "create_guild", name=name, with_bot=with_bot, bot_permissions=bot_permissions, locale=locale
            )
        )

    async def create_role(self, guild: int, name: str = "role", *, permissions: int = 0) -> int:
        """Create a role with these permission bits."""
        return int(await self._call("create_role", guild=guild, name=name, permissions=permissions))

    async def create_channel(
        self, guild: int, name: str = "canvas", *, file_limit: int | None = None, updates: bool = False
    ) -> int:
        """Create a text channel; ``file_limit`` in bytes a file; ``updates``: the public updates channel."""
        arguments: Json = {"guild": guild, "name": name, "file_limit": file_limit, "updates": updates}
        return int(await self._call("create_channel", **arguments))

    async def create_thread(self, channel: int, name: str = "thread") -> int:
        """Create a public thread below a text channel."""
        return int(await self._call("create_thread", channel=channel, name=name))

    async def time_out(self, guild: int, member: int, seconds: float = 600) -> None:
        """Time a member out: `communication_disabled_until`, while the interaction's permissions stay."""
        await self._call("time_out", guild=guild, member=member, seconds=seconds)

    async def create_member(
        self,
        guild: int | None = None,
        name: str = "member",
        *,
        roles: Sequence[int] = (),
        accepts_dms: bool = True,
    ) -> int:
        """Create a user; returns the user id."""
        arguments: Json = {"guild": guild, "name": name, "roles": list(roles), "accepts_dms": accepts_dms}
        return int(await self._call("create_member", **arguments))

    async def set_roles(self, guild: int, member: int, roles: Sequence[int]) -> None:
        """Make a user a member of a guild with exactly these roles."""
        await self._call("set_roles", guild=guild, member=member, roles=list(roles))

    async def create_dm(self, member: int) -> int:
        """The DM channel between the bot and a user."""
        return int(await self._call("create_dm", member=member))

    async def set_permissions(
        self, channel: int, *, target: int | None = None, allow: int = 0, deny: int = 0
    ) -> None:
        """Set a channel overwrite for a role or user, by default the bot; 50001 and 50013 result from it."""
        await self._call("set_permissions", channel=channel, target=target, allow=allow, deny=deny)

    # Interactions

    async def interact(self, kind: str, **spec: Any) -> int:
        """Send an interaction of any kind by its spec; returns its id without waiting for a response."""
        return int(await self._call("interact", spec=_to_json({"kind": kind, **spec})))

    async def slash(
        self, member: int, channel: int, command: str, options: Mapping[str, Any] | None = None, **more: Any
    ) -> int:
        """Use a slash command: ``"quota set"`` names a subcommand; options by name, files as `Upload`.

        ``more``: ``locale``, ``attachment_size_limit``, ``user_installed``.
        """
        spec = {"member": member, "channel": channel, "command": command, "options": options or {}}
        return await self.interact("slash", **spec, **more)

    async def autocomplete(
        self, member: int, channel: int, command: str, options: Mapping[str, Any], focused: str
    ) -> int:
        """Type in an option of a slash command."""
        spec = {"member": member, "channel": channel, "command": command, "options": options}
        return await self.interact("autocomplete", **spec, focused=focused)

    async def message_command(self, member: int, command: str, target: int, **more: Any) -> int:
        """Use a message context command on a message."""
        return await self.interact("message", member=member, command=command, target=target, **more)

    async def click(
        self, member: int, message: int, custom_id: str, *, values: Sequence[str] | None = None, **more: Any
    ) -> int:
        """Click a button, or choose ``values`` in a select; ``force=True``: even if there is no such component."""
        return await self.interact(
            "click", member=member, message=message, custom_id=custom_id, values=values, **more
        )

    async def submit_modal(
        self,
        member: int,
        channel: int,
        custom_id: str,
        values: Mapping[str, Any],
        *,
        message: int | None = None,
        **more: Any,
    ) -> int:
        """Submit a modal. Values by custom id: text, list of strings, list of `Upload`, or bool.

        ``message``: the message whose button opened it.
        """
        spec = {"member": member, "channel": channel, "custom_id": custom_id, "values": values}
        return await self.interact("modal", **spec, message=message, **more)

    async def answer(self, interaction: int, within: float = 3.0) -> Json:
        """The first response: ``type``, ``data``, ``ephemeral``, ``ms`` since the event, ``message`` id."""
        result: Json = await self._call("answer", interaction=interaction, within=within)
        return result

    async def interaction(self, interaction: int) -> Json:
        """``token, payload, delivered, callbacks, expired, answer, original, followups``."""
        result: Json = await self._call("interaction", interaction=interaction)
        return result

    async def ephemeral(self, interaction: int) -> list[Json]:
        """The messages of an interaction that only its member sees."""
        result: list[Json] = await self._call("ephemeral", interaction=interaction)
        return result

    async def redeliver(self, interaction: int) -> None:
        """Send the same interaction event again."""
        await self._call("redeliver", interaction=interaction)

    async def burst(
        self,
        spec: Mapping[str, Any],
        n: int,
        *,
        members: Sequence[int],
        rate: float | None = None,
        until: Literal["ack", "result"] = "result",
        within: float = 60.0,
    ) -> Json:
        """Send ``n`` interactions, member ``i % len(members)``, ``{i}`` in string options replaced.

        Returns ``seconds``; ``records`` with ``interaction``, ``member``, ``ack_ms``, ``ack_type``, ``ephemeral``,
        ``result_ms``, ``message``; ``ack`` and ``result`` with ``count``, ``missing`` and, in milliseconds,
        ``p50``, ``p95``, ``p99``, ``max``.
        """
        arguments = {"n": n, "rate": rate, "members": list(members), "until": until, "within": within}
        result: Json = await self._call("burst", spec=_to_json(spec), **arguments)
        return result

    # Messages

    async def post_message(
        self,
        member: int,
        channel: int,
        content: str = "",
        *,
        attachments: Sequence[Upload] = (),
        reply_to: int | None = None,
        ping: bool = True,
        mentions: Sequence[int] = (),
    ) -> int:
        """Post a member's message; ``ping``: whether a reply pings. Returns the message id."""
        return int(
            await self._call(
                "post_message",
                member=member,
                channel=channel,
                content=content,
                attachments=_to_json(list(attachments)),
                reply_to=reply_to,
                ping=ping,
                mentions=list(mentions),
            )
        )

    async def delete_message(self, message: int) -> None:
        """Delete a message."""
        await self._call("delete_message", message=message)

    async def redeliver_message(self, message: int) -> None:
        """Send the same MESSAGE_CREATE again."""
        await self._call("redeliver_message", message=message)

    async def messages(
        self, channel: int, *, after: int = 0, ephemeral: bool = False, deleted: bool = False
    ) -> list[Json]:
        """A channel's messages, oldest first, in Discord's form and in full.

        Under ``sandbox``: ``at_ms, ephemeral, deleted, interaction_id, nonce, allowed_mentions, pinged``
        (users, roles, everyone), ``reactions`` (the bot's), ``files`` (filename, size, sha256),
        ``versions`` (every state it had).
        """
        arguments = {"channel": channel, "after": after, "ephemeral": ephemeral, "deleted": deleted}
        result: list[Json] = await self._call("messages", **arguments)
        return result

    async def wait_for_messages(
        self,
        channel: int,
        predicate: Callable[[list[Json]], object],
        *,
        after: int = 0,
        ephemeral: bool = False,
        deleted: bool = False,
        within: float = 5.0,
    ) -> list[Json]:
        """Wait until the predicate is true of the channel's messages: for edits, deletions and counts."""
        deadline, version = time.monotonic() + within, -1
        while True:
            seen = await self._call(
                "poll",
                channel=channel,
                version=version,
                after=after,
                ephemeral=ephemeral,
                deleted=deleted,
                within=max(0.0, deadline - time.monotonic()),
            )
            found: list[Json] = seen["messages"]
            if predicate(found):
                return found
            version = seen["version"]

    async def wait_for_message(
        self,
        channel: int,
        predicate: Callable[[Json], object] = bool,
        *,
        after: int = 0,
        ephemeral: bool = False,
        within: float = 5.0,
    ) -> Json:
        """Wait for the first message of which the predicate is true: an old one, a new one, or after an edit."""
        found = await self.wait_for_messages(
            channel,
            lambda messages: any(predicate(message) for message in messages),
            after=after,
            ephemeral=ephemeral,
            within=within,
        )
        return next(message for message in found if predicate(message))

    async def file(self, attachment: int) -> bytes:
        """An attachment's bytes, even when its link has expired."""
        result = await self._call("file", attachment=attachment)
        return base64.b64decode(result["base64"])

    # Faults. A route is ``METHOD /path`` with ``*`` anywhere, below /api/v10 or on the CDN.

    async def lose_answer(self, route: str, times: int | None = 1, *, worked: bool = True) -> None:
        """Drop the connection without a response, after the work or (``worked=False``) before it."""
        await self._call("fault", kind="lose", route=route, times=times, worked=worked)

    async def fail(
        self,
        route: str,
        status: int,
        body: Mapping[str, Any] | None = None,
        *,
        times: int | None = 1,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Respond with an error instead of working; ``retry_after`` in seconds adds a 429's headers."""
        content, extra = dict(body or {"message": "made to fail", "code": 0}), dict(headers or {})
        if retry_after is not None:
            content |= {"retry_after": retry_after, "global": content.get("global", False)}
            extra = {"Retry-After": str(retry_after), "Via": "1.1 google"} | extra
        arguments: Json = {"route": route, "status": status, "body": content, "headers": extra}
        await self._call("fault", kind="fail", times=times, **arguments)

    async def delay(self, route: str, seconds: float, times: int | None = 1, *, worked: bool = False) -> None:
        """Wait ``seconds`` before the work or (``worked=True``) between the work and the response."""
        await self._call("fault", kind="delay", route=route, seconds=seconds, times=times, worked=worked)

    async def rate_limit(self, route: str, limit: int, per: float, *, hidden: bool = False) -> None:
        """Allow ``limit`` requests in ``per`` seconds for each channel or webhook; ``hidden``: without headers."""
        await self._call("rate_limit", route=route, limit=limit, per=per, hidden=hidden)

    async def clear_faults(self) -> None:
        """Remove all faults and rate limits."""
        await self._call("clear_faults")

    async def expire_tokens(self, interaction: int | None = None) -> None:
        """Expire the token of one interaction, or of all so far: 401 / 50027."""
        await self._call("expire_tokens", interaction=interaction)

    async def expire_links(self) -> None:
        """Expire all CDN links handed out so far: 404."""
        await self._call("expire_links")

    async def forget_nonces(self) -> None:
        """Forget the nonces, so that a repeated one makes a new message."""
        await self._call("forget_nonces")

    async def disconnect_gateway(self, code: int = 4000, *, resumable: bool = True) -> int:
        """Close the sockets with a code; 0 resets them. Returns how many there were."""
        return int(await self._call("disconnect_gateway", code=code, resumable=resumable))

    async def ask_reconnect(self) -> int:
        """Send RECONNECT (op 7) to all sessions; returns how many there were."""
        return int(await self._call("ask_reconnect"))

    async def invalidate_sessions(self, *, resumable: bool = False) -> int:
        """Send INVALID_SESSION (op 9) to all sessions; returns how many there were."""
        return int(await self._call("invalidate_sessions", resumable=resumable))

    async def wait_connected(self, *, sessions: int = 1, identifies: int = 1, within: float = 10.0) -> None:
        """Wait until so many sessions are live, and so many IDENTIFYs and RESUMEs were accepted so far."""
        await self._call("wait_connected", sessions=sessions, identifies=identifies, within=within)

    async def wait_disconnected(self, *, within: float = 10.0) -> None:
        """Wait until no session has a socket."""
        await self._call("wait_disconnected", within=within)

    async def report(self) -> Json:
        """The recorded traffic: ``requests`` (by route), ``statuses``, ``unknown_routes``, ``violations``,
        ``recent``, ``command_syncs``, ``commands``, ``message_posts``, ``typing``, ``identifies``, ``resumes``,
        ``sessions``, ``intents``. An entry of ``recent``: ``at_ms, method, path, route, query, headers, body,
        files, status``.
        """
        result: Json = await self._call("report")
        return result
