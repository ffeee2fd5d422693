"""Google's models at Lumenfall (lumenfall: gemini-3.1-flash-image, gemini-3-pro-image)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bot.sandbox.kit.shapes import GOOGLE_1K, GOOGLE_TIERS, Size, google_pixels, nearest_shape
from bot.sandbox.lumenfall.models.base import MEGAPIXEL, Model, Part, Work, part
from bot.sandbox.lumenfall.schema import ImageParameters

_SOURCE = 1_100
"""Micro-dollars of one input picture of the pro model."""


@dataclass(frozen=True, kw_only=True)
class _Gemini(Model):
    per_picture: Mapping[str, int]
    """Micro-dollars by tier at Google's own providers."""
    elsewhere: Mapping[str, int]
    """The same at fal and Replicate."""
    per_source: int = 0

    def pixels(self, params: ImageParameters, source: Size | None) -> Size:
        ratio = nearest_shape(GOOGLE_1K.values(), params.shape(source))
        return google_pixels(ratio, self._tier(params))

    def components(self, params: ImageParameters, work: Work) -> list[Part]:
        prices = self.elsewhere if work.route in ("fal", "replicate") else self.per_picture
        parts = [part("output", "image", work.count, prices[self._tier(params)])]
        priced = self.per_source and work.sources
        return [*parts, part("input", "image", len(work.sources), self.per_source)] if priced else parts

    def _tier(self, params: ImageParameters) -> str:
        """The tier nearest to what is asked for, by the number of pixels where `size` has them; else 1K."""
        wanted = params.tier or 1.0
        if (pixels := params.pixels) and min(pixels):
            wanted = math.sqrt(pixels[0] * pixels[1] / MEGAPIXEL)
        return min(self.per_picture, key=lambda tier: abs(math.log(GOOGLE_TIERS[tier] / max(wanted, 0.01))))


_ROUTES = ("gemini", "vertex", "fal", "replicate")

MODELS = (
    _Gemini(
        model_id="gemini-3.1-flash-image",
        aliases=("gemini-3.1-flash-image-preview",),
        owner="google",
        created=1_772_064_000,
        routes=_ROUTES,
        most_sources=14,
        fields=frozenset({"seed"}),
        per_picture={"0.5K": 45_000, "1K": 67_000, "2K": 101_000, "4K": 151_000},
        elsewhere={"0.5K": 60_000, "1K": 80_000, "2K": 120_000, "4K": 160_000},
    ),
    _Gemini(
        model_id="gemini-3-pro-image",
        aliases=("gemini-3-pro-image-preview",),
        owner="google",
        created=1_763_596_800,
        routes=_ROUTES,
        most_sources=14,
        fields=frozenset({"seed"}),
        per_picture={"1K": 134_000, "2K": 134_000, "4K": 240_000},
        elsewhere={"1K": 150_000, "2K": 150_000, "4K": 300_000},
        per_source=_SOURCE,
    ),
)
"""The page of the pro model names "900" pictures; 14 is Google's own cap."""
