"""Processor time of a call over HTTP: aiohttp alone, Easel's client on top of it, and httpx's own connections.

The server is another process and answers from memory, so that what is measured is the client's work.
`python -m benchmarks.http` prints this table alone.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import httpx

from bot.net.http import Timeouts, open_client, read_content, stream

PICTURE_BYTES = 1_500_000
PICTURE_LIMIT = 33_554_432
SMALL = b'{"status": "IN_QUEUE", "queue_position": 7, "request_id": "4f1c7c9e-0000-4000-8000-123456789abc"}'
Get = Callable[[str], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Row:
    """One load, and for each client the milliseconds of its processor time for one call."""

    load: str
    milliseconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Load:
    """So many calls for one path, so many of them at once. The cheapest round counts."""

    name: str
    path: str
    calls: int
    at_once: int
    rounds: int = 2


LOADS = (
    Load("a small call, 8 at once", "/small", 256, 8),
    Load("a small call, 64 at once", "/small", 192, 64),
    Load("a small call, 256 at once", "/small", 256, 256, rounds=1),
    Load("a picture of 1.5 MB, 8 at once", "/picture", 48, 8),
)


@asynccontextmanager
async def _aiohttp(url: str, at_once: int) -> AsyncIterator[Get]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def get(path: str) -> int:
            async with session.get(url + path) as response:
                return len(await response.read())

        yield get


@asynccontextmanager
async def _easel(url: str, at_once: int) -> AsyncIterator[Get]:
    timeouts = Timeouts()
    async with open_client(base_urls=[url], connections=at_once) as client:

        async def get(path: str) -> int:
            # As pictures are read: a large one is on disk in the end.
            async with stream(client, "GET", url + path, timeouts=timeouts) as response:
                return len(await read_content(response, PICTURE_LIMIT))

        yield get


@asynccontextmanager
async def _httpx(url: str, at_once: int) -> AsyncIterator[Get]:
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def get(path: str) -> int:
            return len((await client.get(url + path)).content)

        yield get


CLIENTS: dict[str, Callable[[str, int], AbstractAsyncContextManager[Get]]] = {
    "aiohttp": _aiohttp,
    "easel": _easel,
    "httpx": _httpx,
}


async def measured() -> list[Row]:
    """Every load for every client, the clients taking turns."""
    async with _server() as url:
        rows = []
        for load in LOADS:
            best = dict.fromkeys(CLIENTS, float("inf"))
            for _ in range(load.rounds):
                for name, opened in CLIENTS.items():
                    async with opened(url, load.at_once) as get:
                        best[name] = min(best[name], await _cost(get, load))
            rows.append(Row(load.name, best))
        return rows


async def _cost(get: Get, load: Load) -> float:
    """Milliseconds of processor time for one call, with the connections already open."""
    size = len(SMALL) if load.path == "/small" else PICTURE_BYTES

    async def some(count: int) -> None:
        for _ in range(count):
            if await get(load.path) != size:
                raise RuntimeError("the server sent something else")

    async def all_of(count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(load.at_once):
                group.create_task(some(count // load.at_once))

    await all_of(load.at_once)
    gc.collect()
    before = time.process_time()
    await all_of(load.calls)
    return 1000 * (time.process_time() - before) / load.calls


def table(rows: list[Row]) -> str:
    """The figures, each with its ratio to aiohttp alone."""
    names = list(CLIENTS)
    lines = [f"{'processor time of one call':<34}" + "".join(f"{name:>22}" for name in names)]
    for row in rows:
        floor = row.milliseconds[names[0]]
        cells = (f"{row.milliseconds[name]:.2f} ms ({row.milliseconds[name] / floor:.1f} ×)" for name in names)
        lines.append(f"{row.load:<34}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


BODIES = {b"/small": SMALL, b"/picture": bytes(PICTURE_BYTES)}


class _Answers(asyncio.Protocol):
    """Answers each GET, whose head is small enough to come at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        body = BODIES[data.split(b" ", 2)[1]]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        if isinstance(self._transport, asyncio.Transport):
            self._transport.write(head + body)


async def _serve() -> None:
    """Print the port, and answer until the standard input ends."""
    loop = asyncio.get_running_loop()
    async with await loop.create_server(_Answers, "127.0.0.1", backlog=512) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.http",
        "serve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def main() -> None:
    """Serve, or measure and print."""
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        print(table(asyncio.run(measured())))


if __name__ == "__main__":
    main()
