"""Every model at fal: what is sent, what comes back, and what fal says of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.catalog.live import missing_fields
from bot.catalog.refusals import Unsupported
from bot.domain.errors import (
    GenerationFailed,
    ModelRetired,
    RateLimited,
    SubmitUnknown,
)
from bot.domain.jobs import Finished
from bot.domain.providers import KeyState, ProviderHealth
from bot.domain.requests import ImageRequest
from tests.support.providers.deps import CATALOG, REQUEST, SOURCE, ignore_progress, input_picture, painted
from tests.support.providers.fal import FalFixture, build_submit, finished_queue, follow, open_fixture, ticket_at
from tests.support.raw_server import closed_port, http, responding

ONE = ImageRequest(prompt="a fox in the snow", model="gpt-image-1", quality="low")
TWO = ImageRequest(prompt="a fox in the snow", model="gpt-image-2", quality="low")


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


# What each model is sent


@pytest.mark.parametrize("request_", [REQUEST, ONE, TWO], ids=lambda request: request.model)
@pytest.mark.parametrize("edit", [False, True])
@pytest.mark.parametrize("streams", [False, True])
async def test_every_model_paints_and_edits(
    fixture: FalFixture, request_: ImageRequest, edit: bool, streams: bool
) -> None:
    image_request = replace(request_, sources=(SOURCE,)) if edit else request_
    finished = await fixture.result(image_request, *([input_picture(painted())] if edit else []), stream=streams)
    assert len(finished.pictures) == 1
    operation = (
        CATALOG.at("fal")[image_request.model].edit if edit else CATALOG.at("fal")[image_request.model].imagine
    )
    assert operation is not None
    assert fixture.request.endpoint == operation.endpoint


async def test_the_first_model_edits_without_a_mask(fixture: FalFixture) -> None:
    image_request = replace(ONE, sources=(SOURCE,), fidelity="low", quality="auto")
    await fixture.result(image_request, input_picture(painted()))
    assert fixture.request.endpoint == "fal-ai/gpt-image-1/edit-image"
    assert fixture.body == {
        "prompt": "a fox in the snow",
        "image_urls": [fixture.body["image_urls"][0]],
        "image_size": "auto",
        "quality": "auto",
        "background": "auto",
        "output_format": "png",
        "input_fidelity": "low",
        "num_images": 1,
    }
    with pytest.raises(Unsupported):
        build_submit(replace(image_request, mask=SOURCE))


@pytest.mark.parametrize(
    ("size", "wire_size", "pixels"),
    [
        ("square", "square_hd", (1024, 1024)),
        ("4:3", "landscape_4_3", (1024, 768)),
        ("1536x1024", {"width": 1536, "height": 1024}, (1536, 1024)),
    ],
)
async def test_the_second_model_takes_presets_and_sizes_of_ones_own(
    fixture: FalFixture, size: str, wire_size: Any, pixels: tuple[int, int]
) -> None:
    finished = await fixture.result(replace(TWO, size=size))
    assert fixture.body["image_size"] == wire_size
    assert (finished.pictures[0].width, finished.pictures[0].height) == pixels
    assert fixture.body["background"] == "auto"


async def test_the_second_models_mask_has_another_name(fixture: FalFixture) -> None:
    mask = input_picture(painted(mode="RGBA", colour=(0, 0, 0, 0)))
    image_request = replace(TWO, sources=(SOURCE,), mask=SOURCE)
    finished = await fixture.result(image_request, input_picture(painted()), mask=mask)
    assert len(finished.pictures) == 1
    assert fixture.body["mask_url"].startswith("data:image/png;base64,")
    assert "mask_image_url" not in fixture.body


async def test_the_ticket_says_how_many_pictures_are_due_whatever_the_job_wants(fixture: FalFixture) -> None:
    image_request = replace(REQUEST, count=6)
    provider_request = CATALOG.at("fal")[image_request.model].translate(image_request)
    assert provider_request.counts == (4, 2)
    fal = fixture.fal()
    ticket = await fal.submit(replace(build_submit(image_request), count=2, part=1), ignore_progress)
    assert ticket.count == fixture.body["num_images"] == 2
    _, finished = await follow(fal, ticket, image_request)
    assert len(finished.pictures) == 2


async def test_what_became_of_a_lost_submit_cannot_be_found_out(fixture: FalFixture) -> None:
    with pytest.raises(SubmitUnknown):
        await fixture.fal().reconcile(build_submit(), ())
    assert not fixture.sandbox.calls


# Models that are gone


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model_gone", {}),
        ("run_gone", {}),
        ("run_gone", {"status": 410}),
        ("run_gone", {"status": 422, "error_type": "model_deprecated", "body": "gone"}),
        ("run_gone", {"status": 400, "body": "The model `gpt-image-1.5` does not exist or you have no access"}),
        ("result_gone", {}),
    ],
)
async def test_a_model_that_is_gone_is_retired_whenever_fal_says_so(
    fixture: FalFixture, name: str, values: dict[str, Any]
) -> None:
    fixture.sandbox.faults.set(name, **values)
    with pytest.raises(ModelRetired) as retired:
        await fixture.result()
    assert retired.value.may_fail_over
    assert fixture.sandbox.submits == 1


async def test_a_model_ends_on_its_day(fixture: FalFixture) -> None:
    fixture.sandbox.gone = {"fal-ai/gpt-image-1.5": "2020-01-01"}
    with pytest.raises(ModelRetired):
        await fixture.submit()
    assert len((await fixture.result(TWO)).pictures) == 1


# How long to wait at fal


async def test_a_request_that_does_not_start_in_time_has_failed_and_says_so(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=5)
    for hidden in (False, True):
        if hidden:
            fixture.sandbox.faults.set("hidden_error")
        with pytest.raises(GenerationFailed, match="too busy to begin") as failed:
            await fixture.result(unchecked={"fal_start_timeout": 0.2})
        assert failed.value.detail == "504 request_timeout, not started"
    assert {request.headers["x-fal-request-start-timeout"] for request in fixture.sandbox.requests.values()} == {
        "0.2"
    }


async def test_without_a_deadline_none_is_sent(fixture: FalFixture) -> None:
    await fixture.submit()
    assert "x-fal-request-start-timeout" not in fixture.request.headers


async def test_a_queue_that_is_too_long_is_not_joined(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=5)
    for _ in range(3):
        await fixture.submit(longest_queue=100)
    with pytest.raises(RateLimited):
        await fixture.submit(longest_queue=1)
    assert len(fixture.sandbox.requests) == 3


# Pictures inside the result


async def synchronous(fixture: FalFixture, count: int, **changes: Any) -> Finished:
    """The result with the pictures inside, as the model's own `sync_mode` gives it."""
    image_request = build_submit(replace(REQUEST, count=count))
    inline = replace(
        image_request,
        provider_request=replace(
            image_request.provider_request, fields={**image_request.provider_request.fields, "sync_mode": True}
        ),
    )
    fal = fixture.fal(**changes)
    ticket = await fal.submit(inline, ignore_progress)
    return (await follow(fal, ticket))[1]


