"""Easel against Lumenfall when an answer is lost, when money is asked about, and when it looks around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from bot.catalog.offers import Submit
from bot.domain.clock import Clock, real_time
from bot.domain.errors import (
    ModelRetired,
    PriceExceeded,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RequestRejected,
    ResultLost,
    SubmitUnknown,
)
from bot.domain.money import Money
from tests.providers.lumenfall.test_provider import (
    ASKED,
    EDIT,
    KEY,
    QUICK,
    REFUSALS,
    LumenfallFixture,
    all_news,
    assert_discreet,
    given,
    open_house,
    painted,
)

# Another process made the submit: beside the 15 s its dry run may have taken 30.
SOON = 44_000
LATE = 46_000


@pytest.fixture
async def house() -> AsyncIterator[LumenfallFixture]:
    async with open_house() as opened:
        yield opened


def later(milliseconds: int) -> Clock:
    return Clock(now=lambda: real_time() + milliseconds)


async def lose(house: LumenfallFixture, order: Submit, *, ends: bool = True, **changes: Any) -> None:
    """Submit in vain, and wait until the stand-in has done what it accepted."""
    with pytest.raises(SubmitUnknown) as caught:
        await house.submit(order, limits=QUICK, **changes)
    assert_discreet(caught.value)
    if ends:
        async with asyncio.timeout(5):
            await asyncio.gather(*(request.finished.wait() for request in house.sandbox.requests.values()))


# Answers that never came, or came in pieces


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
        ("ingress", {}, False),
        ("ingress", {"status": 503}, True),
    ],
)
async def test_a_lost_answer_is_told_as_such_and_nothing_is_sent_again(
    house: LumenfallFixture, fault: str, values: dict[str, Any], edit: bool
) -> None:
    house.spoil(fault, **values)
    order = house.order(EDIT, given(painted())) if edit else house.order()
    await lose(house, order, ends=fault != "stuck")
    assert house.sandbox.submits == 1


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
async def test_a_stream_that_breaks_off_is_a_lost_answer(
    house: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    house.spoil(fault, **values)
    await lose(house, house.order(), partials=2)
    assert house.sandbox.submits == 1


async def test_json_by_another_name_is_read_all_the_same(house: LumenfallFixture) -> None:
    house.spoil("answer_type")
    assert len((await house.finished()).pictures) == 1


# What became of it


async def test_what_was_painted_without_us_is_lost_and_its_cost_known(house: LumenfallFixture) -> None:
    order = house.order()
    house.spoil("lost")
    await lose(house, order)
    with pytest.raises(ResultLost) as caught:
        await house.lumenfall().reconcile(order, ())
    assert caught.value.cost == Money(house.request.cost_micros) > Money(0)
    assert_discreet(caught.value)


async def test_what_the_organisation_keeps_is_had_after_all() -> None:
    async with open_house(stores_payloads=True) as house:
        order = house.order(replace(ASKED, count=2))
        house.spoil("lost")
        await lose(house, order)
        ticket = await house.lumenfall().reconcile(order, ())
        assert ticket is not None
        assert (ticket.count, len(ticket.data["links"])) == (2, 2)
        _, finished = await all_news(house.lumenfall(), ticket)
        assert (len(finished.pictures), finished.cost) == (2, Money(house.request.cost_micros))


@pytest.mark.parametrize("kind", ["processing", "pending"])
async def test_what_is_under_way_is_asked_about_again(house: LumenfallFixture, kind: str) -> None:
    order = house.order()
    house.spoil("stuck", body=kind)
    await lose(house, order, ends=False)
    with pytest.raises(SubmitUnknown) as caught:
        await house.lumenfall(clock=later(LATE)).reconcile(order, ())
    assert caught.value.detail == f"listed as {kind}"


async def test_a_history_that_lags_behind_is_asked_again(house: LumenfallFixture) -> None:
    order = house.order()
    house.spoil("lost")
    house.spoil("history_stale", times=1)
    await lose(house, order)
    with pytest.raises(SubmitUnknown):
        await house.lumenfall().reconcile(order, ())
    with pytest.raises(ResultLost):
        await house.lumenfall().reconcile(order, ())


@pytest.mark.parametrize("fault", ["internal_error", "exhausted", "upstream_error"])
async def test_what_came_to_nothing_may_be_submitted_again(house: LumenfallFixture, fault: str) -> None:
    order = house.order()
    house.spoil(fault)
    house.spoil("lost")
    await lose(house, order)
    assert await house.lumenfall().reconcile(order, ()) is None


async def test_what_ended_with_the_connection_may_be_submitted_again() -> None:
    async with open_house(run_seconds=5, cancels_on_disconnect=True) as house:
        order = house.order()
        await lose(house, order)
        assert await house.lumenfall().reconcile(order, ()) is None


@pytest.mark.parametrize("fault", ["content_policy", "hidden_moderation"])
async def test_what_was_refused_for_its_content_is_not_submitted_again(
    house: LumenfallFixture, fault: str
) -> None:
    order = house.order()
    house.spoil(fault)
    house.spoil("lost")
    await lose(house, order)
    with pytest.raises(PromptRejected) as caught:
        await house.lumenfall().reconcile(order, ())
    assert_discreet(caught.value)


async def test_what_is_not_listed_never_arrived_but_only_after_a_while(house: LumenfallFixture) -> None:
    order = house.order()
    house.spoil("refused")
    await lose(house, order)
    with pytest.raises(SubmitUnknown):
        await house.lumenfall(clock=later(SOON)).reconcile(order, ())
    assert await house.lumenfall(clock=later(LATE)).reconcile(order, ()) is None


async def test_what_is_listed_late_is_found_in_time(house: LumenfallFixture) -> None:
    order = house.order()
    house.spoil("lost")
    house.spoil("history_late", seconds=14)
    await lose(house, order)
    with pytest.raises(SubmitUnknown):
        await house.lumenfall().reconcile(order, ())
    house.sandbox.age(15)
    with pytest.raises(ResultLost):
        await house.lumenfall(clock=later(15_000)).reconcile(order, ())


async def test_the_while_begins_when_a_submit_leaves_and_not_while_it_queues() -> None:
    # With the 0.3 s that the second waits for its turn, it was written down more than 15 s ago.
    async with open_house(run_seconds=0.3) as house:
        lumenfall = house.lumenfall(at_once=1)
        began = asyncio.Event()
        first = asyncio.create_task(lumenfall.submit(house.order(part=1), lambda _: began.set()))
        await began.wait()
        order = house.order(submitted_at=real_time() - 14_900)
        second = asyncio.create_task(lumenfall.submit(order, lambda _: house.spoil("refused")))
        with pytest.raises(SubmitUnknown):
            await second
        await first
        with pytest.raises(SubmitUnknown):
            await lumenfall.reconcile(order, ())
        assert await house.lumenfall(clock=later(LATE)).reconcile(order, ()) is None


async def test_an_earlier_submit_of_the_same_work_does_not_speak_for_the_later(house: LumenfallFixture) -> None:
    first = house.order(submitted_at=real_time() - 60_000)
    house.spoil("exhausted", times=1)
    with pytest.raises(ProviderBusy):
        await house.submit(first)
    second = replace(first, submitted_at=real_time() + 10_000)
    with pytest.raises(SubmitUnknown):
        await house.lumenfall(clock=later(SOON)).reconcile(second, ())
    house.spoil("lost")
    await lose(house, second)
    with pytest.raises(ResultLost):
        await house.lumenfall(clock=later(10_000 + LATE)).reconcile(second, ())


async def test_the_parts_of_a_job_are_told_apart_in_a_long_history(house: LumenfallFixture) -> None:
    house.spoil("lost", times=1)
    await lose(house, house.order())
    house.spoil("invalid_request")
    lumenfall = house.lumenfall()
    orders = [house.order(job_id=8, part=part) for part in range(230)]
    answers = await asyncio.gather(
        *(lumenfall.submit(order, house.news.append) for order in orders), return_exceptions=True
    )
    assert all(isinstance(answer, RequestRejected) for answer in answers)
    with pytest.raises(ResultLost):
        await lumenfall.reconcile(house.order(), ())
    assert await house.lumenfall(clock=later(LATE)).reconcile(house.order(part=1), ()) is None
    pages = [call for call in house.sandbox.calls if call["path"] == "/v1/requests"]
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
async def test_a_history_that_does_not_answer_leaves_the_question_open(
    house: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    house.spoil(fault, **values)
    with pytest.raises(SubmitUnknown) as caught:
        await house.lumenfall(clock=later(LATE), limits=QUICK).reconcile(house.order(), ())
    assert_discreet(caught.value)


# The dry run


def dry_runs(house: LumenfallFixture) -> list[dict[str, Any]]:
    return [call for call in house.sandbox.calls if call["query"].get("dryRun") == "true"]


@pytest.mark.parametrize("in_metadata", [False, True])
async def test_a_price_above_the_orders_is_refused_before_anything_is_painted(in_metadata: bool) -> None:
    async with open_house(dry_run_in_metadata=in_metadata) as house:
        with pytest.raises(PriceExceeded) as caught:
            await house.submit(house.order(replace(ASKED, count=2), most=Money(18_000)), partials=2)
        assert_discreet(caught.value)
        assert (len(dry_runs(house)), house.sandbox.submits, house.news) == (1, 0, [])
        await house.submit(house.order(replace(ASKED, count=2), most=Money(20_000)))
        assert (len(dry_runs(house)), house.sandbox.submits) == (2, 1)


@pytest.mark.parametrize(
    ("edit", "most", "dry_run"), [(False, None, True), (False, Money(1), False), (True, Money(1), True)]
)
async def test_nobody_asks_where_the_answer_would_change_nothing(
    house: LumenfallFixture, edit: bool, most: Money | None, dry_run: bool
) -> None:
    order = house.order(EDIT, given(painted()), most=most) if edit else house.order(most=most)
    await house.submit(order, dry_run=dry_run)
    assert (dry_runs(house), house.sandbox.submits) == ([], 1)


@pytest.mark.parametrize(
    ("fault", "values", "error"),
    [
        ("unauthorized", {}, ProviderMisconfigured),
        ("model_not_found", {}, ModelRetired),
        ("model_disabled", {}, ModelRetired),
    ],
)
async def test_a_dry_run_that_is_refused_says_so_for_nothing(
    house: LumenfallFixture, fault: str, values: dict[str, Any], error: type[ProviderError]
) -> None:
    assert (fault, values, error) in REFUSALS
    house.spoil(fault, **values, times=1)
    with pytest.raises(error):
        await house.submit(house.order(most=Money(1_000_000)))
    assert house.sandbox.submits == 0


async def test_a_dry_run_that_finds_the_prompt_too_long_says_so_for_nothing() -> None:
    async with open_house(prompt_cap=1_000) as house:
        with pytest.raises(RequestRejected) as caught:
            await house.submit(house.order(replace(ASKED, prompt="fox " * 300), most=Money(1_000_000)))
        assert "1,000 characters" in caught.value.sentence
        assert house.sandbox.submits == 0


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("dry_run_error", {}),
        ("dry_run_error", {"status": 404}),
        ("dry_run_slow", {"seconds": 5}),
        ("dry_run_html", {}),
        ("dry_run_truncated", {}),
        ("dry_run_reset", {}),
    ],
)
async def test_a_dry_run_in_trouble_holds_nobody_up(
    house: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    house.spoil(fault, **values)
    await house.submit(house.order(most=Money(1)), limits=replace(QUICK, silence=1, total=2))
    assert (len(dry_runs(house)), house.sandbox.submits) == (1, 1)


async def test_a_dry_run_cannot_be_taken_for_a_painting(house: LumenfallFixture) -> None:
    await house.submit(house.order(most=Money(1_000_000)), partials=2, extra={"moderation": "low"})
    manner = house.lumenfall(partials=2, extra={"moderation": "low"})._door.manner
    order = house.order()
    live, dry = manner.fields(order), manner.priced(order.fit, order.count)
    assert set(live) - set(dry) == {"stream", "partial_images", "user"}
    assert dry.items() <= live.items()


# Looking around


async def test_an_examination_tells_what_is_served_for_how_much_and_what_is_left(house: LumenfallFixture) -> None:
    found = await house.lumenfall().examine()
    assert (found.provider, found.key_works, found.detail) == ("lumenfall", True, "$25.00 left")
    told = {served.model: (served.gone, served.price) for served in found.models}
    assert set(told) == set(house.catalog.at("lumenfall"))
    assert told["gpt-image-1.5"][0] is False
    assert Money(34_000) <= (told["gpt-image-1.5"][1] or Money()) <= Money(34_100)
    assert (house.sandbox.submits, house.sandbox.history.spent_micros) == (0, 0)


async def test_an_examination_misses_a_model_that_is_gone(house: LumenfallFixture) -> None:
    house.spoil("model_disabled", endpoint="gpt-image-1")
    told = {served.model: served for served in (await house.lumenfall().examine()).models}
    assert (told["gpt-image-1"].gone, told["gpt-image-1"].price) == (True, None)
    assert told["gpt-image-1.5"].gone is False
    house.spoil("models_error")
    told = {served.model: served for served in (await house.lumenfall().examine()).models}
    assert (told["gpt-image-1"].gone, told["gpt-image-1.5"].gone) == (True, None)


async def test_an_examination_asks_no_price_where_dry_runs_are_off(house: LumenfallFixture) -> None:
    found = await house.lumenfall(dry_run=False).examine()
    assert {served.price for served in found.models} == {None}
    assert dry_runs(house) == []


@pytest.mark.parametrize(
    ("faults", "works", "detail"),
    [
        (["unauthorized"], False, "the list of models: 401"),
        (["models_error"], True, "$25.00 left"),
        (["balance_error"], True, ""),
        (["models_error", "balance_error"], None, "the list of models: 500"),
        (["dry_run_error"], True, "$25.00 left"),
    ],
)
async def test_an_examination_never_fails(
    house: LumenfallFixture, faults: list[str], works: bool | None, detail: str
) -> None:
    for fault in faults:
        house.spoil(fault)
    found = await house.lumenfall(limits=QUICK).examine()
    assert (found.key_works, found.detail) == (works, detail)
    assert len(found.models) == len(house.catalog.at("lumenfall"))
    assert KEY not in repr(found)


async def test_an_examination_of_a_service_that_is_away_says_so(house: LumenfallFixture) -> None:
    async with open_house() as gone:
        address = gone.sandbox.base_url
    found = await house.lumenfall(base_url=address).examine()
    assert (found.key_works, found.detail) == (None, "no answer")
    wrong = await house.lumenfall(key=SecretStr("lmnfl_other.key")).examine()
    assert wrong.key_works is False


async def test_an_account_that_pays_afterwards_has_nothing_left_to_tell() -> None:
    async with open_house(balance=None) as house:
        assert (await house.lumenfall().examine()).detail == "billed afterwards"
