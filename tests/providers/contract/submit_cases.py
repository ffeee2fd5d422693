"""Submitting: what it may cost, what may go wrong, and what became of it when no response came."""

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
from tests.providers.contract.world import HURRIED, SETTLED, ContractWorld
from tests.support.providers.deps import SOURCE, input_picture, painted, picture_host
from tests.support.raw_server import http, refusing_origin, responding

case = Cases()


# What it costs


REQUESTS: dict[str, Callable[[ContractWorld], tuple[ImageRequest, int]]] = {
    "one of low quality": lambda world: (world.request(), 0),
    "four large ones of high quality": lambda world: (
        world.request(size="landscape", quality="high", count=4),
        0,
    ),
    "a long prompt": lambda world: (world.request(prompt="a very small fox " * 200), 0),
    "an edit of four pictures": lambda world: (
        world.request(sources=(SOURCE,) * 4, fidelity="high"),
        4,
    ),
}


@case("never above the reserved price: {}", *REQUESTS)
async def price(world: ContractWorld, kind: str) -> None:
    request, sources = REQUESTS[kind](world)
    delivery = await world.deliver(request, *[input_picture(painted()) for _ in range(sources)])
    assert Money(0) < world.variant.billed <= delivery.provider_request.highest_cost()


@case("the reported cost is the service's own, or none")
async def cost(world: ContractWorld) -> None:
    delivery = await world.deliver(world.request(size="portrait", quality="medium"))
    (finished,) = delivery.parts
    assert finished.cost == (world.variant.billed if world.variant.reports_cost else None)


@case("a cost that is not reported is not made up")
async def cost_untold(world: ContractWorld) -> str | None:
    if reason := world.lacks("no cost"):
        await cost(world)
        return reason
    world.breaks("no cost")
    assert (await world.deliver()).parts[0].cost is None
    return None


@case("what costs more than reserved is not submitted")
async def too_dear(world: ContractWorld) -> str | None:
    submit = world.build_submit(price_limit=Money(1))
    if reason := world.lacks("price before"):
        await world.finished(await world.submit(submit))
        return reason
    assert type(await world.submit_error(submit)) is PriceExceeded
    assert world.variant.sandbox.submits == 0
    return None


# Refusals


def refusals(world: ContractWorld, error: ProviderError, kind: type[ProviderError]) -> None:
    """Exactly this class, nothing charged, and no link of the service's in its texts."""
    assert type(error) is kind
    assert world.variant.billed == Money(0)
    assert "http" not in f"{error.sentence} {error.detail}"


@case("a key that is refused is the operator's matter")
async def key_refused(world: ContractWorld) -> None:
    provider = world.provider(key=world.variant.wrong_key)
    refusals(world, await world.submit_error(provider=provider), ProviderMisconfigured)


@case("a used-up balance is the operator's matter")
async def no_money(world: ContractWorld) -> None:
    world.breaks("no money")
    refusals(world, await world.submit_error(), ProviderMisconfigured)


@case("a forbidden prompt is the prompt's fault")
async def forbidden(world: ContractWorld) -> None:
    submit = world.build_submit(world.request(prompt="something forbidden"))
    refusals(world, await world.error(submit), PromptRejected)


def with_bad_option(world: ContractWorld) -> Submit:
    submit = world.build_submit()
    field = submit.provider_request.operation.options["output_format"].field
    return replace(
        submit,
        provider_request=replace(submit.provider_request, fields={**submit.provider_request.fields, field: "bmp"}),
    )


@case("a bad option, refused at submit, is the option's fault")
async def bad_option(world: ContractWorld) -> str | None:
    if reason := world.lacks("option refused at submit"):
        refusals(world, await world.error(with_bad_option(world)), RequestRejected)
        return reason
    world.breaks("option refused at submit")
    refusals(world, await world.submit_error(with_bad_option(world)), RequestRejected)
    return None


@case("a bad option, refused while it runs, is the option's fault")
async def bad_option_later(world: ContractWorld) -> str | None:
    if reason := world.lacks("option refused later"):
        refusals(world, await world.submit_error(with_bad_option(world)), RequestRejected)
        return reason
    ticket = await world.submit(with_bad_option(world))
    with pytest.raises(ProviderError) as caught:
        await world.finished(ticket)
    refusals(world, caught.value, RequestRejected)
    return None


@case("a model that is gone is retired")
async def model_gone(world: ContractWorld) -> None:
    world.breaks("model gone")
    refusals(world, await world.submit_error(), ModelRetired)


@case("a model that ends while it paints is retired")
async def model_ends(world: ContractWorld) -> str | None:
    reason = world.lacks("model ends")
    world.breaks("model gone" if reason else "model ends")
    refusals(world, await world.error(), ModelRetired)
    return reason


@case("429 {} a time to wait: certainly not accepted", "with", "without")
async def too_many(world: ContractWorld, wait: str) -> None:
    world.breaks("too many", retry_after="7" if wait == "with" else None)
    error = await world.submit_error()
    refusals(world, error, RateLimited)
    assert isinstance(error, RateLimited)
    assert error.retry_after == (7 if wait == "with" else None)
    assert world.variant.accepted == 0


@case("a refused connection: certainly not accepted")
async def unheard(world: ContractWorld) -> None:
    with refusing_origin() as at:
        error = await world.submit_error(provider=world.provider(at=at))
    assert isinstance(error, ProviderBusy)
    assert world.variant.sandbox.submits == 0


# Unknown


def careful(world: ContractWorld, error: ProviderError) -> None:
    """An error that says "certainly not accepted" must be right; any other must leave it open."""
    assert isinstance(error, SubmitUnknown | ProviderBusy)
    assert world.variant.sandbox.submits == 1
    if isinstance(error, ProviderBusy):
        assert world.variant.accepted == 0


