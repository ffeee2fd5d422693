"""From a ticket to the pictures: over restarts and bad moments, until it is over, cancelled or given up."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    GenerationTimeout,
    InvalidResponse,
    JobCancelled,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.domain.providers import CancelResult
from bot.providers.shared.http import open_session
from tests.providers.contract.case import Cases
from tests.providers.contract.variant import Fault
from tests.providers.contract.wire import nobody, stranger
from tests.providers.contract.world import QUICK, ContractWorld

case = Cases()

AN_HOUR = 3_700_000
BAD_MOMENTS: dict[str, Fault] = {
    "a 500": "look: 500",
    "a 429": "look: 429",
    "a page": "look: page",
    "half of the JSON": "look: truncated",
    "a reset": "look: reset",
    "silence": "look: slow",
}


@case("the news end with the pictures, and say so once before")
async def news(house: ContractWorld) -> None:
    ticket = await house.submit()
    said, finished = await house.news(ticket)
    assert len(finished.pictures) == 1
    assert [item.fraction == 1.0 for item in said] == [False] * (len(said) - 1) + [True]
    assert all(isinstance(item, Progress) for item in house.told)
    assert all(0 <= item.fraction < 1 for item in said[:-1] if item.fraction is not None)


@case("after a restart the ticket's JSON is enough")
async def restart(house: ContractWorld) -> None:
    ticket = await house.submit(provider=house.provider())
    async with open_session(10, ssl=False) as client:
        house.client = client
        finished = await house.finished(ticket, provider=house.provider())
        await house.stack.aclose()
    assert len(finished.pictures) == 1
    assert house.way.submits == 1


@case("stopped in the middle, it may begin again and again")
async def begun_again(house: ContractWorld) -> None:
    ticket = await house.submit()
    for _ in range(3):
        async with aclosing(house.provider().follow(ticket, house.request(), no_spool)) as items:
            assert isinstance(await anext(items), Progress)
    assert len((await house.finished(ticket)).pictures) == 1
    assert house.way.submits == 1


async def no_spool() -> tuple[bytes, ...]:
    return ()


@case("two who follow the same ticket both get its pictures")
async def followed_twice(house: ContractWorld) -> None:
    ticket = await house.submit()
    both = await asyncio.gather(house.finished(ticket), house.finished(ticket))
    assert both[0].pictures[0].content == both[1].pictures[0].content
    assert house.way.submits == 1


@case("a ticket that cannot be read is lost")
async def unreadable(house: ContractWorld) -> None:
    ticket = await house.submit()
    bent = replace(ticket, data=dict.fromkeys(ticket.data, -1.5))
    with pytest.raises(TicketLost):
        await house.finished(bent)


@case("a ticket that leads elsewhere is not followed, the key stays here")
async def leads_elsewhere(house: ContractWorld) -> str | None:
    ticket = await house.submit()
    text = json.dumps(ticket.data)
    if reason := house.lacks("links in tickets"):
        assert "http" not in text
        return reason
    assert house.way.url in text
    async with stranger() as elsewhere:
        data = json.loads(text.replace(house.way.url, elsewhere.origin))
        with pytest.raises(InvalidResponse):
            await house.finished(replace(ticket, data=data))
        assert elsewhere.heard == []
    return None


# Bad moments


@case("{} while it is looked at, twice, is waited out", *BAD_MOMENTS)
async def bad_moments(house: ContractWorld, answer: str) -> str | None:
    fault = BAD_MOMENTS[answer]
    if reason := house.lacks(fault):
        assert len((await house.deliver()).pictures) == 1
        return reason
    ticket = await house.submit()
    house.breaks(fault)
    provider = house.provider(limits=QUICK if fault == "look: slow" else None)
    assert len((await house.finished(ticket, provider=provider)).pictures) == 1
    assert house.way.submits == 1
    return None


@case("a service that stays away leaves the ticket good")
async def away(house: ContractWorld) -> str | None:
    ticket = await house.submit()
    if reason := house.lacks("look: away"):
        assert len((await house.finished(ticket)).pictures) == 1
        return reason
    house.breaks("look: away")
    with pytest.raises(ProviderBusy):
        await house.finished(ticket)
    house.heals()
    assert len((await house.finished(ticket)).pictures) == 1
    return None


@case("a key that is refused later leaves the ticket good")
async def key_refused_later(house: ContractWorld) -> str | None:
    ticket = await house.submit()
    if reason := house.lacks("look: key refused"):
        assert len((await house.finished(ticket)).pictures) == 1
        return reason
    house.breaks("look: key refused")
    with pytest.raises(ProviderMisconfigured):
        await house.finished(ticket)
    house.heals()
    assert len((await house.finished(ticket)).pictures) == 1
    return None


@case("work that never ends is given up")
async def never_ends(house: ContractWorld) -> str | None:
    house.breaks("never ends")
    if reason := house.lacks("patience"):
        assert type(await house.submit_error(provider=house.provider(limits=QUICK))) is SubmitUnknown
        return reason
    ticket = await house.submit()
    with pytest.raises(GenerationTimeout):
        await house.finished(ticket, provider=house.provider(later=AN_HOUR))
    return None


@case("what was painted long ago is fetched all the same")
async def long_ago(house: ContractWorld) -> None:
    ticket = await house.submit()
    await house.until("over")
    assert len((await house.finished(ticket, provider=house.provider(later=AN_HOUR))).pictures) == 1


# Cancelling


@case("a cancel while it is {}: dropped, and it costs nothing", "queued", "running")
async def cancelled(house: ContractWorld, stage: Any) -> str | None:
    if reason := house.lacks("cancel"):
        ticket = await house.submit()
        assert await house.provider().cancel(ticket) is CancelResult.TOO_LATE
        assert len((await house.finished(ticket)).pictures) == 1
        return reason
    house.breaks("stays queued" if stage == "queued" else "never ends")
    ticket = await house.submit()
    await house.until(stage)
    answer = await house.provider().cancel(ticket)
    assert answer is CancelResult.REMOVED or (stage == "running" and answer is CancelResult.ASKED)
    with pytest.raises(JobCancelled):
        await house.finished(ticket)
    assert (house.way.billed, house.way.taken) == (Money(0), 0)
    return None


@case("a cancel that comes too late says so, and the pictures come")
async def cancelled_late(house: ContractWorld) -> None:
    ticket = await house.submit()
    await house.until("over")
    assert await house.provider().cancel(ticket) is CancelResult.TOO_LATE
    assert len((await house.finished(ticket)).pictures) == 1


@case("a cancel that nobody hears is never called done")
async def cancel_unheard(house: ContractWorld) -> None:
    ticket = await house.submit()
    with nobody() as at:
        answer = await house.provider(at=at).cancel(ticket)
    assert answer is (CancelResult.TOO_LATE if house.lacks("cancel") else CancelResult.ASKED)
    assert len((await house.finished(ticket)).pictures) == 1


@case("a cancel of an unreadable ticket is never called done")
async def cancel_unreadable(house: ContractWorld) -> None:
    ticket = await house.submit()
    bent = replace(ticket, data=dict.fromkeys(ticket.data, -1.5))
    answer = await house.provider().cancel(bent)
    assert answer in (CancelResult.ASKED, CancelResult.TOO_LATE)


# Looking at the service


@case("looking at a service that is well says so and costs nothing")
async def examine(house: ContractWorld) -> None:
    told = await house.provider().examine()
    assert told.key_works is True
    assert {served.model: served.gone for served in told.models}[house.way.model] is False
    assert set(house.way.offers) == {served.model for served in told.models}
    assert (house.way.submits, house.way.billed) == (0, Money(0))


@case("looking with a refused key says so, and calls no model gone")
async def examine_refused(house: ContractWorld) -> None:
    told = await house.provider(key=house.way.wrong_key).examine()
    assert told.key_works is False
    assert [served.gone for served in told.models if served.gone] == []


@case("looking at a service that is away guesses nothing")
async def examine_away(house: ContractWorld) -> None:
    with nobody() as at:
        told = await house.provider(at=at).examine()
    assert told.key_works is None
    assert [served.gone for served in told.models if served.gone is not None] == []


@case("looking for a model that is gone says so")
async def examine_gone(house: ContractWorld) -> None:
    house.breaks("model unlisted")
    told = await house.provider().examine()
    assert told.key_works is True
    assert {served.model: served.gone for served in told.models}[house.way.model] is True


# Discretion


@case("no secret is in a ticket, an error or the log")
async def secrets(house: ContractWorld) -> None:
    house.caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    ticket = await house.submit()
    finished = await house.finished(ticket)
    shown += [json.dumps(ticket.data), repr(ticket), repr(finished)]
    wrong = house.provider(key=house.way.wrong_key)
    errors: list[ProviderError] = []
    for fault in ("lost", "error 500", "run fails", "model gone"):
        house.breaks(fault)
        with pytest.raises(ProviderError) as caught:
            await house.finished(await house.submit(house.order(job_id=len(errors))))
        errors.append(caught.value)
        house.heals()
    with pytest.raises(ProviderError) as refused:
        await house.submit(provider=wrong)
    with nobody() as at, pytest.raises(ProviderError) as away:
        await house.submit(provider=house.provider(at=at))
    for error in (*errors, refused.value, away.value):
        shown += [f"{error!r} {error.sentence} {vars(error)} {error.__cause__!r} {error.__context__!r}"]
        assert "http" not in error.detail
    shown += [repr(await wrong.examine()), repr(wrong), house.caplog.text]
    secrets = (*house.way.secrets, house.way.wrong_key)
    assert [secret for secret in secrets for text in shown if secret in text] == []
