"""How pictures get to fal: links, data URIs, and both ways into its storage."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.domain.errors import InvalidResponse, ProviderBusy, ProviderError, ProviderMisconfigured, SourceRejected
from tests.support.providers.deps import EDIT, LOCAL_HOSTS, ignore_progress, input_picture, painted
from tests.support.providers.fal import KEY, FalFixture, build_submit, follow, open_fixture
from tests.support.raw_server import RespondingServer, http, responding

BIG = painted() + bytes(3_000_000)
LIFETIME = {"expiration_duration_seconds": 86400}


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


def named(head: str) -> dict[str, str]:
    """The headers of a request, from its head."""
    pairs = (line.partition(":") for line in head.splitlines()[1:] if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


async def test_a_big_picture_is_uploaded_with_a_token(fixture: FalFixture) -> None:
    finished = await fixture.result(EDIT, input_picture(BIG))
    assert len(finished.pictures) == 1
    assert fixture.paths()[:3] == [
        "POST /storage/auth/token",
        "POST /files/upload",
        "POST /fal-ai/gpt-image-1.5/edit",
    ]
    assert fixture.body["image_urls"][0].startswith(f"{fixture.sandbox.url}/files/")


async def test_small_pictures_travel_inside_as_long_as_there_is_room(fixture: FalFixture) -> None:
    small = painted() + bytes(1_400_000)
    url = "https://cdn.discordapp.com/b.png"
    await fixture.submit(
        EDIT, input_picture(small), input_picture(small), input_picture(small), input_picture(BIG, url=url)
    )
    kinds = [link.partition(":")[0] for link in fixture.body["image_urls"]]
    assert kinds == ["data", "data", "http", "https"]


def storage(cdn: str, **changes: Any) -> Any:
    """Fal's storage: both ways in, with other responses to some steps."""
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


async def upload(fixture: FalFixture, rest: RespondingServer, cdn: RespondingServer, **changes: Any) -> str:
    fal = fixture.fal(**{"rest_url": rest.url, **changes})
    await fal.submit(build_submit(EDIT, input_picture(BIG, filename="größe\r\n.png")), ignore_progress)
    link: str = fixture.body["image_urls"][0]
    return link


async def test_the_token_goes_to_the_cdn_and_the_key_only_to_fal(fixture: FalFixture) -> None:
    async with responding(b"") as cdn, responding(b"") as rest:
        cdn.respond = rest.respond = storage(cdn.url)
        assert await upload(fixture, rest, cdn) == f"{cdn.url}/stored/by-token"
        (image_request,), (stored,) = rest.heads, cdn.heads
    assert image_request.startswith("POST /storage/auth/token?storage_type=fal-cdn-v3 ")
    assert named(image_request)["authorization"] == f"Key {KEY}"
    assert named(stored)["authorization"] == "Bearer t0k"
    assert KEY not in stored
    assert named(stored)["content-type"] == "image/png"
    assert named(stored)["x-fal-file-name"] == "gr__e__.png"
    assert json.loads(named(stored)["x-fal-object-lifecycle"]) == LIFETIME
    assert cdn.bodies == [BIG]


@pytest.mark.parametrize(
    ("step", "response"),
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
    fixture: FalFixture, step: str, response: bytes
) -> None:
    async with responding(b"") as cdn, responding(b"") as rest:
        cdn.respond = rest.respond = storage(cdn.url, **{step: response})
        assert await upload(fixture, rest, cdn) == f"{cdn.url}/stored/by-link"
        initiate, put = rest.heads[-1], cdn.heads[-1]
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
    fixture: FalFixture, answers: dict[str, bytes], error: type[ProviderError]
) -> None:
    async with responding(b"") as cdn, responding(b"") as rest:
        cdn.respond = rest.respond = storage(cdn.url, **answers)
        with pytest.raises(ProviderError) as refusal:
            await upload(fixture, rest, cdn)
    assert type(refusal.value) is error
    assert fixture.sandbox.submits == 0
    assert "t0k" not in repr(vars(refusal.value))


async def test_no_picture_goes_to_a_host_that_is_not_listed(fixture: FalFixture) -> None:
    async with responding(b"") as elsewhere, responding(b"") as rest:
        rest.respond = storage(elsewhere.url)
        with pytest.raises(InvalidResponse):
            await upload(fixture, rest, elsewhere, media_hosts="fal.media,*.fal.media")
        assert elsewhere.heads == []
        assert len(rest.heads) == 2


async def test_an_upload_that_was_lost_on_the_way_is_done_again_the_other_way(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("upload_lost", times=1)
    fal = fixture.fal(media_hosts=LOCAL_HOSTS)
    ticket = await fal.submit(build_submit(EDIT, input_picture(BIG)), ignore_progress)
    assert len((await follow(fal, ticket, EDIT))[1].pictures) == 1
    assert fixture.paths()[2:4] == ["POST /storage/upload/initiate", f"PUT {fixture.sandbox.calls[3]['path']}"]
