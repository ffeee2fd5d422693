"""Connecting and failing to, waiting for a connection, using one again, and letting go of one."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest
import trustme

from bot.net.http import Timeouts, open_client, read, request, stream
from tests.support.raw_server import OK, Connection, Script, closed_port, healthy, serving, silent_port

TIMEOUTS = Timeouts(connect=5.0, read=5.0, total=10.0)
HURRIED = Timeouts(connect=0.3, read=5.0, total=10.0)
HURRIED_TOTAL = Timeouts(connect=5.0, read=5.0, total=0.3)


async def accepts_and_waits(connection: Connection) -> None:
    await connection.hung_up()


async def error_of(url: str, timeouts: Timeouts = TIMEOUTS, trusted: ssl.SSLContext | None = None) -> Exception:
    """What a POST raises."""
    async with open_client(base_urls=[url], ssl=trusted) as client:
        with pytest.raises(httpx.RequestError) as caught:
            await request(client, "POST", f"{url}/?key=5ecret", timeouts=timeouts, content=b"{}")
    assert "5ecret" not in str(caught.value)
    return caught.value


async def test_a_port_without_a_listener_is_a_failure_to_connect() -> None:
    assert type(await error_of(f"http://127.0.0.1:{closed_port()}")) is httpx.ConnectError


async def test_an_unknown_name_is_a_failure_to_connect() -> None:
    # Without a network the resolver itself may take its time.
    assert type(await error_of("http://easel.invalid")) in (httpx.ConnectError, httpx.ConnectTimeout)


@pytest.mark.parametrize("timeouts", [HURRIED, HURRIED_TOTAL], ids=["connect", "total"])
async def test_a_host_that_does_not_accept_is_a_connect_timeout(timeouts: Timeouts) -> None:
    async with silent_port() as port:
        assert type(await error_of(f"http://127.0.0.1:{port}", timeouts)) is httpx.ConnectTimeout


@pytest.mark.parametrize("timeouts", [HURRIED, HURRIED_TOTAL], ids=["connect", "total"])
async def test_a_tls_handshake_without_a_response_is_a_connect_timeout(timeouts: Timeouts) -> None:
    async with serving(accepts_and_waits) as server:
        assert type(await error_of(server.url(scheme="https"), timeouts)) is httpx.ConnectTimeout


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    async with serving(healthy, server_tls(authority, "127.0.0.1")) as server:
        assert type(await error_of(server.url(scheme="https"))) is httpx.ConnectError
        assert server.heads == []


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    async with serving(healthy, server_tls(authority, "fal.example")) as server:
        error = await error_of(server.url(scheme="https"), trusted=client_tls(authority))
        assert type(error) is httpx.ConnectError


async def test_what_is_no_tls_is_refused() -> None:
    async with serving(answers_in_plain) as server:
        assert type(await error_of(server.url(scheme="https"))) is httpx.ConnectError


async def answers_in_plain(connection: Connection) -> None:
    await connection.send(OK)


async def test_a_context_of_ones_own_is_used(authority: trustme.CA) -> None:
    async with (
        serving(healthy, server_tls(authority, "127.0.0.1")) as server,
        open_client(base_urls=[server.url(scheme="https")], ssl=client_tls(authority)) as client,
    ):
        response = await request(client, "GET", server.url(scheme="https"), timeouts=TIMEOUTS)
        assert response.text == "ok"


@pytest.mark.parametrize("timeouts", [HURRIED, HURRIED_TOTAL], ids=["connect", "total"])
async def test_no_free_connection_is_a_pool_timeout(timeouts: Timeouts) -> None:
    enough = asyncio.Event()

    async def holds_back(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK[:-1])
        await enough.wait()
        await connection.send(OK[-1:])
        await healthy(connection)

    async with serving(holds_back) as server, open_client(base_urls=[server.url()], connections=1) as client:
        async with stream(client, "GET", server.url(), timeouts=TIMEOUTS) as unfinished:
            with pytest.raises(httpx.PoolTimeout):
                await request(client, "POST", server.url(), timeouts=timeouts, content=b"{}")
            enough.set()
            assert (await read(unfinished)).text == "ok"
        # With its body read the connection is free again.
        assert (await request(client, "GET", server.url(), timeouts=TIMEOUTS)).text == "ok"
        assert server.accepted == 1


async def goes_stale(connection: Connection) -> None:
    """Answer one request; reset the kept-alive connection as soon as the next one has come."""
    await connection.head()
    await connection.send(OK)
    if connection.is_first:
        await connection.head()
        connection.reset()


async def test_a_get_on_a_stale_connection_is_repeated_once() -> None:
    async with serving(goes_stale) as server, open_client(base_urls=[server.url()]) as client:
        for _ in range(2):
            assert (await request(client, "GET", server.url(), timeouts=TIMEOUTS)).text == "ok"
        assert [head.split()[0] for head in server.heads] == [b"GET"] * 3
        assert server.accepted == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_post_on_a_stale_connection_arrives_once_and_may_have_left(method: str) -> None:
    async with serving(goes_stale) as server, open_client(base_urls=[server.url()]) as client:
        await request(client, "GET", server.url(), timeouts=TIMEOUTS)
        with pytest.raises(httpx.ReadError):
            await request(client, method, server.url(), timeouts=TIMEOUTS, json={})
        assert [head.split()[0] for head in server.heads] == [b"GET", method.encode()]
        assert server.accepted == 1


async def test_a_get_whose_repetition_cannot_connect_may_have_left() -> None:
    async with serving(goes_stale) as server, open_client(base_urls=[server.url()]) as client:
        await request(client, "GET", server.url(), timeouts=TIMEOUTS)
        # The kept-alive connection outlives the listener.
        server.refuse()
        with pytest.raises(httpx.ReadError):
            await request(client, "GET", server.url(), timeouts=TIMEOUTS)
        assert len(server.heads) == 2


def waiting_after(*parts: bytes) -> Script:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(*parts)
        await connection.hung_up()

    return script


@pytest.mark.parametrize(
    ("script", "heads", "size"),
    [
        (accepts_and_waits, 0, 2),
        (waiting_after(), 1, 2),
        (waiting_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), 1, 2),
        (waiting_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), 1, 2),
        (waiting_after(), 1, 30_000_000),
    ],
    ids=["accepted", "read", "head sent", "amid the body", "amid the upload"],
)
async def test_a_cancelled_call_closes_its_connection(script: Script, heads: int, size: int) -> None:
    async with serving(script) as server, open_client(base_urls=[server.url()], connections=1) as client:
        call = asyncio.create_task(request(client, "POST", server.url(), timeouts=TIMEOUTS, content=bytes(size)))
        await server.until(lambda state: state.accepted == 1)
        await server.until(lambda state: len(state.heads) == heads)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until(lambda state: state.open == 0)


async def test_a_call_cancelled_while_it_connects_gives_its_place_back() -> None:
    async with (
        silent_port() as port,
        serving(healthy) as well,
        open_client(base_urls=[f"http://127.0.0.1:{port}", well.url()], connections=1) as client,
    ):
        call = asyncio.create_task(request(client, "GET", f"http://127.0.0.1:{port}", timeouts=TIMEOUTS))
        for _ in range(20):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await request(client, "GET", well.url(), timeouts=TIMEOUTS)).text == "ok"


async def test_a_response_that_is_left_unread_closes_its_connection() -> None:
    async with (
        serving(waiting_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")) as server,
        open_client(base_urls=[server.url()]) as client,
    ):
        async with stream(client, "GET", server.url(), timeouts=TIMEOUTS) as response:
            assert response.status_code == 200
        await server.until(lambda state: state.open == 0)


async def test_a_timeout_of_the_callers_own_stays_one() -> None:
    async with serving(healthy) as server, open_client(base_urls=[server.url()]) as client:
        with pytest.raises(TimeoutError):
            async with stream(client, "GET", server.url(), timeouts=TIMEOUTS):
                raise TimeoutError
