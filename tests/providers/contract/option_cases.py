"""What a member may choose: it is painted so, or made here, or said before anything is charged."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from bot.catalog import sizes as shapes
from bot.catalog.offers import WORDS, Unsupported
from bot.catalog.schema import Option
from bot.domain.errors import SourceRejected
from bot.domain.pictures import Picture
from bot.domain.requests import ImageRequest
from bot.pictures import TYPES
from tests.providers.contract.case import Cases
from tests.providers.contract.wire import painted, stranger
from tests.providers.contract.world import SOURCE, ContractWorld, given

case = Cases()

PIXELS = "ab\"'\\<>&%{}$ü雪🦊\n\t"
PROMPT = (PIXELS * 4000)[:3999] + "."
TOLD = "the service chooses: the member is told"


def spelled(house: ContractWorld, request: ImageRequest, option: Option) -> str | None:
    """See that an option went out as the service spells it; why not, where the member is told instead."""
    fit = house.fit(request)
    spelling = fit.verb.options[option]
    asked = spelling.instead.get(getattr(request, option), getattr(request, option))
    if spelling.field in fit.fields:
        assert str(house.way.sent[spelling.field]) == spelling.values[asked]
        return None
    assert spelling.field not in house.way.sent
    if asked == "auto":
        return None
    assert any(WORDS[option] in change for change in fit.changes)
    return TOLD


def refused(house: ContractWorld, request: ImageRequest, word: str) -> None:
    """See that it is refused before anything is charged, in words that name it and a way out."""
    with pytest.raises(Unsupported) as caught:
        house.fit(request)
    assert word in caught.value.cannot
    assert word in caught.value.refusal("It", ["Another"]).sentence
    assert "Choose Another as the model." in caught.value.refusal("It", ["Another"]).sentence
    assert len(caught.value.refusal("It", []).sentence.split(". ")) > 1
    assert house.way.submits == 0


def lowest_alpha(picture: Picture) -> int:
    with Image.open(BytesIO(picture.content)) as image:
        return present(image.convert("RGBA").getchannel("A"))[0]


def half_clear() -> bytes:
    """A mask of the sources' size: what is left stays, what is right is painted."""
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (32, 0, 64, 64))
    buffer = BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def extrema(image: Image.Image) -> list[tuple[int, int]]:
    """The least and the most of each colour."""
    return [(min(levels), max(levels)) for levels in map(present, image.split())]


def present(channel: Image.Image) -> list[int]:
    return [level for level, count in enumerate(channel.histogram()) if count]


@case("pixels {}: exactly these, or the member is told", "1024x1536", "1200x1100")
@case("ratio {}: so shaped, or the member is told", "16:9", "2:3")
@case("size {}: so shaped, or the member is told", "square", "landscape", "portrait", "auto")
async def sizes(house: ContractWorld, size: str) -> None:
    delivery = await house.deliver(house.request(size=size))
    came = shapes.Shape(delivery.picture.width, delivery.picture.height, exact=True)
    wanted = shapes.read(size)
    if delivery.fit.size is not None:
        assert came == delivery.fit.size or shapes.same_ratio(came, delivery.fit.size)
    if wanted is not None:
        as_asked = came == wanted if wanted.exact else shapes.same_ratio(came, wanted)
        assert as_asked != any("became" in change for change in delivery.fit.changes)


@case("quality {}: asked for, or the member is told", "auto", "low", "medium", "high")
async def qualities(house: ContractWorld, quality: str) -> str | None:
    request = house.request(quality=quality)
    await house.deliver(request)
    return spelled(house, request, "quality")


@case("background {}: asked for, or the member is told", "auto", "opaque")
async def backgrounds(house: ContractWorld, background: str) -> str | None:
    request = house.request(background=background)
    delivery = await house.deliver(request)
    assert lowest_alpha(delivery.picture) == 255
    return spelled(house, request, "background")


