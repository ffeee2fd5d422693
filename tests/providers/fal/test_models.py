"""Every model at fal: how each is asked for, who pays, what comes back, and what fal says of it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from bot.catalog.offers import Unsupported
from bot.domain.errors import GenerationFailed, ModelRetired, ProviderMisconfigured, RateLimited, SubmitUnknown
from bot.domain.jobs import Finished
from bot.domain.money import Money
from bot.domain.providers import ProviderHealth
from bot.domain.requests import ImageRequest
from bot.providers.fal.schemas import Usage
from tests.support.providers.fal import (
    ASKED,
    OFFERS,
    SOURCE,
    FalFixture,
    all_news,
    closed_port,
    finished_queue,
    given,
    http,
    open_house,
    order,
    painted,
    silent,
    ticket_at,
    wire,
)

ONE = ImageRequest(prompt="a fox in the snow", model="gpt-image-1", quality="low")
TWO = ImageRequest(prompt="a fox in the snow", model="gpt-image-2", quality="low")
OPENAI_KEY = "sk-proj-of-the-operator"
OWN_KEY: dict[str, Any] = {"openai_key": SecretStr(OPENAI_KEY)}
BYOK = OFFERS["gpt-image-1"].byok


@pytest.fixture
async def house() -> AsyncIterator[FalFixture]:
    async with open_house() as opened:
        yield opened


# Each model in its own words


@pytest.mark.parametrize("request_", [ASKED, ONE, TWO], ids=lambda asked: asked.model)
@pytest.mark.parametrize("edit", [False, True])
@pytest.mark.parametrize("streams", [False, True])
async def test_every_model_paints_and_edits(
    house: FalFixture, request_: ImageRequest, edit: bool, streams: bool
) -> None:
    asked = replace(request_, sources=(SOURCE,)) if edit else request_
    finished = await house.result(asked, *([given(painted())] if edit else []), streams=streams)
    assert len(finished.pictures) == 1
    verb = OFFERS[asked.model].edit if edit else OFFERS[asked.model].imagine
    assert verb is not None
    assert house.request.endpoint == verb.endpoint


async def test_the_first_model_edits_without_a_mask(house: FalFixture) -> None:
    asked = replace(ONE, sources=(SOURCE,), fidelity="low", quality="auto")
    await house.result(asked, given(painted()))
    assert house.request.endpoint == "fal-ai/gpt-image-1/edit-image"
    assert house.body == {
        "prompt": "a fox in the snow",
        "image_urls": [house.body["image_urls"][0]],
        "image_size": "auto",
        "quality": "auto",
        "background": "auto",
        "output_format": "png",
        "input_fidelity": "low",
        "num_images": 1,
    }
    with pytest.raises(Unsupported):
        order(replace(asked, mask=SOURCE))


@pytest.mark.parametrize(
    ("size", "wire_size", "pixels"),
    [
        ("square", "square_hd", (1024, 1024)),
        ("4:3", "landscape_4_3", (1024, 768)),
        ("1536x1024", {"width": 1536, "height": 1024}, (1536, 1024)),
    ],
)
async def test_the_second_model_takes_presets_and_sizes_of_ones_own(
    house: FalFixture, size: str, wire_size: Any, pixels: tuple[int, int]
) -> None:
    finished = await house.result(replace(TWO, size=size))
    assert house.body["image_size"] == wire_size
    assert (finished.pictures[0].width, finished.pictures[0].height) == pixels
    assert "background" not in house.body


async def test_the_second_models_mask_has_another_name(house: FalFixture) -> None:
    mask = given(painted(mode="RGBA", colour=(0, 0, 0, 0)))
    asked = replace(TWO, sources=(SOURCE,), mask=SOURCE)
    finished = await house.result(asked, given(painted()), mask=mask)
    assert len(finished.pictures) == 1
    assert house.body["mask_url"].startswith("data:image/png;base64,")
    assert "mask_image_url" not in house.body


async def test_the_ticket_says_how_many_pictures_are_due_whatever_the_job_asks_for(house: FalFixture) -> None:
    asked = replace(ASKED, count=6)
    fit = OFFERS[asked.model].fit(asked)
    assert fit.submits == (4, 2)
    fal = house.fal()
    ticket = await fal.submit(replace(order(asked), count=2, part=1), silent)
    assert ticket.count == house.body["num_images"] == 2
    _, finished = await all_news(fal, ticket, asked)
    assert len(finished.pictures) == 2
    assert finished.note == ""


async def test_what_became_of_a_lost_submit_nobody_can_say(house: FalFixture) -> None:
    with pytest.raises(SubmitUnknown):
        await house.fal().reconcile(order(), ())
    assert not house.sandbox.calls


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
    house: FalFixture, name: str, values: dict[str, Any]
) -> None:
    house.sandbox.faults.set(name, **values)
    with pytest.raises(ModelRetired) as retired:
        await house.result()
    assert retired.value.elsewhere
    assert house.sandbox.submits == 1


async def test_a_model_ends_on_its_day(house: FalFixture) -> None:
    house.sandbox.gone = {"fal-ai/gpt-image-1.5": "2020-01-01"}
    with pytest.raises(ModelRetired):
        await house.submit()
    assert len((await house.result(TWO)).pictures) == 1


# How long to wait at fal


async def test_a_request_that_does_not_start_in_time_has_failed_and_says_so(house: FalFixture) -> None:
    house.sandbox.faults.set("slow_queue", seconds=5)
    for hidden in (False, True):
        if hidden:
            house.sandbox.faults.set("hidden_error")
        with pytest.raises(GenerationFailed, match="too busy to begin") as failed:
            await house.result(start_timeout=0.2)
        assert failed.value.detail == "504 request_timeout, not started"
    assert {request.headers["x-fal-request-start-timeout"] for request in house.sandbox.requests.values()} == {
        "0.2"
    }


async def test_without_a_deadline_none_is_sent(house: FalFixture) -> None:
    await house.submit()
    assert "x-fal-request-start-timeout" not in house.request.headers


async def test_a_queue_that_is_too_long_is_not_joined(house: FalFixture) -> None:
    house.sandbox.faults.set("slow_queue", seconds=5)
    for _ in range(3):
        await house.submit(longest_queue=100)
    with pytest.raises(RateLimited):
        await house.submit(longest_queue=1)
    assert len(house.sandbox.requests) == 3


# The operator's own key


@pytest.mark.parametrize("edit", [False, True])
async def test_the_operators_own_key_pays_where_there_is_an_endpoint_for_it(
    house: FalFixture, edit: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = replace(ONE, sources=(SOURCE,), fidelity="low") if edit else ONE
    fal = house.fal(**OWN_KEY)
    ticket = await fal.submit(order(asked, *([given(painted())] if edit else [])), silent)
    _, finished = await all_news(fal, ticket, asked)
    assert house.request.endpoint == f"fal-ai/gpt-image-1/{'edit-image' if edit else 'text-to-image'}/byok"
    assert house.request.headers["x-fal-store-io"] == "0"
    assert house.body["openai_api_key"] == "<hidden>"
    words, painted_tokens, sources = 5 * 4, 272, 135 if edit else 0
    assert finished.cost == Money(words * 5 + sources * 10 + painted_tokens * 40)
    said = f"{ticket!r} {json.dumps(ticket.data)} {fal!r} {vars(fal)!r} {finished!r} {caplog.text}"
    assert OPENAI_KEY not in said


async def test_the_key_itself_goes_to_fal_and_only_inside_the_body(house: FalFixture) -> None:
    async with wire(
        http(401, {"detail": f"Incorrect API key provided: {OPENAI_KEY}", "error_type": "no"})
    ) as queue:
        with pytest.raises(ProviderMisconfigured) as refusal:
            await house.submit(ONE, queue_url=queue.url, **OWN_KEY)
        assert json.loads(queue.bodies[0])["openai_api_key"] == OPENAI_KEY
        assert OPENAI_KEY not in queue.heard[0]
    assert OPENAI_KEY not in f"{refusal.value!r} {vars(refusal.value)!r} {refusal.value.__context__!r}"


@pytest.mark.parametrize("asked", [ASKED, TWO], ids=lambda asked: asked.model)
async def test_other_models_never_see_the_own_key(house: FalFixture, asked: ImageRequest) -> None:
    ticket = await house.submit(asked, **OWN_KEY)
    assert "openai_api_key" not in house.body
    assert "x-fal-store-io" not in house.request.headers
    assert ticket.data["byok"] is False


async def test_without_an_own_key_fal_is_paid(house: FalFixture) -> None:
    finished = await house.result(ONE)
    assert house.request.endpoint == "fal-ai/gpt-image-1/text-to-image"
    assert finished.cost is None


async def test_a_job_keeps_its_payer_when_the_key_is_gone_after_a_restart(house: FalFixture) -> None:
    ticket = await house.submit(ONE, **OWN_KEY)
    _, finished = await all_news(house.fal(), ticket, ONE)
    assert finished.cost == Money(20 * 5 + 272 * 40)


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (
            {"input_tokens": 30, "output_tokens": 272, "input_tokens_details": {"text_tokens": 30}},
            30 * 5 + 272 * 40,
        ),
        (
            {
                "input_tokens": 165,
                "output_tokens": 1,
                "input_tokens_details": {"text_tokens": 30, "image_tokens": 135},
            },
            30 * 5 + 135 * 10 + 40,
        ),
        ({"input_tokens": 10, "output_tokens": 0}, 100),
        ({"input_tokens": 10, "output_tokens": 0, "input_tokens_details": None}, 100),
        ({"input_tokens": 10, "output_tokens": 0, "input_tokens_details": {"text_tokens": 4}}, 80),
        ({"input_tokens": 4, "output_tokens": 0, "input_tokens_details": {"text_tokens": 4, "more": 1}}, 20),
    ],
)
def test_tokens_become_micro_dollars(usage: dict[str, Any], micros: int) -> None:
    assert BYOK is not None
    assert Usage.model_validate(usage).cost(BYOK) == Money(micros)


@pytest.mark.parametrize("usage", [None, [], {"input_tokens": -1, "output_tokens": 2}, {"output_tokens": "many"}])
async def test_a_count_that_makes_no_sense_does_not_spoil_the_pictures(house: FalFixture, usage: Any) -> None:
    link = "data:image/png;base64," + base64.b64encode(painted()).decode()
    async with wire(finished_queue({"images": [{"url": link}], "usage": usage})) as queue:
        fal = house.fal(queue_url=queue.url, **OWN_KEY)
        _, finished = await all_news(fal, ticket_at(queue.url, byok=True), ONE)
    assert len(finished.pictures) == 1
    assert finished.cost is None


@pytest.mark.parametrize(
    ("units", "cost"),
    [("0", Money(0)), ("0.00000000", Money(0)), ("1", None), ("0.00000001", None), ("", None), ("none", None)],
)
async def test_nothing_billed_costs_nothing_and_any_other_unit_says_no_price(
    house: FalFixture, units: str, cost: Money | None
) -> None:
    house.sandbox.faults.set("result_units", body=units)
    finished = await house.result()
    assert finished.cost == cost
    assert len(finished.pictures) == 1


async def test_units_of_zero_say_nothing_of_what_openai_bills(house: FalFixture) -> None:
    house.sandbox.faults.set("result_units", body="0")
    assert (await house.result(ONE, **OWN_KEY)).cost == Money(20 * 5 + 272 * 40)


# Pictures inside the result


async def synchronous(house: FalFixture, count: int, **changes: Any) -> Finished:
    """As if the model's own `sync_mode` had been asked for."""
    asked = order(replace(ASKED, count=count))
    inline = replace(asked, fit=replace(asked.fit, fields={**asked.fit.fields, "sync_mode": True}))
    fal = house.fal(**changes)
    ticket = await fal.submit(inline, silent)
    return (await all_news(fal, ticket))[1]


