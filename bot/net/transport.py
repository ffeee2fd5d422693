"""httpx over aiohttp's connections, with errors that say whether a request can have left.

httpx-aiohttp reports a connection that breaks after the request was sent as `httpx.ConnectTimeout`. Read as
"never sent", that would have work paid for twice. Here the error's class follows from what has happened so far:

    no connection yet                   ConnectError, ConnectTimeout; PoolTimeout where none came free
      private address                   DestinationRefused, a ConnectError
      no http(s) URL                    InvalidURL, UnsupportedProtocol
    while a large body is uploaded      WriteError
    silence                             ReadTimeout
    reset                               ReadError
    closed without a whole response,
    a head or a chunk that is no HTTP   RemoteProtocolError
    a request that cannot be written    LocalProtocolError

An error's message is the name of what went wrong and never a URL, since URLs may be signed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any

import aiohttp
import httpx
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from bot.net.resolver import DestinationRefused, Destinations, PrivateAddress, Resolver

SLICE = 65_536
"""Bytes of a body that are handed to the socket at a time."""
RECEIVED = 262_144
_PROGRESS_KEY = "easel.progress"


@dataclass(slots=True)
class Progress:
    """How far a request has come. With a connection in hand, any part of it may have left."""

    queued: bool = False
    connected: bool = False
    uploading: bool = False


_current: ContextVar[Progress] = ContextVar("progress of the request that this task sends")


class Transport(AiohttpTransport):
    """At most `connections` at once, to `destinations` only; opened with the first request."""

    def __init__(
        self, destinations: Destinations, *, connections: int = 100, ssl: SSLContext | None = None
    ) -> None:
        """Certificates are verified against the system's authorities, or as `ssl` says."""
        self._destinations = destinations
        self._connections = connections
        self._ssl = ssl
        # The base class makes a context for sessions of its own, at 20 ms each. There are none, and an empty
        # context trusts no certificate.
        super().__init__(verify=ssl or SSLContext(PROTOCOL_TLS_CLIENT), client=self._open_session)

    def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            ssl=self._ssl or True,
            resolver=Resolver(self._destinations),
            socket_factory=self._destinations.open_socket,
        )
        # aiohttp repeats a request once whose connection broke before the response, since a kept-alive one may
        # have been closed meanwhile. It does so for GET, PUT and DELETE, which may arrive twice, never for POST.
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            response_class=_PlainReason,
            trace_configs=[_tracing()],
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request up to the head of its response; no redirect is followed.

        Raises:
            httpx.RequestError, httpx.InvalidURL: see the module.
        """
        progress = Progress()
        request.extensions[_PROGRESS_KEY] = progress
        token = _current.set(progress)
        try:
            with _translated(request, progress):
                response = await super().handle_async_request(_sliced(request, progress))
        finally:
            _current.reset(token)
        if not isinstance(response.stream, AiohttpResponseStream):
            raise TypeError("httpx-aiohttp's response has changed")
        # As much as the event loop receives at a time; cut into the 16 kB of the base class, a picture costs twice
        # the processor time.
        response.stream.CHUNK_SIZE = RECEIVED
        return _Unfollowed(
            response.status_code,
            headers=response.headers,
            stream=_ResponseBody(response.stream, request, progress),
            request=request,
            extensions=response.extensions,
        )


def timeout_error(request: httpx.Request) -> httpx.TimeoutException:
    """The error for a request that ran into a time-out around it, by how far it had come."""
    return _timeout(request, request.extensions.get(_PROGRESS_KEY) or Progress(), "total")


def _timeout(request: httpx.Request, progress: Progress, message: str) -> httpx.TimeoutException:
    kind: type[httpx.TimeoutException]
    if not progress.connected:
        kind = httpx.PoolTimeout if progress.queued else httpx.ConnectTimeout
    else:
        kind = httpx.WriteTimeout if progress.uploading else httpx.ReadTimeout
    return kind(message, request=request)


@contextmanager
def _translated(request: httpx.Request, progress: Progress) -> Iterator[None]:
    try:
        yield
    except (httpx.RequestError, aiohttp.ClientError, OSError, ValueError) as error:
        # The base class has translated some already; what it saw is the cause.
        cause = error.__cause__ if isinstance(error, httpx.RequestError) else error
        raise _httpx_error(cause or error, request, progress) from None


def _httpx_error(error: BaseException, request: httpx.Request, progress: Progress) -> Exception:
    message = type(error).__name__
    kind: type[httpx.RequestError]
    match error:
        case aiohttp.ClientConnectorError(os_error=PrivateAddress()):
            kind, message = DestinationRefused, "private address"
        case aiohttp.NonHttpUrlClientError():
            kind = httpx.UnsupportedProtocol
        case aiohttp.InvalidURL() | UnicodeError() if not progress.connected:
            return httpx.InvalidURL("not a URL")
        case TimeoutError():
            return _timeout(request, progress, message)
        case aiohttp.ClientError() | OSError() if not progress.connected:
            kind = httpx.ConnectError
        case _ if progress.uploading:
            kind = httpx.WriteError
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            kind = httpx.RemoteProtocolError
        case aiohttp.ClientError() | OSError():
            kind = httpx.ReadError
        case _:
            kind = httpx.LocalProtocolError
    return kind(message, request=request)


class _PlainReason(aiohttp.ClientResponse):
    """The reason in ASCII. httpx-aiohttp fails on a byte that is no UTF-8, after the request was carried out."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.reason = (self.reason or "").encode("ascii", "ignore").decode("ascii")
        return self


