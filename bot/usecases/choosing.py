"""Which models a member may choose while a request is being typed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bot.domain.choices import ModelChoice
from bot.domain.providers import ProviderOrder
from bot.domain.requests import ImageRequest
from bot.routing.router import Router

_OPTIONS = ("background", "quality", "size", "seed", "fidelity", "compression", "count", "mask")
"""In the order in which one is more easily done without."""


def without_one_option(request: ImageRequest) -> Iterator[ImageRequest]:
    """The request without each option that it holds, one at a time."""
    plain = ImageRequest(prompt="", model="")
    for option in _OPTIONS:
        if getattr(request, option) != getattr(plain, option):
            yield replace(request, **{option: getattr(plain, option)})


def model_choices(
    router: Router, orders: Sequence[ProviderOrder], request: ImageRequest, typed: str
) -> list[ModelChoice]:
    """The models that can do the request, in the catalogue's order, whose label or name contains `typed`.

    A request that no model can do is half typed: then its size is left out and, where that does not help, all
    but its first picture.
    """
    plain = ImageRequest(prompt="", model="", sources=request.sources[:1])
    attempts = (list(router.able_models(each, orders)) for each in (request, replace(request, size="auto"), plain))
    able = next(filter(None, attempts), [])
    wanted = typed.strip().lower()
    return [
        ModelChoice(
            name=model.name,
            label=model.label,
            price=router.asked_first(candidates).likely_cost(1),
            good_for=model.good_for,
        )
        for model, candidates in able
        if wanted in model.label.lower() or wanted in model.name
    ]