async def test_data_uris_are_pictures(house: FalFixture) -> None:
    finished = await synchronous(house, 2)
    assert [picture.filename for picture in finished.pictures] == ["picture-1.png", "picture-2.png"]
    assert [picture.url for picture in finished.pictures] == [None, None]
    assert not any("/files/" in path for path in house.paths())


async def test_four_big_pictures_fit_into_a_result(house: FalFixture) -> None:
    house.sandbox.picture_bytes = 6_000_000
    finished = await synchronous(house, 4)
    assert [len(picture.content) for picture in finished.pictures] == [6_000_000] * 4


async def test_several_big_results_are_read_one_after_the_other_and_none_is_lost(house: FalFixture) -> None:
    house.sandbox.picture_bytes = 2_000_000
    async with asyncio.TaskGroup() as group:
        fal = {"streams": True}
        tasks = [group.create_task(synchronous(house, 1, **fal)) for _ in range(5)]
    assert all(len(task.result().pictures) == 1 for task in tasks)


async def test_bytes_beside_a_dead_link_are_pictures(house: FalFixture) -> None:
    house.sandbox.faults.set("file_data")
    finished = await house.result(replace(ASKED, count=2))
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
    house: FalFixture, image: dict[str, Any], good: bool
) -> None:
    other = {"url": "data:image/png;base64," + base64.b64encode(painted(colour="blue")).decode()}
    async with wire(finished_queue({"images": [image, other]})) as queue:
        _, finished = await all_news(house.fal(queue_url=queue.url), ticket_at(queue.url, count=2))
    assert len(finished.pictures) == (2 if good else 1)


