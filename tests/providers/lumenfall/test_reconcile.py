"""Submits to Lumenfall whose response was lost, and its history, in which they are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.catalog.offers import Submit
from bot.domain.clock import real_time
from bot.domain.errors import (
    PromptRejected,
    ProviderBusy,
    RequestRejected,
    ResultLost,
    SubmitUnknown,
)
from bot.domain.money import Money
from tests.support.providers.deps import clock_ahead, input_picture, painted
from tests.support.providers.lumenfall import (
    EDIT,
    HURRIED,
    REQUEST,
    LumenfallFixture,
    assert_discreet,
    follow,
    open_fixture,
)

# For the submit of another process: beside the 15 s, its dry run may have taken 30 s.
SOON = 44.0
LATE = 46.0


@pytest.fixture
async def fixture() -> AsyncIterator[LumenfallFixture]:
    async with open_fixture() as opened:
        yield opened


async def lose(fixture: LumenfallFixture, submit: Submit, *, ends: bool = True, **changes: Any) -> None:
    """Submit, lose the response, and wait until the stand-in has done what it accepted."""
    with pytest.raises(SubmitUnknown) as caught:
        await fixture.submit(submit, timeouts=HURRIED, **changes)
    assert_discreet(caught.value)
    if ends:
        async with asyncio.timeout(5):
            await asyncio.gather(*(request.finished.wait() for request in fixture.sandbox.requests.values()))


# Responses that never came, or came in pieces


@pytest.mark.parametrize(
    ("fault", "values", "edit"),
    [
        ("lost", {}, False),
        ("lost", {}, True),
        ("lost", {"seconds": 0}, False),
        ("answer_slow", {"seconds": 5}, True),
        ("answer_trickle", {}, False),
        ("answer_truncated", {}, False),
        ("answer_truncated", {}, True),
        ("answer_reset", {}, False),
        ("answer_html", {}, True),
        ("answer_huge", {"size": 20_000_000}, False),
        ("stuck", {}, False),
        ("refused", {}, False),
        ("refused", {}, True),
    ],
)
async def test_a_lost_response_leaves_the_submit_unknown_and_nothing_is_sent_again(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any], edit: bool
) -> None:
    fixture.fault(fault, **values)
    submit = fixture.build_submit(EDIT, input_picture(painted())) if edit else fixture.build_submit()
    await lose(fixture, submit, ends=fault != "stuck")
    assert fixture.sandbox.submits == 1


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("stream_cut", {}),
        ("stream_reset", {}),
        ("stream_error", {}),
        ("stream_stall", {"seconds": 5}),
        ("lost", {}),
    ],
)
async def test_a_stream_that_breaks_off_is_a_lost_response(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    fixture.fault(fault, **values)
    await lose(fixture, fixture.build_submit(), partials=2)
    assert fixture.sandbox.submits == 1


async def test_json_by_another_name_is_read_all_the_same(fixture: LumenfallFixture) -> None:
    fixture.fault("answer_type")
    assert len((await fixture.result()).pictures) == 1


# Reconciling


async def test_what_was_painted_without_us_is_lost_and_its_cost_known(fixture: LumenfallFixture) -> None:
    submit = fixture.build_submit()
    fixture.fault("lost")
    await lose(fixture, submit)
    with pytest.raises(ResultLost) as caught:
        await fixture.lumenfall().reconcile(submit, ())
    assert caught.value.cost == Money(fixture.request.cost_micros) > Money(0)
    assert_discreet(caught.value)


async def test_what_the_organisation_keeps_is_had_after_all() -> None:
    async with open_fixture(stores_payloads=True) as fixture:
        submit = fixture.build_submit(replace(REQUEST, count=2))
        fixture.fault("lost")
        await lose(fixture, submit)
        ticket = await fixture.lumenfall().reconcile(submit, ())
        assert ticket is not None
        assert (ticket.count, len(ticket.data["links"])) == (2, 2)
        _, finished = await follow(fixture.lumenfall(), ticket)
        assert (len(finished.pictures), finished.cost) == (2, Money(fixture.request.cost_micros))


@pytest.mark.parametrize("kind", ["processing", "pending"])
async def test_what_is_under_way_is_looked_up_again(fixture: LumenfallFixture, kind: str) -> None:
    submit = fixture.build_submit()
    fixture.fault("stuck", body=kind)
    await lose(fixture, submit, ends=False)
    with pytest.raises(SubmitUnknown) as caught:
        await fixture.lumenfall(clock=clock_ahead(LATE)).reconcile(submit, ())
    assert caught.value.detail == f"listed as {kind}"


async def test_a_history_that_lags_behind_is_read_again(fixture: LumenfallFixture) -> None:
    submit = fixture.build_submit()
    fixture.fault("lost")
    fixture.fault("history_stale", times=1)
    await lose(fixture, submit)
    with pytest.raises(SubmitUnknown):
        await fixture.lumenfall().reconcile(submit, ())
    with pytest.raises(ResultLost):
        await fixture.lumenfall().reconcile(submit, ())


@pytest.mark.parametrize("fault", ["internal_error", "exhausted", "upstream_error"])
async def test_what_came_to_nothing_may_be_submitted_again(fixture: LumenfallFixture, fault: str) -> None:
    submit = fixture.build_submit()
    fixture.fault(fault)
    fixture.fault("lost")
    await lose(fixture, submit)
    assert await fixture.lumenfall().reconcile(submit, ()) is None


async def test_what_ended_with_the_connection_may_be_submitted_again() -> None:
    async with open_fixture(run_seconds=5, cancels_on_disconnect=True) as fixture:
        submit = fixture.build_submit()
        await lose(fixture, submit)
        assert await fixture.lumenfall().reconcile(submit, ()) is None


@pytest.mark.parametrize("fault", ["content_policy", "hidden_moderation"])
async def test_what_was_refused_for_its_content_is_not_submitted_again(
    fixture: LumenfallFixture, fault: str
) -> None:
    submit = fixture.build_submit()
    fixture.fault(fault)
    fixture.fault("lost")
    await lose(fixture, submit)
    with pytest.raises(PromptRejected) as caught:
        await fixture.lumenfall().reconcile(submit, ())
    assert_discreet(caught.value)


async def test_what_is_not_listed_never_arrived_but_only_after_a_while(fixture: LumenfallFixture) -> None:
    submit = fixture.build_submit()
    fixture.fault("refused")
    await lose(fixture, submit)
    with pytest.raises(SubmitUnknown):
        await fixture.lumenfall(clock=clock_ahead(SOON)).reconcile(submit, ())
    assert await fixture.lumenfall(clock=clock_ahead(LATE)).reconcile(submit, ()) is None


async def test_what_is_listed_late_is_found_in_time(fixture: LumenfallFixture) -> None:
    submit = fixture.build_submit()
    fixture.fault("lost")
    fixture.fault("history_late", seconds=14)
    await lose(fixture, submit)
    with pytest.raises(SubmitUnknown):
        await fixture.lumenfall().reconcile(submit, ())
    fixture.sandbox.age(15)
    with pytest.raises(ResultLost):
        await fixture.lumenfall(clock=clock_ahead(15)).reconcile(submit, ())


async def test_the_while_begins_when_a_submit_leaves_and_not_while_it_queues() -> None:
    # With the 0.3 s that the second waits for its turn, it was submitted more than 15 s ago.
    async with open_fixture(run_seconds=0.3) as fixture:
        lumenfall = fixture.lumenfall(at_once=1)
        began = asyncio.Event()
        first = asyncio.create_task(lumenfall.submit(fixture.build_submit(part=1), lambda _: began.set()))
        await began.wait()
        submit = fixture.build_submit(submitted_at=real_time() - 14_900)
        second = asyncio.create_task(lumenfall.submit(submit, lambda _: fixture.fault("refused")))
        with pytest.raises(SubmitUnknown):
            await second
        await first
        with pytest.raises(SubmitUnknown):
            await lumenfall.reconcile(submit, ())
        assert await fixture.lumenfall(clock=clock_ahead(LATE)).reconcile(submit, ()) is None


async def test_an_earlier_submit_of_the_same_work_does_not_speak_for_the_clock_ahead(
    fixture: LumenfallFixture,
) -> None:
    first = fixture.build_submit(submitted_at=real_time() - 60_000)
    fixture.fault("exhausted", times=1)
    with pytest.raises(ProviderBusy):
        await fixture.submit(first)
    second = replace(first, submitted_at=real_time() + 10_000)
    with pytest.raises(SubmitUnknown):
        await fixture.lumenfall(clock=clock_ahead(SOON)).reconcile(second, ())
    fixture.fault("lost")
    await lose(fixture, second)
    with pytest.raises(ResultLost):
        await fixture.lumenfall(clock=clock_ahead(10 + LATE)).reconcile(second, ())


async def test_the_parts_of_a_job_are_distinguished_in_a_long_history(fixture: LumenfallFixture) -> None:
    fixture.fault("lost", times=1)
    await lose(fixture, fixture.build_submit())
    fixture.fault("invalid_request")
    lumenfall = fixture.lumenfall()
    submits = [fixture.build_submit(job_id=8, part=part) for part in range(230)]
    responses = await asyncio.gather(
        *(lumenfall.submit(submit, fixture.reported.append) for submit in submits), return_exceptions=True
    )
    assert all(isinstance(response, RequestRejected) for response in responses)
    with pytest.raises(ResultLost):
        await lumenfall.reconcile(fixture.build_submit(), ())
    assert await fixture.lumenfall(clock=clock_ahead(LATE)).reconcile(fixture.build_submit(part=1), ()) is None
    pages = [call for call in fixture.sandbox.calls if call["path"] == "/v1/requests"]
    assert [("starting_after" in page["query"]) for page in pages] == [False, True, True] * 2
    since = datetime.fromisoformat(pages[0]["query"]["created_after"])
    assert 200 < (datetime.now(UTC) - since).total_seconds() < 400


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("history_error", {}),
        ("history_error", {"status": 404}),
        ("history_slow", {"seconds": 5}),
        ("history_html", {}),
        ("history_truncated", {}),
        ("history_reset", {}),
        ("unauthorized", {}),
    ],
)
async def test_a_history_that_does_not_respond_leaves_the_submit_unknown(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    fixture.fault(fault, **values)
    with pytest.raises(SubmitUnknown) as caught:
        await fixture.lumenfall(clock=clock_ahead(LATE), timeouts=HURRIED).reconcile(fixture.build_submit(), ())
    assert_discreet(caught.value)
