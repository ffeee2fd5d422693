"""ByteDance's models at Oxen (Oxen: bytedance-seedream-5-pro, bytedance-seedream-5-lite)."""

from bot.sandbox.kit.shapes import Size, of_area
from bot.sandbox.oxen.models.base import Model, Params, choice, input_images, shape_of, switch

_SIDES = {"1K": 1024, "2K": 2048, "3K": 3072, "4K": 4096}


def _pixels(params: Params, shape: float) -> Size:
    """Lite has no ratio: it follows the first input picture, else it paints a square."""
    return of_area(shape_of(params.get("aspect_ratio", "auto"), shape), _SIDES[params["size"]])


_COMMON = {"output_format": choice("png", "png", "jpeg"), "watermark": switch(default=False)}

MODELS = (
    Model(
        model_id="bytedance-seedream-5-pro",
        display_name="Seedream 5 Pro",
        developer="ByteDance",
        created=1_785_542_400,
        fields={
            **_COMMON,
            "input_image": input_images(10),
            "aspect_ratio": choice("1:1", "1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3", "21:9"),
            "size": choice("2K", "1K", "2K"),
        },
        pixels=_pixels,
        cost_per_image=0.045,
    ),
    Model(
        model_id="bytedance-seedream-5-lite",
        display_name="Seedream 5 Lite",
        developer="ByteDance",
        created=1_771_804_800,
        fields={**_COMMON, "input_image": input_images(14), "size": choice("2K", "2K", "3K", "4K")},
        pixels=_pixels,
        cost_per_image=0.04,
    ),
)
