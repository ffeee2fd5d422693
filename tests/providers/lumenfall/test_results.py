"""What Lumenfall sends in place of a picture, its costs, and links that run out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    InvalidResponse,
    NoPicture,
    ProviderBusy,
    ResultLost,
    TicketLost,
)
from bot.domain.jobs import Ticket
from bot.domain.money import Money
from bot.domain.providers import CancelResult
from bot.providers.shared.http import OversizedResponse
from tests.support.providers.deps import no_stored_results
from tests.support.providers.lumenfall import (
    HURRIED,
    REQUEST,
    LumenfallFixture,
    follow,
    open_fixture,
)


@pytest.fixture
async def fixture() -> AsyncIterator[LumenfallFixture]:
    async with open_fixture() as opened:
        yield opened


# Responses without a good picture


async def test_fewer_pictures_than_requested_are_delivered(fixture: LumenfallFixture) -> None:
    fixture.fault("fewer_pictures")
    finished = await fixture.result(fixture.build_submit(replace(REQUEST, count=3)))
    assert len(finished.pictures) == 2
    assert finished.cost == Money(fixture.request.cost_micros)


@pytest.mark.parametrize(("fault", "inline"), [("empty_item", False), ("not_a_picture", True)])
async def test_one_bad_picture_does_not_spoil_the_others(
    fixture: LumenfallFixture, fault: str, inline: bool
) -> None:
    fixture.fault(fault)
    finished = await fixture.result(fixture.build_submit(replace(REQUEST, count=2)), inline=inline)
    assert len(finished.pictures) == 1


@pytest.mark.parametrize(
    ("fault", "inline"),
    [
        ("no_pictures", False),
        ("empty_item", False),
        ("not_base64", True),
        ("not_a_picture", False),
        ("not_a_picture", True),
        ("bomb", True),
        ("cdn_huge", False),
    ],
)
async def test_a_response_without_a_usable_picture_is_invalid(
    fixture: LumenfallFixture, fault: str, inline: bool
) -> None:
    fixture.fault(fault)
    with pytest.raises(InvalidResponse) as caught:
        await fixture.result(inline=inline)
    assert caught.type in (InvalidResponse, NoPicture, OversizedResponse)


async def test_what_a_picture_really_is_counts_not_what_it_is_called(fixture: LumenfallFixture) -> None:
    fixture.fault("wrong_type")
    (picture,) = (await fixture.result()).pictures
    assert (picture.content_type, picture.filename) == ("image/jpeg", "picture-1.jpg")


@pytest.mark.parametrize(
    ("fault", "values", "cost"),
    [
        ("no_metadata", {}, None),
        ("garbage_cost", {}, None),
        ("garbage_cost", {"body": -1}, None),
        ("garbage_cost", {"body": True}, None),
        ("garbage_cost", {"body": "NaN"}, None),
        ("garbage_cost", {"body": 1e30}, None),
        ("garbage_cost", {"body": "0.0340001"}, 34_001),
        ("garbage_cost", {"body": 0.1 + 0.2}, 300_001),
        ("garbage_cost", {"body": 0}, 0),
    ],
)
async def test_the_cost_is_the_services_own_figure_or_unknown(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any], cost: int | None
) -> None:
    fixture.fault(fault, **values)
    assert (await fixture.submit()).data["cost"] == cost


async def test_a_cost_that_is_not_stated_stays_unknown(fixture: LumenfallFixture) -> None:
    fixture.fault("no_metadata")
    fixture.fault("history_error")
    assert (await fixture.result()).cost is None
    fixture.fault("history_stale")
    fixture.sandbox.faults.clear("history_error")
    assert (await fixture.result(fixture.build_submit(part=1))).cost is None


# The pictures' links


@pytest.mark.parametrize("status", [404, 410, 403])
async def test_a_link_that_has_run_out_means_painted_and_lost(fixture: LumenfallFixture, status: int) -> None:
    ticket = await fixture.submit()
    fixture.fault("cdn_error", status=status)
    with pytest.raises(ResultLost) as caught:
        await follow(fixture.lumenfall(), ticket)
    assert caught.value.cost == Money(fixture.request.cost_micros)
    assert "painted" in caught.value.sentence


async def test_links_work_for_an_hour(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit()
    fixture.sandbox.age(3_500)
    await follow(fixture.lumenfall(), ticket)
    fixture.sandbox.age(200)
    with pytest.raises(ResultLost):
        await follow(fixture.lumenfall(), ticket)


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("cdn_error", {"status": 503, "times": 1}),
        ("cdn_reset", {"times": 1}),
        ("cdn_slow", {"times": 1}),
        ("cdn_type", {}),
    ],
)
async def test_a_bad_moment_of_the_media_host_passes(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    ticket = await fixture.submit()
    fixture.fault(fault, **values)
    assert len((await follow(fixture.lumenfall(timeouts=HURRIED), ticket))[1].pictures) == 1


async def test_a_media_host_that_stays_away_leaves_the_ticket_good(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit()
    fixture.fault("cdn_error", status=500)
    with pytest.raises(ProviderBusy):
        await follow(fixture.lumenfall(), ticket)
    fixture.sandbox.faults.clear()
    assert len((await follow(fixture.lumenfall(), ticket))[1].pictures) == 1


@pytest.mark.parametrize("fault", ["foreign_picture", "cdn_redirect"])
async def test_pictures_elsewhere_are_not_fetched_and_the_key_stays_here(
    fixture: LumenfallFixture, fault: str
) -> None:
    async with open_fixture() as other:
        fixture.fault(fault, url=f"http://localhost:{other.sandbox.port}/x.png")
        with pytest.raises(InvalidResponse):
            await fixture.result()
        assert list(other.sandbox.calls) == []


async def test_the_key_is_not_shown_to_the_media_host(fixture: LumenfallFixture) -> None:
    await fixture.result()
    calls = {call["path"].split("/")[1]: call["authorization"] for call in fixture.sandbox.calls}
    assert calls == {"openai": "Bearer", "files": None}


async def test_a_spool_that_is_empty_means_painted_and_lost(fixture: LumenfallFixture) -> None:
    ticket = await fixture.submit(inline=True)
    with pytest.raises(ResultLost) as caught:
        await follow(fixture.lumenfall(), ticket, stored_results=no_stored_results)
    assert caught.value.cost == Money(fixture.request.cost_micros)


async def test_a_ticket_that_is_not_one_of_ours_is_lost(fixture: LumenfallFixture) -> None:
    with pytest.raises(TicketLost):
        await follow(fixture.lumenfall(), Ticket(provider="lumenfall", data={"links": 7}))


async def test_a_cancel_always_comes_too_late(fixture: LumenfallFixture) -> None:
    assert await fixture.lumenfall().cancel(await fixture.submit()) is CancelResult.TOO_LATE
