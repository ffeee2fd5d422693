"""fal's provider where everything goes well: what it sends, and what it makes of the responses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    SetupError,
)
from bot.providers.shared.polling import PollPolicy
from tests.support.providers.deps import (
    EDIT,
    REQUEST,
    SOURCE,
    ignore_progress,
    input_picture,
    painted,
)
from tests.support.providers.fal import (
    KEY,
    FalFixture,
    build_submit,
    follow,
    open_fixture,
)


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


# Success


async def test_a_prompt_becomes_a_picture_with_progress(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=0.3)
    fixture.sandbox.faults.set("slow_run", seconds=0.3)
    fal = fixture.fal()
    updates, finished = await follow(fal, await fal.submit(build_submit(), ignore_progress))
    (picture,) = finished.pictures
    assert (picture.content_type, picture.width, picture.height) == ("image/png", 1024, 1024)
    assert picture.filename == "picture-1.png"
    assert finished.cost is None  # fal names no price: the caller has a catalogue
    queued = [item for item in updates if item.position is not None]
    assert {item.note for item in queued} == {"queued at the service"}
    assert [item.position for item in queued][-1] == 0
    assert {item.note for item in updates[len(queued) : -1]} == {"painting"}
    assert (updates[-1].note, updates[-1].fraction) == ("painted", 1.0)
    assert len(set(updates)) == len(updates)


@pytest.mark.parametrize(
    ("change", "wire_name", "value"),
    [
        ({}, "prompt", "a fox in the snow"),
        ({"size": "auto"}, "image_size", "1024x1024"),
        ({"size": "square"}, "image_size", "1024x1024"),
        ({"size": "landscape"}, "image_size", "1536x1024"),
        ({"size": "portrait"}, "image_size", "1024x1536"),
        ({"quality": "low"}, "quality", "low"),
        ({"quality": "medium"}, "quality", "medium"),
        ({"quality": "high"}, "quality", "high"),
        ({"background": "auto"}, "background", "auto"),
        ({"background": "transparent"}, "background", "transparent"),
        ({"background": "opaque"}, "background", "opaque"),
        ({"output_format": "png"}, "output_format", "png"),
        ({"output_format": "jpeg"}, "output_format", "jpeg"),
        ({"output_format": "webp"}, "output_format", "webp"),
        ({"count": 4}, "num_images", 4),
    ],
)
async def test_each_option_is_sent_as_fal_names_it(
    fixture: FalFixture, change: dict[str, Any], wire_name: str, value: object
) -> None:
    await fixture.submit(replace(REQUEST, **change))
    assert fixture.body[wire_name] == value
    assert set(fixture.body) == {"prompt", "num_images", "image_size", "quality", "background", "output_format"}
    (request,) = fixture.sandbox.requests.values()
    assert request.endpoint == "fal-ai/gpt-image-1.5"
    assert json.loads(request.headers["x-fal-object-lifecycle-preference"]) == {
        "expiration_duration_seconds": 86400
    }


async def test_an_edit_goes_to_the_edit_endpoint_with_its_links_mask_and_fidelity(fixture: FalFixture) -> None:
    links = [input_picture(painted(), url=f"https://cdn.discordapp.com/{name}.png") for name in "ab"]
    mask = input_picture(painted(mode="RGBA", colour=(0, 0, 0, 0)), url="https://cdn.discordapp.com/m.png")
    image_request = replace(EDIT, sources=(SOURCE, SOURCE), mask=SOURCE, fidelity="low")
    await fixture.submit(image_request, *links, mask=mask)
    assert fixture.body["image_urls"] == ["https://cdn.discordapp.com/a.png", "https://cdn.discordapp.com/b.png"]
    assert fixture.body["mask_image_url"] == "https://cdn.discordapp.com/m.png"
    assert (fixture.body["input_fidelity"], fixture.body["image_size"]) == ("low", "auto")
    (request,) = fixture.sandbox.requests.values()
    assert request.endpoint == "fal-ai/gpt-image-1.5/edit"


async def test_small_pictures_without_a_link_travel_inside_the_request(fixture: FalFixture) -> None:
    mask = input_picture(painted(mode="RGBA", colour=(0, 0, 0, 0)))
    fal = fixture.fal()
    image_request = replace(EDIT, mask=SOURCE)
    _, finished = await follow(
        fal,
        await fal.submit(build_submit(image_request, input_picture(painted()), mask=mask), ignore_progress),
        image_request,
    )
    assert fixture.body["image_urls"][0].startswith("data:image/png;base64,")
    assert fixture.body["mask_image_url"].startswith("data:image/png;base64,")
    assert len(finished.pictures) == 1


async def test_big_pictures_go_through_fals_storage_and_the_key_only_to_its_first_step(
    fixture: FalFixture,
) -> None:
    big = painted() + bytes(3_000_000)
    fal = fixture.fal()
    await follow(
        fal, await fal.submit(build_submit(EDIT, input_picture(big, filename="größe.png")), ignore_progress), EDIT
    )
    (link,) = fixture.body["image_urls"]
    assert link.startswith(f"{fixture.sandbox.url}/files/")
    token, upload = list(fixture.sandbox.calls)[:2]
    assert (token["path"], token["authorization"]) == ("/storage/auth/token", "Key")
    assert (upload["path"], upload["authorization"], upload["status"]) == ("/files/upload", "Bearer", 200)


async def test_several_pictures_arrive_in_one_go(fixture: FalFixture) -> None:
    finished = await fixture.result(replace(REQUEST, count=3))
    assert [picture.filename for picture in finished.pictures] == [
        "picture-1.png",
        "picture-2.png",
        "picture-3.png",
    ]


async def test_a_response_that_is_in_progress_at_once_is_followed(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("submit_in_progress")
    assert len((await fixture.result()).pictures) == 1


async def test_another_process_can_finish_what_one_has_begun(fixture: FalFixture) -> None:
    ticket = await fixture.submit()
    stored = replace(ticket, data=json.loads(json.dumps(ticket.data)))
    assert KEY not in json.dumps(stored.data)
    await fixture.stack.aclose()
    _, finished = await follow(fixture.fal(), stored)
    assert len(finished.pictures) == 1
    assert fixture.sandbox.submits == 1


async def test_the_pace_grows_from_quick_to_calm() -> None:
    poll_policy = PollPolicy(jitter=0)
    assert [round(poll_policy.wait_after_success(polls), 2) for polls in (0, 1, 7, 10_000)] == [1, 1.3, 5, 5]
    assert [poll_policy.wait_after_failures(failures) for failures in (1, 2, 3, 10_000)] == [1, 2, 4, 30]
    assert all(1 <= PollPolicy().wait_after_success(0) <= 1.2 for _ in range(50))


@pytest.mark.parametrize(("asked", "wait"), [(None, 2), (0, 2), (1.5, 2), (7, 7), (3600, 60)])
async def test_a_provider_can_ask_for_a_longer_wait_between_polls_and_for_no_shorter_one(
    asked: float | None, wait: float
) -> None:
    assert PollPolicy(jitter=0).wait_after_failures(2, asked) == wait


async def test_a_malformed_key_is_refused_at_start_without_showing_it(fixture: FalFixture) -> None:
    with pytest.raises(SetupError) as error:
        fixture.fal(key="me:secret\nX-Other: 1")
    assert "secret" not in str(error.value)
