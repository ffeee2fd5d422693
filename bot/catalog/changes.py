"""What files add to the catalogue, change in it, and take out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.catalog.catalog import Catalog, Model
from bot.catalog.offers import Offer
from bot.catalog.summary import abilities, square_price

NAMED_KEYS = 3
"""Changed keys of one offer that are named."""


def changes(before: Catalog, after: Catalog, labels: Mapping[str, str]) -> Iterator[str]:
    """A clause for each difference, in the order of `after`. `labels` are the providers', by name."""
    for model in after.models:
        former = before.get(model.name)
        if former is None:
            for offer in model.offers:
                yield f"adds {model.label} ({model.name}) at {labels[offer.provider]}: {_offered(offer)}"
        else:
            yield from _changed(former, model, labels)
    for former in before.models:
        if after.get(former.name) is None:
            yield f"takes out {former.label} ({former.name})"
    if after.order != tuple(name for name in before.order if after.get(name) is not None):
        first = [model.label for model in after.models if model.name in after.order]
        rest = ["the others"] if len(first) < len(after.models) else []
        yield f"prefers {', then '.join(first + rest)}"


def _changed(before: Model, after: Model, labels: Mapping[str, str]) -> Iterator[str]:
    keys = list(_differences(before.model_dump(exclude={"offers"}), after.model_dump(exclude={"offers"})))
    if keys:
        yield f"changes {after.label} ({after.name}): {_named(keys)}"
    for offer in after.offers:
        place = f"{after.label} at {labels[offer.provider]}"
        if offer.provider not in before.providers:
            yield f"adds {place}: {_offered(offer)}"
            continue
        former = before.offer(offer.provider)
        if keys := list(_differences(former.model_dump(), offer.model_dump())):
            yield f"changes {place}: {_named(keys)}{_repriced(former, offer)}"
    for provider in before.providers:
        if provider not in after.providers:
            yield f"takes out {after.label} at {labels[provider]}"


def _offered(offer: Offer) -> str:
    price = square_price(offer)
    words = abilities(offer)
    return ", ".join([f"{price} a medium square" if price else "not even a plain picture", *words])


def _repriced(before: Offer, after: Offer) -> str:
    was, now = square_price(before), square_price(after)
    return f" (a medium square {now}, was {was})" if was != now else ""


def _differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """The keys of two tables that differ, down to tables that hold no others: prices.picture.high."""
    if place and not (_holds_tables(before) and _holds_tables(after)):
        if before != after:
            yield place
        return
    for key in {**before, **after}:
        inner = f"{place}.{key}" if place else str(key)
        yield from _differences(before.get(key), after.get(key), inner)


def _holds_tables(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values())


def _named(keys: list[str]) -> str:
    more = len(keys) - NAMED_KEYS
    return ", ".join(keys[:NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")
