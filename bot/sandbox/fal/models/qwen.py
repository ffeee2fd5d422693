"""Alibaba's Qwen Image 2 at fal (fal: fal-ai/qwen-image-2)."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.sandbox.fal.models.base import PRESETS, ImageInput, Preset, Work, text_and_edit
from bot.sandbox.kit.shapes import Size

_DOLLARS = 0.035
_LEAST_SOURCE, _MOST_SOURCE = 384, 5_000
"""Pixels of each side of an input picture."""
_Urls = Annotated[list[str], Field(min_length=1, max_length=3)]


class Pixels(BaseModel):
    """A custom size in pixels; of its sides alone no limit is stated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    width: int = Field(ge=1, le=14_142)
    height: int = Field(ge=1, le=14_142)

    @model_validator(mode="after")
    def within_limits(self) -> Self:
        """Check the number of pixels."""
        if not 512 * 512 <= self.width * self.height <= 2048 * 2048:
            raise ValueError("the number of pixels is from 512x512 to 2048x2048")
        return self


class Generate(ImageInput):
    """fal-ai/qwen-image-2/text-to-image"""

    more_output: ClassVar[Mapping[str, Any]] = {"seed": {"type": "integer"}}

    prompt: str = Field(min_length=1, max_length=800)
    """Stated for edits only; the maker has the same limit for both."""
    negative_prompt: str = Field(default="", max_length=500)
    image_size: Preset | Pixels = "square_hd"
    num_images: int = Field(default=1, ge=1, le=4)
    output_format: Literal["png", "jpeg", "webp"] = "png"
    seed: int | None = None
    enable_prompt_expansion: bool = True
    enable_safety_checker: bool = True

    def pixels(self, source: Size | None) -> Size:
        """Left out in an edit, it is the size of the source (a guess), scaled to the limits."""
        if source is not None and "image_size" not in self.model_fields_set:
            scale = min(1.0, 2048 / math.sqrt(source[0] * source[1]))
            scale = max(scale, 512 / math.sqrt(source[0] * source[1]))
            return round(source[0] * scale), round(source[1] * scale)
        wanted: str | Pixels = self.image_size
        return (wanted.width, wanted.height) if isinstance(wanted, Pixels) else PRESETS[wanted]

    def cost(self, work: Work) -> float:
        """One price for all sizes, whatever is put in."""
        return work.count * _DOLLARS

    def refused_source(self, size: Size) -> tuple[str, dict[str, int]] | None:
        """Sides of 384 to 5,000 pixels."""
        if min(size) < _LEAST_SOURCE:
            return "image_too_small", {"min_width": _LEAST_SOURCE, "min_height": _LEAST_SOURCE}
        if max(size) > _MOST_SOURCE:
            return "image_too_large", {"max_width": _MOST_SOURCE, "max_height": _MOST_SOURCE}
        return None


class Edit(Generate):
    """fal-ai/qwen-image-2/edit"""

    image_urls: _Urls


ENDPOINTS = text_and_edit(
    "Qwen Image 2.0",
    ("fal-ai/qwen-image-2/text-to-image", "fal-ai/qwen-image-2/edit"),
    (Generate, Edit),
    unit_price=_DOLLARS,
    unit="images",
)
