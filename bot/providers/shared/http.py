"""What every service over HTTP needs: bounded exchanges, bounded downloads, and what a status stands for.

aiohttp's exceptions end here. Error details hold a status or a reason, never a link and never a key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import aiohttp
import yarl
from aiohttp.connector import Connection

from bot.domain.clock import Instant
from bot.domain.errors import (
    InvalidResponse,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SourceRejected,
    TicketLost,
)
from bot.net.hosts import AllowedHosts, is_private
from bot.providers.shared import sse
from bot.providers.shared.sse import Event

JSON_LIMIT = 1_048_576
MAXIMUM_REDIRECTS = 3
LONGEST_RETRY_AFTER = 3600.0

_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
)
_GZIP_OR_ZLIB = 47


class NotSent(ProviderBusy):
    """No connection came about, so nothing can have been accepted."""


class AnswerLost(ProviderBusy):
    """The request may have arrived; no whole answer came back."""


class ResponseTooLarge(InvalidResponse):
    """More bytes than anything honest would have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: to connect (or to get a free connection), between two bytes, and for the whole exchange."""

    connect: float = 10.0
    silence: float = 60.0
    total: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, read and closed."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The first 64 kB as text."""
        return self.content[:65_536].decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, whatever type it claims to be; None where it is not JSON (a page, or cut short)."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    def retry_after(self, now: Instant) -> float | None:
        """Seconds that the service asks us to wait, at most an hour; None where it says nothing."""
        value = self.headers.get("retry-after", "").strip()
        try:
            seconds = float(value) if value[:1].isdigit() else _until(value, now)
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _until(value: str, now: Instant) -> float:
    return parsedate_to_datetime(value).timestamp() - now / 1000


class Heard(aiohttp.ClientResponse):
    """An answer that remembers the address it came from."""

    peer: str | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Called by aiohttp once the request is sent."""
        if connection.transport is not None:
            self.peer = connection.transport.get_extra_info("peername")[0]
        return await super().start(connection)


def open_session(connections: int, ssl: SSLContext | bool = True) -> aiohttp.ClientSession:
    """What `exchange` needs: no cookies, no proxy, nothing unpacked before it is counted."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=ssl),
        cookie_jar=aiohttp.DummyCookieJar(),
        response_class=Heard,
        auto_decompress=False,
        trust_env=False,
    )


Content = bytes | aiohttp.FormData | None


async def exchange(
    client: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    limits: Timeouts,
    headers: Mapping[str, str] | None = None,
    content: Content = None,
    limit: int = JSON_LIMIT,
    hosts: AllowedHosts | None = None,
) -> Answer:
    """One request and its whole answer of at most `limit` bytes. No redirect is followed, nothing sent twice.

    With `hosts`, an answer from a private address that they do not list is not read.

    Raises:
        NotSent: no connection.
        AnswerLost: time-out, reset, cut body.
        ResponseTooLarge: the body is longer than `limit`.
        InvalidResponse: it came from a private address, or the link is none.
    """
    async with asked(
        client, method, url, limits=limits, headers=headers, content=content, hosts=hosts
    ) as answering:
        return await answering.whole(limit)


