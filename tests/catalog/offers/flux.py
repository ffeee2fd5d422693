"""FLUX.2 pro and FLUX 3."""

from __future__ import annotations

from tests.catalog.offers.shared import (
    ABLE,
    EASELS_FORMATS,
    LUMENFALLS_FORMATS,
    ONE_QUALITY,
    PNG_AND_JPEG,
    SEED,
    Kind,
    OfferKey,
    Row,
    Table,
    by_ratio,
    changed,
    counted,
    in_pixels,
    no_tiers,
    one_quality_refusals,
    source,
    wide,
)

_ONE_EACH = [Row({"count": count}) for count in (2, 4, 5, 10)]
"""There is no field for the number."""
_FAL_2 = [
    *ONE_QUALITY, *PNG_AND_JPEG, *SEED, *_ONE_EACH,
    *in_pixels("image_size", {
        "square": "square_hd", "1024x1024": "square_hd", "4:3": "landscape_4_3", "768x1024": "portrait_4_3",
        # A ratio alone stays below the second megapixel, which costs more.
        "landscape": wide(1232, 816), "portrait": wide(816, 1232), "16:9": wide(1328, 752),
        "16:9 1k": wide(1360, 768), "512x512": wide(512, 512), "1536x1024": wide(1536, 1024),
        "square 2k": wide(2048, 2048),
    }),
    *changed("image_size", {
        "20:1": (wide(2048, 512), "20:1 became 4:1"),
        "1920x1080": (wide(1920, 1088), "1920×1080 became 1920×1088"),
        "3840x2160": (wide(2048, 1152), "3840×2160 became 2048×1152"),
    }),
]  # fmt: skip
_FAL_2_SOURCES = [
    Row(source(1024, 1024), {"image_size": "square_hd"}),
    Row(source(1536, 1024), {"image_size": wide(1232, 816)}),
    Row(source(2000, 100), {"image_size": wide(2048, 512)}, ("the picture's shape became 4:1",)),
]
_LUMENFALL_2 = [
    *ONE_QUALITY, *LUMENFALLS_FORMATS, *SEED, *counted("n", 10),
    *in_pixels("size", {
        "square": "1024x1024", "landscape": "1254x836", "portrait": "836x1254", "4:3": "1183x887",
        "3:4": "887x1182", "5:4": "1145x916", "4:5": "916x1145", "16:9": "1365x768", "9:16": "768x1365",
        "square 1k": "1024x1024", "1365x768": "1365x768",
    }),
    *changed("size", {
        "21:9": ("1365x768", "21:9 became 16:9"),
        "20:1": ("1365x768", "20:1 became 16:9"),
        "1536x1024": ("1254x836", "1536×1024 became 1254×836"),
        "3840x2160": ("1365x768", "3840×2160 became 1365×768"),
    }),
]  # fmt: skip
_LUMENFALL_2_SOURCES = [
    Row(source(1024, 1024), {"size": "1024x1024"}),
    Row(source(1536, 1024), {"size": "1254x836"}),
    Row(source(2100, 900), {"size": "1365x768"}, ("the picture's shape became 16:9",)),
]
_OXEN_2 = [
    *ONE_QUALITY, *SEED, *counted("num_generations", 4),
    *by_ratio({"1k": {"resolution": "1 MP"}}, widest="16:9", after_5="16:9"),
    Row({"size": "21:9"}, {"aspect_ratio": "16:9"}, ("21:9 became 16:9",)),
    Row({"size": "4:5"}, {"aspect_ratio": "3:4"}, ("4:5 became 3:4",)),
    Row({"output_format": "png"}),
    Row({"output_format": "jpeg"}, {"output_format": "jpg"}),
    Row({"output_format": "webp"}, {"output_format": "webp"}),
    Row({"output_format": "gif"}, conversion=("gif", False)),
    Row({"output_format": "avif"}, conversion=("avif", False)),
    Row({"output_format": "jpeg", "compression": 0}, {"output_format": "jpg", "output_quality": 0}),
    Row({"output_format": "webp", "compression": 60}, {"output_format": "webp", "output_quality": 60}),
    Row({"output_format": "avif", "compression": 60}, conversion=("avif", True)),
]  # fmt: skip
# The service knows what it edits.
_OWN_SOURCES = [Row(source(1536, 1024)), Row(source(2000, 100))]
_RATIOS_3 = [
    *(
        Row({"size": ratio}, {"aspect_ratio": ratio})
        for ratio in ("5:4", "4:5", "7:5", "5:7", "2:1", "1:2", "21:9")
    ),
    Row({"size": "1:20"}, {"aspect_ratio": "1:2"}, ("1:20 became 1:2",)),
]
_FAL_3 = [
    *ONE_QUALITY, *PNG_AND_JPEG, *_ONE_EACH, *_RATIOS_3,
    *by_ratio({"1k": {"resolution": "1k"}}, widest="21:9", after_5="21:9"),
]  # fmt: skip
_OXEN_3 = [
    *ONE_QUALITY, *EASELS_FORMATS, *counted("num_generations", 4), *_RATIOS_3,
    *by_ratio({tier: {"resolution": tier} for tier in ("1k", "2k", "4k")}, widest="21:9", after_5="21:9"),
]  # fmt: skip