async def test_bytes_that_are_none_leave_the_link(house: FalFixture) -> None:
    async with wire(http(200, painted())) as cdn:
        image = {"url": f"{cdn.url}/a.png", "file_data": "<not base64>"}
        async with wire(finished_queue({"images": [image]})) as queue:
            _, finished = await all_news(house.fal(queue_url=queue.url), ticket_at(queue.url))
    assert finished.pictures[0].url == f"{cdn.url}/a.png"


# What fal says of itself


async def test_the_examination_tells_what_is_served_and_its_likely_price(house: FalFixture) -> None:
    examined = await house.fal().examine()
    assert (examined.provider, examined.key_works, examined.detail) == ("fal", True, "")
    prices = {served.model: served.price for served in examined.models}
    assert set(prices) == set(OFFERS)
    for name, offer in OFFERS.items():
        fit = offer.fit(ImageRequest(prompt="one", model=name, size="square", quality="medium"))
        assert prices[name] == Money(fit.likely(1))
    assert [served.gone for served in examined.models] == [False] * len(OFFERS)
    assert house.sandbox.submits == 0
    assert house.paths() == ["GET /v1/models"]


def gone(examined: ProviderHealth) -> dict[str, bool | None]:
    return {served.model: served.gone for served in examined.models}


@pytest.mark.parametrize("name", ["platform_deprecated", "platform_gone"])
async def test_the_examination_tells_which_model_is_gone(house: FalFixture, name: str) -> None:
    house.sandbox.faults.set(name, endpoint="fal-ai/gpt-image-1/text-to-image")
    examined = await house.fal().examine()
    assert examined.key_works is True
    assert gone(examined) == {"gpt-image-1": True, "gpt-image-1.5": False, "gpt-image-2": False}


