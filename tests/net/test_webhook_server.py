"""The web server for what services tell us: it answers quickly and shortly, whatever arrives."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest

from bot.domain.errors import SetupError
from bot.net.webhook_server import WebhookServer


@dataclass
class Receiver:
    """A handler that records what it receives."""

    status: int = 200
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        self.received.append((dict(headers), body))
        self.seen.set()
        assert headers.get("x-NAME") == headers.get("X-Name")
        return self.status


@dataclass
class WebhookEndpoint:
    """The webhook server, its handler, and a client that calls it."""

    receiver: Receiver
    server: WebhookServer
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/fal"

    async def post(self, body: bytes | AsyncIterator[bytes] = b"", url: str = "", **headers: str) -> int:
        async with self.http.post(url or self.url, data=body, headers=headers) as response:
            text = await response.text()
            assert len(text) < 40
            assert response.headers["Connection"] == "close"
            return response.status

    async def raw(self, *parts: bytes) -> bytes:
        """What comes back until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[WebhookEndpoint]:
    receiver = Receiver()
    bounds = {"body_seconds": 0.2, "connection_seconds": 0.5}
    async with (
        WebhookServer(
            "127.0.0.1", 0, {"/fal": receiver.receive}, body_limit=1000, max_connections=3, **bounds
        ) as server,
        aiohttp.ClientSession() as http,
    ):
        yield WebhookEndpoint(receiver, server, http)


@pytest.mark.parametrize("status", [200, 400, 401, 503])
async def test_the_handler_gets_the_request_and_decides_the_status(endpoint: WebhookEndpoint, status: int) -> None:
    endpoint.receiver.status = status
    assert await endpoint.post(b'{"a": 1}', **{"X-Name": "value"}) == status
    ((headers, body),) = endpoint.receiver.received
    assert (headers["X-Name"], body) == ("value", b'{"a": 1}')


async def test_a_query_does_not_change_the_path(endpoint: WebhookEndpoint) -> None:
    assert await endpoint.post(url=f"{endpoint.url}?a=b") == 200


async def test_other_paths_and_methods_are_not_there(endpoint: WebhookEndpoint) -> None:
    assert await endpoint.post(url=endpoint.url + "/more") == 404
    assert await endpoint.post(url=endpoint.url.removesuffix("/fal")) == 404
    async with endpoint.http.get(endpoint.url) as response:
        assert response.status == 405
    assert endpoint.receiver.received == []


async def test_a_body_that_is_too_long_is_not_read(endpoint: WebhookEndpoint) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100)

    assert await endpoint.post(bytes(1000)) == 200
    assert await endpoint.post(bytes(1001)) == 413
    assert await endpoint.post(endless()) == 413
    announced = b"POST /fal HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    assert b" 413 " in await endpoint.raw(announced)
    assert len(endpoint.receiver.received) == 1


async def test_a_packed_body_stays_as_it_is(endpoint: WebhookEndpoint) -> None:
    packed = gzip.compress(bytes(1_000_000))[:900]
    assert await endpoint.post(packed, **{"Content-Encoding": "gzip"}) == 200
    assert endpoint.receiver.received[0][1] == packed


async def test_a_body_that_never_comes_is_not_waited_for(endpoint: WebhookEndpoint) -> None:
    response = await endpoint.raw(b"POST /fal HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    assert b" 408 " in response


@pytest.mark.parametrize("part", [b"", b"POST /fal HT", b"POST /fal HTTP/1.1\r\nHost: x\r\n"])
async def test_a_silent_client_is_disconnected(endpoint: WebhookEndpoint, part: bytes) -> None:
    begun = asyncio.get_running_loop().time()
    assert await endpoint.raw(part) == b""
    assert 0.3 < asyncio.get_running_loop().time() - begun < 2


async def test_no_more_than_so_many_connections_are_held(endpoint: WebhookEndpoint) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", endpoint.server.port) for _ in range(3)]
    # The fourth is closed at once, while the others are not.
    async with asyncio.timeout(0.3):
        assert await endpoint.raw(b"") == b""
    for reader, writer in idle:
        assert await reader.read() == b""
        writer.close()
    assert await endpoint.post() == 200


async def test_what_is_no_http_gets_a_short_response(endpoint: WebhookEndpoint) -> None:
    response = await endpoint.raw(b"\x16\x03\x01 hello\r\n\r\n")
    assert b" 400 " in response
    assert len(response) < 1000


async def test_nothing_of_a_call_is_logged(endpoint: WebhookEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    secret = "a-very-secret-signature"
    assert await endpoint.post(secret.encode(), url=f"{endpoint.url}?s={secret}", **{"X-Name": secret}) == 200
    assert await endpoint.post(secret.encode(), url=f"{endpoint.url}/{secret}") == 404
    bad = b"POST /fal HTTP/1.1\r\nHost: x\r\nX-\x01Bad: " + secret.encode() + b"\r\n\r\n"
    assert b" 400 " in await endpoint.raw(bad)
    # Somebody who hangs up in the middle of a body.
    _, writer = await asyncio.open_connection("127.0.0.1", endpoint.server.port)
    writer.write(b"POST /fal HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + secret.encode())
    await writer.drain()
    writer.transport.abort()
    assert await endpoint.post() == 200
    assert caplog.text == ""


async def test_an_error_of_a_handler_is_logged_and_responded_to(caplog: pytest.LogCaptureFixture) -> None:
    async def receive(_headers: Mapping[str, str], _body: bytes) -> int:
        raise ZeroDivisionError

    async with (
        WebhookServer("127.0.0.1", 0, {"/fal": receive}) as server,
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{server.port}/fal", data=b"secret") as response,
    ):
        assert response.status == 500
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_taken_port_is_one_line(endpoint: WebhookEndpoint) -> None:
    with pytest.raises(SetupError, match=rf"Easel cannot listen at 127.0.0.1:{endpoint.server.port}: "):
        async with WebhookServer("127.0.0.1", endpoint.server.port, {}):
            pass


async def test_closing_ends_what_is_open() -> None:
    async with WebhookServer("127.0.0.1", 0, {}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /fal HTTP/1.1\r\n")
        await writer.drain()
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", server.port)
