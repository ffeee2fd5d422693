"""What Discord says of a file becomes a source, as far as it can be true."""

from __future__ import annotations

from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.refusals import Unsupported
from bot.chat.discord.convert import source_of_upload
from bot.domain.requests import ImageRequest

SHIPPED = Catalog.load()


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        ((640, 480), (640, 480)),
        ((0, 480), (None, 480)),
        ((-640, 480), (None, 480)),
        (("640", 480.5), (None, None)),
        ((None, None), (None, None)),
    ],
)
def test_a_size_that_cannot_be_is_not_known(
    said: tuple[Any, Any], believed: tuple[int | None, int | None]
) -> None:
    source = source_of_upload(
        {"id": "1", "url": "https://x/a.png", "filename": "a.png", "size": 5, "width": said[0], "height": said[1]}
    )
    assert (source.width, source.height) == believed
    for model in SHIPPED.models:
        for offer in model.offers:
            try:
                found = offer.translate(ImageRequest(prompt="a boat", model=model.name, sources=(source,)))
            except Unsupported:
                continue
            assert found.highest_cost().micros > 0
