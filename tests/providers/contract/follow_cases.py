"""From a ticket to the pictures: restarts and temporary failures, until it is over, cancelled or given up."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.content import Content
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
from bot.domain.providers import CancelResult, KeyState
from tests.providers.contract.case import Cases
from tests.providers.contract.variant import POLL_POLICY, Fault
from tests.providers.contract.world import HURRIED, ContractWorld
from tests.support.providers.deps import picture_host
from tests.support.raw_server import refusing_origin

case = Cases()

AN_HOUR = 3_700.0
FAILURES: dict[str, Fault] = {
    "a 500": "look: 500",
    "a 429": "look: 429",
    "a page": "look: page",
    "half of the JSON": "look: truncated",
    "a reset": "look: reset",
    "silence": "look: slow",
}


@case("progress ends with the pictures, and is complete once before")
async def news(world: ContractWorld) -> None:
    ticket = await world.submit()
    updates, finished = await world.updates(ticket)
    assert len(finished.pictures) == 1
    assert [item.fraction == 1.0 for item in updates] == [False] * (len(updates) - 1) + [True]
    assert all(isinstance(item, Progress) for item in world.reported)
    assert all(0 <= item.fraction < 1 for item in updates[:-1] if item.fraction is not None)


@case("after a restart the ticket's JSON is enough")
async def restart(world: ContractWorld) -> None:
    ticket = await world.submit(provider=world.provider())
    await world.stack.aclose()
    finished = await world.finished(ticket, provider=world.provider())
    assert len(finished.pictures) == 1
    assert world.variant.sandbox.submits == 1


@case("stopped in the middle, it may begin again and again")
async def begun_again(world: ContractWorld) -> None:
    ticket = await world.submit()
    for _ in range(3):
        async with aclosing(world.provider().follow(ticket, world.request(), no_spool)) as items:
            assert isinstance(await anext(items), Progress)
    assert len((await world.finished(ticket)).pictures) == 1
    assert world.variant.sandbox.submits == 1


async def no_spool() -> tuple[Content, ...]:
    return ()


@case("two that follow the same ticket both get its pictures")
async def followed_twice(world: ContractWorld) -> None:
    ticket = await world.submit()
    both = await asyncio.gather(world.finished(ticket), world.finished(ticket))
    assert both[0].pictures[0].content == both[1].pictures[0].content
    assert world.variant.sandbox.submits == 1


@case("a ticket that cannot be read is lost")
async def unreadable(world: ContractWorld) -> None:
    ticket = await world.submit()
    bent = replace(ticket, data=dict.fromkeys(ticket.data, -1.5))
    with pytest.raises(TicketLost):
        await world.finished(bent)


@case("a ticket that leads elsewhere is not followed, the key stays here")
async def leads_elsewhere(world: ContractWorld) -> str | None:
    ticket = await world.submit()
    text = json.dumps(ticket.data)
    if reason := world.lacks("links in tickets"):
        assert "http" not in text
        return reason
    assert world.variant.sandbox.url in text
    async with picture_host() as elsewhere:
        data = json.loads(text.replace(world.variant.sandbox.url, elsewhere.url))
        with pytest.raises(InvalidResponse):
            await world.finished(replace(ticket, data=data))
        assert elsewhere.heads == []
    return None


# Temporary failures


@case("{} in following it, twice, is waited out", *FAILURES)
async def passing_failures(world: ContractWorld, failure: str) -> str | None:
    fault = FAILURES[failure]
    if reason := world.lacks(fault):
        assert len((await world.deliver()).pictures) == 1
        return reason
    ticket = await world.submit()
    world.breaks(fault)
    provider = world.provider(timeouts=HURRIED if fault == "look: slow" else None)
    assert len((await world.finished(ticket, provider=provider)).pictures) == 1
    assert world.variant.sandbox.submits == 1
    return None


@case("a service that stays away leaves the ticket good")
async def away(world: ContractWorld) -> str | None:
    ticket = await world.submit()
    if reason := world.lacks("look: away"):
        assert len((await world.finished(ticket)).pictures) == 1
        return reason
    world.breaks("look: away")
    with pytest.raises(ProviderBusy):
        await world.finished(ticket)
    world.heals()
    assert len((await world.finished(ticket)).pictures) == 1
    return None


@case("a key that is refused later leaves the ticket good")
async def key_refused_later(world: ContractWorld) -> str | None:
    ticket = await world.submit()
    if reason := world.lacks("look: key refused"):
        assert len((await world.finished(ticket)).pictures) == 1
        return reason
    world.breaks("look: key refused")
    with pytest.raises(ProviderMisconfigured):
        await world.finished(ticket)
    world.heals()
    assert len((await world.finished(ticket)).pictures) == 1
    return None


@case("work that never ends is given up")
async def never_ends(world: ContractWorld) -> str | None:
    world.breaks("never ends")
    if reason := world.lacks("patience"):
        assert type(await world.submit_error(provider=world.provider(timeouts=HURRIED))) is SubmitUnknown
        return reason
    ticket = await world.submit()
    with pytest.raises(GenerationTimeout):
        await world.finished(ticket, provider=world.provider(poll_policy=replace(POLL_POLICY, give_up_after=0.1)))
    return None


@case("what was painted long ago is fetched all the same")
async def long_ago(world: ContractWorld) -> None:
    ticket = await world.submit()
    await world.until("over")
    assert len((await world.finished(ticket, provider=world.provider(ahead=AN_HOUR))).pictures) == 1


# Cancelling


@case("a cancel while it is {}: dropped, and it costs nothing", "queued", "running")
async def cancelled(world: ContractWorld, stage: Any) -> str | None:
    if reason := world.lacks("cancel"):
        ticket = await world.submit()
        assert await world.provider().cancel(ticket) is CancelResult.TOO_LATE
        assert len((await world.finished(ticket)).pictures) == 1
        return reason
    world.breaks("stays queued" if stage == "queued" else "never ends")
    ticket = await world.submit()
    await world.until(stage)
    result = await world.provider().cancel(ticket)
    assert result is CancelResult.REMOVED or (stage == "running" and result is CancelResult.REQUESTED)
    with pytest.raises(JobCancelled):
        await world.finished(ticket)
    assert (world.variant.billed, world.variant.accepted) == (Money(0), 0)
    return None


@case("a cancel that comes too late says so, and the pictures come")
async def cancelled_late(world: ContractWorld) -> None:
    ticket = await world.submit()
    await world.until("over")
    assert await world.provider().cancel(ticket) is CancelResult.TOO_LATE
    assert len((await world.finished(ticket)).pictures) == 1


@case("a cancel that is not received is never called done")
async def cancel_unheard(world: ContractWorld) -> None:
    ticket = await world.submit()
    with refusing_origin() as at:
        result = await world.provider(at=at).cancel(ticket)
    assert result is (CancelResult.TOO_LATE if world.lacks("cancel") else CancelResult.REQUESTED)
    assert len((await world.finished(ticket)).pictures) == 1


@case("a cancel of an unreadable ticket is never called done")
async def cancel_unreadable(world: ContractWorld) -> None:
    ticket = await world.submit()
    bent = replace(ticket, data=dict.fromkeys(ticket.data, -1.5))
    result = await world.provider().cancel(bent)
    assert result in (CancelResult.REQUESTED, CancelResult.TOO_LATE)


# Health


@case("the health of a service: its key works, and it costs nothing")
async def examine(world: ContractWorld) -> None:
    health = await world.provider().check_health()
    assert health.key is KeyState.WORKS
    assert {served.model: served.gone for served in health.models}[world.variant.model] is False
    assert set(world.variant.offers) == {served.model for served in health.models}
    assert (world.variant.sandbox.submits, world.variant.billed) == (0, Money(0))


@case("the health with a refused key: refused, and no model is gone")
async def examine_refused(world: ContractWorld) -> None:
    health = await world.provider(key=world.variant.wrong_key).check_health()
    assert health.key.is_refusal
    assert [served.gone for served in health.models if served.gone] == []


@case("the health of a service that is away is unknown")
async def examine_away(world: ContractWorld) -> None:
    with refusing_origin() as at:
        health = await world.provider(at=at).check_health()
    assert health.key is KeyState.UNKNOWN
    assert [served.gone for served in health.models if served.gone is not None] == []


@case("the health of a service without a model: the model is gone")
async def examine_gone(world: ContractWorld) -> None:
    world.breaks("model unlisted", endpoint=world.variant.offers[world.variant.model].model)
    health = await world.provider().check_health()
    assert health.key is KeyState.WORKS
    assert {served.model: served.gone for served in health.models}[world.variant.model] is True


# Discretion


@case("no secret is in a ticket, an error or the log")
async def secrets(world: ContractWorld) -> None:
    world.caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    ticket = await world.submit()
    finished = await world.finished(ticket)
    shown += [json.dumps(ticket.data), repr(ticket), repr(finished)]
    wrong = world.provider(key=world.variant.wrong_key)
    errors: list[ProviderError] = []
    for fault in ("lost", "error 500", "run fails", "model gone"):
        world.breaks(fault)
        with pytest.raises(ProviderError) as caught:
            await world.finished(await world.submit(world.build_submit(job_id=len(errors))))
        errors.append(caught.value)
        world.heals()
    with pytest.raises(ProviderError) as refused:
        await world.submit(provider=wrong)
    with refusing_origin() as at, pytest.raises(ProviderError) as away:
        await world.submit(provider=world.provider(at=at))
    for error in (*errors, refused.value, away.value):
        shown += [f"{error!r} {error.sentence} {vars(error)} {error.__cause__!r} {error.__context__!r}"]
        assert "http" not in error.detail
    shown += [repr(await wrong.check_health()), repr(wrong), world.caplog.text]
    secrets = (*world.variant.secrets, world.variant.wrong_key)
    assert [secret for secret in secrets for text in shown if secret in text] == []
