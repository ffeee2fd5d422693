"""OpenAI's models at Lumenfall (lumenfall: gpt-image-1, gpt-image-1.5, gpt-image-2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.sandbox.kit.shapes import Size, nearest_shape
from bot.sandbox.lumenfall.models.base import Model, Part, Work, invalid, part
from bot.sandbox.lumenfall.schema import ImageParameters

_SHAPES = ((1024, 1024), (1024, 1536), (1536, 1024))
_ODD_SIZES = ((836, 1254), (1254, 836))
_LONGEST_SIDE, _MOST_PIXELS = 3_840, 3_840 * 2_160
_TEXT_TOKEN = 5
"""Micro-dollars, as all prices in this file."""
_SOURCE_TOKENS = {"low": 135, "high": 3_050}
"""Tokens of one input picture, by fidelity."""
_OUTPUT_TOKENS = {"low": (272, 408, 400), "medium": (1_056, 1_584, 1_568), "high": (4_160, 6_240, 6_208)}
_PICTURE_1 = {
    "low": (11_000, 16_000, 16_000),
    "medium": (42_000, 63_000, 63_000),
    "high": (167_000, 250_000, 250_000),
}
_PICTURE_15 = {
    "low": (9_000, 13_000, 13_000),
    "medium": (34_000, 51_000, 50_000),
    "high": (133_000, 200_000, 199_000),
}
"""By quality: a square, a portrait and a landscape."""
_PICTURE_2: Mapping[Size, Mapping[str, int]] = {
    (1024, 1024): {"low": 6_000, "medium": 53_000, "high": 211_000},
    (1536, 1024): {"low": 5_000, "medium": 41_000, "high": 165_000},
    (2560, 1440): {"low": 6_150, "medium": 55_290, "high": 221_100},
    (3840, 2160): {"low": 11_130, "medium": 100_080, "high": 400_260},
}
"""The model page has the first two; the others are the price of fal, where the tokens cost the same."""
_FIELDS = frozenset(
    {
        *("quality", "background", "input_fidelity", "moderation", "user", "user_id", "openai_api_key"),
        *("stream", "partial_images", "sync_mode"),
    }
)


@dataclass(frozen=True, kw_only=True)
class _GptImage(Model):
    image_token: int
    """Of an input picture."""
    per_picture: Mapping[str, tuple[int, int, int]]

    def pixels(self, params: ImageParameters, source: Size | None) -> Size:
        return params.pixels or nearest_shape(_SHAPES, params.shape(source))

    def check(self, params: ImageParameters) -> None:
        if "auto" in (params.size, params.aspect_ratio):
            raise invalid("size: expected WxH, or W:H")
        if (size := params.pixels) is not None:
            self._check_size(size)
        super().check(params)

    def _check_size(self, size: Size) -> None:
        if size not in _ODD_SIZES and not all(1024 <= side <= 1536 for side in size):
            raise invalid("size: expected WxH with 1024 to 1536 pixels per side, or W:H")

    def components(self, params: ImageParameters, work: Work) -> list[Part]:
        text, images = self._input_tokens(params, work)
        parts = [
            part("output", "image", work.count, self._picture(_quality(params), work.size)),
            part("input", "text_token", text, _TEXT_TOKEN),
        ]
        return [*parts, part("input", "image_token", images, self.image_token)] if images else parts

    def _picture(self, quality: str, size: Size) -> int:
        return self.per_picture[quality][_column(size)]

    def usage(self, params: ImageParameters, work: Work) -> dict[str, Any]:
        text, images = self._input_tokens(params, work)
        output = work.count * _OUTPUT_TOKENS[_quality(params)][_column(work.size)]
        return {
            "input_tokens": text + images,
            "input_tokens_details": {"text_tokens": text, "image_tokens": images},
            "output_tokens": output,
            "total_tokens": text + images + output,
        }

    def _input_tokens(self, params: ImageParameters, work: Work) -> tuple[int, int]:
        fidelity = params.input_fidelity or "low"
        return math.ceil(len(params.prompt) / 4), len(work.sources) * _SOURCE_TOKENS[fidelity]


@dataclass(frozen=True, kw_only=True)
class _GptImage2(_GptImage):
    def check(self, params: ImageParameters) -> None:
        if params.background == "transparent":
            raise invalid("background: this model paints no transparent background")
        super().check(params)

    def _check_size(self, size: Size) -> None:
        if not 0 < max(size) <= _LONGEST_SIDE or not 0 < size[0] * size[1] <= _MOST_PIXELS:
            raise invalid("size: expected WxH up to 3840x2160, or W:H")

    def _picture(self, quality: str, size: Size) -> int:
        if size[0] == size[1] and size[0] <= 1024:
            return _PICTURE_2[1024, 1024][quality]
        pixels = size[0] * size[1]
        wider = [known for known in _PICTURE_2 if known[0] != known[1]]
        return _PICTURE_2[min(wider, key=lambda known: abs(known[0] * known[1] - pixels))][quality]


def _quality(params: ImageParameters) -> str:
    return params.quality or "high"  # Lumenfall does not document its default: assume the dearest


def _column(size: Size) -> int:
    return _SHAPES.index(nearest_shape(_SHAPES, size[0] / size[1]))


_COMMON: dict[str, Any] = {"owner": "openai", "most_sources": 10, "takes_mask": True}

MODELS = (
    _GptImage(
        model_id="gpt-image-1",
        created=1_745_366_400,
        routes=("openai", "fal", "replicate"),
        fields=_FIELDS,
        image_token=10,
        per_picture=_PICTURE_1,
        **_COMMON,
    ),
    _GptImage(
        model_id="gpt-image-1.5",
        created=1_765_843_200,
        routes=("openai", "fal", "replicate"),
        fields=_FIELDS,
        image_token=8,
        per_picture=_PICTURE_15,
        **_COMMON,
    ),
    _GptImage2(
        model_id="gpt-image-2",
        created=1_776_729_600,
        routes=("openai",),
        fields=_FIELDS - {"input_fidelity"},
        image_token=8,
        per_picture={},
        **_COMMON,
    ),
)
