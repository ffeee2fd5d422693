"""The pictures themselves: cut, slow, gone, elsewhere, something else, or too few."""

from __future__ import annotations

import pytest

from bot.domain.errors import InvalidResponse, ProviderError, ResultLost, TicketLost
from bot.domain.jobs import Ticket
from tests.providers.contract.case import Cases
from tests.providers.contract.variant import Fault
from tests.providers.contract.world import HURRIED, ContractWorld
from tests.support.providers.deps import picture_host

case = Cases()

BAD_MOMENTS: dict[str, Fault] = {
    "cut": "picture: reset",
    "too slowly": "picture: slow",
    "as a page": "picture: page type",
}
ELSEWHERE: dict[str, Fault] = {"by redirect": "picture: redirected", "by its link": "picture: foreign"}
NO_PICTURES: dict[str, Fault] = {"text": "not a picture", "a decompression bomb": "bomb"}


@case("a picture that comes {} is delivered all the same", "cut", "too slowly", "as a page")
async def bad_moments(world: ContractWorld, how: str) -> str | None:
    fault = BAD_MOMENTS[how]
    ticket = await world.submit()
    reason = world.lacks(fault)
    if reason is None:
        world.breaks(fault)
    provider = world.provider(timeouts=HURRIED if fault == "picture: slow" else None)
    assert len((await world.finished(ticket, provider=provider)).pictures) == 1
    assert world.variant.sandbox.submits == 1
    return reason


@case("a picture that is too big is refused")
async def huge(world: ContractWorld) -> str | None:
    ticket = await world.submit()
    if reason := world.lacks("picture: huge"):
        assert len((await world.finished(ticket)).pictures) == 1
        return reason
    world.breaks("picture: huge")
    with pytest.raises(InvalidResponse):
        await world.finished(ticket)
    return None


@case("a picture that is gone ends the job, nothing is painted again")
async def gone(world: ContractWorld) -> str | None:
    ticket = await world.submit()
    if reason := world.lacks("picture: gone"):
        assert len((await world.finished(ticket)).pictures) == 1
        return reason
    world.breaks("picture: gone")
    await ends(world, ticket)
    return None


@case("a result no longer stored ends the job, nothing is painted again")
async def expired(world: ContractWorld) -> str | None:
    ticket = await world.submit()
    await world.until("over")
    world.variant.sandbox.age(3_700)
    if reason := world.lacks("picture: expired"):
        assert len((await world.finished(ticket)).pictures) == 1
        return reason
    world.breaks("picture: expired")
    await ends(world, ticket)
    return None


async def ends(world: ContractWorld, ticket: Ticket) -> None:
    with pytest.raises(ProviderError) as caught:
        await world.finished(ticket)
    assert isinstance(caught.value, InvalidResponse | ResultLost | TicketLost)
    assert world.variant.sandbox.submits == 1


@case("a picture elsewhere, {}, is not fetched, the key stays here", *ELSEWHERE)
async def elsewhere(world: ContractWorld, how: str) -> str | None:
    fault = ELSEWHERE[how]
    if reason := world.lacks(fault):
        assert len((await world.deliver()).pictures) == 1
        return reason
    async with picture_host() as elsewhere:
        world.breaks(fault, url=f"{elsewhere.url}/x.png")
        with pytest.raises(InvalidResponse):
            await world.finished(await world.submit())
        assert elsewhere.heads == []
    return None


@case("a picture of another type than declared is delivered as what it is")
async def other_type(world: ContractWorld) -> None:
    world.breaks("other type")
    (picture,) = (await world.finished(await world.submit())).pictures
    assert (picture.content_type, picture.filename) == ("image/png", "picture-1.png")


@case("{} in a picture's place is no picture", *NO_PICTURES)
async def no_pictures(world: ContractWorld, what: str) -> None:
    world.breaks(NO_PICTURES[what])
    ticket = await world.submit()
    with pytest.raises(InvalidResponse):
        await world.finished(ticket)
    assert world.variant.sandbox.submits == 1


@case("fewer pictures than requested are delivered")
async def fewer(world: ContractWorld) -> str | None:
    request = world.request(count=3)
    if reason := world.lacks("fewer"):
        assert world.provider_request(request).counts == (1, 1, 1)
        return reason
    world.breaks("fewer")
    finished = await world.finished(await world.submit(world.build_submit(request)), request)
    assert len(finished.pictures) == 2
    return None
