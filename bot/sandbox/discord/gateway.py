"""The gateway: sessions, heartbeats, events, and resuming (docs: events/gateway)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from bot.sandbox.discord.files import Json
from bot.sandbox.discord.model import Wakeup
from bot.sandbox.discord.world import World

GUILDS, MEMBERS, PRESENCES = 1 << 0, 1 << 1, 1 << 8
GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 9, 1 << 12, 1 << 15
PRIVILEGED = MEMBERS | PRESENCES | MESSAGE_CONTENT
DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID_SESSION, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11

OnSent = Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Session:
    """One shard's session, which survives a lost connection, and its numbered events."""

    id: str
    shard: tuple[int, int]
    intents: int
    sequence: int = 0
    history: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=2000))
    connection: Connection | None = None


@dataclass(slots=True, kw_only=True)
class Connection:
    """One open socket; all frames go through its queue, which keeps their order."""

    socket: web.WebSocketResponse
    request: web.Request
    outbox: asyncio.Queue[tuple[str, OnSent | None]] = field(default_factory=asyncio.Queue)
    session: Session | None = None
    closed_here: bool = False

    def send(self, frame: Json) -> None:
        """Queue a frame that is not an event."""
        self.outbox.put_nowait((json.dumps(frame), None))

    async def write(self) -> None:
        """Send the queued frames until the connection ends."""
        while True:
            text, sent = await self.outbox.get()
            if sent is not None:
                sent()
            await self.socket.send_str(text)


class Gateway:
    """The sessions of the bot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.identifies = 0
        self.resumes = 0
        self.wakeup = Wakeup()

    @property
    def live(self) -> list[Session]:
        """Sessions with an open socket."""
        return [session for session in self.sessions.values() if session.connection is not None]

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection from HELLO to its end."""
        socket = web.WebSocketResponse(compress=False, autoping=True)
        await socket.prepare(request)
        connection = Connection(socket=socket, request=request)
        interval = int(self.world.settings.heartbeat_interval * 1000)
        connection.send({"op": HELLO, "d": {"heartbeat_interval": interval}})
        writer = asyncio.create_task(connection.write())
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._receive(connection, frame.data)
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await writer
            self._on_close(connection)
        return socket

    def _on_close(self, connection: Connection) -> None:
        session = connection.session
        if session is None or session.connection is not connection:
            return
        session.connection = None
        # A client that closes with 1000 or 1001 ends its session.
        if not connection.closed_here and connection.socket.close_code in (1000, 1001):
            self.sessions.pop(session.id, None)
        self.wakeup.notify()

    async def _receive(self, connection: Connection, text: str) -> None:
        if len(text) > 4096:
            await self._close(connection, 4002)
            return
        frame = json.loads(text)
        match frame["op"]:
            case op if op == HEARTBEAT:
                connection.send({"op": ACK, "d": None})
            case op if op == IDENTIFY:
                await self._identify(connection, frame["d"])
            case op if op == RESUME:
                await self._resume(connection, frame["d"])

    async def _close(self, connection: Connection, code: int) -> None:
        connection.closed_here = True
        await connection.socket.close(code=code)

    def _is_valid_token(self, token: str) -> bool:
        expected = self.world.settings.token
        return bool(token) if expected is None else token == expected

    async def _identify(self, connection: Connection, data: Json) -> None:
        self.identifies += 1
        number, count = data.get("shard") or (0, 1)
        if not self._is_valid_token(data["token"]):
            return await self._close(connection, 4004)
        if not 0 <= number < count:
            return await self._close(connection, 4010)
        if data["intents"] & PRIVILEGED and not self.world.settings.message_content:
            return await self._close(connection, 4014)
        for old in [s for s in self.sessions.values() if s.connection is None and s.shard == (number, count)]:
            del self.sessions[old.id]
        session = Session(id=secrets.token_hex(16), shard=(number, count), intents=data["intents"])
        self.sessions[session.id] = session
        connection.session, session.connection = session, connection
        guilds = [g for g in self.world.guilds.values() if g.with_bot and self._on_shard(session, g.id)]
        ready = {
            "v": 10,
            "user": self.world.user_json(self.world.bot),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self.url,
            "shard": [number, count],
            "application": {"id": str(self.world.bot.id), "flags": 0},
            "private_channels": [],
            "relationships": [],
        }
        self._send(session, "READY", ready)
        for guild in guilds:
            self._send(session, "GUILD_CREATE", self.world.guild_json(guild, event=True))
        self.wakeup.notify()
        return None

    async def _resume(self, connection: Connection, data: Json) -> None:
        session = self.sessions.get(data["session_id"])
        if session is None or not 0 <= session.sequence - data["seq"] <= len(session.history):
            connection.send({"op": INVALID_SESSION, "d": False})
            return
        self.resumes += 1
        connection.session, session.connection = session, connection
        for sequence, text in session.history:
            if sequence > data["seq"]:
                connection.outbox.put_nowait((text, None))
        self._send(session, "RESUMED", {})
        self.wakeup.notify()

    @staticmethod
    def _on_shard(session: Session, guild_id: int | None) -> bool:
        number, count = session.shard
        return number == (0 if guild_id is None else (guild_id >> 22) % count)

    @staticmethod
    def _send(session: Session, event: str, data: Json, sent: OnSent | None = None) -> bool:
        session.sequence += 1
        text = json.dumps({"op": DISPATCH, "t": event, "s": session.sequence, "d": data})
        session.history.append((session.sequence, text))
        if session.connection is None:
            return False
        session.connection.outbox.put_nowait((text, sent))
        return True

    def dispatch(
        self, event: str, data: Json, guild_id: int | None, *, intents: int = 0, sent: OnSent | None = None
    ) -> int:
        """Send an event to the sessions of its shard with the intents; returns how many are connected.

        A session without a socket keeps the event for RESUME. ``sent`` is called when the frame is written.
        """
        reached = 0
        for session in list(self.sessions.values()):
            if self._on_shard(session, guild_id) and (not intents or session.intents & intents):
                reached += self._send(session, event, data, sent)
        return reached

    async def disconnect(self, code: int, *, resumable: bool) -> int:
        """Close every socket (``code`` 0: without a close frame); returns how many there were."""
        live = self.live
        for session in live:
            if not resumable:
                del self.sessions[session.id]
            connection = session.connection
            if connection is None:
                continue
            connection.closed_here, session.connection = True, None
            self.wakeup.notify()
            if code:
                await connection.socket.close(code=code)
            elif connection.request.transport is not None:
                connection.request.transport.abort()
        return len(live)

    def send_to_all(self, op: int, *, resumable: bool = True) -> int:
        """Send RECONNECT or INVALID_SESSION to every socket; returns how many there were."""
        live = self.live
        for session in live:
            if op == INVALID_SESSION and not resumable:
                del self.sessions[session.id]
            if session.connection is not None:
                session.connection.send({"op": op, "d": resumable if op == INVALID_SESSION else None})
        return len(live)
