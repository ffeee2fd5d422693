"""Lumenfall's provider where everything goes well: what it sends, and what it makes of the responses."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from bot.domain.content import DiskFile, parts_of
from bot.domain.errors import (
    ProviderBusy,
)
from bot.domain.jobs import Progress
from bot.domain.money import Money
from tests.support.providers.deps import SOURCE, input_picture, painted
from tests.support.providers.lumenfall import (
    EDIT,
    MASK,
    REQUEST,
    LumenfallFixture,
    follow,
    open_fixture,
)


@pytest.fixture
async def fixture() -> AsyncIterator[LumenfallFixture]:
    async with open_fixture() as opened:
        yield opened


# Success


async def test_a_prompt_becomes_a_picture_that_is_fetched_from_its_link(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit()
    (link,) = ticket.data["links"]
    assert link.startswith(fixture.sandbox.url)
    assert (ticket.provider, ticket.count, ticket.results) == ("lumenfall", 1, ())
    assert ticket.data["request_id"] == fixture.request.request_id
    updates, finished = await follow(fixture.lumenfall(), ticket)
    assert updates == [Progress(fraction=1.0, note="painted")]
    (picture,) = finished.pictures
    assert (picture.content_type, picture.width, picture.height) == ("image/png", 1024, 1024)
    assert (picture.filename, picture.url) == ("picture-1.png", link)
    assert finished.cost == Money(fixture.request.cost_micros) > Money(0)
    assert fixture.sandbox.submits == 1


async def test_large_pictures_inside_the_response_wait_on_disk(fixture: LumenfallFixture) -> None:
    fixture.sandbox.picture_bytes = 600_000
    ticket = await fixture.submit(fixture.build_submit(replace(REQUEST, count=2)), inline=True)
    assert [type(content) for content in ticket.results] == [DiskFile] * 2
    _, finished = await follow(fixture.lumenfall(), ticket)
    assert [picture.stored for picture in finished.pictures] == list(ticket.results)


async def test_bytes_inside_the_response_are_stored_because_they_come_only_once(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit(fixture.build_submit(replace(REQUEST, count=3)), inline=True)
    assert [next(parts_of(content))[:4] for content in ticket.results] == [b"\x89PNG"] * 3
    assert (ticket.data["links"], ticket.data["kept"]) == ([], 3)
    _, finished = await follow(fixture.lumenfall(), ticket)
    assert [picture.filename for picture in finished.pictures] == [f"picture-{n}.png" for n in (1, 2, 3)]
    assert finished.cost == Money(fixture.request.cost_micros)
    assert fixture.request.fields["response_format"] == "b64_json"


async def test_a_data_uri_in_the_place_of_a_link_is_stored_as_well() -> None:
    async with open_fixture(routes=("fal",)) as fixture:
        ticket = await fixture.submit(extra={"sync_mode": True})
        assert (ticket.data["links"], len(ticket.results)) == ([], 1)
        assert (await follow(fixture.lumenfall(), ticket))[1].pictures[0].width == 1024


@pytest.mark.parametrize(
    ("change", "wire"),
    [
        ({}, {"prompt": "a fox in the snow", "model": "gpt-image-1.5", "n": 1, "response_format": "url"}),
        ({"model": "gpt-image-1"}, {"model": "gpt-image-1"}),
        ({"size": "auto"}, {"size": None, "aspect_ratio": None}),
        ({"size": "1024x1536"}, {"size": "1024x1536"}),
        ({"size": "1254x836"}, {"size": "1254x836"}),
        ({"size": "1100x1300"}, {"size": "1100x1300"}),
        ({"size": "3:2"}, {"aspect_ratio": "3:2", "resolution": "1K", "size": None}),
        ({"quality": "auto"}, {"quality": None}),
        ({"quality": "medium"}, {"quality": "medium"}),
        ({"quality": "high"}, {"quality": "high"}),
        ({"background": "auto"}, {"background": None}),
        ({"background": "transparent"}, {"background": "transparent"}),
        ({"background": "opaque"}, {"background": "opaque"}),
        ({"output_format": "png"}, {"output_format": "png", "output_compression": None}),
        ({"output_format": "jpeg", "compression": 40}, {"output_format": "jpeg", "output_compression": 40}),
        ({"output_format": "webp", "compression": 0}, {"output_format": "webp", "output_compression": 0}),
        ({"output_format": "gif"}, {"output_format": "gif"}),
        ({"output_format": "avif"}, {"output_format": "avif"}),
        ({"count": 10}, {"n": 10}),
    ],
)
async def test_each_option_is_sent_as_lumenfall_names_it(
    fixture: LumenfallFixture, change: dict[str, Any], wire: dict[str, Any]
) -> None:
    fixture.fault("exhausted")  # what was asked is what counts here, not what is painted
    with pytest.raises(ProviderBusy):
        await fixture.submit(fixture.build_submit(replace(REQUEST, **change)))
    assert {name: fixture.request.fields.get(name) for name in wire} == wire
    assert fixture.request.operation == "generations"


async def test_a_request_is_named_so_that_it_is_found_again(fixture: LumenfallFixture) -> None:
    await fixture.submit(fixture.build_submit(part=2))
    assert fixture.request.fields["user"] == "easel-7-2"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", fixture.request.headers["traceparent"])
    assert fixture.request.trace_id is not None
    assert set(fixture.request.fields) == {
        *("model", "prompt", "n", "size", "quality", "output_format", "response_format", "user")
    }


async def test_the_operators_own_fields_go_along_and_never_replace_easels(fixture: LumenfallFixture) -> None:
    extra = {"moderation": "low", "user_id": "u1", "sync_mode": False, "model": "other", "user": "other"}
    ticket = await fixture.submit(extra=extra, openai_api_key="sk-own", byok=True)
    fields = fixture.request.fields
    assert (fields["moderation"], fields["user_id"], fields["sync_mode"]) == ("low", "u1", False)
    assert (fields["model"], fields["user"]) == ("gpt-image-1.5", "easel-7-0")
    assert fields["openai_api_key"] == "<secret>"
    assert "sk-own" not in repr(ticket)
    await fixture.submit(fixture.build_submit(part=1))
    assert "openai_api_key" not in list(fixture.sandbox.requests.values())[1].fields


async def test_an_edit_sends_its_pictures_and_its_mask_as_files(fixture: LumenfallFixture) -> None:
    image_request = replace(
        EDIT,
        sources=(SOURCE, SOURCE),
        mask=SOURCE,
        fidelity="high",
        background="transparent",
        output_format="webp",
        compression=55,
        count=2,
    )
    inputs = (
        input_picture(painted()),
        input_picture(painted(kind="JPEG"), filename='my "cät".jpg', content_type="image/jpeg"),
    )
    finished = await fixture.result(
        fixture.build_submit(image_request, *inputs, mask=MASK), extra={"sync_mode": False}
    )
    assert [picture.content_type for picture in finished.pictures] == ["image/webp"] * 2
    assert fixture.request.operation == "edits"
    sent = [(file["field"], file["name"], file["type"], file["bytes"]) for file in fixture.request.files]
    assert sent == [
        ("image[]", "a.png", "image/png", len(painted())),
        ("image[]", "my__c_t_.jpg", "image/jpeg", len(painted(kind="JPEG"))),
        ("mask", "mask.png", "image/png", len(MASK.picture.content)),
    ]
    assert fixture.request.fields == {
        "prompt": "a fox in the snow",
        "model": "gpt-image-1.5",
        "n": "2",
        "size": "1024x1024",
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
        "output_compression": "55",
        "input_fidelity": "high",
        "response_format": "url",
        "sync_mode": "false",
        "user": "easel-7-0",
    }


async def test_an_edit_of_one_large_picture_needs_no_more_than_that(fixture: LumenfallFixture) -> None:
    noise = Image.effect_noise((1200, 1200), 90)
    buffer = BytesIO()
    noise.save(buffer, "PNG")
    assert len(buffer.getvalue()) > 1_048_576
    await fixture.submit(fixture.build_submit(EDIT, input_picture(buffer.getvalue())))
    (file,) = fixture.request.files
    assert (file["field"], file["bytes"]) == ("image[]", len(buffer.getvalue()))


# Streams


@pytest.mark.parametrize("metadata", [True, False])
async def test_pictures_on_the_way_are_shown_and_the_finished_one_is_stored(metadata: bool) -> None:
    async with open_fixture(stream_metadata=metadata) as fixture:
        ticket = await fixture.submit(partials=2)
        assert [item.note for item in fixture.reported] == ["painting"] * 3
        previews = [item.preview for item in fixture.reported if item.preview]
        assert len(previews) == 2
        for preview in previews:
            assert (await fixture.pictures.inspect(preview, filename="p")).width == 1024
        assert (fixture.request.fields["stream"], fixture.request.fields["partial_images"]) == (True, 2)
        assert (ticket.data["links"], len(ticket.results)) == ([], 1)
        _, finished = await follow(fixture.lumenfall(), ticket)
        # Where the stream does not state the cost, the history does.
        assert finished.cost == Money(fixture.request.cost_micros) > Money(0)
        asked_history = any(call["path"].startswith("/v1/requests/") for call in fixture.sandbox.calls)
        assert asked_history is not metadata


async def test_an_edit_is_watched_as_well(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit(
        fixture.build_submit(replace(EDIT, mask=SOURCE), input_picture(painted()), mask=MASK), partials=3
    )
    assert len([item for item in fixture.reported if item.preview]) == 3
    assert (fixture.request.fields["stream"], fixture.request.fields["partial_images"]) == ("true", "3")
    assert (await follow(fixture.lumenfall(), ticket))[1].pictures[0].width == 1024


@pytest.mark.parametrize(("count", "partials"), [(2, 2), (1, 0)])
async def test_only_a_single_picture_is_watched_and_only_if_wanted(
    fixture: LumenfallFixture, count: int, partials: int
) -> None:
    await fixture.submit(fixture.build_submit(replace(REQUEST, count=count)), partials=partials)
    assert not {"stream", "partial_images"} & set(fixture.request.fields)


async def test_plain_json_is_taken_although_a_stream_was_requested() -> None:
    async with open_fixture(streams=False) as fixture:
        finished = await fixture.result(partials=2)
        assert (len(finished.pictures), fixture.request.fields["stream"]) == (1, True)
        assert finished.cost == Money(fixture.request.cost_micros)


async def test_an_operators_stream_of_several_pictures_is_read_to_its_end(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit(fixture.build_submit(replace(REQUEST, count=3)), extra={"stream": True})
    assert len(ticket.results) == 3


async def test_a_garbled_event_costs_a_preview_and_not_the_picture(fixture: LumenfallFixture) -> None:
    fixture.fault("stream_garbled")
    ticket = await fixture.submit(partials=2)
    assert (len([item for item in fixture.reported if item.preview]), len(ticket.results)) == (1, 1)
