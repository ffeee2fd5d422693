"""Google's Nano Banana 2 and Pro at fal (fal: fal-ai/nano-banana-2, fal-ai/nano-banana-pro)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bot.sandbox.fal.models.base import ImageInput, Work, shape_of, text_and_edit
from bot.sandbox.kit.shapes import GOOGLE_1K, Size, google_pixels, nearest_shape

_Urls = Annotated[list[str], Field(min_length=1, max_length=14)]
"""fal's pages name no cap; 14 is Google's own."""
_RatioPro = Literal["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"]
_Ratio2 = Literal[_RatioPro, "4:1", "1:4", "8:1", "1:8"]

_WEB_SEARCH, _THINKING = 0.015, 0.002
"""Dollars on top of each picture."""


class _NanoBanana(ImageInput):
    dollars: ClassVar[Mapping[str, float]]
    """Price of a picture by resolution."""
    more_output: ClassVar[Mapping[str, Any]] = {"description": {"type": "string"}}

    prompt: str = Field(min_length=3, max_length=50_000)
    num_images: int = Field(default=1, ge=1, le=4)
    output_format: Literal["jpeg", "png", "webp"] = "png"
    seed: int | None = None
    safety_tolerance: Literal["1", "2", "3", "4", "5", "6"] = "4"
    limit_generations: bool = True
    enable_web_search: bool = False
    system_prompt: str | None = None

    def pixels(self, source: Size | None) -> Size:
        ratio: str = getattr(self, "aspect_ratio", "auto")
        known = GOOGLE_1K.get(ratio) or nearest_shape(GOOGLE_1K.values(), shape_of(source))
        return google_pixels(known, getattr(self, "resolution", "1K"))

    def cost(self, work: Work) -> float:
        each = self.dollars[getattr(self, "resolution", "1K")]
        each += _WEB_SEARCH if self.enable_web_search else 0
        each += _THINKING if getattr(self, "thinking_level", None) == "high" else 0
        return work.count * each

    def output(self, work: Work) -> dict[str, Any]:
        return {"description": ""}


class Generate2(_NanoBanana):
    """fal-ai/nano-banana-2"""

    dollars: ClassVar[Mapping[str, float]] = {"0.5K": 0.06, "1K": 0.08, "2K": 0.12, "4K": 0.16}

    aspect_ratio: _Ratio2 = "auto"
    resolution: Literal["0.5K", "1K", "2K", "4K"] = "1K"
    thinking_level: Literal["minimal", "high"] | None = None


class Edit2(Generate2):
    """fal-ai/nano-banana-2/edit"""

    image_urls: _Urls


class GeneratePro(_NanoBanana):
    """fal-ai/nano-banana-pro"""

    dollars: ClassVar[Mapping[str, float]] = {"1K": 0.15, "2K": 0.15, "4K": 0.3}

    aspect_ratio: _RatioPro = "1:1"
    resolution: Literal["1K", "2K", "4K"] = "1K"


class EditPro(GeneratePro):
    """fal-ai/nano-banana-pro/edit"""

    image_urls: _Urls
    aspect_ratio: _RatioPro = "auto"


ENDPOINTS = {
    **text_and_edit(
        "Nano Banana 2",
        ("fal-ai/nano-banana-2", "fal-ai/nano-banana-2/edit"),
        (Generate2, Edit2),
        unit_price=0.08,
        unit="images",
    ),
    **text_and_edit(
        "Nano Banana Pro",
        ("fal-ai/nano-banana-pro", "fal-ai/nano-banana-pro/edit"),
        (GeneratePro, EditPro),
        unit_price=0.15,
        unit="images",
    ),
}
"""A unit is a picture at 1K; one at 4K is two."""
