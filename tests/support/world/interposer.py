"""An HTTP proxy between the bot and a stand-in: delays or replaces responses, drops gateway events, goes away."""

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

ResponseHook = Callable[[str, str, web.Response], Awaitable[web.Response]]
"""Given the request's method and path and the stand-in's response: the response that the bot receives."""

HOP_BY_HOP = {"host", "content-length", "content-encoding", "transfer-encoding", "connection", "date", "server"}
AUTOMATIC_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that aiohttp would add where the bot sent none."""


class Interposer:
    """Passes everything on to `target`. Connections before `listen` and after `stop_listening` are refused."""

    def __init__(self, target: str, response_hook: ResponseHook | None = None) -> None:
        self.dropped_events: set[str] = set()
        """Types of gateway events that are not passed on."""
        self._target = URL(target)
        self._response_hook = response_hook
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
        # Bound and not listening: the port is reserved, and connections to it are refused.
        self._socket.bind(("127.0.0.1", 0))
        self._port = int(self._socket.getsockname()[1])
        session = aiohttp.ClientSession(skip_auto_headers=AUTOMATIC_HEADERS)
        self._client = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_listening()
        await self._stack.aclose()

    async def listen(self) -> None:
        """Accept connections from now on."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/gateway/", self._gateway)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._listening.push_async_callback(runner.cleanup)
        await web.SockSite(runner, self._socket).start()

    async def stop_listening(self) -> None:
        """Close every connection, and refuse new ones."""
        await self._listening.aclose()

    async def _pass_on(self, request: web.Request) -> web.Response:
        async with self._client.request(
            request.method,
            self._target.join(URL(request.raw_path, encoded=True)),
            headers=[(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP],
            data=io.BytesIO(await request.read()),
            allow_redirects=False,
        ) as received:
            headers = {name: value for name, value in received.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.Response(status=received.status, body=await received.read(), headers=headers)
        if self._response_hook is None:
            return response
        return await self._response_hook(request.method, request.path, response)

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        bot = web.WebSocketResponse(compress=False)
        await bot.prepare(request)
        async with (
            self._client.ws_connect(self._target.join(URL(request.raw_path, encoded=True))) as discord,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._to_discord(bot, discord))
            group.create_task(self._to_bot(discord, bot))
        return bot

    async def _to_discord(self, bot: web.WebSocketResponse, discord: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in bot:
            if frame.type is WSMsgType.TEXT:
                await discord.send_str(frame.data)
        await discord.close(code=bot.close_code or 1000)

    async def _to_bot(self, discord: aiohttp.ClientWebSocketResponse, bot: web.WebSocketResponse) -> None:
        async for frame in discord:
            if frame.type is WSMsgType.TEXT and frame.json().get("t") not in self.dropped_events:
                await bot.send_str(frame.data)
        await bot.close(code=discord.close_code or 1000)
