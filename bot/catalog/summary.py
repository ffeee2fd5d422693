"""What a model can do at a provider and what it costs there, in a few words for operators."""

from __future__ import annotations

from typing import Any

from bot.catalog.mapping import OPTION_WORDS
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import Unsupported
from bot.catalog.sizes import TIERS
from bot.domain.money import Money
from bot.domain.providers import ModelStatus
from bot.domain.requests import MAXIMUM_SOURCES, ImageRequest, Source

_PICTURE = Source(url="https://cdn.discordapp.com/picture.png", filename="picture.png")
_NAMED = frozenset({"quality", "background", "output_format", "compression"})
"""Options that have words of their own here, or that Easel makes up for where a provider lacks them."""


def abilities(offer: Offer, status: ModelStatus | None = None) -> tuple[str, ...]:
    """What sets this offer apart: "edit", "mask", "10 at once", "to 4k". Found by translating such requests."""

    def can(**options: Any) -> bool:
        return _translated(offer, status, **options) is not None

    words = []
    if can(sources=(_PICTURE,)):
        few = offer.maximum_sources < MAXIMUM_SOURCES
        words.append(f"edit up to {offer.maximum_sources}" if few else "edit")
    if can(sources=(_PICTURE,), mask=_PICTURE):
        words.append("mask")
    if can(background="transparent"):
        words.append("transparent")
    options = {**offer.imagine.options, **(offer.edit.options if offer.edit else {})}
    words += [
        OPTION_WORDS.get(option, option)
        for option, mapping in options.items()
        if option not in _NAMED and mapping.way != "emulate"
    ]
    best = _translated(offer, status, quality="max")
    if best is not None and best.quality == "max":
        words.append("max quality")
    if offer.imagine.count.most > 1:
        words.append(f"{offer.imagine.count.most} at once")
    if large := [tier for tier in TIERS if tier != "1k" and can(size=f"square {tier}")]:
        words.append(f"to {large[-1]}")
    return tuple(words)


def square_price(offer: Offer, status: ModelStatus | None = None) -> Money | None:
    """What one square picture of medium quality most likely costs; None where the plainest request is refused."""
    for quality in ("medium", "auto"):
        found = _translated(offer, status, size="square", quality=quality)
        if found is not None:
            return found.likely_cost(1)
    return None


def _translated(offer: Offer, status: ModelStatus | None, **options: Any) -> ProviderRequest | None:
    request = ImageRequest(**{"prompt": "", "model": "", "quality": "auto", **options})
    try:
        return offer.translate(request, status)
    except Unsupported:
        return None
