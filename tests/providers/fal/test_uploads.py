"""How pictures get to fal: links, data URIs, and both ways into its storage."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.domain.errors import InvalidResponse, ProviderBusy, ProviderError, ProviderMisconfigured, SourceRejected
from bot.net.hosts import AllowedHosts
from tests.support.providers.fal import (
    EDIT,
    KEY,
    LOCAL,
    FalFixture,
    Wire,
    all_news,
    given,
    http,
    open_house,
    order,
    painted,
    silent,
    wire,
)

BIG = painted() + bytes(3_000_000)
LIFETIME = {"expiration_duration_seconds": 86400}


@pytest.fixture
async def house() -> AsyncIterator[FalFixture]:
    async with open_house() as opened:
        yield opened


def named(head: str) -> dict[str, str]:
    """The headers of a call that a wire has heard."""
    pairs = (line.partition(":") for line in head.splitlines()[1:] if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


async def test_a_big_picture_is_uploaded_with_a_token(house: FalFixture) -> None:
    finished = await house.result(EDIT, given(BIG))
    assert len(finished.pictures) == 1
    assert house.paths()[:3] == [
        "POST /storage/auth/token",
        "POST /files/upload",
        "POST /fal-ai/gpt-image-1.5/edit",
    ]
    assert house.body["image_urls"][0].startswith(f"{house.sandbox.url}/files/")


async def test_small_pictures_travel_inside_as_long_as_there_is_room(house: FalFixture) -> None:
    small = painted() + bytes(1_400_000)
    url = "https://cdn.discordapp.com/b.png"
    await house.submit(EDIT, given(small), given(small), given(small), given(BIG, url=url))
    kinds = [link.partition(":")[0] for link in house.body["image_urls"]]
    assert kinds == ["data", "data", "http", "https"]


def storage(cdn: str, **changes: Any) -> Any:
    """Fal's storage as a wire: both ways in, with changes to what a step answers."""
    answers = {
        "/storage/auth/token": http(200, {"token": "t0k", "token_type": "Bearer", "base_url": f"{cdn}/"}),
        "/files/upload": http(200, {"access_url": f"{cdn}/stored/by-token"}),
        "/storage/upload/initiate": http(
            200, {"upload_url": f"{cdn}/put?signature=s", "file_url": f"{cdn}/stored/by-link"}
        ),
        "/put": http(200),
        **changes,
    }
    return lambda line: answers[line.split()[1].partition("?")[0]]


async def upload(house: FalFixture, rest: Wire, cdn: Wire, **changes: Any) -> str:
    fal = house.fal(**{"rest_url": rest.url, **changes})
    await fal.submit(order(EDIT, given(BIG, filename="größe\r\n.png")), silent)
    link: str = house.body["image_urls"][0]
    return link


