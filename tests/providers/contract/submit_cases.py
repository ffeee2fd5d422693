"""Handing work over: what it may cost, what may go wrong, and what became of it when no answer came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from bot.catalog.offers import Submit
from bot.domain.errors import (
    GenerationFailed,
    ModelRetired,
    PriceExceeded,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SubmitUnknown,
)
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from tests.providers.contract.case import Cases
from tests.providers.contract.wire import nobody, painted, stranger
from tests.providers.contract.world import QUICK, SETTLED, SOURCE, ContractWorld, given

case = Cases()


# What it costs


WISHES: dict[str, Callable[[ContractWorld], tuple[ImageRequest, int]]] = {
    "one of low quality": lambda house: (house.request(), 0),
    "four large ones of high quality": lambda house: (
        house.request(size="landscape", quality="high", count=4),
        0,
    ),
    "a long prompt": lambda house: (house.request(prompt="a very small fox " * 200), 0),
    "an edit of four pictures": lambda house: (
        house.request(sources=(SOURCE,) * 4, fidelity="high"),
        4,
    ),
}


@case("never dearer than reserved: {}", *WISHES)
async def price(house: ContractWorld, wish: str) -> None:
    request, sources = WISHES[wish](house)
    delivery = await house.deliver(request, *[given(painted()) for _ in range(sources)])
    assert Money(0) < house.way.billed <= Money(delivery.fit.most())


@case("the cost that is told is the service's own, or none")
async def cost(house: ContractWorld) -> None:
    delivery = await house.deliver(house.request(size="portrait", quality="medium"))
    (finished,) = delivery.parts
    assert finished.cost == (house.way.billed if house.way.tells_cost else None)


@case("a cost that is not told is not made up")
async def cost_untold(house: ContractWorld) -> str | None:
    if reason := house.lacks("cost untold"):
        await cost(house)
        return reason
    house.breaks("cost untold")
    assert (await house.deliver()).parts[0].cost is None
    return None


@case("what is dearer than reserved is not submitted")
async def too_dear(house: ContractWorld) -> str | None:
    order = house.order(most=Money(1))
    if reason := house.lacks("price before"):
        await house.finished(await house.submit(order))
        return reason
    assert type(await house.submit_error(order)) is PriceExceeded
    assert house.way.submits == 0
    return None


# Refused, and by whom


def refusals(house: ContractWorld, error: ProviderError, kind: type[ProviderError]) -> None:
    """Exactly this kind, nothing paid, and a sentence for the member that holds nothing of the service's."""
    assert type(error) is kind
    assert house.way.billed == Money(0)
    assert "http" not in f"{error.sentence} {error.detail}"


@case("a key that is refused is the operator's matter")
async def key_refused(house: ContractWorld) -> None:
    provider = house.provider(key=house.way.wrong_key)
    refusals(house, await house.submit_error(provider=provider), ProviderMisconfigured)


@case("an empty wallet is the operator's matter")
async def no_money(house: ContractWorld) -> None:
    house.breaks("no money")
    refusals(house, await house.submit_error(), ProviderMisconfigured)


@case("a forbidden prompt is the prompt's fault")
async def forbidden(house: ContractWorld) -> None:
    order = house.order(house.request(prompt="something forbidden"))
    refusals(house, await house.error(order), PromptRejected)


def with_bad_option(house: ContractWorld) -> Submit:
    order = house.order()
    field = order.fit.verb.options["output_format"].field
    return replace(order, fit=replace(order.fit, fields={**order.fit.fields, field: "bmp"}))


@case("a bad option, told at submit, is the option's fault")
async def bad_option(house: ContractWorld) -> str | None:
    if reason := house.lacks("option told at submit"):
        refusals(house, await house.error(with_bad_option(house)), RequestRejected)
        return reason
    house.breaks("option told at submit")
    refusals(house, await house.submit_error(with_bad_option(house)), RequestRejected)
    return None


@case("a bad option, told while it runs, is the option's fault")
async def bad_option_later(house: ContractWorld) -> str | None:
    if reason := house.lacks("option told later"):
        refusals(house, await house.submit_error(with_bad_option(house)), RequestRejected)
        return reason
    ticket = await house.submit(with_bad_option(house))
    with pytest.raises(ProviderError) as caught:
        await house.finished(ticket)
    refusals(house, caught.value, RequestRejected)
    return None


@case("a model that is gone is retired")
async def model_gone(house: ContractWorld) -> None:
    house.breaks("model gone")
    refusals(house, await house.submit_error(), ModelRetired)


@case("a model that ends while it paints is retired")
async def model_ends(house: ContractWorld) -> str | None:
    reason = house.lacks("model ends")
    house.breaks("model gone" if reason else "model ends")
    refusals(house, await house.error(), ModelRetired)
    return reason


@case("429 {} a time to wait: certainly not accepted", "with", "without")
async def too_many(house: ContractWorld, told: str) -> None:
    house.breaks("too many", retry_after="7" if told == "with" else None)
    error = await house.submit_error()
    refusals(house, error, RateLimited)
    assert isinstance(error, RateLimited)
    assert error.retry_after == (7 if told == "with" else None)
    assert house.way.taken == 0


@case("nobody listens: certainly not accepted")
async def unheard(house: ContractWorld) -> None:
    with nobody() as at:
        error = await house.submit_error(provider=house.provider(at=at))
    assert isinstance(error, ProviderBusy)
    assert house.way.submits == 0


# Nobody knows


def careful(house: ContractWorld, error: ProviderError) -> None:
    """Whoever says that it was certainly not accepted must be right; everybody else leaves it open."""
    assert isinstance(error, SubmitUnknown | ProviderBusy)
    assert house.way.submits == 1
    if isinstance(error, ProviderBusy):
        assert house.way.taken == 0


