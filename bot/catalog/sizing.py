"""Which sizes a provider paints, and what becomes of a member's size there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from bot.catalog import sizes
from bot.catalog.refusals import Unsupported
from bot.catalog.sizes import Shape, Tier
from bot.catalog.table import CatalogModel

SOURCE = "source"
"""For `auto`: the shape of the picture to edit."""
Way = Literal["pass", "rename", "convert", "emulate"]
NEIGHBOURS = 3
"""Steps that a size may be moved to stay within a provider's bounds."""
MAXIMUM_SIDE = 65_536
MAXIMUM_AREA = MAXIMUM_SIDE**2
"""The most that a bound in pixels may be."""
_ENOUGH = 0.8
"""How much of a tier's pixels a picture of that tier has at least."""


class CustomSizes(CatalogModel):
    """Which sizes a provider paints beside those that it lists, and how it writes them. Sides in pixels."""

    style: Literal["text", "object"]
    step: int = Field(ge=1, le=MAXIMUM_SIDE)
    least_side: int = Field(ge=1, le=MAXIMUM_SIDE)
    most_side: int = Field(ge=1, le=MAXIMUM_SIDE)
    widest: float = Field(ge=1, le=100)
    least_area: int = Field(ge=1, le=MAXIMUM_AREA)
    most_area: int = Field(ge=1, le=MAXIMUM_AREA)
    usual_area: int = Field(ge=1, le=MAXIMUM_AREA)

    @model_validator(mode="after")
    def _a_square_is_painted(self) -> Self:
        if self.nearest_allowed(Shape(1, 1)) is None:
            raise ValueError("no square is within these bounds; look at step, the sides and the areas again")
        return self

    def nearest_allowed(self, wanted: Shape) -> Shape | None:
        """The size within the bounds that is nearest to the wanted one; None where the step allows none."""
        if max(wanted.aspect, 1 / wanted.aspect) > self.widest:
            wanted = self._widest(wanted)
        plain_area = sizes.TIERS[wanted.tier] if wanted.tier else self.usual_area
        area = min(max(wanted.area if wanted.exact else plain_area, self.least_area), self.most_area)
        scale = sqrt(area / wanted.area)
        longest, shortest = max(wanted.width, wanted.height), min(wanted.width, wanted.height)
        scale = max(min(scale, self.most_side / longest), self.least_side / shortest)
        plain = Shape(self._stepped(wanted.width * scale), self._stepped(wanted.height * scale), exact=True)
        # Rounded to the step, it may be a little out of bounds; then a neighbour is within them.
        for found in (
            plain,
            *sorted(self._neighbours(plain, wanted), key=lambda shape: abs(log(shape.area / area))),
        ):
            if self.allows(found) and sizes.same_ratio(found, wanted):
                return found
        return None

    def formatted(self, shape: Shape) -> str | dict[str, int]:
        """The size in the provider's style."""
        return shape.pixels if self.style == "text" else {"width": shape.width, "height": shape.height}

    def _widest(self, wanted: Shape) -> Shape:
        """The widest or tallest shape, instead of one that is more so."""
        long, short = round(100 * self.widest), 100
        width, height = (long, short) if wanted.width > wanted.height else (short, long)
        return Shape(width, height, tier=wanted.tier)

    def _stepped(self, side: float) -> int:
        return max(self.step, round(side / self.step) * self.step)

    def _neighbours(self, shape: Shape, wanted: Shape) -> Iterator[Shape]:
        """Shapes of the wanted ratio, as near as the step allows, a few steps smaller and larger."""
        for steps in range(-NEIGHBOURS, NEIGHBOURS + 1):
            side = min(shape.width, shape.height) + steps * self.step
            if side > 0 and wanted.width >= wanted.height:
                yield Shape(self._stepped(side * wanted.aspect), side, exact=True)
            elif side > 0:
                yield Shape(side, self._stepped(side / wanted.aspect), exact=True)

    def allows(self, shape: Shape) -> bool:
        """Whether the provider paints exactly this."""
        sides = (shape.width, shape.height)
        return (
            min(sides) >= self.least_side
            and max(sides) <= self.most_side
            and self.least_area <= shape.area <= self.most_area
            and max(shape.aspect, 1 / shape.aspect) <= self.widest
        )


class RatioMapping(CatalogModel):
    """A field that takes only a ratio, for members who asked for no more; `extra` is sent along."""

    field: str = Field(min_length=1)
    values: tuple[str, ...] = Field(min_length=1)
    extra: dict[str, str] = Field({})


class TierMapping(CatalogModel):
    """A field for the tier, which is always sent; without a wish of the member's, the first of `values`."""

    field: str = Field(min_length=1)
    values: dict[Tier, str] = Field(min_length=1)


