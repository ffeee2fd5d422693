"""GPT Image 2.5 Flare and Sunburst, and GPT Image 2."""

from __future__ import annotations

from tests.catalog.offers.shared import (
    ABLE,
    LUMENFALLS_FORMATS,
    PNG_JPEG_WEBP,
    Kind,
    OfferKey,
    Refusal,
    Row,
    Table,
    by_ratio,
    changed,
    clear_backgrounds,
    converted_by_easel,
    counted,
    each,
    in_pixels,
    no_clear,
    no_quality,
    no_seed,
    sentence,
    source,
    wide,
)

_QUALITIES = each("quality", "low", "medium", "high")
_NO_AUTO = [Row({"quality": "auto"}, {"quality": "high"}, ("auto quality became high",))]
_FREE = {
    "square": (1024, 1024), "1024x1024": (1024, 1024), "square 1k": (1024, 1024),
    "landscape": (1536, 1024), "portrait": (1024, 1536), "1536x1024": (1536, 1024),
    "16:9": (1680, 944), "16:9 1k": (1360, 768), "3:1": (2160, 720), "21:9": (1920, 816),
    "square 2k": (2048, 2048), "16:9 2k": (2736, 1536), "square 4k": (2880, 2880),
    "landscape 4k": (3520, 2352), "3840x2160": (3840, 2160), "2048x2048": (2048, 2048),
}  # fmt: skip
_FREE_CHANGED = {
    "10:1": ((2160, 720), "10:1 became 3:1"),
    "1:10": ((720, 2160), "1:10 became 1:3"),
    "1920x1080": ((1920, 1088), "1920×1080 became 1920×1088"),
    "512x512": ((816, 816), "512×512 became 816×816"),
}
"""Any multiples of 16, within the model's own bounds."""
_FAL_SIZES = [
    *(
        Row({"size": size}, {"image_size": "square_hd" if pixels == (1024, 1024) else wide(*pixels)})
        for size, pixels in _FREE.items()
    ),
    *changed("image_size", {size: (wide(*pixels), told) for size, (pixels, told) in _FREE_CHANGED.items()}),
]
_PRESETS = in_pixels("image_size", {"4:3": "landscape_4_3", "768x1024": "portrait_4_3"})
_FAL_SOURCES = [
    # What is edited keeps its shape, with as many pixels as any other picture.
    Row({"size": "768x1024"}, {"image_size": wide(768, 1024)}),
    Row(source(800, 800), {"image_size": "square_hd"}),
    Row(source(1536, 1024), {"image_size": wide(1536, 1024)}),
    Row(source(2048, 1536), {"image_size": wide(1456, 1088)}),
    Row(source(2000, 100), {"image_size": wide(2160, 720)}, ("the picture's shape became 3:1",)),
    Row({**source(2000, 100), "size": "square"}, {"image_size": "square_hd"}),
]
_FAL_25 = [
    *_QUALITIES, *each("quality", "xhigh", "max"), *_NO_AUTO, *PNG_JPEG_WEBP, *clear_backgrounds(gif="png"),
    *each("background", "auto"), *counted("num_images", 10), *_FAL_SIZES,
    *converted_by_easel(("gif", "avif"))[:2],
    # It compresses JPEG and WebP itself; an AVIF is Easel's own.
    *(
        Row({"output_format": name, "compression": 60}, {"output_format": name, "output_compression": 60})
        for name in ("jpeg", "webp")
    ),
    Row({"output_format": "avif", "compression": 60}, {"output_format": "png"}, conversion=("avif", True)),
]  # fmt: skip
_FAL_2 = [
    *_QUALITIES, *each("quality", "auto"), *PNG_JPEG_WEBP, *converted_by_easel(("gif", "avif")),
    *counted("num_images", 4), *_FAL_SIZES,
]  # fmt: skip
_LUMENFALL_2 = [
    *_QUALITIES, *LUMENFALLS_FORMATS, *counted("n", 10),
    Row({"quality": "auto"}, {"quality": None}), Row({"background": "auto"}), *each("background", "opaque"),
    *in_pixels("size", {size: f"{width}x{height}" for size, (width, height) in _FREE.items()}),
    *changed("size", {size: (f"{pixels[0]}x{pixels[1]}", told) for size, (pixels, told) in _FREE_CHANGED.items()}),
]  # fmt: skip
_LUMENFALL_SOURCES = [
    Row(source(1536, 1024), {"size": "1536x1024"}),
    Row(source(800, 800), {"size": "1024x1024"}),
    Row(source(2000, 100), {"size": "2160x720"}, ("the picture's shape became 3:1",)),
]
_OXEN_2 = [
    *_QUALITIES, *_NO_AUTO,
    *PNG_JPEG_WEBP, *converted_by_easel(("gif", "avif")), *counted("num_generations", 4),
    *by_ratio({tier: {"resolution": tier.upper()} for tier in ("1k", "2k", "4k")}, widest="21:9", after_5="21:9"),
    Row({"size": "21:9"}, {"aspect_ratio": "21:9"}),
    Row({"size": "9:21"}, {"aspect_ratio": "9:21"}),
    Row({"size": "4:5"}, {"aspect_ratio": "3:4"}, ("4:5 became 3:4",)),
]  # fmt: skip
_OXEN_25 = [
    *_OXEN_2, *each("quality", "xhigh", "max"), *clear_backgrounds(gif="png"), *each("background", "auto"),
]  # fmt: skip
# The service knows what it edits.
_OXEN_SOURCES = [Row(source(1536, 1024)), Row(source(2000, 100))]
_FAL_PLAIN = {"num_images": 1, "quality": "medium", "output_format": "png"}
_OXEN_PLAIN = {
    "num_generations": 1,
    "aspect_ratio": "auto",
    "resolution": "1K",
    "quality": "medium",
    "output_format": "png",
}
_BACKGROUND = {"background": "auto"}


