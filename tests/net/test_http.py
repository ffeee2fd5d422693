"""What every call shares: bounded bodies, nothing followed unseen, nothing taken from the environment."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import httpx
import pytest

from bot.logs import configure
from bot.net.errors import ResponseTooLarge
from bot.net.http import Pace, Timeouts, json_of, open_client, read_content, request, stream
from bot.net.sse import Event, events, is_event_stream
from tests.support.raw_server import OK, Connection, RawServer, healthy, serving

TIMEOUTS = Timeouts(connect=5.0, read=5.0, total=10.0)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def message(*headers: str, body: bytes = b"", status: str = "200 OK", length: int | None = None) -> bytes:
    """A response as it is on the wire; `length` is what Content-Length claims."""
    claimed = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {claimed}"] if claimed >= 0 else []), "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def answering(response: bytes) -> AsyncIterator[tuple[RawServer, httpx.AsyncClient]]:
    """A server that answers each connection's one request with these bytes and closes, and a client for it."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(response)

    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        yield server, client


async def fetched(response: bytes, limit: int = 1000) -> httpx.Response:
    """What `request` makes of these bytes."""
    async with answering(response) as (server, client):
        return await request(client, "GET", server.url(), timeouts=TIMEOUTS, limit=limit)


GZIP, DEFLATE = "Content-Encoding: gzip", "Content-Encoding: deflate"


