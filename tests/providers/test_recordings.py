"""What Easel puts on the wire for each model at each service stands in `tests/providers/recordings/`, to be read.

`python -m pytest tests/providers/test_recordings.py --record` writes the files anew, from the stand-ins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer, Unsupported
from bot.domain.pictures import InputPicture
from bot.domain.requests import ImageRequest
from tests.providers.contract.fal import FalPolled
from tests.providers.contract.lumenfall import LumenfallLink
from tests.providers.contract.oxen import OxenQueue
from tests.providers.contract.variant import Variant
from tests.providers.contract.wire import painted
from tests.providers.contract.world import SOURCE, given, open_house

FOLDER = Path(__file__).with_name("recordings")
WAYS: Mapping[str, type[Variant]] = {"fal": FalPolled, "lumenfall": LumenfallLink, "oxen": OxenQueue}
Kind = Literal["imagine", "edit"]
MASK = given(painted(mode="RGBA", colour=(0, 0, 0, 0)), name="mask.png")
GONE_WITH_THE_NEXT_RUN = ("user",)


def offers() -> Iterator[tuple[str, str, Kind]]:
    """Each model at each service, for each kind of request that it takes."""
    for model in Catalog.load().models:
        for offer in model.offers:
            yield offer.provider, model.name, "imagine"
            if offer.edit is not None:
                yield offer.provider, model.name, "edit"


def full(model: str, kind: Kind, offer: Offer) -> tuple[ImageRequest, tuple[InputPicture, ...]]:
    """A request with every option that the offer takes, and the pictures for it."""
    options: dict[str, Any] = {"size": "landscape", "quality": "low", "output_format": "webp", "count": 2}
    source = given(painted(), name="a.png")
    inputs: tuple[InputPicture, ...] = ()
    wishes: dict[str, Any] = {"background": "transparent", "compression": 80}
    if kind == "edit":
        options["sources"] = (SOURCE,)
        inputs = (source,)
        wishes |= {"fidelity": "low", "mask": SOURCE}
    for name, value in wishes.items():
        try:
            offer.fit(ImageRequest(prompt="a fox", model=model, **options, **{name: value}))
        except Unsupported:
            continue
        options[name] = value
    return ImageRequest(prompt="a fox in the snow", model=model, **options), inputs


async def on_the_wire(way: Variant, model: str, kind: Kind, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """One submit and what came of it."""
    async with open_house(way, caplog) as house:
        request, inputs = full(model, kind, way.offers[model])
        fit = way.offers[model].fit(request)
        order = house.order(request, *inputs, mask=MASK if request.mask else None)
        ticket = await house.submit(order)
        finished = await house.finished(ticket, request)
        return {
            "endpoint": fit.verb.endpoint,
            "fields": {
                name: plain(value) for name, value in way.sent.items() if name not in GONE_WITH_THE_NEXT_RUN
            },
            "pictures": [f"{found.content_type} {found.width}x{found.height}" for found in finished.pictures],
            "made by Easel": fit.made_here,
        }


def plain(value: Any) -> Any:
    """As JSON would give it back; what a picture weighs does not matter here."""
    if isinstance(value, str) and value.startswith("data:"):
        return value.partition(",")[0]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@pytest.mark.parametrize(("provider", "model", "kind"), list(offers()))
async def test_what_goes_over_the_wire_is_what_was_recorded(
    provider: str, model: str, kind: Kind, caplog: pytest.LogCaptureFixture, pytestconfig: pytest.Config
) -> None:
    sent = await on_the_wire(WAYS[provider](), model, kind, caplog)
    path = FOLDER / f"{provider}-{model}-{kind}.json"
    if pytestconfig.getoption("--record"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(sent, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    assert path.exists(), f"record it: python -m pytest tests/providers/{Path(__file__).name} --record"
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(sent))


def test_nothing_is_recorded_of_what_is_not_offered() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {"-".join(found) for found in offers()}
