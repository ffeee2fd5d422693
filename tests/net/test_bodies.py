"""Pictures on their way out and in: none needs memory for more than a part of it at a time."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from typing import Any

import httpx
import pytest

from bot.domain.content import Content
from bot.domain.pictures import Picture
from bot.net.bodies import Body, DataUri, json_body
from bot.net.http import Timeouts, open_client, read_json, request
from bot.net.large_json import DiskText
from tests.support.picture_files import on_disk
from tests.support.raw_server import OK, Connection, serving

TIMEOUTS = Timeouts(connect=5.0, read=20.0, total=20.0)
LARGE = bytes(range(256)) * 40_000
MOST = 5_000_000
"""Bytes: two copies of the large picture are more."""


def picture(content: Content) -> Picture:
    return Picture(stored=content, content_type="image/png", filename="a.png", width=1, height=1)


async def sent(body: Body) -> bytes:
    return b"".join([part async for part in body])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1_048_575, 1_048_576, 1_048_577, 3_000_001])
async def test_a_picture_inside_json_is_what_any_encoder_makes_of_it(size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    expected = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    for stored in (content, on_disk(content)):
        uri = DataUri(picture(stored))
        body = json_body({"image": [uri, "https://a.example/b.png"], "mask": uri, "prompt": 'snow "é"'})
        whole = await sent(body)
        assert len(body) == len(whole)
        assert json.loads(whole) == {
            "image": [expected, "https://a.example/b.png"],
            "mask": expected,
            "prompt": 'snow "é"',
        }
        assert await sent(body) == whole


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        json_body({"image": b"..."})


@pytest.mark.parametrize("kind", ["bytes", "json", "form"])
async def test_a_large_picture_is_sent_from_disk_with_its_length(kind: str) -> None:
    stored = picture(on_disk(LARGE))
    options: dict[str, Any]
    match kind:
        case "bytes":
            options = {"content": Body([stored.stored])}
        case "json":
            options = {"content": json_body({"image": DataUri(stored)})}
        case _:
            options = {"files": [("image", ("a.png", stored.open(), "image/png"))]}
    heads = []

    async def script(connection: Connection) -> None:
        heads.append((await connection.head()).lower())
        length = int(heads[0].split(b"content-length: ")[1].split(b"\r\n")[0])
        assert length >= len(LARGE)
        await connection.discard(length)
        await connection.send(OK)

    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        tracemalloc.start()
        try:
            response = await request(client, "POST", server.url(), timeouts=TIMEOUTS, **options)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert response.status_code == 200
    assert b"transfer-encoding" not in heads[0]
    assert most < MOST


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_large_response_is_read_from_disk(coding: str) -> None:
    text = base64.b64encode(LARGE)
    document = b'{"data": [{"b64_json": "' + text + b'"}], "n": 1}'
    body = document if coding == "identity" else gzip.compress(document, mtime=0)

    async def script(connection: Connection) -> None:
        await connection.head()
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
        await connection.send(head.encode())
        for start in range(0, len(body), 65_536):
            await connection.send(body[start : start + 65_536])

    async with serving(script) as server, open_client(base_urls=[server.url()]) as client:
        tracemalloc.start()
        try:
            response: httpx.Response = await request(
                client, "GET", server.url(), timeouts=TIMEOUTS, limit=20_000_000
            )
            value = await read_json(response)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    found = value["data"][0]["b64_json"]
    assert isinstance(found, DiskText)
    assert b"".join(found.parts()) == text
    assert value["n"] == 1
    assert most < MOST
