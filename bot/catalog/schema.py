"""The shape of an offer in a catalogue file: what a provider calls each option, and what it charges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log, sqrt
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.catalog import sizes
from bot.catalog.sizes import Shape
from bot.domain.money import Money
from bot.domain.requests import Fidelity, OutputFormat

Option = Literal["quality", "background", "output_format", "fidelity", "compression"]
Way = Literal["pass", "rename", "convert", "emulate"]
Micros = Annotated[int, Field(ge=0, le=100_000_000)]
"""Micro-dollars, as the file has them."""

NEIGHBOURS = 3
"""Steps that a size may be moved to stay within a provider's bounds."""


class CatalogModel(BaseModel):
    """A part of a catalogue file: frozen, and a key without a meaning is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptionMapping(CatalogModel):
    """One option at one provider.

    `values` maps each of our values to the provider's; an empty one leaves the field out. `instead` maps values
    that the provider lacks to the ones that are sent in their place: Easel converts a format, and the member is
    told of anything else. With `listed` the field is sent only if the provider's own schema names it; where it
    does not, values in `dropped` are left out and the member is told, others are refused. `formats` are the only
    ones that a compression is for; Easel compresses the others.
    """

    way: Way
    field: str = ""
    values: dict[str, str] = {}
    instead: dict[str, str] = {}
    listed: bool = False
    dropped: tuple[str, ...] = ()
    formats: tuple[OutputFormat, ...] = ()

    @model_validator(mode="after")
    def _way_is_what_it_says(self) -> Self:
        same = all(ours == theirs or not theirs for ours, theirs in self.values.items())
        if self.way == "emulate" and (self.field or self.values):
            raise ValueError("what is emulated is not sent")
        if self.way != "emulate" and not self.field:
            raise ValueError("a field is missing")
        if self.way in ("pass", "rename") and not same:
            raise ValueError("a value changes, so this is a conversion")
        if not set(self.instead.values()) <= set(self.values):
            raise ValueError("what is asked for instead is not among the values")
        return self


class CustomSizes(CatalogModel):
    """Which sizes a provider paints beside those that it lists, and how it writes them. Sides in pixels."""

    style: Literal["text", "object"]
    step: int = Field(ge=1)
    least_side: int = Field(ge=1)
    most_side: int = Field(ge=1)
    widest: float = Field(ge=1)
    least_area: int = Field(ge=1)
    most_area: int = Field(ge=1)
    usual_area: int = Field(ge=1)

    def nearest_allowed(self, wanted: Shape) -> Shape | None:
        """The size within the bounds that is nearest to the wanted one; None for too extreme a ratio."""
        if max(wanted.aspect, 1 / wanted.aspect) > self.widest:
            return None
        area = min(max(wanted.area if wanted.exact else self.usual_area, self.least_area), self.most_area)
        scale = sqrt(area / wanted.area)
        longest, shortest = max(wanted.width, wanted.height), min(wanted.width, wanted.height)
        scale = max(min(scale, self.most_side / longest), self.least_side / shortest)
        plain = Shape(self._stepped(wanted.width * scale), self._stepped(wanted.height * scale), exact=True)
        # Rounded to the step, it may be a little out of bounds; then a neighbour is within them.
        for found in (
            plain,
            *sorted(self._neighbours(plain, wanted), key=lambda shape: abs(log(shape.area / area))),
        ):
            if self._allows(found) and sizes.same_ratio(found, wanted):
                return found
        return None

    def formatted(self, shape: Shape) -> str | dict[str, int]:
        """The size in the provider's style."""
        return shape.pixels if self.style == "text" else {"width": shape.width, "height": shape.height}

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

    def _allows(self, shape: Shape) -> bool:
        sides = (shape.width, shape.height)
        return (
            min(sides) >= self.least_side
            and max(sides) <= self.most_side
            and self.least_area <= shape.area <= self.most_area
            and max(shape.aspect, 1 / shape.aspect) <= self.widest
        )


class RatioMapping(CatalogModel):
    """A field that takes only a ratio, for members who asked for no more; `extra` is sent along."""

    field: str
    values: tuple[str, ...] = Field(min_length=1)
    extra: dict[str, str] = {}


class SizeMapping(CatalogModel):
    """Sizes at one provider: `known` maps WxH to its word, `auto` is its word for auto; None sends no field."""

    way: Way
    field: str
    auto: str | None = None
    known: dict[str, str] = Field(min_length=1)
    custom: CustomSizes | None = None
    ratio: RatioMapping | None = None

    @model_validator(mode="after")
    def _sizes_are_sizes(self) -> Self:
        for size in self.known:
            sizes.parse_pixels(size)
        if self.auto is not None and self.auto not in (*self.known.values(), "auto"):
            raise ValueError(f"auto becomes {self.auto}, which is not known")
        return self


class CountMapping(CatalogModel):
    """How many pictures one submit takes. Without a field it is one, and Easel submits as often as needed."""

    way: Way
    field: str = ""
    most: int = Field(1, ge=1)


class Operation(CatalogModel):
    """One kind of request: its endpoint and what its fields are called."""

    endpoint: str
    prompt: str
    count: CountMapping
    sources: str | None = None
    mask: str | None = None
    size: SizeMapping
    options: dict[Option, OptionMapping]
    fixed: dict[str, str | bool | int] = {}


class Extras(CatalogModel):
    """What the provider charges beside the pictures. Tokens in micro-dollars each."""

    text_token: Micros
    tokens_per_word: int = Field(ge=1)
    reasoning_token: Micros
    reasoning_tokens: int = Field(ge=0)
    picture_token: Micros
    picture_tokens: dict[Fidelity, int]
    rounded_up_to: int = Field(1, ge=1)
    partial_picture: Micros = 0


class Prices(CatalogModel):
    """`picture` by quality and size; the quality is `any` where the provider chooses it."""

    picture: dict[str, dict[str, Micros]]
    extras: Extras

    @model_validator(mode="after")
    def _rows_are_filled(self) -> Self:
        if not self.picture or not all(self.picture.values()):
            raise ValueError("a price row is empty")
        for size in {size for row in self.picture.values() for size in row}:
            sizes.parse_pixels(size)
        return self

    def each(self, quality: str, size: Shape | None) -> Money:
        """One picture. A quality or a size that is not known counts as the dearest that it can be."""
        rows = [self.picture[quality]] if quality in self.picture else list(self.picture.values())
        return Money(max(_price_in(row, size) for row in rows))


def _price_in(row: Mapping[str, int], size: Shape | None) -> int:
    if size is None:
        return max(row.values())
    if size.pixels in row:
        return row[size.pixels]
    areas = {known: sizes.parse_pixels(known).area for known in row}
    larger = [area for area in areas.values() if area >= size.area]
    if not larger:
        return -(-max(row.values()) * size.area // max(areas.values()))
    return max(price for known, price in row.items() if areas[known] <= min(larger))


class OwnKeyOffer(CatalogModel):
    """The same model billed to the operator's own OpenAI key. Tokens in micro-dollars each."""

    field: str
    imagine: str
    edit: str | None = None
    text_token: Micros
    picture_token: Micros
    painted_token: Micros
