"""Seedream 5 Lite and Pro."""

from __future__ import annotations

from tests.catalog.offers.shared import (
    ABLE,
    EASELS_FORMATS,
    LUMENFALLS_FORMATS,
    ONE_QUALITY,
    PNG_AND_JPEG,
    Able,
    Kind,
    OfferKey,
    Refusal,
    Row,
    Table,
    by_ratio,
    changed,
    counted,
    in_pixels,
    no_tiers,
    one_quality_refusals,
    sentence,
    source,
    wide,
)

_ONE_AT_A_TIME = counted("num_images", 1)
_FAL_LITE = [
    *ONE_QUALITY, *EASELS_FORMATS, *_ONE_AT_A_TIME,
    *in_pixels("image_size", {
        "square": wide(2048, 2048), "landscape": wide(2512, 1680), "portrait": wide(1680, 2512),
        "16:9": wide(2736, 1536), "9:16": wide(1536, 2736), "square 2k": wide(2048, 2048),
        "landscape 2k": wide(2512, 1680), "16:9 4k": wide(3840, 2160), "2560x1440": wide(2560, 1440),
    }),
    *changed("image_size", {
        "20:1": (wide(8192, 512), "20:1 became 16:1"),
        "1024x1024": (wide(1920, 1920), "1024×1024 became 1920×1920"),
        "1920x1080": (wide(2560, 1440), "1920×1080 became 2560×1440"),
    }),
]  # fmt: skip
_LUMENFALL_LITE = [
    *ONE_QUALITY, *LUMENFALLS_FORMATS, *counted("n", 10),
    *in_pixels("size", {
        "square": "1024x1024", "landscape": "1254x836", "portrait": "836x1254", "4:3": "1183x887",
        "3:4": "887x1182", "16:9": "1365x768", "9:16": "768x1365", "21:9": "1563x670", "landscape 1k": "1254x836",
        "1563x670": "1563x670",
    }),
    *changed("size", {
        "4:5": ("887x1182", "4:5 became 3:4"),
        "20:1": ("1563x670", "20:1 became 7:3"),
        "2048x2048": ("1024x1024", "2048×2048 became 1024×1024"),
    }),
]  # fmt: skip
_LUMENFALL_SOURCES = [
    Row(source(1536, 1024), {"size": "1254x836"}),
    Row(source(2100, 900), {"size": "1563x670"}),
    Row(source(1000, 2100), {"size": "768x1365"}, ("the picture's shape became 9:16",)),
]
# There, the service chooses the shape.
_OXEN_LITE = [*ONE_QUALITY, *PNG_AND_JPEG, *counted("num_generations", 4), Row({"size": "auto"})]
_FAL_PRO = [
    *ONE_QUALITY, *PNG_AND_JPEG, *_ONE_AT_A_TIME,
    *in_pixels("image_size", {
        # Up to 1536x1536 pixels it costs half as much as above.
        "square": wide(1520, 1520), "landscape": wide(1856, 1232), "portrait": wide(1232, 1856),
        "16:9": wide(2016, 1136), "9:16": wide(1136, 2016), "square 1k": wide(1024, 1024),
        "16:9 1k": wide(1392, 784), "square 2k": wide(2048, 2048), "16:9 2k": wide(2704, 1520),
        "1536x1024": wide(1536, 1024),
    }),
    *changed("image_size", {
        "512x512": (wide(1024, 1024), "512×512 became 1024×1024"),
        "1920x1080": (wide(1920, 1088), "1920×1080 became 1920×1088"),
        "3840x2160": (wide(2704, 1520), "3840×2160 became 2704×1520"),
    }),
]  # fmt: skip
_FAL_PRO_SOURCES = [
    Row(source(1024, 1024), {"image_size": wide(1520, 1520)}),
    Row(source(1536, 1024), {"image_size": wide(1856, 1232)}),
    Row(source(4000, 3000), {"image_size": wide(1744, 1312)}),
]
_OXEN_PRO = [
    *ONE_QUALITY, *PNG_AND_JPEG, *counted("num_generations", 4),
    *by_ratio({"1k": {"size": "1K"}, "2k": {"size": "2K"}}, widest="21:9", after_5="21:9"),
    Row({"size": "21:9"}, {"aspect_ratio": "21:9"}),
    Row({"size": "4:5"}, {"aspect_ratio": "3:4"}, ("4:5 became 3:4",)),
]  # fmt: skip
_OXEN_PRO_SOURCES = [
    Row(source(1536, 1024), {"aspect_ratio": "3:2"}),
    Row(source(2000, 100), {"aspect_ratio": "21:9"}, ("the picture's shape became 21:9",)),
]


def _no_shape(able: Able) -> list[Refusal]:
    refusal = sentence("chooses the shape itself.", able.tiers, "Or leave the size out.")
    return [({"size": size}, refusal) for size in ("square", "16:9", "portrait", "16:9 2k", "1536x1024")]


def _lite(kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    fal, lumenfall, oxen = (ABLE[service, kind] for service in ("fal", "lumenfall", "oxen"))
    return {
        ("seedream-5-lite", "fal", kind): Table(
            endpoint=f"bytedance/seedream/v5/lite/{'edit' if edits else 'text-to-image'}",
            sources="image_urls" if edits else None,
            most=10,
            plain={"num_images": 1, "image_size": "auto_2K"},
            rows=[*_FAL_LITE, *([Row(source(1536, 1024))] if edits else ())],
            refused=[*one_quality_refusals("fal", kind, seed=False), *no_tiers(fal, "1k")],
            conversion=("png", False),
        ),
        ("seedream-5-lite", "lumenfall", kind): Table(
            endpoint="images/edits" if edits else "images/generations",
            sources="image[]" if edits else None,
            most=14,
            plain={"n": 1, "output_format": "png"} | ({} if edits else {"size": "1024x1024"}),
            rows=[*_LUMENFALL_LITE, *(_LUMENFALL_SOURCES if edits else ())],
            refused=[*one_quality_refusals("lumenfall", kind, seed=False), *no_tiers(lumenfall, "2k", "4k")],
        ),
        ("seedream-5-lite", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=14,
            plain={"num_generations": 1, "size": "2K", "output_format": "png"},
            rows=[*_OXEN_LITE, *([Row(source(1536, 1024))] if edits else ())],
            refused=[*one_quality_refusals("oxen", kind, seed=False), *_no_shape(oxen)],
        ),
    }


def _pro(kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    queue = {"num_generations": 1, "aspect_ratio": "1:1", "size": "1K", "output_format": "png"}
    return {
        ("seedream-5-pro", "fal", kind): Table(
            endpoint=f"bytedance/seedream/v5/pro/{'edit' if edits else 'text-to-image'}",
            sources="image_urls" if edits else None,
            most=10,
            plain={"num_images": 1, "output_format": "png"} | ({} if edits else {"image_size": wide(1536, 1536)}),
            rows=[*_FAL_PRO, *(_FAL_PRO_SOURCES if edits else ())],
            refused=[*one_quality_refusals("fal", kind, seed=False), *no_tiers(ABLE["fal", kind], "4k")],
        ),
        ("seedream-5-pro", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=10,
            plain=queue,
            rows=[*_OXEN_PRO, *(_OXEN_PRO_SOURCES if edits else ())],
            refused=[*one_quality_refusals("oxen", kind, seed=False), *no_tiers(ABLE["oxen", kind], "4k")],
        ),
    }


TABLES = _lite("imagine") | _lite("edit") | _pro("imagine") | _pro("edit")