class SizeMapping(CatalogModel):
    """Sizes at one provider, by their pixels or by their ratios.

    `known` maps WxH to the provider's word. `auto` is its word for auto, one of the `ratios`, WxH within the
    `custom` bounds, or "source" for the shape of the picture to edit; None sends no field. Where the provider
    takes ratios, `ratios` are they in its own words, and `tiers` its words for how many pixels that is. One
    with tiers alone chooses the shape itself.
    """

    way: Way
    field: str = ""
    auto: str | None = None
    known: dict[str, str] = Field({})
    custom: CustomSizes | None = None
    ratio: RatioMapping | None = None
    ratios: tuple[str, ...] = ()
    tiers: TierMapping | None = None

    @model_validator(mode="after")
    def _sizes_are_sizes(self) -> Self:
        for size in self.known:
            sizes.parse_pixels(size)
        for ratio in self.ratios:
            sizes.parse_ratio(ratio)
        if bool(self.known or self.custom) == bool(self.ratios or self.tiers):
            raise ValueError("it needs either sizes in pixels (known, custom) or ratios and tiers")
        if self.left_open:
            raise ValueError("a field is missing")
        if self.auto is not None and not (self.known or self.custom or self.ratios):
            raise ValueError("with tiers alone the service chooses the shape; leave auto out")
        if self.auto in (None, SOURCE, *self.known.values()) or self.ratios or str(self.auto).startswith("auto"):
            return self
        if self.custom is None or not self.custom.allows(sizes.parse_pixels(str(self.auto))):
            raise ValueError(f"auto becomes {self.auto}, which is not known")
        return self

    @property
    def left_open(self) -> bool:
        """Whether shapes are known and there is no field for them, because the provider's own schema lacks it."""
        return not self.field and bool(self.known or self.custom or self.ratios)

    @property
    def fields(self) -> frozenset[str]:
        """Every field that it may set."""
        ratio = () if self.ratio is None else (self.ratio.field, *self.ratio.extra)
        tiers = () if self.tiers is None else (self.tiers.field,)
        return frozenset((self.field, *ratio, *tiers)) - {""}


@dataclass(frozen=True, slots=True)
class MappedSize:
    """What a picture will be: its shape, None where the provider chooses it, and its tier where it has one."""

    shape: Shape | None
    tier: Tier | None = None


def map_size(
    sizing: SizeMapping, text: str, source: Shape | None, fields: dict[str, Any], changes: list[str]
) -> MappedSize:
    """Set the fields for the size. `source` is the shape of the picture to edit, where it is known.

    Raises:
        Unsupported: it is no size, or the provider has no such tier.
    """
    try:
        wanted = sizes.parse(text)
    except ValueError:
        raise Unsupported(
            f"has no size “{text[:20]}”.",
            "Choose square, landscape or portrait, a ratio like 16:9, or pixels like 1536x1024.",
        ) from None
    if sizing.left_open:
        if wanted is not None:
            changes.append("the service chooses the size itself")
        return MappedSize(None, _map_tier_field(sizing, wanted, fields))
    if wanted is not None:
        return _map_wanted(sizing, wanted, fields, changes, from_ratio=":" in text)
    if source is None or (sizing.auto != SOURCE and sizing.auto not in sizing.ratios):
        return _map_auto(sizing, fields)
    differences: list[str] = []
    mapped = _map_wanted(sizing, source, fields, differences, from_ratio=True)
    if differences and mapped.shape is not None:
        changes.append(f"the picture's shape became {mapped.shape.ratio}")
    return mapped


def _map_wanted(
    sizing: SizeMapping, wanted: Shape, fields: dict[str, Any], changes: list[str], *, from_ratio: bool
) -> MappedSize:
    if sizing.ratios or sizing.tiers:
        return _map_ratio(sizing, wanted, fields, changes)
    known = {sizes.parse_pixels(size): word for size, word in sizing.known.items()}
    if wanted in known:
        fields[sizing.field] = known[wanted]
        return MappedSize(wanted)
    if wanted.tier is not None and (wanted.tier != "1k" or _paints_more_than_1k(sizing)):
        return MappedSize(_map_tier(sizing, wanted, fields))
    # The field that takes only a ratio serves a member who asked for a ratio, not for pixels.
    ratio = sizing.ratio if from_ratio else None
    return MappedSize(_map_nearest_size(sizing, ratio, wanted, known, fields, changes))


