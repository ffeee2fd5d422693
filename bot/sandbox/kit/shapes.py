"""Sizes and shapes of pictures, as several services have them."""

import math
from collections.abc import Iterable, Mapping

Size = tuple[int, int]
"""Width and height in pixels."""

GOOGLE_1K: Mapping[str, Size] = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "4:1": (2048, 512),
    "1:4": (512, 2048),
    "8:1": (3072, 384),
    "1:8": (384, 3072),
}
"""Sizes of Google's models at 1K by ratio; from 21:9 on a guess of like area."""
GOOGLE_TIERS: Mapping[str, float] = {"0.5K": 0.5, "1K": 1, "2K": 2, "4K": 4}
"""How many times as long each side is as at 1K."""


def nearest_shape(sizes: Iterable[Size], shape: float) -> Size:
    """The size whose width over height is nearest to the shape."""
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1] / shape)))


def of_area(shape: float, side: float) -> Size:
    """About as many pixels as a square of this side has, both sides multiples of 16."""
    width, height = side * math.sqrt(shape), side / math.sqrt(shape)
    return max(16, round(width / 16) * 16), max(16, round(height / 16) * 16)


def google_pixels(ratio: Size, tier: str) -> Size:
    """One of the sizes at 1K, at another tier."""
    times = GOOGLE_TIERS[tier]
    return int(ratio[0] * times), int(ratio[1] * times)
