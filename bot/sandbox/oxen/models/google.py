"""Google's models at Oxen (Oxen: nano-banana-2, google-nano-banana-pro)."""

from bot.sandbox.oxen.models.base import Model, choice, input_images, switch
from bot.sandbox.oxen.models.openai import by_long_side

_RATIOS = ("auto", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "21:9")

MODELS = (
    Model(
        model_id="nano-banana-2",
        display_name="Nano Banana 2",
        developer="Google",
        created=1_772_064_000,
        fields={
            "input_image": input_images(),
            "aspect_ratio": choice("16:9", *_RATIOS, "4:1", "1:4", "8:1", "1:8"),
            "resolution": choice("2K", "512", "1K", "2K", "4K"),
            "google_search": switch(default=False),
            "thinking_level": choice("minimal", "minimal", "high"),
        },
        pixels=by_long_side,
        cost_per_image=0.1313,
        grid={"high": {"512": 0.0585, "1K": 0.0871, "2K": 0.1313, "4K": 0.1963}},
    ),
    Model(
        model_id="google-nano-banana-pro",
        display_name="Nano Banana Pro",
        developer="Google",
        created=1_763_596_800,
        fields={
            "input_image": input_images(14),
            "aspect_ratio": choice("16:9", *_RATIOS),
            "resolution": choice("2K", "1K", "2K", "4K"),
            "google_search": switch(default=False),
        },
        pixels=by_long_side,
        cost_per_image=0.15,
    ),
)