class _Unfollowed(httpx.Response):
    """A response whose Location httpx leaves alone. Else it reads it at once, and fails in ways of its own."""

    @property
    def has_redirect_location(self) -> bool:
        """Never: whoever wants to follow a redirect reads the header."""
        return False


class _ResponseBody(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, request: httpx.Request, progress: Progress) -> None:
        self._inner = inner
        self._request = request
        self._progress = progress

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated(self._request, self._progress):
            async for chunk in self._inner:
                yield chunk

    async def aclose(self) -> None:
        with _translated(self._request, self._progress):
            await self._inner.aclose()


class _RequestBody(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, progress: Progress) -> None:
        self._inner = inner
        self._progress = progress

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._progress.uploading = True
        async for chunk in self._inner:
            for start in range(0, len(chunk), SLICE):
                yield chunk[start : start + SLICE]
        self._progress.uploading = False


def _sliced(request: httpx.Request, progress: Progress) -> httpx.Request:
    """The request with a large body in slices, so that the socket's buffer does not take a copy of it all."""
    size = request.headers.get("content-length", "0")
    if not isinstance(request.stream, httpx.AsyncByteStream) or (size.isdecimal() and int(size) <= SLICE):
        return request
    body = _RequestBody(request.stream, progress)
    # A request made with `stream=` keeps the headers as they are: Content-Length stays, nothing is chunked.
    return httpx.Request(
        request.method, request.url, headers=request.headers, stream=body, extensions=request.extensions
    )


def _tracing() -> aiohttp.TraceConfig:
    """Follow each request to the moment from which it may have left."""
    config = aiohttp.TraceConfig(trace_config_ctx_factory=_progress_of_this_task)  # type: ignore[arg-type]
    config.on_connection_queued_start.append(_on_queued)
    config.on_connection_queued_end.append(_on_dequeued)
    config.on_connection_create_end.append(_on_connected)
    config.on_connection_reuseconn.append(_on_connected)
    return config


def _progress_of_this_task(trace_request_ctx: object) -> Progress:
    return _current.get()


async def _on_queued(_session: aiohttp.ClientSession, progress: Any, _event: object) -> None:
    progress.queued = True


async def _on_dequeued(_session: aiohttp.ClientSession, progress: Any, _event: object) -> None:
    progress.queued = False


async def _on_connected(_session: aiohttp.ClientSession, progress: Any, _event: object) -> None:
    progress.connected = True
