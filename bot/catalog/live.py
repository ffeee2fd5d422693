"""An offer as its provider tells it: its own prices count, and fields that its schema lacks are not sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from bot.catalog.offers import Offer
from bot.catalog.schema import Operation, Option, OptionMapping
from bot.catalog.sizing import SizeMapping
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, PriceTable
from bot.domain.requests import OutputFormat

MOST_TIMES = 100
"""A told price that is more than so many times the catalogue's, or as much cheaper, is taken for a mistake."""


def live_offer(offer: Offer, status: ModelStatus) -> Offer:
    """The offer with what its provider tells of it."""
    told = believable(offer, status.prices)
    changes: dict[str, object] = {}
    for kind, operation in offer.operations.items():
        listed = _listed(operation, status.fields.get(kind))
        if listed is not None:
            changes[kind] = _with_listed(operation, listed)
    if told:
        changes["prices"] = offer.prices.with_table(_filled(offer.prices.table, told))
        changes["assumed_price"] = False
    return offer.model_copy(update=changes) if changes else offer


# Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDifference:
    """A price that a provider tells and that is not the catalogue's."""

    quality: str
    size: str
    told: Money
    catalogue: Money

    @property
    def cell(self) -> str:
        """Its row and its column: medium 1024x1024."""
        return f"{self.quality} {self.size}"


def believable(offer: Offer, told: PriceTable) -> PriceTable:
    """The told prices that can be true, of those that the catalogue has."""
    return {
        quality: found
        for quality, row in offer.prices.table.items()
        if (
            found := {
                size: told[quality][size]
                for size, price in row.items()
                if size in told.get(quality, {}) and _can_be(told[quality][size], price)
            }
        )
    }


def unbelievable(offer: Offer, told: PriceTable) -> tuple[str, ...]:
    """The rows and columns of told prices that make no sense."""
    return tuple(
        f"{quality} {size}"
        for quality, row in offer.prices.table.items()
        for size, price in row.items()
        if size in told.get(quality, {}) and not _can_be(told[quality][size], price)
    )


def differences(offer: Offer, told: PriceTable) -> tuple[PriceDifference, ...]:
    """Believable prices that differ from the catalogue's by more than a tenth, the most different first.

    Where the catalogue only assumes its prices, there is nothing to differ from.
    """
    if offer.assumed_price:
        return ()
    found = [
        PriceDifference(quality=quality, size=size, told=Money(price), catalogue=Money(ours))
        for quality, row in believable(offer, told).items()
        for size, price in row.items()
        if differ(price, ours := offer.prices.table[quality][size])
    ]
    return tuple(sorted(found, key=lambda each: -abs(each.told.micros / max(1, each.catalogue.micros) - 1)))


def differ(one: int, other: int) -> bool:
    """Whether two prices differ by more than a tenth of the second one."""
    return 10 * abs(one - other) > other


def _can_be(told: int, ours: int) -> bool:
    if told < 0 or (told == 0 and ours > 0):
        return False
    return not ours or ours <= MOST_TIMES * told <= MOST_TIMES**2 * ours


def _filled(ours: PriceTable, told: PriceTable) -> PriceTable:
    """Every price of ours, as told where it is; the others scaled up as far as the told ones are dearer."""
    everywhere = _factor(pair for quality in told for pair in _pairs(ours[quality], told[quality]))
    table = {}
    for quality, row in ours.items():
        here = told.get(quality, {})
        factor = _factor(_pairs(row, here)) if here else everywhere
        table[quality] = {size: here.get(size, -int(-price * factor // 1)) for size, price in row.items()}
    return table


def _pairs(ours: Mapping[str, int], told: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    return ((price, ours[size]) for size, price in told.items())


def _factor(pairs: Iterator[tuple[int, int]]) -> Fraction:
    """By how much told prices are dearer than ours, at least 1."""
    return max([Fraction(1), *(Fraction(told, ours) for told, ours in pairs if ours)])


# Fields


def missing_fields(offer: Offer, status: ModelStatus) -> tuple[str, ...]:
    """The fields that Easel would send, and that the provider's own schema does not list."""
    found: dict[str, None] = {}
    for kind, operation in offer.operations.items():
        listed = _listed(operation, status.fields.get(kind))
        if listed is not None:
            found |= dict.fromkeys(name for name in _sendable(operation) if name not in listed)
    return tuple(found)


def _listed(operation: Operation, fields: frozenset[str] | None) -> frozenset[str] | None:
    """The fields of a schema; None where there is none, or where it has no prompt and so is of something else."""
    return fields if fields and operation.prompt in fields else None


def _sendable(operation: Operation) -> Iterator[str]:
    """Fields that may be left out. Prompt, pictures, mask and count may not."""
    for mapping in operation.options.values():
        if mapping.field and not mapping.listed and (not mapping.values or any(mapping.values.values())):
            yield mapping.field
    yield from sorted(operation.size.fields)
    yield from operation.fixed


def _with_listed(operation: Operation, listed: frozenset[str]) -> Operation:
    options = {
        option: usable
        for option, mapping in operation.options.items()
        if (usable := _usable_option(option, mapping, listed)) is not None
    }
    return operation.model_copy(
        update={
            "options": options,
            "size": _usable_size(operation.size, listed),
            "fixed": {name: value for name, value in operation.fixed.items() if name in listed},
        }
    )


def _usable_option(option: Option, mapping: OptionMapping, listed: frozenset[str]) -> OptionMapping | None:
    """What becomes of an option; None where the provider does not have it any more."""
    if not mapping.field or mapping.field in listed:
        return mapping.model_copy(update={"listed": False}) if mapping.listed else mapping
    if mapping.listed:
        return mapping
    match option:
        case "quality":
            values = (*mapping.values, *mapping.instead)
            return mapping.model_copy(update={"listed": True, "dropped": values})
        case "output_format":
            return mapping.model_copy(update={"values": dict.fromkeys(get_args(OutputFormat), ""), "instead": {}})
        case "compression":
            return OptionMapping(way="emulate")
        case _:
            return None


def _usable_size(sizing: SizeMapping, listed: frozenset[str]) -> SizeMapping:
    changes: dict[str, object] = {}
    if sizing.field not in listed:
        changes["field"] = ""
    if sizing.ratio is not None and not {sizing.ratio.field, *sizing.ratio.extra} <= listed:
        changes["ratio"] = None
    if sizing.tiers is not None and sizing.tiers.field not in listed:
        changes["tiers"] = None
    return sizing.model_copy(update=changes) if changes else sizing