@case("background transparent: it is, or it is refused by name")
async def transparent(house: ContractWorld) -> str | None:
    request = house.request(background="transparent", output_format="png")
    if not house.way.offers[house.way.model].imagine.options["background"].listed:
        assert lowest_alpha((await house.deliver(request)).picture) == 0
        return spelled(house, request, "background")
    refused(house, request, "background")
    return "its schema lists no background: refused by name"


@case("format {}: what is delivered is one", "png", "jpeg", "webp", "gif", "avif")
async def formats(house: ContractWorld, kind: str) -> None:
    delivery = await house.deliver(house.request(output_format=kind))
    assert delivery.picture.content_type == TYPES[kind.upper()]
    with Image.open(BytesIO(delivery.picture.content)) as image:
        assert image.format == kind.upper()


@case("compression: the file is smaller, whoever does it")
async def compression(house: ContractWorld) -> None:
    small, large = [
        (await house.deliver(house.request(output_format="jpeg", compression=percent))).picture
        for percent in (10, 95)
    ]
    assert small.content_type == large.content_type == "image/jpeg"
    assert len(small.content) < len(large.content)


@case("count {}: so many pictures, in as many submits as it takes", 1, 4, 10)
async def counts(house: ContractWorld, count: int) -> None:
    delivery = await house.deliver(house.request(count=count))
    assert len(delivery.pictures) == count
    assert house.way.submits == house.way.taken == len(delivery.fit.submits)
    assert [finished.note for finished in delivery.parts] == [""] * len(delivery.parts)


@case("the longest prompt arrives as it was written")
async def prompts(house: ContractWorld) -> None:
    request = house.request(prompt=PROMPT)
    await house.deliver(request)
    assert house.way.sent[house.fit(request).verb.prompt] == PROMPT


@case("an edit of one picture")
async def edit(house: ContractWorld) -> None:
    request = house.request(sources=(SOURCE,))
    picture = (await house.deliver(request, given(painted()))).picture
    assert (picture.content_type, picture.width) == ("image/jpeg", 1024)


@case("an edit of three pictures, one of them large")
async def several(house: ContractWorld) -> None:
    request = house.request(sources=(SOURCE,) * 3)
    large = painted() + bytes(3_000_000)
    pictures = [given(painted()), given(large, name="größe.png"), given(painted(colour="blue"))]
    assert (await house.deliver(request, *pictures)).picture.width == 1024
    assert len(house.way.sent[house.fit(request).verb.sources or ""]) == len(pictures)


@case("an edit of a picture that has a link of its own")
async def linked(house: ContractWorld) -> None:
    request = house.request(sources=(SOURCE,))
    async with stranger() as host:
        picture = given(painted(), url=f"{host.origin}/a.png")
        assert (await house.deliver(request, picture)).picture.width == 1024
        assert all(secret not in head for secret in house.way.secrets for head in host.heard)


@case("fidelity {}: asked for, or the member is told", "low", "high")
async def fidelities(house: ContractWorld, fidelity: str) -> str | None:
    request = house.request(sources=(SOURCE,), fidelity=fidelity)
    await house.deliver(request, given(painted()))
    return spelled(house, request, "fidelity")


@case("a mask: only its part is painted, or it is refused by name")
async def masks(house: ContractWorld) -> str | None:
    request = house.request(sources=(SOURCE,), mask=SOURCE)
    offer = house.way.offers[house.way.model]
    if offer.edit is None or offer.edit.mask is None:
        refused(house, request, "mask")
        return "it takes no mask: refused by name"
    mask = given(half_clear(), name="mask.png")
    picture = (await house.deliver(request, given(painted()), mask=mask)).picture
    with Image.open(BytesIO(picture.content)) as image:
        kept, changed = (image.convert("RGB").crop((left, 0, left + 400, 1024)) for left in (50, 574))
    assert max(high - low for low, high in extrema(kept)) < 20
    assert max(high - low for low, high in extrema(changed)) > 20
    return None


@case("a source that is no picture is the picture's fault")
async def broken_sources(house: ContractWorld) -> None:
    order = house.order(house.request(sources=(SOURCE,)), given(b"no picture at all"))
    assert type(await house.error(order)) is SourceRejected
    assert house.way.taken == 0