@case("a bare 500 is left open, or was certainly not accepted")
async def error_500(house: ContractWorld) -> None:
    house.breaks("error 500")
    careful(house, await house.submit_error())


@case("a 502 page is left open, or was certainly not accepted")
async def page_502(house: ContractWorld) -> None:
    house.breaks("page 502")
    careful(house, await house.submit_error())


@case("a run that fails is told, and never begun again")
async def run_fails(house: ContractWorld) -> None:
    house.breaks("run fails")
    error = await house.error()
    assert isinstance(error, GenerationFailed | SubmitUnknown | ProviderBusy)
    assert house.way.billed == Money(0)
    assert house.way.taken == 0


@case("an answer that is {} leaves it open, nothing is sent again", "truncated", "lost", "dropped")
async def open_ends(house: ContractWorld, fault: Any) -> None:
    house.breaks(fault)
    assert type(await house.submit_error()) is SubmitUnknown
    assert house.way.submits == 1


@case("an answer that comes too late leaves it open, nothing is sent again")
async def slow(house: ContractWorld) -> None:
    house.breaks("slow")
    assert type(await house.submit_error(provider=house.provider(limits=QUICK))) is SubmitUnknown
    assert house.way.submits == 1


@case("an answer that breaks off leaves it open, nothing is sent again")
async def breaks_off(house: ContractWorld) -> None:
    def cut(line: str, block: bytes) -> bytes | None:
        return None if line.startswith("POST") and "dryRun" not in line else block

    async with house.bent(cut) as origin:
        assert type(await house.submit_error(provider=house.provider(at=origin))) is SubmitUnknown
    assert house.way.submits == 1


@case("JSON by another name is read all the same")
async def another_name(house: ContractWorld) -> None:
    def renamed(_: str, block: bytes) -> bytes:
        return block.replace(b"Content-Type: application/json", b"Content-Type: text/html; x=yzzy")

    async with house.bent(renamed) as origin:
        provider = house.provider(at=origin)
        finished = await house.finished(await house.submit(provider=provider), provider=provider)
    assert len(finished.pictures) == 1


@case("a call sent elsewhere is not followed, the key stays here")
async def sent_elsewhere(house: ContractWorld) -> None:
    async with stranger() as elsewhere, stranger(302, location=f"{elsewhere.origin}/x") as door:
        error = await house.submit_error(provider=house.provider(at=door.origin))
        assert isinstance(error, ProviderError)
        assert (elsewhere.heard, bool(door.heard)) == ([], True)


# What became of it


async def lose(house: ContractWorld, order: Submit) -> None:
    house.breaks("lost")
    assert type(await house.submit_error(order)) is SubmitUnknown
    house.heals()


@case("a lost submit that arrived is found and delivered")
async def found(house: ContractWorld) -> str | None:
    order = house.order()
    await lose(house, order)
    await house.until("over")
    provider = house.provider(later=SETTLED)
    if reason := house.lacks("found again"):
        with pytest.raises(SubmitUnknown) as caught:
            await provider.reconcile(order, [])
        assert caught.value.final
        return reason
    ticket = await provider.reconcile(order, [])
    assert ticket is not None
    assert len((await house.finished(house.stored(ticket))).pictures) == 1
    assert house.way.submits == 1
    return None


@case("a lost submit that never arrived is known to be free")
async def never_arrived(house: ContractWorld) -> str | None:
    house.breaks("dropped")
    order = house.order()
    assert type(await house.submit_error(order)) is SubmitUnknown
    provider = house.provider(later=SETTLED)
    if reason := house.lacks("never arrived"):
        with pytest.raises(SubmitUnknown):
            await provider.reconcile(order, [])
        return reason
    assert await provider.reconcile(order, []) is None
    return None


@case("too early to say is not the same as never arrived")
async def too_early(house: ContractWorld) -> None:
    house.breaks("dropped")
    order = house.order()
    assert type(await house.submit_error(order)) is SubmitUnknown
    with pytest.raises(SubmitUnknown):
        await house.provider().reconcile(order, [])


@case("an unreadable history is not the same as never arrived")
async def history_away(house: ContractWorld) -> str | None:
    order = house.order()
    await lose(house, order)
    reason = house.lacks("history away")
    if reason is None:
        house.breaks("history away")
    with pytest.raises(SubmitUnknown):
        await house.provider(later=SETTLED).reconcile(order, [])
    return reason


@case("a lost submit never takes what belongs to another")
async def anothers(house: ContractWorld) -> None:
    ticket = await house.submit(house.order(job_id=1))
    await house.until("over")
    house.breaks("dropped")
    order = house.order(job_id=2)
    with pytest.raises(SubmitUnknown):
        await house.submit(order)
    with suppress(SubmitUnknown):
        assert await house.provider(later=SETTLED).reconcile(order, [ticket]) is None
    assert len((await house.finished(ticket)).pictures) == 1


@case("two submits at once: each has its own")
async def two_at_once(house: ContractWorld) -> None:
    provider = house.provider()
    wishes = [house.request(size=size) for size in ("landscape", "portrait")]
    orders = [house.order(wish, job_id=number) for number, wish in enumerate(wishes)]

    async def one(order: Submit) -> tuple[int, int]:
        finished = await house.finished(await house.submit(order, provider), order.fit.request, provider)
        (picture,) = finished.pictures
        return picture.width, picture.height

    assert await asyncio.gather(*map(one, orders)) == [(1536, 1024), (1024, 1536)]
    assert house.way.submits == 2
