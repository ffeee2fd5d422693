"""GPT Image 2 and 2.5 at fal (fal: openai/gpt-image-2, openai/gpt-image-2.5)."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.sandbox.fal.models.base import PRESETS, ImageInput, Preset, Work, shape_of, text_and_edit
from bot.sandbox.fal.models.gpt_image_1 import text_tokens
from bot.sandbox.kit.shapes import Size, nearest_shape

_LONGEST_EDGE, _FEWEST_PIXELS, _MOST_PIXELS = 3_840, 655_360, 8_294_400
_AUTO_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
_Urls = Annotated[list[str], Field(min_length=1, max_length=16)]
_Background = Literal["auto", "transparent", "opaque"]

_DOLLARS: Mapping[Size, Mapping[str, float]] = {
    (1024, 768): {"low": 0.00402, "medium": 0.00903, "high": 0.03612, "xhigh": 0.0642, "max": 0.14445},
    (1024, 1024): {"low": 0.00588, "medium": 0.01317, "high": 0.05268, "xhigh": 0.09366, "max": 0.21072},
    (1536, 1024): {"low": 0.00474, "medium": 0.01029, "high": 0.04116, "xhigh": 0.07377, "max": 0.16464},
    (1920, 1088): {"low": 0.00441, "medium": 0.01029, "high": 0.0396, "xhigh": 0.07041, "max": 0.1584},
    (2560, 1440): {"low": 0.00615, "medium": 0.01434, "high": 0.05529, "xhigh": 0.09828, "max": 0.2211},
    (3840, 2160): {"low": 0.01113, "medium": 0.02595, "high": 0.10008, "xhigh": 0.1779, "max": 0.40026},
}
"""One picture of 2.5 by size and quality; any other size is billed here as the one whose pixels are nearest."""
_DOLLARS_PER_TEXT_TOKEN, _DOLLARS_PER_IMAGE_TOKEN = 5e-6, 8e-6
_SOURCE_TOKENS = 1_040
"""Input tokens of a source picture, as measured at quality low with 2.5; a guess for the other qualities."""


class Pixels(BaseModel):
    """A custom size in pixels (fal: gpt-image-2)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    width: int = Field(ge=16, le=_LONGEST_EDGE, multiple_of=16)
    height: int = Field(ge=16, le=_LONGEST_EDGE, multiple_of=16)

    @model_validator(mode="after")
    def within_limits(self) -> Self:
        """Check the limits on aspect ratio and number of pixels."""
        if max(self.width, self.height) > 3 * min(self.width, self.height):
            raise ValueError("the aspect ratio is at most 3:1")
        if not _FEWEST_PIXELS <= self.width * self.height <= _MOST_PIXELS:
            raise ValueError(f"the number of pixels is from {_FEWEST_PIXELS} to {_MOST_PIXELS}")
        return self


class _GptImage(ImageInput):
    columns: ClassVar[Mapping[str, str]]
    """Quality: the quality of 2.5 that costs the same; "auto" is taken as high."""

    output_format: Literal["jpeg", "png", "webp"] = "png"

    def pixels(self, source: Size | None) -> Size:
        wanted: str | Pixels = getattr(self, "image_size", "auto")
        if isinstance(wanted, Pixels):
            return wanted.width, wanted.height
        return PRESETS[wanted] if wanted in PRESETS else nearest_shape(_AUTO_SIZES, shape_of(source))

    def cost(self, work: Work) -> float:
        pixels = work.size[0] * work.size[1]
        row = min(_DOLLARS, key=lambda known: abs(known[0] * known[1] - pixels))
        exact = work.count * _DOLLARS[row][self.columns[getattr(self, "quality", "auto")]]
        exact += text_tokens(self.prompt) * _DOLLARS_PER_TEXT_TOKEN
        exact += len(work.sources) * _SOURCE_TOKENS * _DOLLARS_PER_IMAGE_TOKEN
        return math.ceil(round(exact * 10_000, 6)) / 10_000


class _GptImage2(_GptImage):
    columns: ClassVar[Mapping[str, str]] = {"auto": "max", "low": "low", "medium": "high", "high": "max"}

    num_images: int = Field(default=1, ge=1, le=4)
    quality: Literal["auto", "low", "medium", "high"] = "high"


class Generate2(_GptImage2):
    """openai/gpt-image-2"""

    image_size: Preset | Literal["auto"] | Pixels = "landscape_4_3"
    background: _Background = "auto"


class Edit2(_GptImage2):
    """openai/gpt-image-2/edit. Whether it has a background is not known: here it has none."""

    image_urls: _Urls
    mask_url: str | None = None
    image_size: Preset | Literal["auto"] | Pixels = "auto"


class Generate25(_GptImage):
    """openai/gpt-image-2.5/flare/text-to-image, and sunburst's. Like fal's, it passes over unknown fields."""

    model_config = ConfigDict(extra="ignore", strict=True)
    columns: ClassVar[Mapping[str, str]] = {"auto": "high"} | {one: one for one in _DOLLARS[1024, 768]}

    num_images: int = Field(default=1, ge=1, le=10)
    image_size: Preset | Literal["auto"] | Pixels = "landscape_4_3"
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] = "high"
    background: _Background = "auto"
    output_compression: int | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def options_fit_the_format(self) -> Self:
        """Check that what is transparent or compressed has a format for it."""
        if self.background == "transparent" and self.output_format == "jpeg":
            raise ValueError("a transparent background needs png or webp")
        if self.output_compression is not None and self.output_format == "png":
            raise ValueError("output_compression is for jpeg and webp")
        return self


class Edit25(Generate25):
    """openai/gpt-image-2.5/flare/edit, and sunburst's."""

    image_urls: _Urls
    mask_url: str | None = None
    image_size: Preset | Literal["auto"] | Pixels = "auto"


_TWO: dict[str, Any] = {"unit_price": 0.211, "unit": "images", "counts_pictures": True}

ENDPOINTS = {
    **text_and_edit(
        "GPT Image 2.5 Flare",
        ("openai/gpt-image-2.5/flare/text-to-image", "openai/gpt-image-2.5/flare/edit"),
        (Generate25, Edit25),
    ),
    **text_and_edit(
        "GPT Image 2.5 Sunburst",
        ("openai/gpt-image-2.5/sunburst/text-to-image", "openai/gpt-image-2.5/sunburst/edit"),
        (Generate25, Edit25),
    ),
    **text_and_edit("GPT Image 2", ("openai/gpt-image-2", "openai/gpt-image-2/edit"), (Generate2, Edit2), **_TWO),
}
"""2.5 is billed in dollars; 2 is listed with the price of one square picture of its default quality."""
