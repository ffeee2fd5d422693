"""The REST routes, and the handling that every request goes through."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from aiohttp import web

from bot.sandbox.discord.files import parse_body
from bot.sandbox.discord.gateway import Gateway
from bot.sandbox.discord.messages import Messages
from bot.sandbox.discord.model import (
    ADD_REACTIONS,
    ATTACH_FILES,
    MANAGE_MESSAGES,
    READ_MESSAGE_HISTORY,
    SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS,
    VIEW_CHANNEL,
    ApiError,
    Channel,
    Message,
)
from bot.sandbox.discord.traffic import Call, ReceivedRequest, Reply, Traffic, json_response
from bot.sandbox.discord.validation import check_commands
from bot.sandbox.discord.webhooks import Webhooks
from bot.sandbox.discord.world import World

API = "/api/v10"


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """A known route; ``bot``: whether it needs the bot's token."""

    template: str
    pattern: re.Pattern[str]
    handler: Handler
    bot: bool
    method: str


class Rest:
    """The REST API."""

    def __init__(self, world: World, gateway: Gateway, traffic: Traffic, messages: Messages) -> None:
        self.world = world
        self.gateway = gateway
        self.traffic = traffic
        self.messages = messages
        self.webhooks = Webhooks(world, messages)
        self.syncs = 0
        self.routes = self._routes()

    def _routes(self) -> list[Route]:
        channel, message = "/channels/{channel}", "/channels/{channel}/messages/{message}"
        commands, hook = "/applications/{application}/commands", "/webhooks/{application}/{token}"
        hook_message = hook + "/messages/{message}"
        table: list[tuple[str, str, Handler, bool]] = [
            ("GET", "/users/@me", self._me, True),
            ("POST", "/users/@me/channels", self._open_dm, True),
            ("GET", "/oauth2/applications/@me", self._application, True),
            ("GET", "/gateway", self._gateway, False),
            ("GET", "/gateway/bot", self._gateway_bot, True),
            ("GET", commands, self._commands, True),
            ("PUT", commands, self._sync, True),
            ("GET", channel, self._channel, True),
            ("POST", channel + "/typing", self._typing, True),
            ("GET", channel + "/messages", self._list, True),
            ("POST", channel + "/messages", self._post, True),
            ("GET", message, self._get, True),
            ("PATCH", message, self._edit, True),
            ("DELETE", message, self._delete, True),
            ("PUT", message + "/reactions/{emoji}/@me", self._react, True),
            ("GET", "/guilds/{guild}", self._guild, True),
            ("GET", "/guilds/{guild}/members/{user}", self._member, True),
            ("POST", "/interactions/{interaction}/{token}/callback", self.webhooks.callback, False),
            ("POST", hook, self.webhooks.follow_up, False),
            ("GET", hook_message, self.webhooks.get, False),
            ("PATCH", hook_message, self.webhooks.edit, False),
            ("DELETE", hook_message, self.webhooks.delete, False),
        ]
        return [
            Route(
                f"{method} {path}", re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), handler, bot, method
            )
            for method, path, handler, bot in table
        ]

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        for route in self.routes:
            if route.method == method and (match := route.pattern.fullmatch(path)):
                return route, match.groupdict()
        return None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record a request, apply faults and rate limits, and run its handler."""
        method, path = request.method, request.path.removeprefix(API)
        found = self._find(method, path)
        body = await request.read()
        if found is None:
            self.traffic.unknown.append(f"{method} {path}")
            return json_response(404, {"message": "404: Not Found", "code": 0})
        route, values = found
        keep = not self.world.settings.discard_files
        payload, files = parse_body(request.headers.get("Content-Type", ""), body, keep=keep)
        received = ReceivedRequest(
            method=method,
            path=path,
            template=route.template,
            major=values.get("channel") or values.get("token") or values.get("guild") or "",
            query=dict(request.query),
            headers={key.lower(): value for key, value in request.headers.items()},
            payload=payload,
            files={str(n): {"filename": b.filename, "size": b.size, "sha256": b.sha256} for n, b in files.items()},
        )
        entry = self.traffic.record(received, self.world.since_start(time.monotonic()))
        call = Call(template=route.template, path=values, query=received.query, payload=payload, files=files)
        response = await self._respond(request, received, route, call)
        entry["status"] = response.status
        self.traffic.statuses[str(response.status)] += 1
        return response

    async def _respond(
        self, request: web.Request, received: ReceivedRequest, route: Route, call: Call
    ) -> web.Response:
        traffic = self.traffic
        await traffic.pause(received, worked=False)
        if traffic.take(received, "lose", worked=False):
            return self.drop_connection(request)
        if fault := traffic.take(received, "fail"):
            return json_response(fault.status, fault.body, fault.headers)
        headers, limited = traffic.check_limits(received)
        if limited is not None:
            return limited
        try:
            self._authorize(route, received)
            status, body = route.handler(call)
        except ApiError as error:
            status, body = error.status, error.body
        await traffic.pause(received, worked=True)
        if traffic.take(received, "lose", worked=True):
            return self.drop_connection(request)
        return json_response(status, body, headers)

    @staticmethod
    def drop_connection(request: web.Request) -> web.Response:
        """Close the connection without a response, so that the client cannot know what was done."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=499)

    def _authorize(self, route: Route, received: ReceivedRequest) -> None:
        sent = received.headers.get("authorization", "")
        expected = self.world.settings.token
        valid = sent.startswith("Bot ") if expected is None else sent == f"Bot {expected}"
        if route.bot and not valid:
            raise ApiError(401, 0, "401: Unauthorized")

    def _visible_channel(self, channel_id: int, needed: int = 0) -> Channel:
        channel = self.world.channels.get(channel_id)
        if channel is None:
            raise ApiError(404, 10003, "Unknown Channel")
        has = self.world.permissions(channel, self.world.bot.id)
        if not has & VIEW_CHANNEL:
            raise ApiError(403, 50001, "Missing Access")
        if has & needed != needed:
            raise ApiError(403, 50013, "Missing Permissions")
        return channel

    def _visible_message(self, call: Call, needed: int = 0) -> Message:
        message = self._visible_channel(call.id("channel"), needed).messages.get(call.id("message"))
        # An ephemeral message exists for its interaction's token only.
        if message is None or message.deleted or message.ephemeral:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    def _me(self, call: Call) -> Reply:
        me = self.world.user_json(self.world.bot)
        return 200, me | {"verified": True, "mfa_enabled": False, "locale": "en-US", "email": None, "bio": ""}

    def _application(self, call: Call) -> Reply:
        return 200, {
            "id": str(self.world.bot.id),
            "name": self.world.bot.name,
            "icon": None,
            "description": "",
            "summary": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "flags": 0,
            "owner": self.world.user_json(self.world.owner),
            "team": None,
            "integration_types_config": {"0": {}, "1": {}},
        }

    def _gateway(self, call: Call) -> Reply:
        return 200, {"url": self.gateway.url}

    def _gateway_bot(self, call: Call) -> Reply:
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        return 200, {"url": self.gateway.url, "shards": 1, "session_start_limit": limit}

    def _commands(self, call: Call) -> Reply:
        return 200, self.world.commands

    def _sync(self, call: Call) -> Reply:
        self.messages.check(call.template, check_commands(call.payload))
        self.syncs += 1
        known = {(c["type"], c["name"]): c["id"] for c in self.world.commands}
        synced = []
        for command in call.payload:
            key = (command.get("type") or 1, command["name"])
            identity = {
                "id": known.get(key) or str(self.world.new_id()),
                "application_id": str(self.world.bot.id),
                "version": str(self.world.new_id()),
                "default_member_permissions": None,
                "nsfw": False,
                "description": "",
            }
            synced.append(identity | command | {"type": key[0]})
        self.world.commands = synced
        return 200, synced

    def _channel(self, call: Call) -> Reply:
        return 200, self.world.channel_json(self._visible_channel(call.id("channel")))

    def _typing(self, call: Call) -> Reply:
        self._visible_channel(call.id("channel"), SEND_MESSAGES).typing += 1
        return 204, None

    def _post(self, call: Call) -> Reply:
        found = self.world.channels.get(call.id("channel"))
        in_thread = found is not None and found.parent_id is not None
        needed = SEND_MESSAGES_IN_THREADS if in_thread else SEND_MESSAGES
        channel = self._visible_channel(call.id("channel"), needed | (ATTACH_FILES if call.files else 0))
        if channel.recipient_id and not self.world.users[channel.recipient_id].accepts_dms:
            raise ApiError(403, 50007, "Cannot send messages to this user")
        has = self.world.permissions(channel, self.world.bot.id)
        if call.payload.get("message_reference") and not has & READ_MESSAGE_HISTORY:
            raise ApiError(400, 160002, "Cannot reply without permission to read message history")
        body = {key: value for key, value in call.payload.items() if key != "flags"}
        body["flags"] = (call.payload.get("flags") or 0) & ~(1 << 6)
        message = self.messages.create(channel, body, call.files, author_id=self.world.bot.id, route=call.template)
        return 200, self.world.message_json(message)

    def _list(self, call: Call) -> Reply:
        channel = self._visible_channel(call.id("channel"))
        if not self.world.permissions(channel, self.world.bot.id) & READ_MESSAGE_HISTORY:
            return 200, []
        limit = int(call.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise ApiError(400, 50035, "Invalid Form Body")
        shown = [m for m in channel.messages.values() if not m.deleted and not m.ephemeral]
        if "after" in call.query:
            after = int(call.query["after"])
            shown = list(islice((m for m in shown if m.id > after), limit))
        elif "before" in call.query:
            shown = [m for m in shown if m.id < int(call.query["before"])][-limit:]
        elif "around" in call.query:
            middle = sum(m.id < int(call.query["around"]) for m in shown)
            shown = shown[max(0, middle - limit // 2) :][:limit]
        return 200, [self.world.message_json(m) for m in reversed(shown[-limit:])]

    def _get(self, call: Call) -> Reply:
        return 200, self.world.message_json(self._visible_message(call, READ_MESSAGE_HISTORY))

    def _edit(self, call: Call) -> Reply:
        message = self._visible_message(call)
        if message.author_id != self.world.bot.id:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        edited = self.messages.edit(message, call.payload, call.files, route=call.template)
        return 200, self.world.message_json(edited)

    def _delete(self, call: Call) -> Reply:
        message = self._visible_message(call)
        if message.author_id != self.world.bot.id:
            self._visible_channel(call.id("channel"), MANAGE_MESSAGES)
        self.messages.delete(message)
        return 204, None

    def _react(self, call: Call) -> Reply:
        # Someone who has not reacted with the emoji before needs both permissions.
        message = self._visible_message(call, READ_MESSAGE_HISTORY | ADD_REACTIONS)
        message.reactions.append(call.path["emoji"])
        self.world.channels[message.channel_id].changed()
        return 204, None

    def _guild(self, call: Call) -> Reply:
        guild = self.world.guilds.get(call.id("guild"))
        if guild is None or not guild.with_bot:
            raise ApiError(404, 10004, "Unknown Guild")
        return 200, self.world.guild_json(guild)

    def _member(self, call: Call) -> Reply:
        guild = self.world.guilds.get(call.id("guild"))
        if guild is None or not guild.with_bot:
            raise ApiError(404, 10004, "Unknown Guild")
        if call.id("user") not in guild.members:
            raise ApiError(404, 10007, "Unknown Member")
        return 200, self.world.member_json(guild, call.id("user"))

    def _open_dm(self, call: Call) -> Reply:
        user_id = int(call.payload["recipient_id"])
        if user_id not in self.world.users:
            raise ApiError(400, 50033, "Invalid Recipient(s)")
        return 200, self.world.channel_json(self.world.dm(user_id))
