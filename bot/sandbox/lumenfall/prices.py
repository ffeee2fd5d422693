"""Lumenfall's prices in micro-dollars (lumenfall: catalogue, cost estimation)."""

import math
from typing import Any

from bot.sandbox.lumenfall.schema import SHAPES, ImageParameters, nearest

PER_IMAGE = {
    "gpt-image-1": {
        "low": (11_000, 16_000, 16_000),
        "medium": (42_000, 63_000, 63_000),
        "high": (167_000, 250_000, 250_000),
    },
    "gpt-image-1.5": {
        "low": (9_000, 13_000, 13_000),
        "medium": (34_000, 51_000, 50_000),
        "high": (133_000, 200_000, 199_000),
    },
    "gpt-image-2": {
        "low": (6_000, 5_000, 5_000),
        "medium": (53_000, 41_000, 41_000),
        "high": (211_000, 165_000, 165_000),
    },
}
"""Model, quality: micro-dollars for a square, portrait and landscape picture."""
_TEXT_TOKEN = 5
_IMAGE_TOKEN = {"gpt-image-1": 10, "gpt-image-1.5": 8, "gpt-image-2": 8}
_IMAGE_TOKENS = {"low": 135, "high": 3_050}
"""Tokens of one input picture, by fidelity."""
_OUTPUT_TOKENS = {"low": (272, 408, 400), "medium": (1_056, 1_584, 1_568), "high": (4_160, 6_240, 6_208)}


def components(params: ImageParameters, size: tuple[int, int], inputs: int, count: int) -> list[dict[str, Any]]:
    """The parts of a bill for `count` pictures; `unit_price` in dollars, `total_cost` in micro-dollars."""
    model = params.bare_model
    text, images = _input_tokens(params, inputs)
    parts = [
        _part("output", "image", count, PER_IMAGE[model][_quality(params)][_column(size)]),
        _part("input", "text_token", text, _TEXT_TOKEN),
    ]
    if images:
        parts.append(_part("input", "image_token", images, _IMAGE_TOKEN[model]))
    return parts


def total(parts: list[dict[str, Any]]) -> int:
    """The sum of a bill in micro-dollars."""
    return sum(int(part["total_cost"]) for part in parts)


def usage(params: ImageParameters, size: tuple[int, int], inputs: int, count: int) -> dict[str, Any]:
    """OpenAI's token counts."""
    text, images = _input_tokens(params, inputs)
    output = count * _OUTPUT_TOKENS[_quality(params)][_column(size)]
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": output,
        "total_tokens": text + images + output,
    }


def _quality(params: ImageParameters) -> str:
    return params.quality or "high"  # Lumenfall does not document its default: assume the dearest


def _column(size: tuple[int, int]) -> int:
    return list(SHAPES.values()).index(nearest(size[0] / size[1]))


def _input_tokens(params: ImageParameters, inputs: int) -> tuple[int, int]:
    return math.ceil(len(params.prompt) / 4), inputs * _IMAGE_TOKENS[params.input_fidelity or "low"]


def _part(kind: str, metric: str, quantity: int, micros: int) -> dict[str, Any]:
    return {
        "type": kind,
        "metric": metric,
        "quantity": quantity,
        "billable_quantity": quantity,
        "unit_price": micros / 1_000_000,
        "total_cost": quantity * micros,
    }
