"""What a member may choose: it is painted so, or made here, or refused before anything is charged."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from bot.catalog import sizes
from bot.catalog.mapping import OPTION_WORDS
from bot.catalog.refusals import Unsupported
from bot.catalog.schema import Option
from bot.domain.errors import SourceRejected
from bot.domain.pictures import InputPicture, Picture
from bot.domain.requests import ImageRequest
from bot.pictures.files import TYPES
from tests.providers.contract.case import Cases
from tests.providers.contract.world import ContractWorld, Delivery
from tests.support.providers.deps import SOURCE, input_picture, painted, picture_host

case = Cases()

PIXELS = "ab\"'\\<>&%{}$ü雪🦊\n\t"
PROMPT = (PIXELS * 4000)[:3999] + "."
TOLD = "the service chooses: the member is told"
ALWAYS = "its pictures are always so: nothing is sent"


def spelled(world: ContractWorld, request: ImageRequest, option: Option) -> str | None:
    """See that an option was sent under its own name; the reason, where the member is told instead."""
    provider_request = world.provider_request(request)
    mapping = provider_request.operation.options.get(option)
    if mapping is None or not mapping.field:
        return ALWAYS
    wanted = mapping.instead.get(getattr(request, option), getattr(request, option))
    if mapping.field in provider_request.fields:
        assert str(world.variant.sent[mapping.field]) == mapping.values[wanted]
        return None
    assert mapping.field not in world.variant.sent
    if wanted == "auto":
        return None
    assert any(OPTION_WORDS[option] in change for change in provider_request.changes)
    return TOLD


def refused(world: ContractWorld, request: ImageRequest, word: str) -> None:
    """See that it is refused before anything is charged, with a sentence that names it and a way out."""
    with pytest.raises(Unsupported) as caught:
        world.provider_request(request)
    assert word in caught.value.cannot
    assert word in caught.value.refusal("It", ["Another"]).sentence
    assert "Choose Another as the model." in caught.value.refusal("It", ["Another"]).sentence
    assert len(caught.value.refusal("It", []).sentence.split(". ")) > 1
    assert world.variant.sandbox.submits == 0


def can_do(world: ContractWorld, request: ImageRequest) -> bool:
    """Whether the offer takes the request."""
    try:
        world.provider_request(request)
    except Unsupported:
        return False
    return True


def shaped_as_promised(delivery: Delivery) -> bool:
    """Whether the picture has the shape that the request was translated to."""
    promised = delivery.provider_request.size.shape
    came = sizes.Shape(delivery.picture.width, delivery.picture.height, exact=True)
    return promised is None or came == promised or sizes.same_ratio(came, promised)


def lowest_alpha(picture: Picture) -> int:
    with Image.open(BytesIO(picture.content)) as image:
        return present(image.convert("RGBA").getchannel("A"))[0]


def half_clear() -> bytes:
    """A mask of the sources' size: the left half stays, the right half is painted."""
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
async def shapes(world: ContractWorld, size: str) -> str | None:
    request = world.request(size=size)
    if not can_do(world, request):
        refused(world, request, "shape")
        return "it chooses the shape itself: refused by name"
    delivery = await world.deliver(request)
    came = sizes.Shape(delivery.picture.width, delivery.picture.height, exact=True)
    wanted = sizes.parse(size)
    assert shaped_as_promised(delivery)
    if wanted is not None:
        as_asked = came == wanted if wanted.exact else sizes.same_ratio(came, wanted)
        assert as_asked != any("became" in change for change in delivery.provider_request.changes)
    return None


@case("size {}: as large, or it is refused by name", "square 2k", "16:9 4k")
async def tiers(world: ContractWorld, size: str) -> str | None:
    request = world.request(size=size)
    if not can_do(world, request):
        refused(world, request, "shape" if world.chooses_shape else size.rpartition(" ")[2])
        return "it has no such size: refused by name"
    delivery = await world.deliver(request)
    assert shaped_as_promised(delivery)
    assert max(delivery.picture.width, delivery.picture.height) >= (2000 if "2k" in size else 3500)
    return None


@case("quality {}: sent, or the member is told", "auto", "low", "medium", "high", "max")
async def qualities(world: ContractWorld, quality: str) -> str | None:
    request = world.request(quality=quality)
    if not can_do(world, request):
        refused(world, request, "quality")
        return "it has one quality: refused by name"
    await world.deliver(request)
    return spelled(world, request, "quality")


@case("background {}: sent, or the member is told", "auto", "opaque")
async def backgrounds(world: ContractWorld, background: str) -> str | None:
    request = world.request(background=background)
    if not can_do(world, request):
        refused(world, request, "background")
        return "it has no background to choose: refused by name"
    delivery = await world.deliver(request)
    assert lowest_alpha(delivery.picture) == 255
    return spelled(world, request, "background")


