"""A server that says byte for byte what a test wants, and sees what arrives and when the client hangs up."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 20.0
"""Seconds after which a test fails instead of waiting on."""


class Connection:
    """One accepted connection."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self.is_first = server.accepted == 1

    async def head(self) -> bytes:
        """The next request's line and headers."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._server.note(head=head)
        return head

    async def exactly(self, count: int) -> bytes:
        """So many bytes of a body."""
        return await self._reader.readexactly(count)

    async def some(self) -> bytes:
        """The next bytes, whatever they are; none at the end."""
        return await self._reader.read(65_536)

    async def discard(self, count: int) -> None:
        """Read so many bytes and keep none."""
        while count:
            part = await self._reader.read(min(count, 65_536))
            if not part:
                raise ConnectionResetError
            count -= len(part)

    async def send(self, *parts: bytes) -> None:
        """Write these bytes."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    def close(self) -> None:
        """Close in good order."""
        self._writer.close()

    def reset(self) -> None:
        """Close with a TCP reset, whatever is still under way."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def hung_up(self) -> None:
        """Wait until the client closes, passing over what it still sends."""
        with suppress(ConnectionError):
            while await self._reader.read(65_536):
                pass


Script = Callable[[Connection], Awaitable[None]]


class RawServer:
    """`heads` are the requests that were read; `open` counts connections that neither side has closed."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.heads: list[bytes] = []
        self.accepted = 0
        self.open = 0
        self.port = 0
        self.listener: asyncio.Server | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def until(self, true: Callable[[RawServer], bool]) -> None:
        """Wait until something is true of the server."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: true(self))

    async def note(self, *, connections: int = 0, head: bytes | None = None) -> None:
        """Count a connection, or note a request that was read."""
        async with self._changed:
            self.accepted += max(connections, 0)
            self.open += connections
            if head is not None:
                self.heads.append(head)
            self._changed.notify_all()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script for one connection."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        await self.note(connections=1)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._script(Connection(self, reader, writer))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            await self.note(connections=-1)
        except asyncio.CancelledError:
            # Python 3.11 logs a handler that ends as cancelled.
            writer.transport.abort()

    def refuse(self) -> None:
        """Accept no more connections; those that are open stay."""
        if self.listener is not None:
            self.listener.close()

    async def stop(self) -> None:
        """End the scripts that still run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Its address, without a path."""
        return f"{scheme}://{host}:{self.port}"


@asynccontextmanager
async def serving(script: Script, ssl: SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A server on a free port of 127.0.0.1."""
    server = RawServer(script)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", ssl=ssl)
    server.listener = listener
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        try:
            yield server
        finally:
            await server.stop()


async def healthy(connection: Connection) -> None:
    """Answer every request with `ok`."""
    while True:
        await connection.head()
        await connection.send(OK)


@asynccontextmanager
async def silent_port() -> AsyncIterator[int]:
    """A port whose queue of connections is full, so that the next one is neither accepted nor refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


# Servers that send one response to each connection


def http(status: int, body: Any = b"", **headers: str) -> bytes:
    """A response as it is on the wire; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content_length": str(len(content)), "connection": "close", **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


Respond = Callable[[str], bytes]
"""Given a request line: the bytes to respond with."""


@dataclass
class RespondingServer:
    """`heads` and `bodies` are those of the requests so far."""

    respond: Respond
    url: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def requests(self) -> list[str]:
        """Method and path of each request."""
        return [head.splitlines()[0].rpartition(" ")[0] for head in self.heads]

    async def serve(self, connection: Connection) -> None:
        """Respond once."""
        head = (await connection.head()).decode("latin-1")
        self.heads.append(head)
        lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        if lengths:
            self.bodies.append(await connection.exactly(int(lengths[0].partition(":")[2])))
        await connection.send(self.respond(head.splitlines()[0]))


@asynccontextmanager
async def responding(respond: Respond | bytes) -> AsyncIterator[RespondingServer]:
    """A server that sends these bytes, or those that it is told to for a request line, and closes."""
    server = RespondingServer(respond if callable(respond) else lambda _: respond)
    async with serving(server.serve) as raw:
        server.url = raw.url()
        yield server


# A proxy that changes responses

Change = Callable[[str, bytes], bytes | None]
"""Given the latest request line and some bytes of its response: the bytes to pass on. None cuts the response."""


@dataclass
class _Proxy:
    port: int
    change: Change
    changed: bool = False

    async def serve(self, connection: Connection) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request_line = ""

        async def forth() -> None:
            nonlocal request_line
            while block := await connection.some():
                if block.startswith((b"GET ", b"POST ", b"PUT ", b"DELETE ")):
                    request_line = block.split(b"\r\n", 1)[0].decode()
                writer.write(block)
                await writer.drain()

        async def back() -> None:
            while block := await reader.read(65_536):
                passed_on = self.change(request_line, block)
                self.changed = self.changed or passed_on != block
                if passed_on is None:
                    await connection.send(block[: len(block) // 2])
                    return
                await connection.send(passed_on)

        tasks = {asyncio.create_task(forth()), asyncio.create_task(back())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()


@asynccontextmanager
async def changing_proxy(url: str, change: Change) -> AsyncIterator[str]:
    """An origin that passes everything on to `url` and changes the responses; at the end one must have been."""
    proxy = _Proxy(int(url.rpartition(":")[2]), change)
    async with serving(proxy.serve) as raw:
        yield raw.url()
    assert proxy.changed, "no response was changed"


# Ports without a server


@contextmanager
def refusing_origin() -> Iterator[str]:
    """An origin that refuses connections: its port is bound, and nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def closed_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
    return port
