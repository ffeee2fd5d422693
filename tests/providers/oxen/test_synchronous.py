"""Oxen without its queue: calls whose response is the picture."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.catalog.offers import Submit
from bot.domain.clock import real_time
from bot.domain.errors import (
    PromptRejected,
    ProviderError,
    ProviderMisconfigured,
    SubmitFailed,
    SubmitUnknown,
)
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.domain.pictures import InputPicture
from bot.domain.providers import CancelResult
from bot.domain.requests import ImageRequest
from bot.providers.oxen.request import one_at_a_time
from tests.support.providers.deps import CATALOG, ignore_progress, input_picture, painted
from tests.support.providers.oxen import (
    EDIT,
    MODEL,
    REQUEST,
    OxenFixture,
    follow,
    later,
    lose_submit,
    open_fixture,
    responding_to_submits,
)
from tests.support.raw_server import http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[OxenFixture]:
    async with open_fixture() as opened:
        yield opened


# The way without a queue


def single(fixture: OxenFixture, request: ImageRequest = REQUEST, *inputs: InputPicture) -> Submit:
    offer = one_at_a_time(CATALOG.at("oxen"))[request.model]
    return Submit(
        job_id=1, provider_request=offer.translate(request), count=1, inputs=inputs, submitted_at=real_time()
    )


def test_one_at_a_time_splits_by_one(fixture: OxenFixture) -> None:
    provider_request = one_at_a_time(CATALOG.at("oxen"))[MODEL].translate(replace(REQUEST, count=3))
    assert provider_request.counts == (1, 1, 1)
    assert "num_generations" not in provider_request.body(1)


@pytest.mark.parametrize("request_", [REQUEST, EDIT])
async def test_the_picture_of_a_synchronous_call_is_fetched_by_its_link(
    fixture: OxenFixture, request_: ImageRequest
) -> None:
    updates: list[Progress] = []
    oxen = fixture.oxen(queue=False)
    inputs = [input_picture(painted())] if request_.sources else []
    ticket = await oxen.submit(single(fixture, request_, *inputs), updates.append)
    assert [item.note for item in updates] == ["painting"]
    updates, finished = await follow(oxen, ticket)
    assert (len(finished.pictures), finished.cost) == (1, None)
    assert [item.fraction for item in updates] == [1.0]
    assert [row.via for row in fixture.sandbox.generations.values()] == ["generate"]
    assert fixture.sandbox.state()["events"]["opened"] == 0
    assert await oxen.cancel(ticket) is CancelResult.TOO_LATE


@pytest.mark.parametrize("name", ["url", "b64_json"])
async def test_bytes_inside_a_synchronous_response_are_stored(fixture: OxenFixture, name: str) -> None:
    inside = base64.b64encode(painted()).decode()
    image = {name: inside if name == "b64_json" else f"data:image/png;base64,{inside}"}
    async with responding(responding_to_submits(http(200, {"images": [image, 5]}))) as service:
        oxen = fixture.oxen(base_url=service.url, queue=False)
        ticket = await oxen.submit(single(fixture), ignore_progress)
        assert (ticket.data["urls"], ticket.results) == ([], (painted(),))
        assert (await follow(oxen, ticket))[1].pictures[0].width == 64


@pytest.mark.parametrize(
    ("prompt", "fault", "error"),
    [
        ("something forbidden", None, PromptRejected),
        (REQUEST.prompt, "no_credit", ProviderMisconfigured),
        (REQUEST.prompt, "submit_lost", SubmitUnknown),
        (REQUEST.prompt, "run_error", SubmitFailed),
    ],
)
async def test_a_synchronous_call_raises_at_once(
    fixture: OxenFixture, prompt: str, fault: str | None, error: type[ProviderError]
) -> None:
    if fault:
        fixture.sandbox.faults.set(fault)
    with pytest.raises(error):
        await fixture.oxen(queue=False).submit(single(fixture, replace(REQUEST, prompt=prompt)), ignore_progress)


async def test_a_lost_synchronous_response_is_found_among_the_generations_or_stays_open(
    fixture: OxenFixture,
) -> None:
    oxen, submit = fixture.oxen(queue=False), single(fixture)
    with pytest.raises(SubmitUnknown):
        await fixture.oxen(queue=False, clock=later()).reconcile(submit, [])
    await lose_submit(fixture, oxen, submit)
    ticket = await oxen.reconcile(submit, [])
    assert ticket is not None
    _, finished = await follow(oxen, ticket)
    assert (len(finished.pictures), finished.cost) == (1, Money(40_000))
