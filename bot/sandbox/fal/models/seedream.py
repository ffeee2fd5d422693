"""ByteDance's Seedream 5 Lite and Pro at fal (fal: bytedance/seedream/v5)."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.sandbox.fal.models.base import PRESETS, ImageInput, Preset, Urls10, Work, text_and_edit
from bot.sandbox.kit.shapes import Size

_LONGEST_EDGE, _WIDEST = 14_142, 16
_AUTO: Mapping[str, int] = {"auto_1K": 1024, "auto_2K": 2048, "auto_3K": 3072, "auto_4K": 4096}
"""The side of a square; a picture after another shape has about as many pixels."""


class Pixels(BaseModel):
    """A custom size in pixels."""

    model_config = ConfigDict(extra="forbid", strict=True)

    width: int = Field(ge=1, le=_LONGEST_EDGE)
    height: int = Field(ge=1, le=_LONGEST_EDGE)


class PixelsPro(Pixels):
    """A custom size of Seedream 5 Pro."""

    @model_validator(mode="after")
    def within_limits(self) -> Self:
        """Check the limits on aspect ratio and number of pixels."""
        if max(self.width, self.height) > _WIDEST * min(self.width, self.height):
            raise ValueError("the aspect ratio is from 1/16 to 16")
        least, most = _Seedream5Pro.area
        if not least <= self.width * self.height <= most:
            raise ValueError("the number of pixels is from 1024x1024 to 2048x2048")
        return self


class _Seedream(ImageInput):
    area: ClassVar[tuple[int, int]]
    """The fewest and the most pixels; what lies outside is scaled."""

    num_images: int = Field(default=1, ge=1, le=6)
    """Seedream 5 Flash's range: the others' is not stated."""
    enable_safety_checker: bool = True

    def pixels(self, source: Size | None) -> Size:
        wanted: str | Pixels = getattr(self, "image_size", "auto_2K")
        if isinstance(wanted, Pixels):
            return _scaled((wanted.width, wanted.height), *self.area)
        if wanted in PRESETS:
            return _scaled(PRESETS[wanted], *self.area)
        area = _AUTO[wanted] ** 2
        return _scaled(source or (1, 1), area, area)


class GenerateLite(_Seedream):
    """bytedance/seedream/v5/lite/text-to-image: it has no output_format and no seed."""

    area: ClassVar[tuple[int, int]] = (2560 * 1440, 4096 * 4096)

    image_size: Preset | Literal["auto_2K", "auto_3K", "auto_4K"] | Pixels = "auto_2K"

    def cost(self, work: Work) -> float:
        """One price for all sizes."""
        return work.count * 0.035


class EditLite(GenerateLite):
    """bytedance/seedream/v5/lite/edit"""

    image_urls: Urls10


class _Seedream5Pro(_Seedream):
    area: ClassVar[tuple[int, int]] = (1024 * 1024, 2048 * 2048)

    output_format: Literal["jpeg", "png"] = "jpeg"

    def cost(self, work: Work) -> float:
        """Up to 1536x1536 half as much as above; each input picture after the first costs on top."""
        small = work.size[0] * work.size[1] <= 1536 * 1536
        further = max(0, len(work.sources) - 1) * 0.0045
        return work.count * (0.0675 if small else 0.135) + further


class GeneratePro(_Seedream5Pro):
    """bytedance/seedream/v5/pro/text-to-image"""

    image_size: Preset | Literal["auto_1K", "auto_2K"] | PixelsPro = "auto_2K"


class EditPro(GeneratePro):
    """bytedance/seedream/v5/pro/edit"""

    image_urls: Urls10


def _scaled(size: Size, least: int, most: int) -> Size:
    """The size itself, or scaled until its number of pixels is within the limits."""
    area = size[0] * size[1]
    if least <= area <= most:
        return size
    scale = math.sqrt((least if area < least else most) / area)
    even = math.ceil if area < least else math.floor
    return even(size[0] * scale), even(size[1] * scale)


ENDPOINTS = {
    **text_and_edit(
        "Seedream 5.0 Lite",
        ("bytedance/seedream/v5/lite/text-to-image", "bytedance/seedream/v5/lite/edit"),
        (GenerateLite, EditLite),
        unit_price=0.035,
        unit="images",
    ),
    **text_and_edit(
        "Seedream 5.0 Pro",
        ("bytedance/seedream/v5/pro/text-to-image", "bytedance/seedream/v5/pro/edit"),
        (GeneratePro, EditPro),
        unit_price=0.0675,
        unit="images",
    ),
}
"""Pro's unit is a picture of up to 1536x1536 pixels; a larger one is two."""
