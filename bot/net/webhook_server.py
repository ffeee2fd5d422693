"""A small web server for what services tell us of their own accord. Behind a proxy that speaks TLS.

It knows nothing of what it carries: a route is given the headers and the body, and says with which status to
answer. Everything is bounded: the body, the time, the number of connections. Nothing of a call is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Self

from aiohttp import web
from aiohttp.http import HttpProcessingError

from bot.domain.errors import SetupError

log = logging.getLogger(__name__)

BODY_LIMIT = 1_048_576
BODY_SECONDS = 10.0
CONNECTION_SECONDS = 20.0
"""From the first byte of a connection to the last: each carries one call."""
LINGERING_SECONDS = 1.0
"""How long the rest of a refused body is thrown away, so that whoever sends it sees the answer."""
SHUTDOWN_SECONDS = 2.0
MOST_CONNECTIONS = 64

Handler = Callable[[Mapping[str, str], bytes], Awaitable[int]]
"""Headers, whose names are found in any case, and the body; returns the status to answer with."""


class WebhookServer:
    """`async with WebhookServer(host, port, {"/path": route})` takes POSTs at these paths; 0 takes a free port."""

    def __init__(
        self,
        host: str,
        port: int,
        routes: Mapping[str, Handler],
        *,
        body_limit: int = BODY_LIMIT,
        body_seconds: float = BODY_SECONDS,
        connection_seconds: float = CONNECTION_SECONDS,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self.host = host
        self.port = port
        self._routes = dict(routes)
        self._body_limit = body_limit
        self._body_seconds = body_seconds
        self._connection_seconds = connection_seconds
        self._most_connections = most_connections
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            SetupError: nobody can listen there.
        """
        log.addFilter(_NO_GARBAGE)
        server = web.Server(
            self._answer, access_log=None, logger=log, auto_decompress=False, lingering_time=LINGERING_SECONDS
        )
        async with AsyncExitStack() as stack:
            runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            loop = asyncio.get_running_loop()
            try:
                listening = await loop.create_server(lambda: self._connection(server), self.host, self.port)
            except (OSError, UnicodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "that is no host"
                raise SetupError(f"Nobody can listen at {self.host}:{self.port}: {why}.") from None
            # In reverse: no new connections, then an end for those that are there.
            stack.callback(listening.close)
            self.port = int(listening.sockets[0].getsockname()[1])
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def _connection(self, server: web.Server) -> asyncio.BaseProtocol:
        if len(server.connections) >= self._most_connections:
            return _Refusal()
        connection = server()
        # Whoever sends nothing, or slowly, holds a connection no longer than anybody else.
        asyncio.get_running_loop().call_later(self._connection_seconds, connection.force_close)
        return connection

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        status = await self._status(request)
        answer = web.Response(status=status, text=HTTPStatus(status).phrase)
        answer.force_close()
        return answer

    async def _status(self, request: web.BaseRequest) -> int:
        route = self._routes.get(request.path)
        if route is None:
            return HTTPStatus.NOT_FOUND
        if request.method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._body(request)
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT
        except (ConnectionError, web.RequestPayloadError):
            return HTTPStatus.BAD_REQUEST  # nobody is there to read it
        if body is None:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return await route(request.headers, body)

    async def _body(self, request: web.BaseRequest) -> bytes | None:
        """The raw body; None where it is too long."""
        if (request.content_length or 0) > self._body_limit:
            return None
        parts, size = [], 0
        async for part in request.content.iter_any():
            size += len(part)
            if size > self._body_limit:
                return None
            parts.append(part)
        return b"".join(parts)


class _WithoutGarbage(logging.Filter):
    """What is no HTTP at all is answered, but aiohttp would also write a page about it, with what was sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Everything else passes."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_NO_GARBAGE = _WithoutGarbage()


class _Refusal(asyncio.Protocol):
    """A connection that nobody has a hand free for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        if isinstance(transport, asyncio.Transport):
            transport.abort()
