"""Titles and prices of fal's endpoints, and the tokens that OpenAI counts for them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.sandbox.fal.schema import ImageInput

_BYOK = "/byok"
_TOKENS_PER_WORD = 4
_SOURCE_TOKENS = {"low": 135, "high": 3_050}
"""Input tokens of a source picture by its fidelity (fal: gpt-image-1)."""

# Each row: 1024x1024, 1024x1536, 1536x1024.
_OUTPUT_TOKENS = {"low": (272, 408, 400), "medium": (1_056, 1_584, 1_568), "high": (4_160, 6_240, 6_208)}
"""Output tokens of one picture of GPT Image 1 (OpenAI's price list)."""
_PICTURE_1 = {"low": (0.011, 0.016, 0.016), "medium": (0.042, 0.063, 0.063), "high": (0.167, 0.25, 0.25)}
_PICTURE_15 = {"low": (0.009, 0.013, 0.013), "medium": (0.034, 0.051, 0.05), "high": (0.133, 0.2, 0.199)}
# Each row: up to about 1.6 million pixels, up to about 4.2 million, beyond; third-party figures.
_PICTURE_2 = {"low": (0.006, 0.012, 0.016), "medium": (0.053, 0.107, 0.139), "high": (0.211, 0.428, 0.565)}
_PICTURE_25 = {
    (1024, 768): {"low": 0.00402, "medium": 0.00903, "high": 0.03612, "xhigh": 0.0642, "max": 0.14445},
    (1024, 1024): {"low": 0.00588, "medium": 0.01317, "high": 0.05268, "xhigh": 0.09366, "max": 0.21072},
    (1536, 1024): {"low": 0.00474, "medium": 0.01029, "high": 0.04116, "xhigh": 0.07377, "max": 0.16464},
    (1920, 1088): {"low": 0.00441, "medium": 0.01029, "high": 0.0396, "xhigh": 0.07041, "max": 0.1584},
    (2560, 1440): {"low": 0.00615, "medium": 0.01434, "high": 0.05529, "xhigh": 0.09828, "max": 0.2211},
    (3840, 2160): {"low": 0.01113, "medium": 0.02595, "high": 0.10008, "xhigh": 0.1779, "max": 0.40026},
}
"""US dollars by size and quality; any other size is billed here as the one whose pixels are nearest."""
_SOURCE_TOKENS_25 = 1_040


@dataclass(frozen=True, slots=True)
class Listing:
    """One endpoint as the platform shows it; `unit_price` in US dollars for a picture of its default quality."""

    title: str
    category: str
    unit_price: float


LISTINGS: Mapping[str, Listing] = {
    "openai/gpt-image-2.5/flare/text-to-image": Listing("GPT Image 2.5 Flare", "text-to-image", 1.0),
    "openai/gpt-image-2.5/flare/edit": Listing("GPT Image 2.5 Flare", "image-to-image", 1.0),
    "openai/gpt-image-2.5/sunburst/text-to-image": Listing("GPT Image 2.5 Sunburst", "text-to-image", 1.0),
    "openai/gpt-image-2.5/sunburst/edit": Listing("GPT Image 2.5 Sunburst", "image-to-image", 1.0),
    "fal-ai/gpt-image-1.5": Listing("GPT-Image 1.5", "text-to-image", 0.133),
    "fal-ai/gpt-image-1.5/edit": Listing("GPT-Image 1.5", "image-to-image", 0.133),
    "fal-ai/gpt-image-1/text-to-image": Listing("gpt-image-1", "text-to-image", 0.167),
    "fal-ai/gpt-image-1/edit-image": Listing("gpt-image-1", "image-to-image", 0.167),
    "fal-ai/gpt-image-1/text-to-image/byok": Listing("gpt-image-1 (BYOK)", "text-to-image", 0.0),
    "fal-ai/gpt-image-1/edit-image/byok": Listing("gpt-image-1 (BYOK)", "image-to-image", 0.0),
    "openai/gpt-image-2": Listing("GPT Image 2", "text-to-image", 0.211),
    "openai/gpt-image-2/edit": Listing("GPT Image 2", "image-to-image", 0.211),
}


def usage(params: ImageInput, size: tuple[int, int], count: int) -> dict[str, Any]:
    """OpenAI's count for `count` pictures of `size` pixels; quality "auto" is taken as high."""
    text, images = _input_tokens(params)
    output = count * _OUTPUT_TOKENS[_quality(params)][_shape(size)]
    return {
        "input_tokens": text + images,
        "output_tokens": output,
        "total_tokens": text + images + output,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
    }


def price(endpoint: str, params: ImageInput, size: tuple[int, int], count: int) -> float:
    """US dollars for `count` pictures of `size` pixels; BYOK costs nothing at fal, since OpenAI bills it."""
    if endpoint.endswith(_BYOK):
        return 0.0
    quality = _quality(params)
    text, images = _input_tokens(params)
    if "gpt-image-2.5" in endpoint:
        sources = len(getattr(params, "image_urls", ())) * _SOURCE_TOKENS_25
        exact = count * _nearest_row(size)[quality] + text * 0.005 / 1_000 + sources * 0.008 / 1_000
        return math.ceil(round(exact * 10_000, 6)) / 10_000
    if "gpt-image-2" in endpoint:
        return count * _PICTURE_2[quality][_tier(size)]
    if "gpt-image-1.5" in endpoint:
        return count * _PICTURE_15[quality][_shape(size)] + text * 0.005 / 1_000
    exact = count * _PICTURE_1[quality][_shape(size)] + text * 0.002 / 1_000 + images * 0.005 / 1_000
    return math.ceil(round(exact * 100, 6)) / 100


def units_text(units: float) -> str:
    """x-fal-billable-units: whole numbers bare, others with 8 decimals (fal: billable units)."""
    return str(int(units)) if float(units).is_integer() else f"{units:.8f}"


def _input_tokens(params: ImageInput) -> tuple[int, int]:
    sources = len(getattr(params, "image_urls", ()))
    fidelity: str = getattr(params, "input_fidelity", "high")
    return _TOKENS_PER_WORD * len(params.prompt.split()), sources * _SOURCE_TOKENS[fidelity]


def _quality(params: ImageInput) -> str:
    quality: str = getattr(params, "quality", "high")
    return "high" if quality == "auto" else quality


def _shape(size: tuple[int, int]) -> int:
    width, height = size
    return 0 if width == height else 1 if width < height else 2


def _nearest_row(size: tuple[int, int]) -> dict[str, float]:
    wanted = size[0] * size[1]
    return _PICTURE_25[min(_PICTURE_25, key=lambda known: abs(known[0] * known[1] - wanted))]


def _tier(size: tuple[int, int]) -> int:
    pixels = size[0] * size[1]
    return 0 if pixels <= 1_600_000 else 1 if pixels <= 4_200_000 else 2