class Answering:
    """An answer whose head is there and whose body is still to be read, whole or event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def streams(self) -> bool:
        """Whether it promises server-sent events."""
        return self._response.content_type == "text/event-stream"

    async def whole(self, limit: int = JSON_LIMIT) -> Answer:
        """All of it."""
        body = await _body(self._response, limit)
        return Answer(status=self.status, headers=self.headers, content=body)

    def events(self, limit: int) -> AsyncIterator[Event | None]:
        """Its events of at most `limit` bytes each; None for a comment."""
        return sse.events(self._response.content.iter_any(), limit)


@asynccontextmanager
async def asked(
    client: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    limits: Timeouts,
    headers: Mapping[str, str] | None = None,
    content: Content = None,
    hosts: AllowedHosts | None = None,
) -> AsyncIterator[Answering]:
    """As `exchange`, up to the answer's head. What breaks while the body is read is `AnswerLost` as well."""
    timeout = aiohttp.ClientTimeout(total=None, connect=limits.connect, sock_read=limits.silence)
    sent = {"Accept-Encoding": "identity", **(headers or {})}
    data = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        async with (
            asyncio.timeout(limits.total),
            client.request(
                method, yarl.URL(url), headers=sent, data=data, timeout=timeout, allow_redirects=False
            ) as response,
        ):
            if hosts is not None:
                _refuse_private(response, hosts)
            yield Answering(response)
    except ValueError:
        # aiohttp.InvalidURL, and what yarl says of a host that cannot be one.
        raise InvalidResponse(detail="bad link") from None
    except _NEVER_SENT as error:
        raise NotSent(detail=type(error).__name__) from None
    except (aiohttp.ClientError, OSError, TimeoutError, zlib.error) as error:
        raise AnswerLost(detail=type(error).__name__) from None


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read at most `limit` bytes, whatever Content-Length or a compressed body promises."""
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise ResponseTooLarge(detail="too big")
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            raise ResponseTooLarge(detail="too big")
        parts.append(part)
    content = b"".join(parts)
    if response.headers.get("content-encoding", "identity").lower() not in ("gzip", "deflate"):
        return content
    content = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(content, limit + 1)
    if len(content) > limit:
        raise ResponseTooLarge(detail="too big")
    return content


def _refuse_private(response: aiohttp.ClientResponse, hosts: AllowedHosts) -> None:
    """A name on the list may still lead into a private net: look at the address that answered."""
    address = response.peer if isinstance(response, Heard) else None
    if address is None or (is_private(address) and not hosts.lists_address(address)):
        raise InvalidResponse(detail="private address")


def same_origin(url: str, *places: str) -> bool:
    """Whether a URL has the scheme, host and port of one of `places`, as aiohttp would read it."""
    return _origin(url) in {_origin(place) for place in places} - {None}


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parsed = yarl.URL(url)
        host = parsed.host  # decoded only here, and not every name can be
    except (ValueError, TypeError):
        return None
    if parsed.user is not None or parsed.scheme not in ("http", "https") or not host:
        return None
    return parsed.scheme, host.lower(), parsed.port


def for_status(answer: Answer, now: Instant) -> ProviderError:
    """The error that a status stands for, where the service says nothing more exact."""
    detail = str(answer.status)
    match answer.status:
        case 401 | 402 | 403:
            return ProviderMisconfigured(detail=detail)
        case 404 | 410:
            return TicketLost(detail=detail)
        case 413 | 415:
            return SourceRejected(detail=detail)
        case 429:
            return RateLimited(detail=detail, retry_after=answer.retry_after(now))
        case 408 | 425:
            return ProviderBusy(detail=detail, retry_after=answer.retry_after(now))
        case status if 400 <= status < 500:
            return RequestRejected(detail=detail)
        case _:
            return ProviderBusy(detail=detail, retry_after=answer.retry_after(now))


class Downloads:
    """Reads pictures from the hosts of a service, `at_once` at a time and `limit` bytes each."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        hosts: AllowedHosts,
        *,
        limit: int = 33_554_432,
        limits: Timeouts | None = None,
        at_once: int = 8,
        headers: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        """`headers` gives what goes along to one URL, asked anew for each hop of a redirect."""
        self._client = client
        self._headers = headers or _no_headers
        self._hosts = hosts
        self._limit = limit
        self._limits = limits or Timeouts(silence=30.0)
        self._turns = asyncio.Semaphore(at_once)

    async def read(self, url: str) -> bytes:
        """The bytes behind a link or inside a data URI.

        Raises:
            ProviderBusy: it may be there in a moment.
            InvalidResponse: it lives where Easel does not go, is too big, or is gone.
        """
        if url[:5].lower() == "data:":
            return read_data_uri(url, self._limit)
        async with self._turns:
            for _ in range(MAXIMUM_REDIRECTS + 1):
                answer = await self._get(url)
                if answer.good:
                    return answer.content
                target = answer.headers.get("location") if answer.status in (301, 302, 303, 307, 308) else None
                if target is None:
                    raise _missing(answer)
                url = _joined(url, target)
        raise InvalidResponse(detail="too many redirects")

    async def _get(self, url: str) -> Answer:
        # Two parsers read the host, ours and aiohttp's: a link on which they differ is not followed.
        origin = _origin(url)
        if origin is None or not self._hosts.allows(url) or urlsplit(url).hostname != origin[1]:
            raise InvalidResponse(detail="foreign host")
        return await exchange(
            self._client,
            "GET",
            url,
            limits=self._limits,
            headers=self._headers(url),
            limit=self._limit,
            hosts=self._hosts,
        )


def _no_headers(_url: str) -> Mapping[str, str]:
    return {}


def _missing(answer: Answer) -> ProviderError:
    if answer.status >= 500 or answer.status in (408, 425, 429):
        return ProviderBusy(detail=f"picture {answer.status}")
    return InvalidResponse(detail=f"picture {answer.status}")


def _joined(url: str, target: str) -> str:
    try:
        return str(yarl.URL(url).join(yarl.URL(target)))
    except ValueError:
        raise InvalidResponse(detail="bad redirect") from None


def read_data_uri(uri: str, limit: int) -> bytes:
    """The bytes inside a `data:` URI.

    Raises:
        InvalidResponse: it is malformed, or holds more than `limit` bytes.
    """
    head, comma, data = uri.partition(",")
    if not comma or len(data) > 3 * limit:
        raise InvalidResponse(detail="data URI")
    try:
        if head.lower().endswith(";base64"):
            content = base64.b64decode(unquote_to_bytes(data), validate=True)
        else:
            content = unquote_to_bytes(data)
    except (binascii.Error, ValueError):
        raise InvalidResponse(detail="data URI") from None
    if len(content) > limit:
        raise ResponseTooLarge(detail="data URI")
    return content


def data_uri(content: bytes, content_type: str) -> str:
    """Bytes as a `data:` URI."""
    return f"data:{content_type};base64,{base64.b64encode(content).decode('ascii')}"
