"""What a model can do at a provider and what it costs there, in a few words for operators."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from bot.catalog.live import believable, differ, live_offer
from bot.catalog.mapping import OPTION_WORDS
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import Unsupported
from bot.catalog.sizes import TIERS
from bot.domain.clock import Instant
from bot.domain.money import Money
from bot.domain.providers import ModelStatus
from bot.domain.requests import MAXIMUM_SOURCES, ImageRequest, Source

_PICTURE = Source(url="https://cdn.discordapp.com/picture.png", filename="picture.png")
_NAMED = frozenset({"quality", "background", "output_format", "compression"})
"""Options that have words of their own here, or that Easel makes up for where a provider lacks them."""


def abilities(offer: Offer) -> tuple[str, ...]:
    """What sets this offer apart: "edit", "mask", "10 at once", "to 4k". Found by translating such requests."""

    def can(**options: Any) -> bool:
        return _translated(offer, **options) is not None

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
    best = _translated(offer, quality="max")
    if best is not None and best.quality == "max":
        words.append("max quality")
    if offer.imagine.count.most > 1:
        words.append(f"{offer.imagine.count.most} at once")
    if large := [tier for tier in TIERS if tier != "1k" and can(size=f"square {tier}")]:
        words.append(f"to {large[-1]}")
    return tuple(words)


def square_price(offer: Offer) -> Money | None:
    """What one square picture of medium quality costs, its prompt apart; None where no plain request is taken."""
    for quality, size in product(("medium", "auto"), ("square", "auto")):
        found = _translated(offer, size=size, quality=quality)
        if found is not None:
            return found.price_each
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SquarePrice:
    """What one square picture of medium quality costs by the provider's word, or else by the catalogue."""

    price: Money
    """The one that counts."""
    catalogue: Money | None
    """The catalogue's; None where it only assumes one."""
    told_at: Instant | None
    """When the provider told its price; None where the catalogue's counts."""

    @property
    def assumed(self) -> bool:
        """Whether the price is the catalogue's guess."""
        return self.catalogue is None and self.told_at is None

    @property
    def differs(self) -> bool:
        """Whether the provider's price and the catalogue's differ by more than a tenth."""
        return self.catalogue is not None and differ(self.price.micros, self.catalogue.micros)

    def __str__(self) -> str:
        """$0.0169 (catalogue: $0.0132)."""
        price = f"at most {self.price.precise}" if self.assumed else self.price.precise
        return f"{price} (catalogue: {self.catalogue.precise})" if self.differs and self.catalogue else price


def told_price(offer: Offer, status: ModelStatus | None) -> SquarePrice | None:
    """The price of a catalogue's offer once its provider has said this; None where no plain request is taken."""
    ours = square_price(offer)
    counts = square_price(live_offer(offer, status)) if status is not None else ours
    if counts is None:
        return None
    told = status is not None and bool(believable(offer, status.prices))
    return SquarePrice(
        price=counts,
        catalogue=None if offer.assumed_price else ours,
        told_at=status.priced_at if status is not None and told else None,
    )


def _translated(offer: Offer, **options: Any) -> ProviderRequest | None:
    request = ImageRequest(**{"prompt": "", "model": "", "quality": "auto", **options})
    try:
        return offer.translate(request)
    except Unsupported:
        return None
