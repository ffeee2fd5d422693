"""Servers that are no service: one that bends answers on their way, one that is strange, and nobody at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Bend = Callable[[str, bytes], bytes | None]
"""Given the latest request's first line and some bytes of its answer: what is passed on. None cuts it off."""


def painted(size: tuple[int, int] = (64, 64), mode: str = "RGB", colour: Any = "red") -> bytes:
    """A PNG of one colour."""
    buffer = BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncIterator[str]:
    """An origin on a port of its own; in the end every connection is closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Proxy:
    """Bytes to and fro."""

    def __init__(self, port: int, bend: Bend) -> None:
        self._port = port
        self._bend = bend
        self.bent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        line = ""

        async def there() -> None:
            nonlocal line
            while block := await reader.read(65_536):
                if block.startswith((b"GET ", b"POST ", b"PUT ", b"DELETE ")):
                    line = block.split(b"\r\n", 1)[0].decode()
                far_writer.write(block)
                await far_writer.drain()

        async def back() -> None:
            while block := await far_reader.read(65_536):
                passed = self._bend(line, block)
                self.bent = self.bent or passed != block
                if passed is None:
                    writer.write(block[: len(block) // 2])
                    await writer.drain()
                    return
                writer.write(passed)
                await writer.drain()

        tasks = {asyncio.create_task(there()), asyncio.create_task(back())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            far_writer.close()


@asynccontextmanager
async def between(url: str, bend: Bend) -> AsyncIterator[str]:
    """An origin that passes everything on to `url`, and bends what comes back; that it did is seen to."""
    passing = _Proxy(int(url.rpartition(":")[2]), bend)
    async with _serving(passing.serve) as origin:
        yield origin
    assert passing.bent, "nothing was bent"


@dataclass
class RawServer:
    """Somebody who answers everybody the same, and remembers who came."""

    answer: bytes
    origin: str = ""
    heard: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heard.append(head)
        lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        if lengths:
            await reader.readexactly(int(lengths[0].partition(":")[2]))
        writer.write(self.answer)
        await writer.drain()


@contextmanager
def nobody() -> Iterator[str]:
    """An origin where whoever knocks is refused: its port is bound, and nobody listens."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@asynccontextmanager
async def stranger(status: int = 200, content: bytes = b"", **headers: str) -> AsyncIterator[RawServer]:
    """A server that answers so, with a good picture unless it is told otherwise."""
    body = content or (painted() if status == 200 else b"")
    named = {"content-type": "image/png", "content-length": str(len(body)), "connection": "close", **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    somebody = RawServer("\r\n".join(lines).encode() + body)
    async with _serving(somebody.serve) as origin:
        somebody.origin = origin
        yield somebody