def _tables(kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    fal, lumenfall, oxen = (ABLE[service, kind] for service in ("fal", "lumenfall", "oxen"))
    queue = {"num_generations": 1, "output_format": "png", "resolution": "1 MP"}
    return {
        ("flux-2-pro", "fal", kind): Table(
            endpoint="fal-ai/flux-2-pro/edit" if edits else "fal-ai/flux-2-pro",
            sources="image_urls" if edits else None,
            most=9,
            plain={"output_format": "png"} if edits else {"image_size": "square_hd", "output_format": "png"},
            rows=[*_FAL_2, *(_FAL_2_SOURCES if edits else ())],
            refused=[*one_quality_refusals("fal", kind, seed=True), *no_tiers(fal, "2k", "4k")],
        ),
        ("flux-2-pro", "lumenfall", kind): Table(
            endpoint="images/edits" if edits else "images/generations",
            sources="image[]" if edits else None,
            most=9,
            plain={"n": 1, "output_format": "png"} | ({} if edits else {"size": "1024x1024"}),
            rows=[*_LUMENFALL_2, *(_LUMENFALL_2_SOURCES if edits else ())],
            refused=[*one_quality_refusals("lumenfall", kind, seed=True), *no_tiers(lumenfall, "2k", "4k")],
        ),
        ("flux-2-pro", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=9,
            plain=queue | {"aspect_ratio": "match_input_image" if edits else "1:1"},
            rows=[*_OXEN_2, *(_OWN_SOURCES if edits else ())],
            refused=[*one_quality_refusals("oxen", kind, seed=True), *no_tiers(oxen, "2k", "4k")],
        ),
        ("flux-3", "fal", kind): Table(
            endpoint=f"blackforestlabs/flux-3/{'edit-image' if edits else 'text-to-image'}",
            sources="image_urls" if edits else None,
            most=10,
            plain={"aspect_ratio": "auto", "resolution": "1k", "output_format": "png"},
            rows=[*_FAL_3, *(_OWN_SOURCES if edits else ())],
            refused=[*one_quality_refusals("fal", kind, seed=False), *no_tiers(fal, "2k", "4k")],
        ),
        ("flux-3", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=10,
            plain={"num_generations": 1, "aspect_ratio": "auto", "resolution": "1k"},
            rows=[*_OXEN_3, *(_OWN_SOURCES if edits else ())],
            refused=one_quality_refusals("oxen", kind, seed=False),
            conversion=("png", False),
        ),
    }


TABLES = _tables("imagine") | _tables("edit")
