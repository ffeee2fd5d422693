"""What all HTTP requests share: clients that reach known hosts only, and responses with bounds.

Names and errors are httpx's. Of those errors `ConnectError` (with `DestinationRefused`), `ConnectTimeout` and
`PoolTimeout` alone mean that nothing has left; after any other the request may have been carried out.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from ssl import SSLContext
from typing import IO, Any, TypedDict, Unpack
from urllib.request import Request

import httpx

from bot.domain.content import Content, DiskFile, Receiver
from bot.net.bodies import Body
from bot.net.errors import ResponseTooLarge
from bot.net.hosts import AllowedHosts
from bot.net.large_json import json_in
from bot.net.resolver import Destinations
from bot.net.transport import Transport, timeout_error

JSON_LIMIT = 1_048_576
_GZIP_OR_ZLIB = 47
_PACKED = ("gzip", "deflate")
_UNPACKED_AT_ONCE = 262_144
_BODY_KEY = "easel.body"
_JSON_KEY = "easel.json"
_ABOUT_THE_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """At least so many bytes in so many seconds, from the first byte of a body to its last."""

    least: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: until there is a connection, between two reads, and for the whole exchange.

    There is none for writing alone; a service that stops reading an upload runs into `total`.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 120.0
    pace: Pace | None = None
    """For bodies that are large and wanted soon; the rest of one may always be smaller."""

    def as_httpx(self) -> httpx.Timeout:
        """The same for httpx, which knows no total."""
        # httpx-aiohttp takes `pool` for all that happens until there is a connection, `connect` for each address.
        return httpx.Timeout(connect=self.connect, read=self.read, write=None, pool=self.connect)


class RequestOptions(TypedDict, total=False):
    """What `httpx.AsyncClient.build_request` takes, as far as a body can be sent with its length."""

    headers: Mapping[str, str]
    params: Mapping[str, str]
    json: Any
    content: bytes | Body
    data: Mapping[str, str | Sequence[str]]
    files: Sequence[tuple[str, tuple[str | None, IO[bytes] | bytes | str, str]]]


def open_client(
    *,
    hosts: AllowedHosts | None = None,
    base_urls: Sequence[str] = (),
    connections: int = 100,
    ssl: SSLContext | None = None,
) -> httpx.AsyncClient:
    """A client for one purpose, to be used with `async with`.

    It reaches `hosts` at public addresses (or at private ones that are listed themselves) and `base_urls`, which
    the operator has set, at any. No proxy, no cookies, no redirects; certificates are verified.

    Raises:
        httpx.InvalidURL, httpx.UnsupportedProtocol: a base URL is no clear http(s) URL.
    """
    destinations = Destinations(hosts or AllowedHosts(()), base_urls)
    return httpx.AsyncClient(
        transport=Transport(destinations, connections=connections, ssl=ssl),
        headers={"Accept-Encoding": "identity"},
        cookies=_NoCookies(),
        event_hooks={"request": [destinations.check]},
        follow_redirects=False,
        trust_env=False,
    )


class _NoCookies(CookieJar):
    """Takes no cookie. One that a policy refuses is parsed before, for every response."""

    def extract_cookies(self, response: HTTPResponse, request: Request) -> None:
        """Leave the response alone."""


@asynccontextmanager
async def stream(
    client: httpx.AsyncClient, method: str, url: str, *, timeouts: Timeouts, **options: Unpack[RequestOptions]
) -> AsyncIterator[httpx.Response]:
    """Send a request; the response's body is still to be read, all of it within `timeouts.total`.

    Raises:
        httpx.RequestError: see the module; also from the `async with` block, while the body is read there.
        httpx.InvalidURL: nothing was sent.
    """
    content = options.get("content")
    if isinstance(content, Body):
        # Without its length httpx would send it in chunks, which not every service takes.
        options["headers"] = {**options.get("headers", {}), "Content-Length": str(len(content))}
    try:
        request = client.build_request(method, url, timeout=timeouts.as_httpx(), **options)
    except UnicodeError:  # httpx decodes the host, and not every xn-- name can be
        raise httpx.InvalidURL("not a URL") from None
    try:
        async with asyncio.timeout(timeouts.total) as deadline:
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                yield response
            finally:
                await response.aclose()
    except TimeoutError:
        if not deadline.expired():
            raise
        raise timeout_error(request) from None


async def request(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    timeouts: Timeouts,
    limit: int = JSON_LIMIT,
    **options: Unpack[RequestOptions],
) -> httpx.Response:
    """Send a request and read the whole response as `read` does, a redirect as it is.

    Raises:
        ResponseTooLarge: the body has more than `limit` bytes.
        httpx.RequestError, httpx.InvalidURL: as `stream`.
    """
    async with stream(client, method, url, timeouts=timeouts, **options) as response:
        return await read(response, limit, timeouts.pace)


async def read(response: httpx.Response, limit: int = JSON_LIMIT, pace: Pace | None = None) -> httpx.Response:
    """The whole of a streamed response, its body unpacked; a large one is on disk, for `json_of` alone.

    Raises:
        As `read_content`.
    """
    content = await read_content(response, limit, pace)
    # Left as they are, these headers would have httpx unpack the body once more.
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _ABOUT_THE_WIRE]
    return httpx.Response(
        response.status_code,
        headers=headers,
        content=content if isinstance(content, bytes) else b"",
        request=response.request,
        extensions={**response.extensions, _BODY_KEY: content},
    )


async def read_content(response: httpx.Response, limit: int, pace: Pace | None = None) -> Content:
    """The whole of a streamed response's body, unpacked, on disk where it is large.

    Raises:
        ResponseTooLarge: more than `limit` bytes, as sent or once unpacked.
        httpx.DecodingError: a compressed body that is damaged.
        httpx.ReadTimeout: it came slower than at the pace.
        httpx.RequestError: it broke off.
    """
    receiver = Receiver()
    # A service may compress although Accept-Encoding excludes it.
    if response.headers.get("content-encoding", "").strip().lower() in _PACKED:
        unpacker = _Unpacker(response, limit, receiver)
        await _receive(response, limit, pace, unpacker.append)
        unpacker.finish()
    else:
        await _receive(response, limit, pace, receiver.append)
    return receiver.content()


class _Unpacker:
    """A body without gzip or deflate, as it comes."""

    def __init__(self, response: httpx.Response, limit: int, receiver: Receiver) -> None:
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._request = response.request
        self._receiver = receiver
        self._room = limit
        self._begun = False

    async def append(self, part: bytes) -> None:
        """Unpack more. What follows the end is left alone."""
        self._begun = True
        unpacked = part
        # As much as was allowed may not be all that there is, even where the whole part was taken in.
        while not self._decoder.eof and (part or len(unpacked) == _UNPACKED_AT_ONCE):
            try:
                unpacked = self._decoder.decompress(part, _UNPACKED_AT_ONCE)
            except zlib.error:
                raise httpx.DecodingError("damaged", request=self._request) from None
            self._room -= len(unpacked)
            if self._room < 0:
                raise ResponseTooLarge("unpacked", request=self._request)
            self._receiver.append(unpacked)
            part = self._decoder.unconsumed_tail
            await asyncio.sleep(0)  # a part may unpack to a thousand times its size

    def finish(self) -> None:
        """See that the end was there."""
        if self._begun and not self._decoder.eof:
            raise httpx.DecodingError("cut short", request=self._request)


async def _receive(
    response: httpx.Response, limit: int, pace: Pace | None, take: Callable[[bytes], Awaitable[None] | None]
) -> None:
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise ResponseTooLarge("announced", request=response.request)
    size, due = 0, 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as patience:
            async for part in response.aiter_raw():
                size += len(part)
                if size > limit:
                    raise ResponseTooLarge("received", request=response.request)
                if (taken := take(part)) is not None:
                    await taken
                if pace is not None and size >= due:
                    due = size + pace.least
                    patience.reschedule(loop.time() + pace.seconds)
    except TimeoutError:
        if not patience.expired():
            raise
        raise httpx.ReadTimeout("too slow", request=response.request) from None


def json_of(response: httpx.Response) -> Any:
    """A body's JSON, whatever type it claims to be; None where it is none (a page, or cut short).

    Of a large body, long strings are `DiskText`s.
    """
    content: Content = response.extensions.get(_BODY_KEY, b"")
    if not isinstance(content, DiskFile):
        return json_in(content or response.content)
    if _JSON_KEY not in response.extensions:
        response.extensions[_JSON_KEY] = json_in(content)
    return response.extensions[_JSON_KEY]


async def read_json(response: httpx.Response) -> Any:
    """As `json_of`, which is fast after it: off the event loop where there is much of it."""
    if is_large(response):
        return await asyncio.to_thread(json_of, response)
    return json_of(response)


def is_large(response: httpx.Response) -> bool:
    """Whether its body is on disk."""
    return isinstance(response.extensions.get(_BODY_KEY), DiskFile)
