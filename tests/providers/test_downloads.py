"""The pictures of a result: which are read, from where, and how much of them."""

from __future__ import annotations

import base64
import gzip
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
from aiohttp.abc import ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import content as content_module
from bot.domain.content import DiskFile
from bot.domain.errors import (
    InvalidResponse,
    ProviderBusy,
)
from bot.net.hosts import AllowedHosts
from bot.net.http import Timeouts
from bot.net.large_json import DiskText
from bot.net.resolver import Resolver
from bot.providers.shared.inline import picture_in
from tests.support.picture_files import encoded, noise, on_disk
from tests.support.providers.deps import (
    REQUEST,
    painted,
)
from tests.support.providers.fal import (
    FalFixture,
    open_fixture,
)
from tests.support.raw_server import http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


# Pictures


async def test_fewer_pictures_than_requested_are_delivered(fixture: FalFixture) -> None:
    image_request = replace(REQUEST, count=4)
    fixture.sandbox.faults.set("fewer_pictures", count=1)
    finished = await fixture.result(image_request)
    assert len(finished.pictures) == 3
    assert finished.cost is None


@pytest.mark.parametrize("name", ["not_a_picture", "bomb", "cdn_error", "cdn_redirect"])
async def test_one_broken_picture_does_not_spoil_the_others(fixture: FalFixture, name: str) -> None:
    values = {"url": "https://nowhere.invalid/a.png"} if name == "cdn_redirect" else {}
    fixture.sandbox.faults.set(name, times=1, **values)
    finished = await fixture.result(replace(REQUEST, count=3))
    assert len(finished.pictures) == 2


