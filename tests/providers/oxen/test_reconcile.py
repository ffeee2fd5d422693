"""Oxen's lists, in which lost submits are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    GenerationFailed,
    ProviderMisconfigured,
    SubmitUnknown,
)
from tests.support.providers.deps import HURRIED, ignore_progress
from tests.support.providers.oxen import (
    REQUEST,
    OxenFixture,
    eventually,
    follow,
    later,
    lose_submit,
    open_fixture,
)
from tests.support.raw_server import http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[OxenFixture]:
    async with open_fixture() as opened:
        yield opened


# Lost responses


async def test_a_lost_submit_is_found_in_the_list_active_or_finished(fixture: OxenFixture) -> None:
    fixture.sandbox.run_seconds = 0.3
    oxen = fixture.oxen()
    submit = fixture.build_submit(replace(REQUEST, count=2))
    await lose_submit(fixture, oxen, submit)
    active = await oxen.reconcile(submit, [])
    assert active is not None
    assert active.count == 2
    assert set(active.data["ids"]) == set(fixture.sandbox.generations)
    _, finished = await follow(oxen, active)
    assert len(finished.pictures) == 2
    again = await oxen.reconcile(submit, [])
    assert again is not None
    assert set(again.data["ids"]) == set(active.data["ids"]), "the same submit may be looked up again"
    assert await fixture.oxen(clock=later()).reconcile(submit, [again]) is None
    assert fixture.sandbox.submits == 1


@pytest.mark.parametrize(("name", "body"), [("run_error", "Internal Server Error"), ("no_credit_row", None)])
async def test_a_lost_submit_that_failed_is_found_too(fixture: OxenFixture, name: str, body: Any) -> None:
    fixture.sandbox.faults.set(name, body=body)
    oxen, submit = fixture.oxen(), fixture.build_submit()
    await lose_submit(fixture, oxen, submit)
    ticket = await oxen.reconcile(submit, [])
    assert ticket is not None
    with pytest.raises(GenerationFailed if body else ProviderMisconfigured):
        await follow(oxen, ticket)


async def test_a_submit_that_never_arrived_is_known_only_once_it_must_be_in_the_list(
    fixture: OxenFixture,
) -> None:
    fixture.sandbox.faults.set("submit_refused", times=1)
    submit = fixture.build_submit()
    with pytest.raises(SubmitUnknown):
        await fixture.oxen().submit(submit, ignore_progress)
    with pytest.raises(SubmitUnknown):
        await fixture.oxen().reconcile(submit, [])
    assert await fixture.oxen(clock=later()).reconcile(submit, []) is None


async def test_older_rows_other_prompts_and_what_belongs_to_others_are_left_alone(fixture: OxenFixture) -> None:
    oxen = fixture.oxen()
    other = replace(REQUEST, prompt="a hare")
    taken = await oxen.submit(fixture.build_submit(), ignore_progress)
    await oxen.submit(fixture.build_submit(other), ignore_progress)
    elsewhere = fixture.oxen(clock=later())
    assert await elsewhere.reconcile(fixture.build_submit(job_id=2), [taken]) is None
    found = await elsewhere.reconcile(
        fixture.build_submit(replace(REQUEST, prompt=" a  fox in the snow "), job_id=2), []
    )
    assert found is not None
    assert found.data["ids"] == taken.data["ids"]


async def test_what_this_process_submitted_is_taken_by_no_other_even_before_it_is_written_down(
    fixture: OxenFixture,
) -> None:
    oxen = fixture.oxen(clock=later())
    await oxen.submit(fixture.build_submit(job_id=1), ignore_progress)
    assert await oxen.reconcile(fixture.build_submit(job_id=2), []) is None


async def test_two_lost_submits_of_one_prompt_each_find_their_own(fixture: OxenFixture) -> None:
    oxen = fixture.oxen()
    image_request = replace(REQUEST, count=2)
    square, portrait = (
        fixture.build_submit(image_request, job_id=1),
        fixture.build_submit(replace(image_request, size="portrait"), job_id=2),
    )
    await lose_submit(fixture, oxen, square)
    await lose_submit(fixture, oxen, portrait)
    one, two = await asyncio.gather(oxen.reconcile(portrait, []), oxen.reconcile(square, []))
    assert one is not None
    assert two is not None
    sizes = [
        [fixture.sandbox.generations[one].params["size"] for one in found.data["ids"]] for found in (one, two)
    ]
    assert sizes == [["portrait", "portrait"], ["auto", "auto"]]


async def test_while_the_same_prompt_is_being_submitted_no_other_takes_its_rows(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("submit_slow", seconds=0.3, times=1)
    oxen = fixture.oxen()
    under_way = asyncio.create_task(oxen.submit(fixture.build_submit(job_id=1), ignore_progress))
    await eventually(lambda: len(fixture.sandbox.generations) == 1)
    with pytest.raises(SubmitUnknown):
        await oxen.reconcile(fixture.build_submit(job_id=2), [])
    assert (await under_way).count == 1


@pytest.mark.parametrize("way", ["error", "html", "truncated", "reset", "odd", "slow"])
async def test_trouble_with_the_list_leaves_it_open(fixture: OxenFixture, way: str) -> None:
    fixture.sandbox.faults.set(f"list_{way}", seconds=2, body={"generations": None})
    with pytest.raises(SubmitUnknown):
        await fixture.oxen(clock=later(), timeouts=HURRIED).reconcile(fixture.build_submit(), [])


@pytest.mark.parametrize(("seconds", "found"), [(-3, True), (-60, False), (3, True)])
async def test_only_rows_that_are_not_older_than_the_submit_are_taken(
    fixture: OxenFixture, seconds: int, found: bool
) -> None:
    submit = fixture.build_submit()
    at = submit.submitted_at // 1000 + seconds
    row = {"generation_id": "one", "status": "queued", "prompt": REQUEST.prompt, "enqueued_at": at}
    async with responding(http(200, {"count": 1, "generations": [row]})) as service:
        ticket = await fixture.oxen(base_url=service.url, clock=later()).reconcile(submit, [])
        assert (ticket is not None) is found
        assert len(service.requests) == 4


async def test_rows_without_a_time_are_no_proof_of_anything(fixture: OxenFixture) -> None:
    row = {"generation_id": "one", "status": "queued", "prompt": REQUEST.prompt, "model_name": "gpt-image-1-5"}
    async with responding(http(200, {"count": 1, "generations": [row]})) as service:
        with pytest.raises(SubmitUnknown):
            await fixture.oxen(base_url=service.url, clock=later()).reconcile(fixture.build_submit(), [])


async def test_a_clock_that_is_ahead_of_oxens_finds_its_rows_all_the_same(fixture: OxenFixture) -> None:
    ahead = later(600)
    submit = fixture.build_submit(submitted_at=ahead.now())
    oxen = fixture.oxen(clock=ahead)
    await lose_submit(fixture, oxen, submit)
    assert await oxen.reconcile(submit, []) is not None
