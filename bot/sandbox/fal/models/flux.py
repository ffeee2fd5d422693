"""Black Forest Labs' FLUX.2 pro and FLUX 3 at fal (fal: fal-ai/flux-2-pro, blackforestlabs/flux-3)."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.sandbox.fal.models.base import PRESETS, ImageInput, Preset, Urls10, Work, shape_of, text_and_edit
from bot.sandbox.kit.shapes import Size, nearest_shape, of_area

_MEGAPIXEL = 1024 * 1024
_MOST_MEGAPIXELS = 4

# ---------------------------------------------------------------------------------------------- FLUX.2 pro

_FIRST_MEGAPIXEL, _FURTHER_MEGAPIXEL = 0.03, 0.015
_Urls9 = Annotated[list[str], Field(min_length=1, max_length=9)]
"""fal's page names no cap; nine is Lumenfall's for the same model."""


class Pixels(BaseModel):
    """A custom size in pixels; fal's page states no limits, so these are the maker's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    width: int = Field(ge=64, le=4_096)
    height: int = Field(ge=64, le=4_096)

    @model_validator(mode="after")
    def within_limits(self) -> Self:
        """Check the number of pixels."""
        if self.width * self.height > _MOST_MEGAPIXELS * _MEGAPIXEL:
            raise ValueError(f"at most {_MOST_MEGAPIXELS} megapixels")
        return self


class _Flux2Pro(ImageInput):
    more_output: ClassVar[Mapping[str, Any]] = {"seed": {"type": "integer"}}

    output_format: Literal["jpeg", "png"] = "jpeg"
    seed: int | None = None
    safety_tolerance: Literal["1", "2", "3", "4", "5"] = "2"
    enable_safety_checker: bool = True

    def pixels(self, source: Size | None) -> Size:
        """Auto keeps the source's size, scaled down to the most megapixels."""
        wanted: str | Pixels = getattr(self, "image_size", "auto")
        if isinstance(wanted, Pixels):
            return wanted.width, wanted.height
        return PRESETS[wanted] if wanted in PRESETS else _kept(source or PRESETS["square_hd"])

    def cost(self, work: Work) -> float:
        """Each picture, in and out, counts with its megapixels rounded up; larger ones in are scaled down."""
        megapixels = sum(min(_MOST_MEGAPIXELS, _megapixels(size)) for size in work.sources)
        megapixels += work.count * _megapixels(work.size)
        return round(_FIRST_MEGAPIXEL + (megapixels - 1) * _FURTHER_MEGAPIXEL, 6)


class Generate2Pro(_Flux2Pro):
    """fal-ai/flux-2-pro: one picture."""

    image_size: Preset | Pixels = "landscape_4_3"


class Edit2Pro(_Flux2Pro):
    """fal-ai/flux-2-pro/edit: one picture."""

    image_urls: _Urls9
    image_size: Preset | Literal["auto"] | Pixels = "auto"


# -------------------------------------------------------------------------------------------------- FLUX 3

_Ratio = Literal[
    "auto", "21:9", "2:1", "16:9", "3:2", "7:5", "4:3", "5:4", "1:1", "4:5", "3:4", "5:7", "2:3", "9:16", "1:2"
]  # fmt: skip
_RATIOS = (
    *((21, 9), (2, 1), (16, 9), (3, 2), (7, 5), (4, 3), (5, 4), (1, 1)),
    *((4, 5), (3, 4), (5, 7), (2, 3), (9, 16), (1, 2)),
)
_SIDES = {"512sq": 512, "768sq": 768, "1k": 1024, "2k": 2048, "4k": 4096}
"""The side of a square; other ratios have about as many pixels."""
_DOLLARS_3 = {"512sq": 0.041, "768sq": 0.041, "1k": 0.048, "2k": 0.1, "4k": 0.607}
"""Only 1k is known. The others are a guess: Oxen's prices of the same model, in proportion."""
_LEAST_SIDE = 256


class Generate3(ImageInput):
    """blackforestlabs/flux-3/text-to-image: one picture, and no seed."""

    aspect_ratio: _Ratio = "auto"
    resolution: Literal["512sq", "768sq", "1k", "2k", "4k"] = "1k"
    output_format: Literal["jpeg", "png"] = "jpeg"
    safety_tolerance: int = Field(default=2, ge=0, le=4)
    enable_prompt_expansion: bool = False
    version: str = "latest"

    def pixels(self, source: Size | None) -> Size:
        """About as many pixels as the resolution's square; "auto" takes the source's shape."""
        side = _SIDES[self.resolution]
        sizes = {(w, h): of_area(w / h, side) for w, h in _RATIOS}
        width, _, height = self.aspect_ratio.partition(":")
        if height:
            return sizes[int(width), int(height)]
        return nearest_shape(sizes.values(), shape_of(source))

    def cost(self, work: Work) -> float:
        """Flat, whatever is put in."""
        return work.count * _DOLLARS_3[self.resolution]

    def refused_source(self, size: Size) -> tuple[str, dict[str, int]] | None:
        """Sides from 256 pixels, four megapixels at most."""
        if min(size) < _LEAST_SIDE:
            return "image_too_small", {"min_width": _LEAST_SIDE, "min_height": _LEAST_SIDE}
        if size[0] * size[1] > _MOST_MEGAPIXELS * _MEGAPIXEL:
            return "image_too_large", {"max_pixels": _MOST_MEGAPIXELS * _MEGAPIXEL}
        return None


class Edit3(Generate3):
    """blackforestlabs/flux-3/edit-image"""

    image_urls: Urls10


def _megapixels(size: Size) -> int:
    return math.ceil(size[0] * size[1] / _MEGAPIXEL)


def _kept(size: Size) -> Size:
    """The size in multiples of 16, with the most megapixels at most."""
    side = math.sqrt(min(size[0] * size[1], _MOST_MEGAPIXELS * _MEGAPIXEL))
    return of_area(size[0] / size[1], side)


ENDPOINTS = {
    **text_and_edit(
        "FLUX.2 [pro]",
        ("fal-ai/flux-2-pro", "fal-ai/flux-2-pro/edit"),
        (Generate2Pro, Edit2Pro),
        unit_price=_FIRST_MEGAPIXEL,
        unit="megapixels",
    ),
    **text_and_edit(
        "FLUX 3",
        ("blackforestlabs/flux-3/text-to-image", "blackforestlabs/flux-3/edit-image"),
        (Generate3, Edit3),
        unit_price=_DOLLARS_3["1k"],
        unit="images",
    ),
}
"""FLUX.2's unit is the first megapixel; how fal counts further ones in units is not known: here as halves."""