async def test_a_key_that_does_not_work_is_told_without_showing_it(house: FalFixture) -> None:
    examined = await house.fal(key=SecretStr("some:other-secret")).examine()
    assert examined.key_works is False
    assert examined.detail.startswith("401")
    assert "other-secret" not in repr(examined)
    assert set(gone(examined).values()) == {None}


async def test_a_locked_account_is_told(house: FalFixture) -> None:
    async with wire(http(403, {"detail": "User is locked. Reason: TOP_UP."})) as api:
        examined = await house.fal(api_url=api.url).examine()
    assert (examined.key_works, examined.detail) == (False, "403 account locked or balance used up")


@pytest.mark.parametrize("name", ["platform_error", "platform_rate_limited", "platform_html"])
async def test_a_platform_in_trouble_tells_nothing(house: FalFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    examined = await house.fal().examine()
    assert examined.key_works is None
    assert examined.detail != ""
    assert set(gone(examined).values()) == {None}
    assert all(served.price is not None for served in examined.models)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        http(404, b"<html>nothing here</html>"),
        http(200, {"models": [{"endpoint_id": "somebody/else", "metadata": {"status": "active"}}]}),
        http(200, {"models": 5}),
        http(302, location="http://127.0.0.1:1/"),
        http(200, b"x" * 2_000_000),
    ],
)
async def test_an_answer_that_is_not_the_platforms_takes_no_model_away(house: FalFixture, answer: bytes) -> None:
    async with wire(answer) as api:
        examined = await house.fal(api_url=api.url).examine()
    assert examined.key_works is None
    assert set(gone(examined).values()) == {None}


async def test_a_platform_that_is_not_there_tells_nothing(house: FalFixture) -> None:
    examined = await house.fal(api_url=f"http://127.0.0.1:{closed_port()}").examine()
    assert examined.key_works is None
    assert examined.detail.startswith("ClientConnector")


async def test_a_state_that_nobody_knows_is_no_end(house: FalFixture) -> None:
    models = [{"endpoint_id": offer.model, "metadata": {"status": "beta"}} for offer in OFFERS.values()]
    async with wire(http(200, {"models": models})) as api:
        examined = await house.fal(api_url=api.url).examine()
    assert examined.key_works is True
    assert set(gone(examined).values()) == {None}
