"""Somebody between the bot and a stand-in: answers come late or garbled, events are held, or nobody is there."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

import aiohttp
from aiohttp import WSMsgType, web
from yarl import URL

Meddle = Callable[[str, str, web.Response], Awaitable[web.Response]]
"""Given method, path and the true answer: the one that is passed on, whenever that is."""

OF_ONE_HOP = {"host", "content-length", "content-encoding", "transfer-encoding", "connection", "date", "server"}
NOTHING_OF_ITS_OWN = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Interposer:
    """Passes everything on to `target`. Whoever knocks before `open` or after `shut` is refused."""

    def __init__(self, target: str, meddle: Meddle | None = None) -> None:
        self.held: set[str] = set()
        """Gateway events that never arrive."""
        self._target = URL(target)
        self._meddle = meddle
        self._socket = socket.socket()
        self._client: aiohttp.ClientSession
        self._stack = AsyncExitStack()
        self._listening = AsyncExitStack()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """In place of the stand-in's own."""
        return f"http://{self.host}"

    @property
    def gateway_url(self) -> str:
        """In place of the stand-in's own."""
        return f"ws://{self.host}/gateway/"

    async def __aenter__(self) -> Self:
        self._stack.callback(self._socket.close)
        # Bound and not listening: the port is nobody else's, and whoever knocks is refused.
        self._socket.bind(("127.0.0.1", 0))
        self._port = int(self._socket.getsockname()[1])
        session = aiohttp.ClientSession(skip_auto_headers=NOTHING_OF_ITS_OWN)
        self._client = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()
        await self._stack.aclose()

    async def open(self) -> None:
        """Be there from now on."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/gateway/", self._gateway)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._listening.push_async_callback(runner.cleanup)
        await web.SockSite(runner, self._socket).start()

    async def shut(self) -> None:
        """Hang up, and refuse whoever knocks."""
        await self._listening.aclose()

    async def _pass_on(self, request: web.Request) -> web.Response:
        given = [(name, value) for name, value in request.headers.items() if name.lower() not in OF_ONE_HOP]
        async with self._client.request(
            request.method,
            self._target.join(URL(request.raw_path, encoded=True)),
            headers=given,
            data=io.BytesIO(await request.read()),
            allow_redirects=False,
        ) as true:
            kept = [(name, value) for name, value in true.headers.items() if name.lower() not in OF_ONE_HOP]
            answer = web.Response(status=true.status, body=await true.read(), headers=dict(kept))
        return await self._meddle(request.method, request.path, answer) if self._meddle else answer

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse(compress=False)
        await near.prepare(request)
        async with (
            self._client.ws_connect(self._target.join(URL(request.raw_path, encoded=True))) as far,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._say(near, far))
            group.create_task(self._tell(far, near))
        return near

    async def _say(self, near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in near:
            if frame.type is WSMsgType.TEXT:
                await far.send_str(frame.data)
        await far.close(code=near.close_code or 1000)

    async def _tell(self, far: aiohttp.ClientWebSocketResponse, near: web.WebSocketResponse) -> None:
        async for frame in far:
            if frame.type is WSMsgType.TEXT and frame.json().get("t") not in self.held:
                await near.send_str(frame.data)
        await near.close(code=far.close_code or 1000)
