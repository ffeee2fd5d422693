"""The shape of an offer in `catalog.toml`: how a service spells each option, and what it charges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.catalog import sizes as shapes
from bot.catalog.sizes import Bounds, Shape
from bot.domain.requests import Fidelity

Option = Literal["quality", "background", "output_format", "fidelity", "compression"]
Way = Literal["pass", "rename", "convert", "emulate"]
Micros = Annotated[int, Field(ge=0, le=100_000_000)]


class CatalogModel(BaseModel):
    """What `catalog.toml` holds: fixed, and nothing in it that has no meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptionMapping(CatalogModel):
    """One option at one service.

    `values` maps each of our values to the service's; an empty one leaves the field out. `instead` are values
    that the service lacks, and what is asked for in their place: a format is then made here, anything else is
    told. With `listed` the field is sent only if the service's own schema names it; without it, the values in
    `dropped` are left out and told, others refused.
    """

    way: Way
    field: str = ""
    values: dict[str, str] = {}
    instead: dict[str, str] = {}
    listed: bool = False
    dropped: tuple[str, ...] = ()

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
    """Sizes beside the listed ones, and how they are written."""

    style: Literal["text", "object"]
    step: int = Field(ge=1)
    least_side: int = Field(ge=1)
    most_side: int = Field(ge=1)
    widest: float = Field(ge=1)
    least_area: int = Field(ge=1)
    most_area: int = Field(ge=1)
    usual_area: int = Field(ge=1)

    def fitted(self, wanted: Shape) -> Shape | None:
        """See `Bounds`."""
        return Bounds(**self.model_dump(exclude={"style"})).fitted(wanted)

    def spelled(self, shape: Shape) -> str | dict[str, int]:
        """The size in the service's style."""
        return shape.pixels if self.style == "text" else {"width": shape.width, "height": shape.height}


class RatioMapping(CatalogModel):
    """A field that takes only a shape, where a person asked for no more; `extra` goes with it."""

    field: str
    values: tuple[str, ...] = Field(min_length=1)
    extra: dict[str, str] = {}


class SizeMapping(CatalogModel):
    """Sizes at one service: `known` maps WxH to its word; `auto` is its word for that, none leaves it out."""

    way: Way
    field: str
    auto: str | None = None
    known: dict[str, str] = Field(min_length=1)
    custom: CustomSizes | None = None
    ratio: RatioMapping | None = None

    @model_validator(mode="after")
    def _sizes_are_sizes(self) -> Self:
        for size in self.known:
            shapes.exact(size)
        if self.auto is not None and self.auto not in (*self.known.values(), "auto"):
            raise ValueError(f"auto becomes {self.auto}, which is not known")
        return self


class CountMapping(CatalogModel):
    """How many pictures one submit takes; without a field one, and Easel submits as often as it needs."""

    way: Way
    field: str = ""
    most: int = Field(1, ge=1)


class Operation(CatalogModel):
    """One kind of request: where it goes and what its fields are called."""

    endpoint: str
    prompt: str
    count: CountMapping
    sources: str | None = None
    mask: str | None = None
    size: SizeMapping
    options: dict[Option, OptionMapping]
    fixed: dict[str, str | bool | int] = {}


class Extras(CatalogModel):
    """What is charged beside the pictures. Tokens in micro-dollars each."""

    text_token: Micros
    tokens_per_word: int = Field(ge=1)
    reasoning_token: Micros
    reasoning_tokens: int = Field(ge=0)
    picture_token: Micros
    picture_tokens: dict[Fidelity, int]
    rounded_up_to: int = Field(1, ge=1)
    partial_picture: Micros = 0


class Prices(CatalogModel):
    """`picture` by quality and size in micro-dollars; the quality `any` where the service chooses it."""

    picture: dict[str, dict[str, Micros]]
    extras: Extras

    @model_validator(mode="after")
    def _rows_are_filled(self) -> Self:
        if not self.picture or not all(self.picture.values()):
            raise ValueError("a price row is empty")
        for size in {size for row in self.picture.values() for size in row}:
            shapes.exact(size)
        return self

    def each(self, quality: str, size: Shape | None) -> int:
        """One picture; what is not known counts as the dearest that it can be."""
        rows = [self.picture[quality]] if quality in self.picture else list(self.picture.values())
        return max(_in_row(row, size) for row in rows)


def _in_row(row: Mapping[str, int], size: Shape | None) -> int:
    if size is None:
        return max(row.values())
    if size.pixels in row:
        return row[size.pixels]
    areas = {known: shapes.exact(known).area for known in row}
    larger = [area for area in areas.values() if area >= size.area]
    if not larger:
        return -(-max(row.values()) * size.area // max(areas.values()))
    return max(price for known, price in row.items() if areas[known] <= min(larger))


class OwnKeyOffer(CatalogModel):
    """The same model, paid through the operator's own OpenAI key. Tokens in micro-dollars each."""

    field: str
    imagine: str
    edit: str | None = None
    text_token: Micros
    picture_token: Micros
    painted_token: Micros
