"""OpenAI's models at Oxen (Oxen: gpt-image-1-5, gpt-image-2, gpt-image-2-5-flare and -sunburst)."""

from typing import Any

from bot.sandbox.kit.shapes import Size
from bot.sandbox.oxen.models.base import Grid, Model, Params, choice, input_images, shape_of

_FIXED = {"square": (1024, 1024), "landscape": (1536, 1024), "portrait": (1024, 1536)}
_LONG_SIDE = {"512": 512, "1K": 1024, "2K": 2048, "4K": 3840}
"""Which pixels a ratio and a resolution become is not known: a guess."""
_RATIOS = ("auto", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")

_GRID_2: Grid = {
    "low": {"1K": 0.004, "2K": 0.009, "4K": 0.035},
    "medium": {"1K": 0.031, "2K": 0.071, "4K": 0.281},
    "high": {"1K": 0.13, "2K": 0.29, "4K": 1.13},
}
_GRID_25: Grid = {
    "low": {"1K": 0.0041, "2K": 0.0058, "4K": 0.0145},
    "medium": {"1K": 0.0096, "2K": 0.0134, "4K": 0.0337},
    "high": {"1K": 0.0369, "2K": 0.0517, "4K": 0.1301},
    "xhigh": {"1K": 0.0656, "2K": 0.0919, "4K": 0.2313},
    "max": {"1K": 0.1477, "2K": 0.2067, "4K": 0.5203},
}


def by_long_side(params: Params, shape: float) -> Size:
    """The ratio, its longer side as long as the resolution says."""
    shape = shape_of(params["aspect_ratio"], shape)
    long = _LONG_SIDE[params["resolution"]]
    return (long, round(long / shape)) if shape >= 1 else (round(long * shape), long)


def _fixed(params: Params, shape: float) -> Size:
    nearest = min(_FIXED.values(), key=lambda known: abs(known[0] / known[1] - shape))
    return _FIXED.get(params.get("size", "auto"), nearest)


def _mask(about: str) -> dict[str, Any]:
    return {"type": "string", "format": "uri", "nullable": True, "description": about}


_COMMON: dict[str, Any] = {
    "input_image": input_images(),
    "output_format": choice("png", "webp", "jpeg", "png"),
}
_SHAPED = {"aspect_ratio": choice("16:9", *_RATIOS), "resolution": choice("2K", "1K", "2K", "4K")}
_FIELDS_25 = {
    **_COMMON,
    **_SHAPED,
    "mask_url": _mask("What is transparent is edited."),
    "quality": choice("high", "low", "medium", "high", "xhigh", "max"),
    "background": choice("auto", "auto", "opaque", "transparent"),
    "moderation": choice("low", "low", "auto"),
}

MODELS = (
    Model(
        model_id="gpt-image-1-5",
        display_name="GPT Image 1.5",
        developer="OpenAI",
        created=1_765_843_200,
        fields={**_COMMON, "size": choice("auto", "auto", "square", "portrait", "landscape")},
        pixels=_fixed,
    ),
    Model(
        model_id="gpt-image-2",
        display_name="GPT Image 2",
        developer="OpenAI",
        created=1_776_729_600,
        fields={
            **_COMMON,
            **_SHAPED,
            "mask_url": _mask("White is edited, black is kept."),
            "quality": choice("high", "low", "medium", "high"),
        },
        pixels=by_long_side,
        grid=_GRID_2,
        edits_white=True,
    ),
    *(
        Model(
            model_id=f"gpt-image-2-5-{name.lower()}",
            display_name=f"GPT Image 2.5 {name}",
            developer="OpenAI",
            created=1_788_825_600,
            fields=_FIELDS_25,
            pixels=by_long_side,
            cost_per_image=0.0517,
            grid=_GRID_25,
        )
        for name in ("Flare", "Sunburst")
    ),
)