@pytest.mark.parametrize("name", ["not_a_picture", "bomb"])
async def test_nothing_but_broken_pictures_is_an_invalid_response(fixture: FalFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    with pytest.raises(InvalidResponse):
        await fixture.result()


async def test_a_picture_is_what_its_bytes_are(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("wrong_type")
    fixture.sandbox.faults.set("cdn_type")
    (picture,) = (await fixture.result()).pictures
    assert (picture.content_type, picture.filename) == ("image/jpeg", "picture-1.jpg")


@pytest.mark.parametrize(
    ("name", "values"),
    [("cdn_huge", {"size": 40 * 1024 * 1024}), ("cdn_error", {"status": 404}), ("cdn_error", {"status": 403})],
)
async def test_a_picture_that_is_too_big_or_gone_is_an_invalid_response(
    fixture: FalFixture, name: str, values: dict[str, Any]
) -> None:
    fixture.sandbox.faults.set(name, **values)
    with pytest.raises(InvalidResponse):
        await fixture.result()


@pytest.mark.parametrize(("name", "values"), [("cdn_error", {"status": 503}), ("cdn_reset", {})])
async def test_a_picture_that_cannot_be_read_for_a_moment_is_read_again(
    fixture: FalFixture, name: str, values: dict[str, Any]
) -> None:
    fixture.sandbox.faults.set(name, times=2, **values)
    assert len((await fixture.result()).pictures) == 1
    fixture.sandbox.faults.set(name, **values)
    with pytest.raises(ProviderBusy):
        await fixture.result()


async def test_a_slow_loris_is_cut_off(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("cdn_slow", seconds=0.05)
    with pytest.raises(ProviderBusy):
        await fixture.result(timeouts=Timeouts(read=1, total=0.3))


async def test_a_picture_on_a_foreign_host_is_never_fetched(fixture: FalFixture) -> None:
    async with responding(http(200, painted())) as elsewhere:
        fixture.sandbox.faults.set("foreign_picture", url=f"{elsewhere.url}/a.png")
        listed = f"127.0.0.1:{fixture.sandbox.port}"
        with pytest.raises(InvalidResponse):
            await fixture.result(media_hosts=listed)
        assert elsewhere.heads == []


async def test_a_redirect_to_a_foreign_host_is_not_followed(fixture: FalFixture) -> None:
    async with responding(http(200, painted())) as elsewhere:
        fixture.sandbox.faults.set("cdn_redirect", url=f"{elsewhere.url}/a.png")
        listed = f"127.0.0.1:{fixture.sandbox.port}"
        with pytest.raises(InvalidResponse):
            await fixture.result(media_hosts=listed)
        assert elsewhere.heads == []


async def test_a_redirect_between_listed_hosts_is_followed_without_the_key(fixture: FalFixture) -> None:
    async with responding(http(200, painted())) as mirror:
        fixture.sandbox.faults.set("cdn_redirect", url=f"{mirror.url}/a.png")
        assert (await fixture.result()).pictures[0].width == 64
        assert "authorization" not in mirror.heads[0].lower()


async def test_a_redirect_in_a_circle_ends(fixture: FalFixture) -> None:
    async with responding(http(302, location="/again")) as circle:
        with pytest.raises(InvalidResponse):
            await fixture.downloads().read(f"{circle.url}/a.png")
        assert len(circle.heads) == 4


async def test_a_large_picture_waits_on_disk_and_is_whole(fixture: FalFixture) -> None:
    content = encoded(noise((600, 600)), "PNG")
    async with responding(http(200, content)) as host:
        read = await fixture.downloads().read(f"{host.url}/a.png")
        assert isinstance(read, DiskFile)
        fixture.sandbox.faults.set("foreign_picture", url=f"{host.url}/a.png")
        [picture] = (await fixture.result()).pictures
    assert isinstance(picture.stored, DiskFile)
    with picture.open() as file:
        assert read.read() == picture.content == file.read() == content
    assert picture.size == len(content)


async def test_a_small_picture_waits_in_memory(fixture: FalFixture) -> None:
    async with responding(http(200, painted())) as host:
        assert await fixture.downloads().read(f"{host.url}/a.png") == painted()


class LeadsHere(Resolver):
    """A name server that is not the operator's: every name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await super().resolve("localhost", port, family)


async def test_a_listed_name_that_leads_into_a_private_net_is_not_read(
    fixture: FalFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.net.transport.Resolver", LeadsHere)
    async with responding(http(200, painted())) as inside:
        port = inside.url.rpartition(":")[2]
        downloads = fixture.downloads(hosts=AllowedHosts.parse("pictures.example:*"))
        with pytest.raises(InvalidResponse) as refusal:
            await downloads.read(f"http://pictures.example:{port}/a.png")
        assert refusal.value.detail == "private address"
        assert inside.heads == []


@pytest.mark.parametrize(
    "response",
    [
        http(200, b"x" * 2000),
        http(200, b"x" * 10, content_length="99999"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 5000,
        http(200, gzip.compress(bytes(10_000_000)), content_encoding="gzip"),
    ],
)
async def test_no_more_than_the_limit_is_ever_read(fixture: FalFixture, response: bytes) -> None:
    async with responding(response) as host:
        with pytest.raises(InvalidResponse):
            await fixture.downloads(limit=1000).read(f"{host.url}/a.png")


def test_a_data_uri_is_read_and_bounded() -> None:
    assert picture_in("data:image/png;base64,aGVsbG8=", 10) == b"hello"
    assert picture_in("data:text/plain,he%6Clo", 10) == b"hello"
    for bad in ("data:image/png;base64", "data:image/png;base64,a?!", "data:,12345678901", "data:," + "x" * 99):
        with pytest.raises(InvalidResponse):
            picture_in(bad, 10)


def in_response(text: str) -> DiskText:
    """The text as a large response has it."""
    file = on_disk(text.encode())
    return DiskText(file, 0, len(file))


@given(st.binary(max_size=200), st.booleans(), st.booleans(), st.integers(1, 9))
def test_a_picture_inside_a_response_is_read_alike_from_memory_and_from_disk(
    content: bytes, in_a_uri: bool, quoted: bool, part: int
) -> None:
    text = base64.b64encode(content).decode()
    if in_a_uri:
        text = f"data:image/png;base64,{quote(text) if quoted else text}"
    with patch.object(content_module, "_PART", max(part, 30 if in_a_uri else 1)):
        assert picture_in(text) == picture_in(in_response(text.replace("/", "\\/"))) == content


@pytest.mark.parametrize("text", ["a", "AAA?", "AA=A" * 9, "data:;base64,AAA?", "AA\\u00", "data:image/png"])
def test_what_is_no_picture_is_refused_from_memory_and_from_disk(text: str) -> None:
    with pytest.raises(InvalidResponse):
        picture_in(text)
    with pytest.raises(InvalidResponse):
        picture_in(in_response(text))


def test_line_ends_between_the_characters_do_no_harm() -> None:
    assert picture_in("aGVs\r\nbG8=\n") == picture_in(in_response("aGVs\\nbG8=")) == b"hello"
