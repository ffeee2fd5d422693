"""GPT Image 1 at fal, paid through the operator's own OpenAI key."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    ProviderMisconfigured,
)
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from bot.providers.fal.schemas import Usage
from tests.support.providers.deps import CATALOG, REQUEST, SOURCE, ignore_progress, input_picture, painted
from tests.support.providers.fal import FalFixture, build_submit, finished_queue, follow, open_fixture, ticket_at
from tests.support.raw_server import http, responding

ONE = ImageRequest(prompt="a fox in the snow", model="gpt-image-1", quality="low")
TWO = ImageRequest(prompt="a fox in the snow", model="gpt-image-2", quality="low")
OPENAI_KEY = "sk-proj-of-the-operator"
OWN_KEY: dict[str, Any] = {"openai_api_key": OPENAI_KEY}
BYOK = CATALOG.at("fal")["gpt-image-1"].byok


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


# The operator's own key


@pytest.mark.parametrize("edit", [False, True])
async def test_the_operators_own_key_pays_where_there_is_an_endpoint_for_it(
    fixture: FalFixture, edit: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    image_request = replace(ONE, sources=(SOURCE,), fidelity="low") if edit else ONE
    fal = fixture.fal(**OWN_KEY)
    ticket = await fal.submit(
        build_submit(image_request, *([input_picture(painted())] if edit else [])), ignore_progress
    )
    _, finished = await follow(fal, ticket, image_request)
    assert fixture.request.endpoint == f"fal-ai/gpt-image-1/{'edit-image' if edit else 'text-to-image'}/byok"
    assert fixture.request.headers["x-fal-store-io"] == "0"
    assert fixture.body["openai_api_key"] == "<hidden>"
    words, painted_tokens, sources = 5 * 4, 272, 135 if edit else 0
    assert finished.cost == Money(words * 5 + sources * 10 + painted_tokens * 40)
    shown = f"{ticket!r} {json.dumps(ticket.data)} {fal!r} {vars(fal)!r} {finished!r} {caplog.text}"
    assert OPENAI_KEY not in shown


async def test_the_key_itself_goes_to_fal_and_only_inside_the_body(fixture: FalFixture) -> None:
    async with responding(
        http(401, {"detail": f"Incorrect API key provided: {OPENAI_KEY}", "error_type": "no"})
    ) as queue:
        with pytest.raises(ProviderMisconfigured) as refusal:
            await fixture.submit(ONE, queue_url=queue.url, **OWN_KEY)
        assert json.loads(queue.bodies[0])["openai_api_key"] == OPENAI_KEY
        assert OPENAI_KEY not in queue.heads[0]
    assert OPENAI_KEY not in f"{refusal.value!r} {vars(refusal.value)!r} {refusal.value.__context__!r}"


@pytest.mark.parametrize("image_request", [REQUEST, TWO], ids=lambda request: request.model)
async def test_other_models_never_see_the_own_key(fixture: FalFixture, image_request: ImageRequest) -> None:
    ticket = await fixture.submit(image_request, **OWN_KEY)
    assert "openai_api_key" not in fixture.body
    assert "x-fal-store-io" not in fixture.request.headers
    assert ticket.data["byok"] is False


async def test_without_an_own_key_fal_is_paid(fixture: FalFixture) -> None:
    finished = await fixture.result(ONE)
    assert fixture.request.endpoint == "fal-ai/gpt-image-1/text-to-image"
    assert finished.cost is None


async def test_a_job_keeps_its_payer_when_the_key_is_gone_after_a_restart(fixture: FalFixture) -> None:
    ticket = await fixture.submit(ONE, **OWN_KEY)
    _, finished = await follow(fixture.fal(), ticket, ONE)
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
async def test_a_count_that_makes_no_sense_does_not_spoil_the_pictures(fixture: FalFixture, usage: Any) -> None:
    link = "data:image/png;base64," + base64.b64encode(painted()).decode()
    async with responding(finished_queue({"images": [{"url": link}], "usage": usage})) as queue:
        fal = fixture.fal(queue_url=queue.url, **OWN_KEY)
        _, finished = await follow(fal, ticket_at(queue.url, byok=True), ONE)
    assert len(finished.pictures) == 1
    assert finished.cost is None


@pytest.mark.parametrize(
    ("units", "cost"),
    [("0", Money(0)), ("0.00000000", Money(0)), ("1", None), ("0.00000001", None), ("", None), ("none", None)],
)
async def test_nothing_billed_costs_nothing_and_any_other_unit_says_no_price(
    fixture: FalFixture, units: str, cost: Money | None
) -> None:
    fixture.sandbox.faults.set("result_units", body=units)
    finished = await fixture.result()
    assert finished.cost == cost
    assert len(finished.pictures) == 1


async def test_units_of_zero_say_nothing_of_what_openai_bills(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("result_units", body="0")
    assert (await fixture.result(ONE, **OWN_KEY)).cost == Money(20 * 5 + 272 * 40)