def packed(content: bytes) -> bytes:
    """Gzip without the time of day, so that every worker of a test run names its tests alike."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("response", "content"),
    [
        (message(body=b"plain"), b"plain"),
        (message(body=b"x" * 1000), b"x" * 1000),
        (message(length=-1, body=b"until it closes"), b"until it closes"),
        (message("Transfer-Encoding: chunked", length=-1, body=b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), b"abc"),
        (message(GZIP, body=packed(b"x" * 1000)), b"x" * 1000),
        (message("content-encoding: GZip", body=packed(b"packed")), b"packed"),
        (message(DEFLATE, body=zlib.compress(b"packed")), b"packed"),
        (message(GZIP), b""),
        # A coding that was not asked for and is not known is left to the reader of the content.
        (message("Content-Encoding: br", body=b"\x8b\x02\x80abc\x03"), b"\x8b\x02\x80abc\x03"),
    ],
)
async def test_a_body_is_read_whole(response: bytes, content: bytes) -> None:
    result = await fetched(response)
    assert result.content == content
    assert result.is_success
    assert result.request.method == "GET"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (message(body=b"x" * 1001), "announced"),
        (message(length=10**17, body=b"x"), "announced"),
        (message(length=-1, body=b"x" * 1001), "received"),
        (message("Transfer-Encoding: chunked", length=-1, body=b"3e9\r\n" + b"x" * 1001), "received"),
        (message(GZIP, body=packed(b"x" * 1001)), "unpacked"),
        (message(DEFLATE, body=zlib.compress(b"x" * 1001)), "unpacked"),
    ],
)
async def test_a_body_beyond_the_limit_is_given_up(response: bytes, reason: str) -> None:
    with pytest.raises(ResponseTooLarge) as caught:
        await fetched(response)
    assert str(caught.value) == reason
    assert caught.value.request.method == "GET"


async def test_a_bomb_is_not_unpacked() -> None:
    bomb = message(GZIP, body=packed(bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLarge):
            await fetched(bomb, limit=100_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


async def _arriving(body: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(body), 65_536):
        yield body[place : place + 65_536]


async def _longest_wait() -> float:
    """How long the event loop had something else to do at most, until this is cancelled."""
    longest, before = 0.0, time.monotonic()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
    return longest


async def test_a_bomb_within_the_limit_holds_up_nobody() -> None:
    body = packed(bytes(60_000_000))
    sent = httpx.Request("GET", "https://fal.example/")
    response = httpx.Response(200, headers={"content-encoding": "gzip"}, content=_arriving(body), request=sent)
    watching = asyncio.create_task(_longest_wait())
    assert len(await read_content(response, 67_108_864, None)) == 60_000_000
    watching.cancel()
    assert await watching < 0.05


async def test_what_follows_the_end_of_a_packed_body_is_left_alone() -> None:
    body = packed(b"x") + bytes(30_000_000)
    sent = httpx.Request("GET", "https://fal.example/")
    response = httpx.Response(200, headers={"content-encoding": "gzip"}, content=_arriving(body), request=sent)
    tracemalloc.start()
    assert await read_content(response, 67_108_864, None) == b"x"
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 5_000_000


@pytest.mark.parametrize("body", [b"not packed", packed(b"x" * 900)[:-4], packed(b"x")[:5]])
async def test_a_damaged_body_is_a_decoding_error(body: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        await fetched(message(GZIP, body=body))


async def test_more_than_was_announced_is_no_response() -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await fetched(message(length=2, body=b"ok" + b"x" * 5000))


async def test_an_endless_head_of_small_headers_is_given_up() -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await fetched(message(*(f"X-{number}: {number}" for number in range(50_000))))


@pytest.mark.parametrize(
    "location", ["/elsewhere", "http://127.0.0.1:1/", "ftp://x", "http://x:99999", "\xff", ""]
)
async def test_a_redirect_is_handed_over_and_not_followed(location: str) -> None:
    async with answering(message(f"Location: {location}", status="302 Found")) as (server, client):
        response = await request(client, "GET", server.url(), timeouts=TIMEOUTS)
        assert response.status_code == 302
        assert response.headers["location"] == location
        assert len(server.heads) == 1


async def test_the_environments_proxies_and_passwords_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with serving(healthy) as server, serving(healthy) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url())
        async with open_client(base_urls=[server.url()]) as client:
            assert (await request(client, "GET", server.url(), timeouts=TIMEOUTS)).text == "ok"
        assert proxy.accepted == 0
        assert b"authorization" not in server.heads[0].lower()


async def test_cookies_are_not_returned() -> None:
    async with answering(message("Set-Cookie: who=me; Path=/", body=b"ok")) as (server, client):
        for _ in range(2):
            await request(client, "GET", server.url(), timeouts=TIMEOUTS)
        assert b"cookie" not in server.heads[1].lower()


async def test_a_request_asks_for_a_plain_body_and_keeps_its_path() -> None:
    async with answering(OK) as (server, client):
        await request(client, "GET", f"{server.url()}/a%2Fb/c%20d/é?x=%26&y=1+1", timeouts=TIMEOUTS)
        [head] = server.heads
        assert b"accept-encoding: identity\r\n" in head.lower()
        assert head.split()[1] == b"/a%2Fb/c%20d/%C3%A9?x=%26&y=1+1"


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 10_000_000])
async def test_bytes_are_sent_with_their_length(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    received = await uploaded(len(body), content=body)
    assert received[1] == body
    assert b"transfer-encoding" not in received[0].lower()


async def test_json_is_sent_with_its_length_and_type() -> None:
    value = {"prompt": "ein Füchslein 🦊", "n": 1}
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    head, received = await uploaded(len(body), json=value)
    assert json.loads(received) == value
    assert b"content-type: application/json\r\n" in head.lower()


async def test_a_form_with_pictures_is_sent_in_parts_with_its_length() -> None:
    picture = bytes(range(256)) * 40_000
    options = {
        "data": {"prompt": "ein Füchslein", "size": ["1", "2"]},
        "files": [("image[]", ("a.png", picture, "image/png")), ("image[]", ("b.png", b"\r\n--", "image/png"))],
    }
    measured = httpx.Request("POST", "http://x", **options)  # type: ignore[arg-type]
    head, body = await uploaded(int(measured.headers["content-length"]), **options)
    assert b"transfer-encoding" not in head.lower()
    boundary = re.search(rb"multipart/form-data; boundary=(\w+)", head)
    assert boundary is not None
    first, *parts, last = body.split(b"--" + boundary[1])
    assert (first, last) == (b"", b"--\r\n")
    assert [part.split(b"\r\n\r\n", 1)[1][:-2] for part in parts] == [
        "ein Füchslein".encode(),
        b"1",
        b"2",
        picture,
        b"\r\n--",
    ]
    assert b'name="image[]"; filename="a.png"\r\nContent-Type: image/png' in parts[3]


async def uploaded(size: int, **options: object) -> tuple[bytes, bytes]:
    """The head and the body that a server reads of a POST."""
    received = []

    async def script(connection: Connection) -> None:
        received.append(await connection.head())
        received.append(await connection.exactly(size))
        await connection.send(OK)

    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        options = {"timeouts": TIMEOUTS, **options}
        await request(client, "POST", server.url(), **options)  # type: ignore[arg-type]
    head, body = received
    assert b"POST" not in head or f"content-length: {size}\r\n".encode() in head.lower()
    return head, body


async def test_an_upload_is_not_copied_as_a_whole() -> None:
    body = bytes(10_000_000)

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.discard(len(body))
        await connection.send(OK)

    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        tracemalloc.start()
        try:
            await request(client, "POST", server.url(), timeouts=TIMEOUTS, content=body)
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()


async def test_a_refusal_amid_an_upload_is_heard() -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(message(status="413 Content Too Large"))
        await connection.hung_up()

    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        response = await request(client, "POST", server.url(), timeouts=TIMEOUTS, content=bytes(30_000_000))
        assert response.status_code == 413
        await server.until(lambda state: state.open == 0)


async def test_a_url_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("INFO", [])
        async with answering(OK) as (server, client):
            await request(client, "GET", f"{server.url()}/?signature=5ecret", timeouts=TIMEOUTS)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "5ecret" not in capsys.readouterr().err


@pytest.mark.parametrize("headers", [{"X-Note": "a\r\nHost: evil"}, {"X-Note": "a\0"}])
async def test_a_header_that_would_be_two_is_not_sent(headers: dict[str, str]) -> None:
    async with answering(OK) as (server, client):
        with pytest.raises(httpx.LocalProtocolError):
            await request(client, "POST", server.url(), timeouts=TIMEOUTS, headers=headers, json={})
        assert server.heads == []


async def test_events_come_through_as_they_are_sent() -> None:
    body = b"data: 1\n\n: alive\n\ndata: [2]\n\n"
    async with (
        answering(message("Content-Type: text/event-stream", length=-1, body=body)) as (server, client),
        stream(client, "GET", server.url(), timeouts=TIMEOUTS) as response,
    ):
        assert is_event_stream(response)
        result = [event async for event in events(response, 100)]
    assert result == [Event("message", "1"), None, Event("message", "[2]")]


async def test_events_that_break_off_are_an_error() -> None:
    body = b"9\r\ndata: 1\n\n\r\n"
    result: list[Event | None] = []

    async def listen(server: RawServer, client: httpx.AsyncClient) -> None:
        async with stream(client, "GET", server.url(), timeouts=TIMEOUTS) as response:
            async for event in events(response, 100):
                result.append(event)  # noqa: PERF401

    async with answering(message("Transfer-Encoding: chunked", length=-1, body=body)) as (server, client):
        with pytest.raises(httpx.RemoteProtocolError):
            await listen(server, client)
    assert result == [Event("message", "1")]


@pytest.mark.parametrize(
    ("content", "value"),
    [(b'{"a": [1]}', {"a": [1]}), (b"<html>", None), (b"", None), (b"\xff\xfe\xfd", None), (b"[" * 99_999, None)],
)
def test_a_body_is_json_or_nothing(content: bytes, value: object) -> None:
    assert json_of(httpx.Response(200, content=content)) == value


@pytest.mark.parametrize("reason", [b"Cr\xe9\xe9", b"\xff\xfe", "Créé ✅".encode(), b""])
async def test_a_response_whose_reason_is_no_text_is_read_all_the_same(reason: bytes) -> None:
    answer = b"HTTP/1.1 201 " + reason + b"\r\nContent-Length: 2\r\n\r\nok"
    async with answering(answer) as (server, client):
        response = await request(client, "POST", server.url(), timeouts=TIMEOUTS, json={})
    assert (response.status_code, response.text) == (201, "ok")


BAD_LOCATIONS = [
    b"http://xn--zzzz/x",
    b"//xn--/",
    b"javascript:alert(1)",
    b"http:x",
    b"http://[::1",
    b"/\x7f",
    b"\xff",
]


@pytest.mark.parametrize("location", BAD_LOCATIONS)
@pytest.mark.parametrize("status", [b"302 Found", b"307 Temporary Redirect"])
async def test_a_redirect_to_nowhere_is_a_response_like_any_other(status: bytes, location: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nLocation: " + location + b"\r\nContent-Length: 2\r\n\r\nok"
    async with answering(answer) as (server, client):
        response = await request(client, "POST", server.url(), timeouts=TIMEOUTS, json={})
    assert (str(response.status_code), response.text) == (status[:3].decode(), "ok")


# Pace


async def dripped(parts: int, size: int, pace: Pace) -> httpx.Response:
    """What `request` makes of a body that comes in parts, one each 50 ms."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(message(length=parts * size))
        for _ in range(parts):
            await connection.send(bytes(size))
            await asyncio.sleep(0.05)

    timeouts = replace(TIMEOUTS, pace=pace)
    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        return await request(client, "GET", server.url(), timeouts=timeouts, limit=100_000)


async def test_a_body_that_drips_is_given_up_long_before_the_exchange() -> None:
    began = time.monotonic()
    with pytest.raises(httpx.ReadTimeout, match="too slow"):
        await dripped(100, 1, Pace(least=1000, seconds=0.3))
    assert time.monotonic() - began < 3


async def test_a_body_at_the_pace_may_take_many_times_as_long() -> None:
    response = await dripped(30, 1000, Pace(least=1000, seconds=0.6))
    assert len(response.content) == 30_000
