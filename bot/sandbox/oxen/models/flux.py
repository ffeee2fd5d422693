"""Black Forest Labs' models at Oxen (Oxen: flux-2-pro, flux-3-image)."""

from bot.sandbox.kit.shapes import Size, of_area
from bot.sandbox.oxen.models.base import (
    Model,
    Params,
    choice,
    input_images,
    shape_of,
    switch,
    whole_number,
)

_SIDES_2 = {"0.5 MP": 724, "1 MP": 1024, "2 MP": 1448}
_SIDES_3 = {"768sq": 768, "1k": 1024, "2k": 2048, "4k": 4096}
"""The side of a square; which pixels other ratios have is not known: here about as many."""
_RATIOS_3 = (
    *("auto", "21:9", "2:1", "16:9", "3:2", "7:5", "4:3", "5:4", "1:1"),
    *("4:5", "3:4", "5:7", "2:3", "9:16", "1:2", "9:21"),
)


def _pixels_2(params: Params, shape: float) -> Size:
    return of_area(shape_of(params["aspect_ratio"], shape), _SIDES_2[params["resolution"]])


def _pixels_3(params: Params, shape: float) -> Size:
    return of_area(shape_of(params["aspect_ratio"], shape), _SIDES_3[params["resolution"]])


MODELS = (
    Model(
        model_id="flux-2-pro",
        display_name="FLUX.2 Pro",
        developer="Black Forest Labs",
        created=1_764_028_800,
        fields={
            "input_image": input_images(),
            "aspect_ratio": choice("16:9", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "match_input_image"),
            "resolution": choice("1 MP", "1 MP", "2 MP", "0.5 MP"),
            "output_format": choice("webp", "webp", "jpg", "png"),
            "output_quality": whole_number(0, 100, default=80),
            "seed": whole_number(nullable=True),
            "num_inference_steps": whole_number(1, 50, default=30),
            "guidance": {"type": "number", "minimum": 0, "maximum": 10, "default": 2},
            "disable_safety_checker": switch(default=False),
        },
        pixels=_pixels_2,
        cost_per_image=0.1,
    ),
    Model(
        model_id="flux-3-image",
        display_name="FLUX 3",
        developer="Black Forest Labs",
        created=1_790_812_800,
        fields={
            "input_image": input_images(10),
            "aspect_ratio": choice("auto", *_RATIOS_3),
            "resolution": choice("1k", *_SIDES_3),
            "grounding": switch(default=False),
            "safety_tolerance": whole_number(enum=[0, 1, 2, 3, 4], default=2),
        },
        pixels=_pixels_3,
        cost_per_image=0.0624,
        grid={"high": {"768sq": 0.0533, "1k": 0.0624, "2k": 0.13, "4k": 0.7891}},
    ),
)