_ALWAYS_CLOSE = [Row({"fidelity": "high"}), Row({"fidelity": "low"}, {}, ("low fidelity became high",))]
"""Every picture to edit is looked at closely."""


def _refused(service: str, kind: Kind) -> list[Refusal]:
    """What none of the three has."""
    return no_seed(ABLE[service, kind])


def _no_background(service: str, kind: Kind) -> list[Refusal]:
    able = ABLE[service, kind]
    return [
        ({"background": name}, sentence("has no choice of background.", models, "Or leave the background out."))
        for name, models in (("transparent", able.clear), ("opaque", able.opaque))
    ]


def _flare_or_sunburst(name: str, kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    return {
        (f"gpt-image-2.5-{name}", "fal", kind): Table(
            endpoint=f"openai/gpt-image-2.5/{name}/{'edit' if edits else 'text-to-image'}",
            sources="image_urls" if edits else None,
            most=16,
            mask="mask_url" if edits else None,
            plain=_FAL_PLAIN | _BACKGROUND | ({} if edits else {"image_size": "square_hd"}),
            rows=[*_FAL_25, *([*_FAL_SOURCES, *_ALWAYS_CLOSE] if edits else _PRESETS)],
            refused=_refused("fal", kind),
        ),
        (f"gpt-image-2.5-{name}", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=16,
            mask="mask_url" if edits else None,
            plain=_OXEN_PLAIN | _BACKGROUND,
            rows=[*_OXEN_25, *([*_OXEN_SOURCES, *_ALWAYS_CLOSE] if edits else ())],
            refused=_refused("oxen", kind),
        ),
    }


def _gpt_image_2(kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    fal, lumenfall, oxen = (ABLE[service, kind] for service in ("fal", "lumenfall", "oxen"))
    up_to_high, finest = "auto, low, medium or high", ("xhigh", "max")
    fal_backgrounds = [*clear_backgrounds(gif="png"), *each("background", "auto")]
    return {
        # What is edited has no choice of background there, as far as is known.
        ("gpt-image-2", "fal", kind): Table(
            endpoint="openai/gpt-image-2/edit" if edits else "openai/gpt-image-2",
            sources="image_urls" if edits else None,
            most=16,
            mask="mask_url" if edits else None,
            plain=_FAL_PLAIN | ({} if edits else {"image_size": "square_hd", "background": "auto"}),
            rows=[
                *_FAL_2,
                *([*_FAL_SOURCES, *_ALWAYS_CLOSE, Row(_BACKGROUND)] if edits else [*_PRESETS, *fal_backgrounds]),
            ],
            refused=[
                *_refused("fal", kind),
                *no_quality(finest, fal.finest, up_to_high),
                *(_no_background("fal", kind) if edits else ()),
            ],
        ),
        ("gpt-image-2", "lumenfall", kind): Table(
            endpoint="images/edits" if edits else "images/generations",
            sources="image[]" if edits else None,
            most=10,
            mask="mask" if edits else None,
            plain={"n": 1, "quality": "medium", "output_format": "png"} | ({} if edits else {"size": "1024x1024"}),
            rows=[*_LUMENFALL_2, *([*_LUMENFALL_SOURCES, *_ALWAYS_CLOSE] if edits else ())],
            refused=[
                *_refused("lumenfall", kind),
                *no_quality(finest, lumenfall.finest, up_to_high),
                *no_clear(lumenfall),
            ],
        ),
        ("gpt-image-2", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=16,
            mask="mask_url" if edits else None,
            plain=_OXEN_PLAIN,
            rows=[*_OXEN_2, Row(_BACKGROUND), *([*_OXEN_SOURCES, *_ALWAYS_CLOSE] if edits else ())],
            refused=[
                *_refused("oxen", kind),
                *no_quality(finest, oxen.finest, "low, medium, high or auto"),
                *_no_background("oxen", kind),
            ],
        ),
    }


TABLES = {
    key: table
    for kind in ("imagine", "edit")
    for tables in (_flare_or_sunburst("flare", kind), _flare_or_sunburst("sunburst", kind), _gpt_image_2(kind))
    for key, table in tables.items()
}
