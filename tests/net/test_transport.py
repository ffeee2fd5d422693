"""Each fault of a connection has its class, and only what cannot have left is a failure to connect."""

from __future__ import annotations

import asyncio
import traceback
from typing import NamedTuple

import httpx
import pytest

from bot.net.http import Timeouts, open_client, request
from tests.support.raw_server import Connection, Script, healthy, serving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = bytes(30_000_000)
"""More than the sockets' buffers hold."""
SHORT = Timeouts(connect=5.0, read=0.3, total=5.0)
NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
SECRET = "signature=5ecret"


def answers(*parts: bytes) -> Script:
    """Read a request's head, send these bytes, close."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(*parts)

    return script


def answers_then_waits(*parts: bytes) -> Script:
    """As `answers`, but stay silent until the client hangs up."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(*parts)
        await connection.hung_up()

    return script


def answers_then_resets(*parts: bytes) -> Script:
    """As `answers`, but end with a reset."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(*parts)
        connection.reset()

    return script


async def closes_at_once(connection: Connection) -> None:
    connection.close()


async def resets_at_once(connection: Connection) -> None:
    connection.reset()


async def accepts_and_waits(connection: Connection) -> None:
    await connection.hung_up()


async def resets_an_upload(connection: Connection) -> None:
    await connection.head()
    await connection.exactly(100_000)
    connection.reset()


async def trickles(connection: Connection) -> None:
    await connection.head()
    await connection.send(CHUNKED)
    while True:
        await connection.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.02)


async def never_reads(connection: Connection) -> None:
    await asyncio.Event().wait()


class Fault(NamedTuple):
    """What the server does, and the error that the client raises for it."""

    name: str
    script: Script
    error: type[httpx.RequestError] | tuple[type[httpx.RequestError], ...]
    timeouts: Timeouts = SHORT
    body: bytes | None = None


# A request may still be on its way when the server closes without reading it: then it comes as a reset.
CLOSED = (httpx.RemoteProtocolError, httpx.ReadError)
FAULTS = [
    Fault("closed unread", closes_at_once, CLOSED),
    Fault("reset unread", resets_at_once, CLOSED),
    Fault("closed after reading", answers(), httpx.RemoteProtocolError),
    Fault("reset after reading", answers_then_resets(), httpx.ReadError),
    Fault("head cut", answers(b"HTTP/1.1 200 OK\r\nContent-Le"), httpx.RemoteProtocolError),
    Fault("head cut by a reset", answers_then_resets(b"HTTP/1.1 200"), httpx.ReadError),
    Fault("head garbled", answers(b"SSH-2.0-OpenSSH\r\n\r\n"), httpx.RemoteProtocolError),
    Fault("head endless", answers(b"HTTP/1.1 200 OK\r\nx: ", b"x" * 99_999), httpx.RemoteProtocolError),
    Fault("length garbled", answers(HEAD.replace(b"100", b"-1")), httpx.RemoteProtocolError),
    Fault("body cut", answers(HEAD, b"x" * 50), httpx.RemoteProtocolError),
    Fault("body cut by a reset", answers_then_resets(HEAD, b"x" * 50), httpx.RemoteProtocolError),
    Fault("chunk cut", answers(CHUNKED, b"5\r\nxx"), httpx.RemoteProtocolError),
    Fault("chunk garbled", answers(CHUNKED, b"zz\r\nxx"), httpx.RemoteProtocolError),
    Fault("last chunk missing", answers(CHUNKED, b"2\r\nxx\r\n"), httpx.RemoteProtocolError),
    Fault("silent after accepting", accepts_and_waits, httpx.ReadTimeout),
    Fault("silent after the head", answers_then_waits(HEAD), httpx.ReadTimeout),
    Fault("silent amid the body", answers_then_waits(HEAD, b"x"), httpx.ReadTimeout),
    Fault("silent amid a chunk", answers_then_waits(CHUNKED, b"5\r\nx"), httpx.ReadTimeout),
    Fault("trickling without end", trickles, httpx.ReadTimeout, Timeouts(read=5.0, total=0.5)),
    Fault("upload not read", never_reads, httpx.WriteTimeout, Timeouts(read=5.0, total=0.5), LARGE),
    Fault("upload reset", resets_an_upload, httpx.WriteError, SHORT, LARGE),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_what_breaks_after_the_request_may_have_left_is_no_failure_to_connect(
    method: str, fault: Fault
) -> None:
    body = fault.body or (b"{}" if method == "POST" else b"")
    async with (
        serving(fault.script) as broken,
        serving(healthy) as well,
        open_client(base_urls=[broken.url(), well.url()], connections=1) as client,
    ):
        url = f"{broken.url()}/?{SECRET}"
        with pytest.raises(fault.error) as caught:
            await request(client, method, url, timeouts=fault.timeouts, content=body)
        assert not isinstance(caught.value, NEVER_LEFT)
        assert caught.value.request.url == url
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert method != "POST" or broken.accepted == 1
        # The client has one connection: were it leaked, this request would not get one.
        assert (await request(client, "GET", well.url(), timeouts=Timeouts(connect=5.0))).text == "ok"