def _map_auto(sizing: SizeMapping, fields: dict[str, Any]) -> MappedSize:
    """The provider chooses, or what the catalogue has for auto."""
    tier = _map_tier_field(sizing, None, fields)
    if sizing.auto in (None, SOURCE):
        return MappedSize(None, tier)
    auto = str(sizing.auto)
    words = {word: sizes.parse_pixels(size) for size, word in sizing.known.items()}
    shapes = {ratio: sizes.parse_ratio(ratio) for ratio in sizing.ratios} | words
    fields[sizing.field] = auto
    if auto in shapes or sizing.custom is None or auto.startswith("auto"):
        return MappedSize(shapes.get(auto), tier)
    chosen = sizes.parse_pixels(auto)
    fields[sizing.field] = sizing.custom.formatted(chosen)
    return MappedSize(chosen)


def _paints_more_than_1k(sizing: SizeMapping) -> bool:
    return sizing.custom is not None and _ENOUGH * sizing.custom.least_area > sizes.TIERS["1k"]


def _map_ratio(sizing: SizeMapping, wanted: Shape, fields: dict[str, Any], changes: list[str]) -> MappedSize:
    """A provider that takes ratios. Of pixels it promises the shape, and about as many of them."""
    if not sizing.ratios:
        raise Unsupported("chooses the shape itself.", "Or leave the size out.")
    tier = _map_tier_field(sizing, wanted, fields)
    if tier is None and wanted.tier not in (None, "1k"):
        raise _no_tier(wanted)
    known = {sizes.parse_ratio(ratio): ratio for ratio in sizing.ratios}
    chosen = sizes.nearest(replace(wanted, exact=False), known)
    fields[sizing.field] = known[chosen]
    if wanted.exact:
        changes.append(f"{wanted} became {chosen}{f' {tier}' if tier else ''}")
    elif not sizes.same_ratio(wanted, chosen):
        changes.append(f"{wanted.ratio} became {chosen.ratio}")
    return MappedSize(chosen, tier)


def _map_tier_field(sizing: SizeMapping, wanted: Shape | None, fields: dict[str, Any]) -> Tier | None:
    if sizing.tiers is None:
        return None
    tier = _tier(sizing.tiers, wanted)
    fields[sizing.tiers.field] = sizing.tiers.values[tier]
    return tier


def _tier(tiers: TierMapping, wanted: Shape | None) -> Tier:
    if wanted is not None and wanted.tier is not None:
        if wanted.tier not in tiers.values:
            raise _no_tier(wanted)
        return wanted.tier
    if wanted is not None and wanted.exact:
        area = wanted.area
        return min(tiers.values, key=lambda tier: abs(log(sizes.TIERS[tier] / area)))
    return next(iter(tiers.values))


def _no_tier(wanted: Shape) -> Unsupported:
    return Unsupported(f"does not paint in {wanted.tier}.", f"Or leave {wanted.tier} out.")


def _map_tier(sizing: SizeMapping, wanted: Shape, fields: dict[str, Any]) -> Shape:
    """A provider that takes any pixels within bounds: as many as the tier has."""
    custom = sizing.custom.nearest_allowed(wanted) if sizing.custom is not None else None
    pixels = sizes.TIERS[wanted.tier or "1k"]
    if sizing.custom is None or custom is None or not pixels * _ENOUGH <= custom.area <= pixels / _ENOUGH:
        raise _no_tier(wanted)
    fields[sizing.field] = sizing.custom.formatted(custom)
    return custom


def _map_nearest_size(
    sizing: SizeMapping,
    ratio: RatioMapping | None,
    wanted: Shape,
    known: dict[Shape, str],
    fields: dict[str, Any],
    changes: list[str],
) -> Shape:
    chosen = sizes.nearest(wanted, known) if known else None
    if sizing.custom is not None and not (chosen and not wanted.exact and sizes.same_ratio(chosen, wanted)):
        custom = sizing.custom.nearest_allowed(wanted)
        if custom and (chosen is None or sizes.nearest(wanted, [chosen, custom]) is custom):
            fields[sizing.field] = sizing.custom.formatted(custom)
            _note_size(wanted, custom, changes)
            return custom
    if chosen is None:
        raise Unsupported(f"paints no {wanted}.", "Or choose another size.")
    if ratio is not None and chosen.ratio in ratio.values:
        fields[ratio.field] = chosen.ratio
        fields.update(ratio.extra)
    else:
        fields[sizing.field] = known[chosen]
    _note_size(wanted, chosen, changes)
    return chosen


def _note_size(wanted: Shape, chosen: Shape, changes: list[str]) -> None:
    if wanted.exact and wanted != chosen:
        changes.append(f"{wanted} became {chosen}")
    elif not wanted.exact and not sizes.same_ratio(wanted, chosen):
        changes.append(f"{wanted.ratio} became {chosen.ratio}")
