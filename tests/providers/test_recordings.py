"""What Easel sends for each model at each provider is recorded in `tests/providers/recordings/`, to be read.

`python -m pytest tests/providers/test_recordings.py --record` writes the files anew, from the stand-ins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer
from bot.catalog.refusals import Unsupported
from bot.domain.pictures import InputPicture
from bot.domain.requests import ImageRequest
from tests.providers.contract.fal import FalPolled
from tests.providers.contract.lumenfall import LumenfallLink
from tests.providers.contract.oxen import OxenQueue
from tests.providers.contract.variant import Variant
from tests.providers.contract.world import open_world
from tests.support.providers.deps import SOURCE, input_picture, painted

FOLDER = Path(__file__).with_name("recordings")
VARIANTS: Mapping[str, type[Variant]] = {"fal": FalPolled, "lumenfall": LumenfallLink, "oxen": OxenQueue}
Kind = Literal["imagine", "edit"]
SIDES = (256, 256)
"""The smallest picture that every service edits."""
MASK = input_picture(painted(SIDES, mode="RGBA", colour=(0, 0, 0, 0)), filename="mask.png")
GONE_WITH_THE_NEXT_RUN = ("user",)


def offers() -> Iterator[tuple[str, str, Kind]]:
    """Each model at each provider, for each kind of request that it takes."""
    for model in Catalog.load().models:
        for offer in model.offers:
            yield offer.provider, model.name, "imagine"
            if offer.edit is not None:
                yield offer.provider, model.name, "edit"


def full(model: str, kind: Kind, offer: Offer) -> tuple[ImageRequest, tuple[InputPicture, ...]]:
    """A request with every option that the offer takes, and the pictures for it."""
    options: dict[str, Any] = {"output_format": "webp", "count": 2}
    source = input_picture(painted(SIDES), filename="a.png")
    inputs: tuple[InputPicture, ...] = ()
    optional: dict[str, Any] = {"size": "landscape", "quality": "low", "background": "transparent"}
    optional |= {"compression": 80, "seed": 7}
    if kind == "edit":
        options["sources"] = (SOURCE,)
        inputs = (source,)
        optional |= {"fidelity": "low", "mask": SOURCE}
    for name, value in optional.items():
        try:
            offer.translate(ImageRequest(prompt="a fox", model=model, **options, **{name: value}))
        except Unsupported:
            continue
        options[name] = value
    return ImageRequest(prompt="a fox in the snow", model=model, **options), inputs


async def on_the_wire(
    variant: Variant, model: str, kind: Kind, caplog: pytest.LogCaptureFixture
) -> dict[str, Any]:
    """One submit and its result."""
    async with open_world(variant, caplog) as world:
        request, inputs = full(model, kind, variant.offers[model])
        provider_request = variant.offers[model].translate(request)
        submit = world.build_submit(request, *inputs, mask=MASK if request.mask else None)
        ticket = await world.submit(submit)
        finished = await world.finished(ticket, request)
        return {
            "endpoint": provider_request.operation.endpoint,
            "fields": {
                name: plain(value) for name, value in variant.sent.items() if name not in GONE_WITH_THE_NEXT_RUN
            },
            "pictures": [f"{found.content_type} {found.width}x{found.height}" for found in finished.pictures],
            "made by Easel": provider_request.convert_to,
        }


def plain(value: Any) -> Any:
    """As JSON would give it back, and without the contents of pictures."""
    if isinstance(value, str) and value.startswith("data:"):
        return value.partition(",")[0]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@pytest.mark.parametrize(("provider", "model", "kind"), list(offers()))
async def test_what_goes_over_the_wire_is_what_was_recorded(
    provider: str, model: str, kind: Kind, caplog: pytest.LogCaptureFixture, pytestconfig: pytest.Config
) -> None:
    sent = await on_the_wire(VARIANTS[provider](), model, kind, caplog)
    path = FOLDER / f"{provider}-{model}-{kind}.json"
    if pytestconfig.getoption("--record"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(sent, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    assert path.exists(), f"record it: python -m pytest tests/providers/{Path(__file__).name} --record"
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(sent))


def test_nothing_is_recorded_of_what_is_not_offered() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {"-".join(found) for found in offers()}