async def test_data_uris_are_pictures(fixture: FalFixture) -> None:
    finished = await synchronous(fixture, 2)
    assert [picture.filename for picture in finished.pictures] == ["picture-1.png", "picture-2.png"]
    assert [picture.url for picture in finished.pictures] == [None, None]
    assert not any("/files/" in path for path in fixture.paths())


async def test_four_big_pictures_fit_into_a_result(fixture: FalFixture) -> None:
    fixture.sandbox.picture_bytes = 6_000_000
    finished = await synchronous(fixture, 4)
    assert [len(picture.content) for picture in finished.pictures] == [6_000_000] * 4


async def test_several_big_results_are_read_one_after_the_other_and_none_is_lost(fixture: FalFixture) -> None:
    fixture.sandbox.picture_bytes = 2_000_000
    async with asyncio.TaskGroup() as group:
        fal = {"stream": True}
        tasks = [group.create_task(synchronous(fixture, 1, **fal)) for _ in range(5)]
    assert all(len(task.result().pictures) == 1 for task in tasks)


async def test_bytes_beside_a_dead_link_are_pictures(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("file_data")
    finished = await fixture.result(replace(REQUEST, count=2))
    assert len(finished.pictures) == 2
    assert [picture.url for picture in finished.pictures] == [None, None]


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ({"file_data": base64.b64encode(painted()).decode()}, True),
        ({"url": None, "file_data": "data:image/png;base64," + base64.b64encode(painted()).decode()}, True),
        ({"url": "DATA:image/png;base64," + base64.b64encode(painted()).decode(), "file_data": None}, True),
        ({"url": "data:image/png;base64,%%%"}, False),
        ({"url": "data:image/png"}, False),
        ({"file_data": "?"}, False),
        ({"file_data": base64.b64encode(b"no picture").decode()}, False),
        ({"url": 5, "file_data": 6}, False),
    ],
)
async def test_one_that_cannot_be_read_does_not_spoil_the_others(
    fixture: FalFixture, image: dict[str, Any], good: bool
) -> None:
    other = {"url": "data:image/png;base64," + base64.b64encode(painted(colour="blue")).decode()}
    async with responding(finished_queue({"images": [image, other]})) as queue:
        _, finished = await follow(fixture.fal(queue_url=queue.url), ticket_at(queue.url, count=2))
    assert len(finished.pictures) == (2 if good else 1)


async def test_bytes_that_are_none_leave_the_link(fixture: FalFixture) -> None:
    async with responding(http(200, painted())) as cdn:
        image = {"url": f"{cdn.url}/a.png", "file_data": "<not base64>"}
        async with responding(finished_queue({"images": [image]})) as queue:
            _, finished = await follow(fixture.fal(queue_url=queue.url), ticket_at(queue.url))
    assert finished.pictures[0].url == f"{cdn.url}/a.png"


