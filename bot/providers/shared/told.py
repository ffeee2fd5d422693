"""What services tell of their models, in the catalogue's words: prices and the fields of a schema."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from bot.catalog.offers import Offer
from bot.domain.providers import NO_AMOUNT

HIGHEST_PRICE = 100
"""Dollars for one picture: more is taken for no price."""
MOST_FIELDS = 200
_LONGEST_NAME = 100


def micros(value: Any) -> int | None:
    """Micro-dollars, rounded up, of an amount in dollars; None where nothing is told, NO_AMOUNT for nonsense."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 40:
        return NO_AMOUNT
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return NO_AMOUNT
    if not amount.is_finite() or not 0 <= amount <= HIGHEST_PRICE:
        return NO_AMOUNT
    return int((amount * 1_000_000).to_integral_value(ROUND_CEILING))


def fields_of(schema: Any) -> frozenset[str] | None:
    """The names that a JSON schema lists, which may be a text; None where it is none, or lists very many."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            return None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not 0 < len(properties) <= MOST_FIELDS:
        return None
    return frozenset(str(name) for name in properties if len(str(name)) <= _LONGEST_NAME)


def quality_words(offer: Offer, quality: str) -> frozenset[str]:
    """Our word for a quality and the provider's, in lower case."""
    words = {quality}
    for operation in offer.operations.values():
        mapping = operation.options.get("quality")
        words.add(mapping.values.get(quality, "") if mapping is not None else "")
    return frozenset(word.lower() for word in words if word)


def size_words(offer: Offer, size: str) -> frozenset[str]:
    """Our name of a size or a tier and the provider's, in lower case."""
    words = {size}
    for operation in offer.operations.values():
        words.add(operation.size.known.get(size, ""))
        tiers = operation.size.tiers
        words |= {word for tier, word in tiers.values.items() if tier == size} if tiers else set()
    return frozenset(word.lower() for word in words if word)
