"""Models with a list of sizes of about a megapixel: FLUX.2 pro and Seedream 5 Lite at Lumenfall."""

import math
from dataclasses import dataclass

from bot.sandbox.kit.shapes import Size, nearest_shape
from bot.sandbox.lumenfall.models.base import MEGAPIXEL, Model, Part, Work, part
from bot.sandbox.lumenfall.schema import ImageParameters

_SIZES = (
    *((1024, 1024), (1365, 768), (768, 1365), (1254, 836), (836, 1254)),
    *((1183, 887), (887, 1182), (1145, 916), (916, 1145)),
)
_SIZES_SEEDREAM = (
    *((1024, 1024), (1365, 768), (768, 1365), (1254, 836), (836, 1254)),
    *((1183, 887), (887, 1182), (1563, 670)),
)
_MOST_MEGAPIXELS = 4


@dataclass(frozen=True, kw_only=True)
class _Listed(Model):
    sizes: tuple[Size, ...]

    def pixels(self, params: ImageParameters, source: Size | None) -> Size:
        """Whatever is asked for is mapped to the size of the nearest shape."""
        return nearest_shape(self.sizes, params.shape(source))


@dataclass(frozen=True, kw_only=True)
class _ByPicture(_Listed):
    per_picture: int
    """Micro-dollars."""

    def components(self, params: ImageParameters, work: Work) -> list[Part]:
        return [part("output", "image", work.count, self.per_picture)]


@dataclass(frozen=True, kw_only=True)
class _ByMegapixel(_Listed):
    first: int
    further: int
    """Micro-dollars of each megapixel, in and out."""

    def components(self, params: ImageParameters, work: Work) -> list[Part]:
        """Several pictures are as many runs, and each run is billed for its input pictures."""
        sources = sum(min(_MOST_MEGAPIXELS, _megapixels(size)) for size in work.sources)
        further = _megapixels(work.size) - 1
        parts = [part("output", "image", work.count, self.first)]
        if further:
            parts.append(part("output", "megapixel", work.count * further, self.further))
        return [*parts, part("input", "megapixel", work.count * sources, self.further)] if sources else parts


def _megapixels(size: Size) -> int:
    """Rounded up, though a listed size of a few hundred pixels more is one."""
    return max(1, math.ceil(round(size[0] * size[1] / MEGAPIXEL, 2)))


MODELS = (
    _ByMegapixel(
        model_id="flux.2-pro",
        owner="black-forest-labs",
        created=1_764_028_800,
        routes=("fal", "replicate"),
        most_sources=9,
        fields=frozenset({"seed"}),
        sizes=_SIZES,
        first=30_000,
        further=15_000,
    ),
    _ByPicture(
        model_id="seedream-5-lite",
        owner="bytedance",
        created=1_771_804_800,
        routes=("byteplus", "fal", "replicate"),
        most_sources=14,
        sizes=_SIZES_SEEDREAM,
        per_picture=35_000,
    ),
)
