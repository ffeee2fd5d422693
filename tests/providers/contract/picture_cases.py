"""The pictures themselves: cut, slow, gone, elsewhere, something else, or too few."""

from __future__ import annotations

import pytest

from bot.domain.errors import InvalidResponse, ProviderError, ResultLost, TicketLost
from bot.domain.jobs import Ticket
from tests.providers.contract.case import Cases
from tests.providers.contract.variant import Fault
from tests.providers.contract.wire import stranger
from tests.providers.contract.world import QUICK, ContractWorld

case = Cases()

BAD_MOMENTS: dict[str, Fault] = {
    "cut": "picture: reset",
    "too slowly": "picture: slow",
    "as a page": "picture: page type",
}
ELSEWHERE: dict[str, Fault] = {"by redirect": "picture: redirected", "by its link": "picture: foreign"}
NO_PICTURES: dict[str, Fault] = {"text": "not a picture", "a decompression bomb": "bomb"}


@case("a picture that comes {} is had all the same", "cut", "too slowly", "as a page")
async def bad_moments(house: ContractWorld, how: str) -> str | None:
    fault = BAD_MOMENTS[how]
    ticket = await house.submit()
    reason = house.lacks(fault)
    if reason is None:
        house.breaks(fault)
    provider = house.provider(limits=QUICK if fault == "picture: slow" else None)
    assert len((await house.finished(ticket, provider=provider)).pictures) == 1
    assert house.way.submits == 1
    return reason


@case("a picture that is too big is refused")
async def huge(house: ContractWorld) -> str | None:
    ticket = await house.submit()
    if reason := house.lacks("picture: huge"):
        assert len((await house.finished(ticket)).pictures) == 1
        return reason
    house.breaks("picture: huge")
    with pytest.raises(InvalidResponse):
        await house.finished(ticket)
    return None


@case("a picture that is gone ends the job, nothing is painted again")
async def gone(house: ContractWorld) -> str | None:
    ticket = await house.submit()
    if reason := house.lacks("picture: gone"):
        assert len((await house.finished(ticket)).pictures) == 1
        return reason
    house.breaks("picture: gone")
    await ends(house, ticket)
    return None


@case("a result no longer kept ends the job, nothing is painted again")
async def expired(house: ContractWorld) -> str | None:
    ticket = await house.submit()
    await house.until("over")
    house.way.age(3_700)
    if reason := house.lacks("picture: expired"):
        assert len((await house.finished(ticket)).pictures) == 1
        return reason
    house.breaks("picture: expired")
    await ends(house, ticket)
    return None


async def ends(house: ContractWorld, ticket: Ticket) -> None:
    with pytest.raises(ProviderError) as caught:
        await house.finished(ticket)
    assert isinstance(caught.value, InvalidResponse | ResultLost | TicketLost)
    assert house.way.submits == 1


@case("a picture elsewhere, {}, is not fetched, the key stays here", *ELSEWHERE)
async def elsewhere(house: ContractWorld, how: str) -> str | None:
    fault = ELSEWHERE[how]
    if reason := house.lacks(fault):
        assert len((await house.deliver()).pictures) == 1
        return reason
    async with stranger() as somebody:
        house.breaks(fault, url=f"{somebody.origin}/x.png")
        with pytest.raises(InvalidResponse):
            await house.finished(await house.submit())
        assert somebody.heard == []
    return None


@case("a picture of another type than declared is kept as what it is")
async def other_type(house: ContractWorld) -> None:
    house.breaks("other type")
    (picture,) = (await house.finished(await house.submit())).pictures
    assert (picture.content_type, picture.filename) == ("image/png", "picture-1.png")


@case("{} in a picture's place is no picture", *NO_PICTURES)
async def no_pictures(house: ContractWorld, what: str) -> None:
    house.breaks(NO_PICTURES[what])
    ticket = await house.submit()
    with pytest.raises(InvalidResponse):
        await house.finished(ticket)
    assert house.way.submits == 1


@case("fewer pictures than asked are delivered with a note")
async def fewer(house: ContractWorld) -> str | None:
    request = house.request(count=3)
    if reason := house.lacks("fewer"):
        assert house.fit(request).submits == (1, 1, 1)
        return reason
    house.breaks("fewer")
    finished = await house.finished(await house.submit(house.order(request)), request)
    assert (len(finished.pictures), finished.note) == (2, "The service painted 2 of 3 pictures.")
    return None