@case("a bare 500 leaves it open, or was certainly not accepted")
async def error_500(world: ContractWorld) -> None:
    world.breaks("error 500")
    careful(world, await world.submit_error())


@case("a 502 page leaves it open, or was certainly not accepted")
async def page_502(world: ContractWorld) -> None:
    world.breaks("page 502")
    careful(world, await world.submit_error())


@case("a run that fails is an error, and never begun again")
async def run_fails(world: ContractWorld) -> None:
    world.breaks("run fails")
    error = await world.error()
    assert isinstance(error, GenerationFailed | SubmitUnknown | ProviderBusy)
    assert world.variant.billed == Money(0)
    assert world.variant.accepted == 0


@case("a response that is {} leaves it open, nothing is sent again", "truncated", "lost", "dropped")
async def open_ends(world: ContractWorld, fault: Any) -> None:
    world.breaks(fault)
    assert type(await world.submit_error()) is SubmitUnknown
    assert world.variant.sandbox.submits == 1


@case("a response that comes too late leaves it open, nothing is sent again")
async def slow(world: ContractWorld) -> None:
    world.breaks("slow")
    assert type(await world.submit_error(provider=world.provider(timeouts=HURRIED))) is SubmitUnknown
    assert world.variant.sandbox.submits == 1


@case("a response that breaks off leaves it open, nothing is sent again")
async def breaks_off(world: ContractWorld) -> None:
    def cut(line: str, block: bytes) -> bytes | None:
        return None if line.startswith("POST") and "dryRun" not in line else block

    async with world.changing(cut) as origin:
        assert type(await world.submit_error(provider=world.provider(at=origin))) is SubmitUnknown
    assert world.variant.sandbox.submits == 1


@case("JSON by another name is read all the same")
async def another_name(world: ContractWorld) -> None:
    def renamed(_: str, block: bytes) -> bytes:
        return block.replace(b"Content-Type: application/json", b"Content-Type: text/html; x=yzzy")

    async with world.changing(renamed) as origin:
        provider = world.provider(at=origin)
        finished = await world.finished(await world.submit(provider=provider), provider=provider)
    assert len(finished.pictures) == 1


@case("a redirect of a call is not followed, the key stays here")
async def sent_elsewhere(world: ContractWorld) -> None:
    async with picture_host() as elsewhere, responding(http(302, location=f"{elsewhere.url}/x")) as redirecting:
        error = await world.submit_error(provider=world.provider(at=redirecting.url))
        assert isinstance(error, ProviderError)
        assert (elsewhere.heads, bool(redirecting.heads)) == ([], True)


# Reconciling


async def lose(world: ContractWorld, submit: Submit) -> None:
    world.breaks("lost")
    assert type(await world.submit_error(submit)) is SubmitUnknown
    world.heals()


@case("a lost submit that arrived is found and delivered")
async def found_again(world: ContractWorld) -> str | None:
    submit = world.build_submit()
    await lose(world, submit)
    await world.until("over")
    provider = world.provider(ahead=SETTLED)
    if reason := world.lacks("found again"):
        with pytest.raises(SubmitUnknown) as caught:
            await provider.reconcile(submit, [])
        assert caught.value.final
        return reason
    ticket = await provider.reconcile(submit, [])
    assert ticket is not None
    assert len((await world.finished(world.stored(ticket))).pictures) == 1
    assert world.variant.sandbox.submits == 1
    return None


@case("a lost submit that never arrived is known to be free")
async def never_arrived(world: ContractWorld) -> str | None:
    world.breaks("dropped")
    submit = world.build_submit()
    assert type(await world.submit_error(submit)) is SubmitUnknown
    provider = world.provider(ahead=SETTLED)
    if reason := world.lacks("never arrived"):
        with pytest.raises(SubmitUnknown):
            await provider.reconcile(submit, [])
        return reason
    assert await provider.reconcile(submit, []) is None
    return None


@case("too early to say is not the same as never arrived")
async def too_early(world: ContractWorld) -> None:
    world.breaks("dropped")
    submit = world.build_submit()
    assert type(await world.submit_error(submit)) is SubmitUnknown
    with pytest.raises(SubmitUnknown):
        await world.provider().reconcile(submit, [])


@case("an unreadable history is not the same as never arrived")
async def history_away(world: ContractWorld) -> str | None:
    submit = world.build_submit()
    await lose(world, submit)
    reason = world.lacks("history away")
    if reason is None:
        world.breaks("history away")
    with pytest.raises(SubmitUnknown):
        await world.provider(ahead=SETTLED).reconcile(submit, [])
    return reason


@case("a lost submit never takes what belongs to another")
async def anothers(world: ContractWorld) -> None:
    ticket = await world.submit(world.build_submit(job_id=1))
    await world.until("over")
    world.breaks("dropped")
    submit = world.build_submit(job_id=2)
    with pytest.raises(SubmitUnknown):
        await world.submit(submit)
    with suppress(SubmitUnknown):
        assert await world.provider(ahead=SETTLED).reconcile(submit, [ticket]) is None
    assert len((await world.finished(ticket)).pictures) == 1


@case("two submits at once: each has its own")
async def two_at_once(world: ContractWorld) -> None:
    provider = world.provider()
    requests = [world.request(size=size) for size in ("landscape", "portrait")]
    submits = [world.build_submit(request, job_id=number) for number, request in enumerate(requests)]

    async def one(submit: Submit) -> tuple[int, int]:
        finished = await world.finished(
            await world.submit(submit, provider), submit.provider_request.request, provider
        )
        (picture,) = finished.pictures
        return picture.width, picture.height

    assert await asyncio.gather(*map(one, submits)) == [(1536, 1024), (1024, 1536)]
    assert world.variant.sandbox.submits == 2