async def test_the_token_goes_to_the_cdn_and_the_key_only_to_fal(house: FalFixture) -> None:
    async with wire(b"") as cdn, wire(b"") as rest:
        cdn.reply = rest.reply = storage(cdn.url)
        assert await upload(house, rest, cdn) == f"{cdn.url}/stored/by-token"
        (asked,), (stored,) = rest.heard, cdn.heard
    assert asked.startswith("POST /storage/auth/token?storage_type=fal-cdn-v3 ")
    assert named(asked)["authorization"] == f"Key {KEY}"
    assert named(stored)["authorization"] == "Bearer t0k"
    assert KEY not in stored
    assert named(stored)["content-type"] == "image/png"
    assert named(stored)["x-fal-file-name"] == "gr__e__.png"
    assert json.loads(named(stored)["x-fal-object-lifecycle"]) == LIFETIME
    assert cdn.bodies == [BIG]


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("/storage/auth/token", http(500, {"detail": "oops"})),
        ("/storage/auth/token", http(404, {"detail": "Path not found"})),
        ("/storage/auth/token", http(200, b"<html>")),
        ("/storage/auth/token", http(200, {"token": "a\r\nb", "base_url": "http://127.0.0.1:1"})),
        ("/storage/auth/token", http(200, {"token": "t", "base_url": "https://elsewhere.example"})),
        ("/storage/auth/token", http(200, {"token": "t", "base_url": "no link"})),
        ("/files/upload", http(401, {"detail": "Invalid or expired token"})),
        ("/files/upload", http(502, b"<html>")),
        ("/files/upload", http(200, {"access_url": ""})),
        ("/files/upload", http(200, {"access_url": "https://elsewhere.example/a"})),
        ("/files/upload", b""),
    ],
)
async def test_when_the_token_does_not_help_the_signed_link_does(
    house: FalFixture, step: str, answer: bytes
) -> None:
    async with wire(b"") as cdn, wire(b"") as rest:
        cdn.reply = rest.reply = storage(cdn.url, **{step: answer})
        assert await upload(house, rest, cdn) == f"{cdn.url}/stored/by-link"
        initiate, put = rest.heard[-1], cdn.heard[-1]
    assert initiate.startswith("POST /storage/upload/initiate?storage_type=fal-cdn-v3 ")
    assert json.loads(named(initiate)["x-fal-object-lifecycle-preference"]) == LIFETIME
    assert json.loads(rest.bodies[-1]) == {"file_name": "gr__e__.png", "content_type": "image/png"}
    assert put.startswith("PUT /put?signature=s ")
    assert "authorization" not in named(put)
    assert cdn.bodies[-1] == BIG


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"/storage/auth/token": http(401, {"detail": "No user found"})}, ProviderMisconfigured),
        ({"/storage/auth/token": http(403, {"detail": "User is locked"})}, ProviderMisconfigured),
        ({"/files/upload": http(413, b"too large")}, SourceRejected),
        ({"/files/upload": http(500), "/put": http(403, b"<Error/>")}, ProviderBusy),
        ({"/files/upload": http(500), "/put": http(500)}, ProviderBusy),
        ({"/files/upload": http(500), "/storage/upload/initiate": http(500)}, ProviderBusy),
        ({"/files/upload": http(500), "/storage/upload/initiate": http(200, {})}, ProviderBusy),
        (
            {
                "/files/upload": http(500),
                "/storage/upload/initiate": http(
                    200, {"upload_url": "https://elsewhere.example/", "file_url": "https://fal.media/a"}
                ),
            },
            InvalidResponse,
        ),
    ],
)
async def test_when_neither_helps_nothing_is_submitted(
    house: FalFixture, answers: dict[str, bytes], error: type[ProviderError]
) -> None:
    async with wire(b"") as cdn, wire(b"") as rest:
        cdn.reply = rest.reply = storage(cdn.url, **answers)
        with pytest.raises(ProviderError) as refusal:
            await upload(house, rest, cdn)
    assert type(refusal.value) is error
    assert house.sandbox.submits == 0
    assert "t0k" not in repr(vars(refusal.value))


async def test_no_picture_goes_to_a_host_that_is_not_listed(house: FalFixture) -> None:
    async with wire(b"") as stranger, wire(b"") as rest:
        rest.reply = storage(stranger.url)
        with pytest.raises(InvalidResponse):
            await upload(house, rest, stranger, media_hosts=AllowedHosts.parse("fal.media,*.fal.media"))
        assert stranger.heard == []
        assert len(rest.heard) == 2


async def test_an_upload_that_was_lost_on_the_way_is_done_again_the_other_way(house: FalFixture) -> None:
    house.sandbox.faults.set("upload_lost", times=1)
    fal = house.fal(media_hosts=LOCAL)
    ticket = await fal.submit(order(EDIT, given(BIG)), silent)
    assert len((await all_news(fal, ticket, EDIT))[1].pictures) == 1
    assert house.paths()[2:4] == ["POST /storage/upload/initiate", f"PUT {house.sandbox.calls[3]['path']}"]
