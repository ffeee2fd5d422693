"""With a key of one service only: each option is painted, or refused with the name of a model that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.clock import Clock
from bot.domain.errors import Refused
from bot.domain.requests import Background, Fidelity, ImageRequest, OutputFormat, Quality, Source
from bot.routing.router import Router
from tests.support.routing import PROVIDERS

SHIPPED = Catalog.load()
PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png", width=1200, height=900)
SIZES = ("auto", "square", "landscape", "portrait", "16:9", "9:16", "21:9", "1024x1024", "square 2k", "16:9 4k")


def wishes() -> Iterator[dict[str, Any]]:
    """Each value of each option, and what needs several of them."""
    yield {}
    yield from ({"quality": value} for value in get_args(Quality))
    yield from ({"background": value} for value in get_args(Background))
    yield from ({"output_format": value} for value in get_args(OutputFormat))
    yield from ({"size": value} for value in SIZES)
    yield from ({"count": value} for value in (4, 10))
    yield {"compression": 50, "output_format": "jpeg"}
    yield {"seed": 7}
    yield {"background": "transparent", "count": 4, "quality": "high"}
    yield {"sources": (PICTURE,) * 4}
    yield {"sources": (PICTURE,), "mask": PICTURE}
    yield {"sources": (PICTURE,), "mask": PICTURE, "background": "transparent", "count": 4}
    yield from ({"sources": (PICTURE,), "fidelity": value} for value in get_args(Fidelity))


def requests(model: str) -> Iterator[ImageRequest]:
    """Each wish for `/imagine` and, where it says nothing of pictures, for `/edit`."""
    plain = ImageRequest(prompt="a fox in the snow", model=model)
    for wish in wishes():
        yield replace(plain, **wish)
        if "sources" not in wish:
            yield replace(plain, sources=(PICTURE,), **wish)


def problem(router: Router, request: ImageRequest) -> str | None:
    """What is wrong with the answer to a request; None where it is painted or refused well."""
    try:
        router.candidates(request)
    except Refused as refusal:
        sentence = refusal.sentence
    else:
        return None
    offered = router.offered_models()
    able = [model.label for model in offered if router.can_do(replace(request, model=model.name))]
    choice = re.search(r"Choose ([^.]*(?:\.\d[^.]*)*) as the model\.", sentence)
    named = re.split(r", | or ", choice[1]) if choice else []
    if able and not named:
        return f"{request}: names no model: {sentence}"
    if set(named) - set(able):
        return f"{request}: names a model that cannot: {sentence}"
    if not sentence.endswith("."):
        return f"{request}: is no sentence: {sentence}"
    return None


@pytest.mark.parametrize("service", PROVIDERS)
def test_each_model_of_one_service_paints_or_names_one_that_can(service: str) -> None:
    router = Router(catalog=SHIPPED, providers=(service,), clock=Clock())
    offered = router.offered_models()
    assert len(offered) >= 4
    assert [
        each for model in offered for request in requests(model.name) if (each := problem(router, request))
    ] == []


@pytest.mark.parametrize(
    ("service", "cannot"),
    [
        ("fal", []),
        ("oxen", []),
        # After GPT Image 1.5 it has nothing that paints a transparent background.
        ("lumenfall", [{"background": "transparent"}, {"quality": "xhigh"}, {"quality": "max"}]),
    ],
)
def test_after_november_nearly_every_wish_has_a_model_at_each_service(
    service: str, cannot: list[dict[str, Any]]
) -> None:
    router = Router(catalog=SHIPPED, providers=(service,), clock=Clock())
    router.retired = {(service, name) for name in ("gpt-image-1.5", "gpt-image-1")}
    offered = router.offered_models()
    for request in requests(""):
        able = any(router.can_do(replace(request, model=model.name)) for model in offered)
        if not able:
            assert any(getattr(request, name) == value for wish in cannot for name, value in wish.items()), request