@case("background transparent: it is, or it is refused by name")
async def transparent(world: ContractWorld) -> str | None:
    request = world.request(background="transparent", output_format="png")
    if can_do(world, request):
        assert lowest_alpha((await world.deliver(request)).picture) == 0
        return spelled(world, request, "background")
    refused(world, request, "background")
    return "nothing transparent is painted: refused by name"


@case("format {}: what is delivered is one", "png", "jpeg", "webp", "gif", "avif")
async def formats(world: ContractWorld, kind: str) -> None:
    delivery = await world.deliver(world.request(output_format=kind))
    assert delivery.picture.content_type == TYPES[kind.upper()]
    with Image.open(BytesIO(delivery.picture.content)) as image:
        assert image.format == kind.upper()


@case("compression: the file is smaller, by the service or by Easel")
async def compression(world: ContractWorld) -> None:
    small, large = [
        (await world.deliver(world.request(output_format="jpeg", compression=percent))).picture
        for percent in (10, 95)
    ]
    assert small.content_type == large.content_type == "image/jpeg"
    assert len(small.content) < len(large.content)


@case("count {}: so many pictures, in as many submits as it takes", 1, 4, 10)
async def counts(world: ContractWorld, count: int) -> None:
    delivery = await world.deliver(world.request(count=count))
    assert len(delivery.pictures) == count
    assert world.variant.sandbox.submits == world.variant.accepted == len(delivery.provider_request.counts)


@case("a seed: sent, another one with each submit, or it is refused by name")
async def seeds(world: ContractWorld) -> str | None:
    request = world.request(seed=2**31 - 1, count=2)
    if not can_do(world, request):
        refused(world, request, "seed")
        return "it takes no seed: refused by name"
    delivery = await world.deliver(request)
    field = delivery.provider_request.operation.options["seed"].field
    submits = len(delivery.provider_request.counts)
    assert world.variant.sent[field] == (2**31 - 1 if submits == 1 else 0)
    return None


@case("the longest prompt arrives as it was written")
async def prompts(world: ContractWorld) -> None:
    request = world.request(prompt=PROMPT)
    await world.deliver(request)
    assert world.variant.sent[world.provider_request(request).operation.prompt] == PROMPT


@case("an edit of one picture")
async def edit(world: ContractWorld) -> None:
    request = world.request(sources=(SOURCE,))
    delivery = await world.deliver(request, input_picture(painted()))
    assert delivery.picture.content_type == "image/jpeg"
    assert shaped_as_promised(delivery)


@case("an edit of three pictures, one of them large")
async def several(world: ContractWorld) -> None:
    request = world.request(sources=(SOURCE,) * 3)
    large = painted() + bytes(3_000_000)
    pictures = [
        input_picture(painted()),
        input_picture(large, filename="größe.png"),
        input_picture(painted(colour="blue")),
    ]
    assert shaped_as_promised(await world.deliver(request, *pictures))
    assert len(world.variant.sent[world.provider_request(request).operation.sources or ""]) == len(pictures)


@case("an edit of a picture that has a link of its own")
async def linked(world: ContractWorld) -> None:
    request = world.request(sources=(SOURCE,))
    async with picture_host() as host:
        picture = input_picture(painted(), url=f"{host.url}/a.png")
        assert shaped_as_promised(await world.deliver(request, picture))
        assert all(secret not in head for secret in world.variant.secrets for head in host.heads)


@case("fidelity {}: sent, or the member is told", "low", "high")
async def fidelities(world: ContractWorld, fidelity: str) -> str | None:
    request = world.request(sources=(SOURCE,), fidelity=fidelity)
    if not can_do(world, request):
        refused(world, request, "fidelity")
        return "it has no fidelity to choose: refused by name"
    await world.deliver(request, input_picture(painted()))
    return spelled(world, request, "fidelity")


@case("a mask: only its part is painted, or it is refused by name")
async def masks(world: ContractWorld) -> str | None:
    request = world.request(sources=(SOURCE,), mask=SOURCE)
    offer = world.variant.offers[world.variant.model]
    if offer.edit is None or offer.edit.mask is None:
        refused(world, request, "mask")
        return "it takes no mask: refused by name"
    white = offer.edit.mask_edits == "white"
    given, source = input_picture(half_clear(), filename="mask.png"), input_picture(painted())
    mask = InputPicture(picture=await world.pictures.check_mask(given.picture, source.picture, white=white))
    picture = (await world.deliver(request, source, mask=mask)).picture
    with Image.open(BytesIO(picture.content)) as image:
        unchanged, changed = (image.convert("RGB").crop((left, 0, left + 400, 1024)) for left in (50, 574))
    assert max(high - low for low, high in extrema(unchanged)) < 20
    assert max(high - low for low, high in extrema(changed)) > 20
    return None


@case("a source that is no picture is the picture's fault")
async def broken_sources(world: ContractWorld) -> None:
    submit = world.build_submit(world.request(sources=(SOURCE,)), input_picture(b"no picture at all"))
    assert type(await world.error(submit)) is SourceRejected
    assert world.variant.accepted == 0
