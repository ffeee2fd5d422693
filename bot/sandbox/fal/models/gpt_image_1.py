"""GPT Image 1 and 1.5 at fal, and OpenAI's own counts for requests with the caller's key (fal: BYOK)."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SecretStr

from bot.sandbox.fal.models.base import ImageInput, Work, shape_of, text_and_edit
from bot.sandbox.kit.shapes import Size, nearest_shape

_Pixels = Literal["1024x1024", "1536x1024", "1024x1536"]
_PixelsOrAuto = Literal["auto", "1024x1024", "1536x1024", "1024x1536"]
_Urls = Annotated[list[str], Field(min_length=1, max_length=16)]
_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))

TOKENS_PER_WORD = 4
_SOURCE_TOKENS = {"low": 135, "high": 3_050}
"""Input tokens of a source picture by its fidelity (fal: gpt-image-1)."""

# Each row: 1024x1024, 1024x1536, 1536x1024.
_OUTPUT_TOKENS = {"low": (272, 408, 400), "medium": (1_056, 1_584, 1_568), "high": (4_160, 6_240, 6_208)}
"""Output tokens of one picture of GPT Image 1 (OpenAI's price list)."""
_PICTURE_1 = {"low": (0.011, 0.016, 0.016), "medium": (0.042, 0.063, 0.063), "high": (0.167, 0.25, 0.25)}
_PICTURE_15 = {"low": (0.009, 0.013, 0.013), "medium": (0.034, 0.051, 0.05), "high": (0.133, 0.2, 0.199)}


class _GptImage(ImageInput):
    mask_field: ClassVar[str] = "mask_image_url"

    num_images: int = Field(default=1, ge=1, le=4)
    output_format: Literal["jpeg", "png", "webp"] = "png"
    background: Literal["auto", "transparent", "opaque"] = "auto"

    def pixels(self, source: Size | None) -> Size:
        wanted: str = getattr(self, "image_size", "auto")
        if wanted == "auto":
            return nearest_shape(_SIZES, shape_of(source))
        width, height = wanted.split("x")
        return int(width), int(height)

    @property
    def _priced_quality(self) -> str:
        quality: str = getattr(self, "quality", "high")
        return "high" if quality == "auto" else quality

    def _input_tokens(self) -> tuple[int, int]:
        """Tokens of the text, and of the input pictures."""
        fidelity: str = getattr(self, "input_fidelity", "high")
        return text_tokens(self.prompt), len(self.source_urls) * _SOURCE_TOKENS[fidelity]


class _GptImage1(_GptImage):
    def cost(self, work: Work) -> float:
        text, images = self._input_tokens()
        picture = _PICTURE_1[self._priced_quality][_column(work.size)]
        exact = work.count * picture + text * 0.002 / 1_000 + images * 0.005 / 1_000
        return math.ceil(round(exact * 100, 6)) / 100


class _GptImage15(_GptImage):
    def cost(self, work: Work) -> float:
        text, _ = self._input_tokens()
        return work.count * _PICTURE_15[self._priced_quality][_column(work.size)] + text * 0.005 / 1_000


class _Byok(_GptImage):
    """What is asked for with a key of OpenAI's costs nothing at fal, and tells OpenAI's counts."""

    more_output: ClassVar[dict[str, Any]] = {"usage": {"type": "object"}}

    openai_api_key: SecretStr = Field(min_length=1)

    def cost(self, work: Work) -> float:
        return 0.0

    def output(self, work: Work) -> dict[str, Any]:
        text, images = self._input_tokens()
        made = work.count * _OUTPUT_TOKENS[self._priced_quality][_column(work.size)]
        usage = {
            "input_tokens": text + images,
            "output_tokens": made,
            "total_tokens": text + images + made,
            "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        }
        return {"usage": usage}


class Generate15(_GptImage15):
    """fal-ai/gpt-image-1.5"""

    image_size: _Pixels = "1024x1024"
    quality: Literal["low", "medium", "high"] = "high"


class Edit15(_GptImage15):
    """fal-ai/gpt-image-1.5/edit"""

    image_urls: _Urls
    mask_image_url: str | None = None
    image_size: _PixelsOrAuto = "auto"
    quality: Literal["low", "medium", "high"] = "high"
    input_fidelity: Literal["low", "high"] = "high"


class Generate1(_GptImage1):
    """fal-ai/gpt-image-1/text-to-image"""

    image_size: _PixelsOrAuto = "auto"
    quality: Literal["auto", "low", "medium", "high"] = "auto"


class Edit1(Generate1):
    """fal-ai/gpt-image-1/edit-image"""

    image_urls: _Urls
    input_fidelity: Literal["low", "high"] = "high"


class Generate1Byok(_Byok, Generate1):
    """fal-ai/gpt-image-1/text-to-image/byok"""


class Edit1Byok(_Byok, Edit1):
    """fal-ai/gpt-image-1/edit-image/byok"""


def text_tokens(prompt: str) -> int:
    """Tokens of the prompt as fal's price text counts them: four for a word."""
    return TOKENS_PER_WORD * len(prompt.split())


def _column(size: Size) -> int:
    width, height = size
    return 0 if width == height else 1 if width < height else 2


_BY_PICTURE: dict[str, Any] = {"unit": "images", "counts_pictures": True}

ENDPOINTS = {
    **text_and_edit(
        "GPT-Image 1.5",
        ("fal-ai/gpt-image-1.5", "fal-ai/gpt-image-1.5/edit"),
        (Generate15, Edit15),
        unit_price=0.133,
        **_BY_PICTURE,
    ),
    **text_and_edit(
        "gpt-image-1",
        ("fal-ai/gpt-image-1/text-to-image", "fal-ai/gpt-image-1/edit-image"),
        (Generate1, Edit1),
        unit_price=0.167,
        **_BY_PICTURE,
    ),
    **text_and_edit(
        "gpt-image-1 (BYOK)",
        ("fal-ai/gpt-image-1/text-to-image/byok", "fal-ai/gpt-image-1/edit-image/byok"),
        (Generate1Byok, Edit1Byok),
        unit_price=0.0,
        **_BY_PICTURE,
    ),
}
"""Listed with the price of one picture of the default quality."""
