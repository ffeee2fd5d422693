"""The shape of an offer in a catalogue file: what a provider calls each option, and what it charges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bot.catalog import sizes
from bot.catalog.sizes import Shape, Tier
from bot.catalog.sizing import MAXIMUM_AREA, SizeMapping, Way
from bot.catalog.table import CatalogModel
from bot.domain.money import Money
from bot.domain.providers import PriceTable
from bot.domain.requests import Background, Fidelity, OutputFormat, Quality

Option = Literal["quality", "background", "output_format", "fidelity", "compression", "seed"]
MEGAPIXEL = 1024 * 1024
"""Pixels, as services count them: a square of 1024 is one."""
LEAST_PRICE = 100
"""Micro-dollars. No picture is that cheap, so a lower price was meant in another unit."""


def _no_dollars(value: object) -> object:
    if isinstance(value, float | str):
        raise PydanticCustomError("micros", "write millionths of a dollar, as a whole number: 35000 is $0.035")
    return value


Micros = Annotated[int, BeforeValidator(_no_dollars), Field(ge=0, le=100_000_000)]
"""Micro-dollars, as the file has them."""
Tokens = Annotated[int, Field(ge=0, le=1_000_000)]
Word = Annotated[str, Field(min_length=1)]
_VALUES: Mapping[str, tuple[str, ...]] = {
    "quality": get_args(Quality),
    "background": get_args(Background),
    "output_format": get_args(OutputFormat),
    "fidelity": get_args(Fidelity),
}
"""What members may choose of each option in words."""


def _plain_value(value: Any) -> Any:
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError("write a text in quotation marks, a number, true or false")
    return value


FixedValue = Annotated[str | bool | int | float, BeforeValidator(_plain_value)]


class OptionMapping(CatalogModel):
    """One option at one provider.

    `values` maps each of our values to the provider's; an empty one leaves the field out. Without a field they are
    those that the provider's pictures have anyway. `instead` maps values
    that the provider lacks to the ones that are sent in their place: Easel converts a format, and the member is
    told of anything else. With `listed` the field is sent only if the provider's own schema names it; where it
    does not, or cannot be read, values in `dropped` are left out and the member is told, others are refused.
    `formats` are the only ones that a compression is for; Easel compresses the others.
    """

    way: Way
    field: str = ""
    values: dict[str, str] = Field({})
    instead: dict[str, str] = Field({})
    listed: bool = False
    dropped: tuple[str, ...] = ()
    formats: tuple[OutputFormat, ...] = ()

    @model_validator(mode="after")
    def _way_is_what_it_says(self) -> Self:
        same = all(ours == theirs or not theirs for ours, theirs in self.values.items())
        if self.way == "emulate" and (self.field or any(self.values.values())):
            raise ValueError("what is emulated is not sent")
        if self.way != "emulate" and not self.field:
            raise ValueError("a field is missing")
        if self.way in ("pass", "rename") and not same:
            raise ValueError("a value changes, so this is a conversion")
        if not set(self.instead.values()) <= set(self.values):
            raise ValueError("what is asked for instead is not among the values")
        return self

    def check(self, option: Option) -> None:
        """Check what depends on which option it is.

        Raises:
            ValueError: a value that members cannot choose, or none at all.
        """
        if option == "seed" and self.way == "emulate":
            raise ValueError("a seed cannot be emulated; say what its field is, or leave it out")
        known = _VALUES.get(option)
        if known is None:
            return
        if unknown := {*self.values, *self.instead, *self.dropped} - set(known):
            raise ValueError(f"there is no {option} {min(unknown)}; choose among {', '.join(known)}")
        if not self.values and (option != "output_format" or self.way != "emulate"):
            raise ValueError(f"{option} has no values; say what becomes of {', '.join(known)}")


class CountMapping(CatalogModel):
    """How many pictures one submit takes. Without a field it is one, and Easel submits as often as needed."""

    way: Way
    field: str = ""
    most: int = Field(1, ge=1, le=100)

    @model_validator(mode="after")
    def _several_are_asked_for(self) -> Self:
        if self.most > 1 and not self.field:
            raise ValueError("without a field one submit paints one picture; add field, or leave most out")
        return self


class SourceSize(CatalogModel):
    """How large the pictures to edit must be, in pixels. Easel scales those that are not."""

    least_side: int = Field(1, ge=1, le=sizes.LONGEST_SIDE)
    most_area: int = Field(ge=1, le=MAXIMUM_AREA)

    @model_validator(mode="after")
    def _a_square_fits(self) -> Self:
        if self.least_side**2 > self.most_area:
            raise ValueError("no picture has so long sides and so few pixels; lower least_side or raise most_area")
        return self


class Operation(CatalogModel):
    """One kind of request: its endpoint and what its fields are called."""

    endpoint: Word
    prompt: Word
    count: CountMapping
    sources: Word | None = None
    source_style: Literal["list", "text"] = "list"
    """Whether `sources` takes a list of pictures, or one picture that stands there by itself."""
    source_size: SourceSize | None = None
    mask: Word | None = None
    mask_edits: Literal["transparent", "white"] = "transparent"
    """Which part of a mask the provider paints anew."""
    size: SizeMapping
    options: dict[Option, OptionMapping]
    fixed: dict[str, FixedValue] = Field({})

    @model_validator(mode="after")
    def _masks_fit_their_pictures(self) -> Self:
        if self.mask is not None and self.source_size is not None:
            raise ValueError("pictures that Easel scales no longer fit their mask; leave out mask or source_size")
        return self

    @model_validator(mode="after")
    def _a_format_is_asked_for(self) -> Self:
        if "output_format" not in self.options:
            raise ValueError("options has no output_format; every request has one, so say what becomes of it")
        for option, mapping in self.options.items():
            mapping.check(option)
        return self

    @model_validator(mode="after")
    def _fields_differ(self) -> Self:
        options = (mapping.field for mapping in self.options.values())
        fields = (self.prompt, self.count.field, self.sources, self.mask, *self.size.fields, *options, *self.fixed)
        twice = [field for field, times in Counter(filter(None, fields)).items() if times > 1]
        if twice:
            raise ValueError(f"two things are sent as {min(twice)}; give each a field of its own")
        return self


class Extras(CatalogModel):
    """What the provider charges beside the pictures that it paints, in micro-dollars."""

    text_token: Micros = 0
    tokens_per_word: int = Field(4, ge=1, le=1_000)
    reasoning_token: Micros = 0
    reasoning_tokens: Tokens = 0
    picture_token: Micros = 0
    picture_tokens: dict[Fidelity, Tokens] = Field({})
    """Tokens of a picture that is sent along, by the fidelity."""
    mask_counts: bool = True
    """Whether a mask counts as such a picture."""
    source: Micros = 0
    """For each picture to edit beyond the first `free_sources`."""
    free_sources: int = Field(0, ge=0, le=100)
    rounded_up_to: int = Field(1, ge=1, le=100_000_000)
    partial_picture: Micros = 0

    def sources_cost(self, fidelity: Fidelity | None, sources: int, masks: int) -> int:
        """Micro-dollars for the pictures that are sent along."""
        pictures = sources + (masks if self.mask_counts else 0)
        tokens = pictures * self.picture_tokens.get(fidelity or "high", 0)
        return tokens * self.picture_token + max(0, sources - self.free_sources) * self.source


class MegapixelPrice(CatalogModel):
    """Micro-dollars for each megapixel that is begun, of a painted picture and of each that is sent along.

    `most` is how many megapixels a picture counts for at most; one whose size is not known counts for as many.
    """

    first: Micros
    further: Micros
    most: int = Field(ge=1, le=1_000)

    def painted(self, size: Shape | None) -> int:
        """Micro-dollars for one painted picture."""
        return self.first + (self._begun(size) - 1) * self.further

    def sent(self, size: Shape | None) -> int:
        """Micro-dollars for one picture that is sent along."""
        return self._begun(size) * self.further

    def _begun(self, size: Shape | None) -> int:
        if size is None or not size.exact:
            return self.most
        return min(-(-size.area // MEGAPIXEL), self.most)


class UnitPrice(CatalogModel):
    """Which of our prices the only one is that a provider tells of an endpoint, as fal's platform does.

    `name` is the unit that it must be of ("images", "megapixels"); the price of any other unit says nothing.
    `quality` and `size` name a row and a price in it; of a price by the megapixel they are `megapixel`, and
    `first` or `further`.
    """

    name: str = Field(min_length=1)
    quality: str = "any"
    size: str


class Prices(CatalogModel):
    """`picture` by quality, and by size or by tier; the quality is `any` where it changes nothing."""

    picture: dict[str, dict[str, Micros]] = Field({})
    megapixel: MegapixelPrice | None = None
    """In place of `picture`."""
    sources_count_each: bool = False
    """Whether what is sent along costs with every painted picture, because the provider paints them one by one."""
    extras: Extras = Extras()
    unit: UnitPrice | None = None

    @model_validator(mode="after")
    def _rows_are_filled(self) -> Self:
        if bool(self.picture) == bool(self.megapixel):
            raise ValueError("it needs prices: either of a picture or of a megapixel")
        if not all(self.picture.values()):
            raise ValueError("a price row is empty")
        if unknown := set(self.picture) - {"any", *get_args(Quality)}:
            raise ValueError(f"there is no quality {min(unknown)}; choose any, {', '.join(get_args(Quality))}")
        for row in self.picture.values():
            for size in row if not set(row) <= set(get_args(Tier)) else ():
                sizes.parse_pixels(size)
        if low := [price for row in self.picture.values() for price in row.values() if 0 < price < LEAST_PRICE]:
            raise ValueError(f"{min(low)} is less than $0.0001; write millionths of a dollar: 35000 is $0.035")
        if self.unit is not None and self.unit.size not in self.table.get(self.unit.quality, {}):
            raise ValueError(f"the unit's price is none of these: {self.unit.quality} {self.unit.size}")
        return self

    @property
    def table(self) -> PriceTable:
        """Every price, also those by the megapixel."""
        if self.megapixel is None:
            return self.picture
        return {"megapixel": {"first": self.megapixel.first, "further": self.megapixel.further}}

    def with_table(self, table: PriceTable) -> Prices:
        """The same with other prices; `table` has the rows and columns of ours."""
        if self.megapixel is None:
            return self.model_copy(update={"picture": {quality: dict(row) for quality, row in table.items()}})
        return self.model_copy(update={"megapixel": self.megapixel.model_copy(update=dict(table["megapixel"]))})

    def each(self, quality: str, size: Shape | None, tier: Tier | None = None) -> Money:
        """One picture. A quality or a size that is not known counts as the dearest that it can be."""
        if self.megapixel is not None:
            return Money(self.megapixel.painted(size))
        rows = [self.picture[quality]] if quality in self.picture else list(self.picture.values())
        return Money(max(_price_in(row, size, tier) for row in rows))


def _price_in(row: Mapping[str, int], size: Shape | None, tier: Tier | None) -> int:
    if tier is not None and tier in row:
        return row[tier]
    if size is None or not size.exact:
        return max(row.values())
    for listed in (size.pixels, f"{size.height}x{size.width}"):
        if listed in row:
            return row[listed]
    areas = {known: _area(known) for known in row}
    larger = [area for area in areas.values() if area >= size.area]
    if not larger:
        return -(-max(row.values()) * size.area // max(areas.values()))
    return max(price for known, price in row.items() if areas[known] <= min(larger))


def _area(size: str) -> int:
    """The pixels of a size or of a tier."""
    return next((area for tier, area in sizes.TIERS.items() if tier == size), 0) or sizes.parse_pixels(size).area


class OwnKeyOffer(CatalogModel):
    """The same model billed to the operator's own OpenAI key. Tokens in micro-dollars each."""

    field: Word
    imagine: Word
    edit: Word | None = None
    text_token: Micros
    picture_token: Micros
    painted_token: Micros