# Health


async def test_the_health_check_shows_what_is_served_and_with_which_fields(fixture: FalFixture) -> None:
    health = await fixture.fal().check_health()
    assert (health.provider, health.key, health.detail) == ("fal", KeyState.WORKS, "")
    fields = {served.model: served.fields for served in health.models}
    assert set(fields) == set(CATALOG.at("fal"))
    assert (
        "image_urls"
        in fields["gpt-image-1.5"]["edit"]
        > fields["gpt-image-1.5"]["imagine"]
        > {"prompt", "quality"}
    )
    for served in health.models:
        assert missing_fields(CATALOG.at("fal")[served.model], served) == ()
    assert [served.gone for served in health.models] == [False] * len(CATALOG.at("fal"))
    assert fixture.sandbox.submits == 0
    assert set(fixture.paths()) == {"GET /v1/models", "GET /v1/models/pricing"}


def gone(health: ProviderHealth) -> dict[str, bool | None]:
    return {served.model: served.gone for served in health.models}


@pytest.mark.parametrize("name", ["platform_deprecated", "platform_gone"])
async def test_the_health_check_shows_which_model_is_gone(fixture: FalFixture, name: str) -> None:
    fixture.sandbox.faults.set(name, endpoint="fal-ai/gpt-image-1/text-to-image")
    health = await fixture.fal().check_health()
    assert health.key is KeyState.WORKS
    assert gone(health) == {name: name == "gpt-image-1" for name in CATALOG.at("fal")}


async def test_a_refused_key_is_reported_without_showing_it(fixture: FalFixture) -> None:
    health = await fixture.fal(key="some:other-secret").check_health()
    assert health.key is KeyState.REFUSED
    assert health.detail.startswith("401")
    assert "other-secret" not in repr(health)
    assert set(gone(health).values()) == {None}


async def test_a_locked_account_is_reported(fixture: FalFixture) -> None:
    async with responding(http(403, {"detail": "User is locked. Reason: TOP_UP."})) as api:
        health = await fixture.fal(api_url=api.url).check_health()
    assert (health.key, health.detail) == (KeyState.FORBIDDEN, "403 account locked or balance used up")


@pytest.mark.parametrize("name", ["platform_error", "platform_rate_limited", "platform_html"])
async def test_a_platform_in_trouble_leaves_the_key_and_the_models_unknown(fixture: FalFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    health = await fixture.fal().check_health()
    assert health.key is KeyState.UNKNOWN
    assert health.detail != ""
    assert set(gone(health).values()) == {None}
    assert not any(served.prices or served.fields for served in health.models)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        http(404, b"<html>nothing here</html>"),
        http(200, {"models": [{"endpoint_id": "somebody/else", "metadata": {"status": "active"}}]}),
        http(200, {"models": 5}),
        http(
            200,
            {
                "models": [{"endpoint_id": "openai/gpt-image-2", "metadata": {"status": "active"}}],
                "has_more": True,
            },
        ),
        http(404, {"error": {"type": "not_found", "message": "Endpoint not found"}}),
        http(302, location="http://127.0.0.1:1/"),
        http(200, b"x" * 2_000_000),
    ],
)
async def test_a_response_that_is_not_the_platforms_retires_no_model(fixture: FalFixture, response: bytes) -> None:
    async with responding(response) as api:
        health = await fixture.fal(api_url=api.url).check_health()
    assert health.key is KeyState.UNKNOWN
    assert set(gone(health).values()) == {None}


async def test_a_list_in_several_pages_is_read_to_its_end(fixture: FalFixture) -> None:
    listed = [
        {"endpoint_id": offer.model, "metadata": {"status": "active"}} for offer in CATALOG.at("fal").values()
    ]

    def respond(line: str) -> bytes:
        if "cursor=more" in line:
            return http(200, {"models": listed[2:], "has_more": True, "next_cursor": "last"})
        if "cursor=last" in line:
            return http(200, {"models": []})
        return http(200, {"models": listed[:2], "has_more": True, "next_cursor": "more"})

    async with responding(respond) as api:
        health = await fixture.fal(api_url=api.url).check_health()
    assert health.key is KeyState.WORKS
    assert set(gone(health).values()) == {False}


async def test_a_platform_that_is_not_there_leaves_the_key_unknown(fixture: FalFixture) -> None:
    health = await fixture.fal(api_url=f"http://127.0.0.1:{closed_port()}").check_health()
    assert health.key is KeyState.UNKNOWN
    assert health.detail.startswith("Connect")


async def test_an_unknown_state_retires_no_model(fixture: FalFixture) -> None:
    models = [{"endpoint_id": offer.model, "metadata": {"status": "beta"}} for offer in CATALOG.at("fal").values()]
    async with responding(http(200, {"models": models})) as api:
        health = await fixture.fal(api_url=api.url).check_health()
    assert health.key is KeyState.WORKS
    assert set(gone(health).values()) == {None}
