"""A small web server for the webhooks of services, behind a proxy that speaks TLS.

It does not read their content: a handler gets the headers and the body, and returns the response's status. The
body, the time and the number of connections are bounded. Nothing of a request is logged.
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
"""From the first byte of a connection to the last: each carries one request."""
LINGERING_SECONDS = 1.0
"""How long the rest of a refused body is discarded, so that its sender sees the response."""
SHUTDOWN_SECONDS = 2.0
MAXIMUM_CONNECTIONS = 64

Handler = Callable[[Mapping[str, str], bytes], Awaitable[int]]
"""Gets the headers, whose names match in any case, and the body; returns the status to respond with."""


class WebhookServer:
    """Takes POSTs at these paths, within `async with`; port 0 is any free one."""

    def __init__(
        self,
        host: str,
        port: int,
        handlers: Mapping[str, Handler],
        *,
        body_limit: int = BODY_LIMIT,
        body_seconds: float = BODY_SECONDS,
        connection_seconds: float = CONNECTION_SECONDS,
        max_connections: int = MAXIMUM_CONNECTIONS,
    ) -> None:
        self.host = host
        self.port = port
        self._handlers = dict(handlers)
        self._body_limit = body_limit
        self._body_seconds = body_seconds
        self._connection_seconds = connection_seconds
        self._max_connections = max_connections
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            SetupError: it cannot listen at this address.
        """
        log.addFilter(_WITHOUT_GARBAGE)
        server = web.Server(
            self._respond, access_log=None, logger=log, auto_decompress=False, lingering_time=LINGERING_SECONDS
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
                raise SetupError(f"Easel cannot listen at {self.host}:{self.port}: {why}.") from None
            # Closed in reverse: no new connections, then those that are open.
            stack.callback(listening.close)
            self.port = int(listening.sockets[0].getsockname()[1])
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def _connection(self, server: web.Server) -> asyncio.BaseProtocol:
        if len(server.connections) >= self._max_connections:
            return _Refusal()
        connection = server()
        # A client that sends nothing, or slowly, has its connection no longer than others.
        asyncio.get_running_loop().call_later(self._connection_seconds, connection.force_close)
        return connection

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        status = await self._status(request)
        response = web.Response(status=status, text=HTTPStatus(status).phrase)
        response.force_close()
        return response

    async def _status(self, request: web.BaseRequest) -> int:
        handler = self._handlers.get(request.path)
        if handler is None:
            return HTTPStatus.NOT_FOUND
        if request.method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._body(request)
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT
        except (ConnectionError, web.RequestPayloadError):
            return HTTPStatus.BAD_REQUEST  # the client is gone
        if body is None:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return await handler(request.headers, body)

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
    """Drops aiohttp's tracebacks about requests that are no HTTP, which quote what was sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything else pass."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_WITHOUT_GARBAGE = _WithoutGarbage()


class _Refusal(asyncio.Protocol):
    """A connection above the maximum."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        if isinstance(transport, asyncio.Transport):
            transport.abort()
