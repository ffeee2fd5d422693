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
class Desk:
    """A route that keeps what it is given."""

    status: int = 200
    letters: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        self.letters.append((dict(headers), body))
        self.seen.set()
        assert headers.get("x-NAME") == headers.get("X-Name")
        return self.status


@dataclass
class Door:
    """The listener, and somebody outside."""

    desk: Desk
    listener: WebhookServer
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}/fal"

    async def post(self, body: bytes | AsyncIterator[bytes] = b"", url: str = "", **headers: str) -> int:
        async with self.http.post(url or self.url, data=body, headers=headers) as answer:
            said = await answer.text()
            assert len(said) < 40
            assert answer.headers["Connection"] == "close"
            return answer.status

    async def raw(self, *parts: bytes) -> bytes:
        """What comes back until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
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
async def door() -> AsyncIterator[Door]:
    desk = Desk()
    bounds = {"body_seconds": 0.2, "connection_seconds": 0.5}
    async with (
        WebhookServer(
            "127.0.0.1", 0, {"/fal": desk.receive}, body_limit=1000, most_connections=3, **bounds
        ) as listener,
        aiohttp.ClientSession() as http,
    ):
        yield Door(desk, listener, http)


@pytest.mark.parametrize("status", [200, 400, 401, 503])
async def test_the_route_is_given_the_call_and_says_how_to_answer(door: Door, status: int) -> None:
    door.desk.status = status
    assert await door.post(b'{"a": 1}', **{"X-Name": "value"}) == status
    ((headers, body),) = door.desk.letters
    assert (headers["X-Name"], body) == ("value", b'{"a": 1}')


async def test_a_query_does_not_change_the_path(door: Door) -> None:
    assert await door.post(url=f"{door.url}?a=b") == 200


async def test_other_paths_and_methods_are_not_there(door: Door) -> None:
    assert await door.post(url=door.url + "/more") == 404
    assert await door.post(url=door.url.removesuffix("/fal")) == 404
    async with door.http.get(door.url) as answer:
        assert answer.status == 405
    assert door.desk.letters == []


async def test_a_body_that_is_too_long_is_not_read(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100)

    assert await door.post(bytes(1000)) == 200
    assert await door.post(bytes(1001)) == 413
    assert await door.post(endless()) == 413
    announced = b"POST /fal HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    assert b" 413 " in await door.raw(announced)
    assert len(door.desk.letters) == 1


async def test_a_packed_body_stays_as_it_is(door: Door) -> None:
    packed = gzip.compress(bytes(1_000_000))[:900]
    assert await door.post(packed, **{"Content-Encoding": "gzip"}) == 200
    assert door.desk.letters[0][1] == packed


async def test_a_body_that_never_comes_is_not_waited_for(door: Door) -> None:
    answer = await door.raw(b"POST /fal HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    assert b" 408 " in answer


@pytest.mark.parametrize("part", [b"", b"POST /fal HT", b"POST /fal HTTP/1.1\r\nHost: x\r\n"])
async def test_whoever_says_nothing_is_shown_the_door(door: Door, part: bytes) -> None:
    begun = asyncio.get_running_loop().time()
    assert await door.raw(part) == b""
    assert 0.3 < asyncio.get_running_loop().time() - begun < 2


async def test_no_more_than_so_many_connections_are_held(door: Door) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", door.listener.port) for _ in range(3)]
    # The fourth is closed at once, while the others are not.
    async with asyncio.timeout(0.3):
        assert await door.raw(b"") == b""
    for reader, writer in idle:
        assert await reader.read() == b""
        writer.close()
    assert await door.post() == 200


async def test_what_is_no_http_gets_a_short_answer(door: Door) -> None:
    answer = await door.raw(b"\x16\x03\x01 hello\r\n\r\n")
    assert b" 400 " in answer
    assert len(answer) < 1000


async def test_nothing_of_a_call_is_logged(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    secret = "a-very-secret-signature"
    assert await door.post(secret.encode(), url=f"{door.url}?s={secret}", **{"X-Name": secret}) == 200
    assert await door.post(secret.encode(), url=f"{door.url}/{secret}") == 404
    bad = b"POST /fal HTTP/1.1\r\nHost: x\r\nX-\x01Bad: " + secret.encode() + b"\r\n\r\n"
    assert b" 400 " in await door.raw(bad)
    # Somebody who hangs up in the middle of a body.
    _, writer = await asyncio.open_connection("127.0.0.1", door.listener.port)
    writer.write(b"POST /fal HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + secret.encode())
    await writer.drain()
    writer.transport.abort()
    assert await door.post() == 200
    assert caplog.text == ""


async def test_a_mistake_of_our_own_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def receive(_headers: Mapping[str, str], _body: bytes) -> int:
        raise ZeroDivisionError

    async with (
        WebhookServer("127.0.0.1", 0, {"/fal": receive}) as listener,
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{listener.port}/fal", data=b"secret") as answer,
    ):
        assert answer.status == 500
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_taken_port_is_said_in_one_line(door: Door) -> None:
    with pytest.raises(SetupError, match=rf"Nobody can listen at 127.0.0.1:{door.listener.port}: "):
        async with WebhookServer("127.0.0.1", door.listener.port, {}):
            pass


async def test_closing_ends_what_is_open() -> None:
    async with WebhookServer("127.0.0.1", 0, {}) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"POST /fal HTTP/1.1\r\n")
        await writer.drain()
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", listener.port)
