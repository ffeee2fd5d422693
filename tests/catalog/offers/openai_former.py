"""GPT Image 1.5 and 1."""

from __future__ import annotations

from dataclasses import replace

from tests.catalog.offers.shared import (
    ABLE,
    LUMENFALLS_FORMATS,
    PICTURE,
    PNG_JPEG_WEBP,
    Kind,
    OfferKey,
    Refusal,
    Row,
    Table,
    clear_backgrounds,
    converted_by_easel,
    counted,
    each,
    no_mask,
    no_quality,
    no_seed,
    no_tiers,
    sentence,
)

OWN_QUALITY = "the service chooses the quality itself"
_UP_TO_HIGH = "auto, low, medium or high"
_UP_TO_AUTO = "low, medium, high or auto"


def _three_sizes(name: str, square: str, landscape: str, portrait: str) -> list[Row]:
    """The sizes of a provider that has three."""
    return [
        *(Row({"size": size}, {name: square}) for size in ("square", "1:1", "1024x1024")),
        *(Row({"size": size}, {name: landscape}) for size in ("landscape", "3:2", "1536x1024")),
        *(Row({"size": size}, {name: portrait}) for size in ("portrait", "2:3", "1024×1536")),
        Row({"size": "16:9"}, {name: landscape}, ("16:9 became 3:2",)),
        Row({"size": "21:9"}, {name: landscape}, ("21:9 became 3:2",)),
        Row({"size": "6:5"}, {name: square}, ("6:5 became 1:1",)),
        Row({"size": "4:5"}, {name: portrait}, ("4:5 became 2:3",)),
        Row({"size": "9:16"}, {name: portrait}, ("9:16 became 2:3",)),
        Row({"size": "512x512"}, {name: square}, ("512×512 became 1024×1024",)),
        Row({"size": "1920x1080"}, {name: landscape}, ("1920×1080 became 1536×1024",)),
        Row({"size": "768x1152"}, {name: portrait}, ("768×1152 became 1024×1536",)),
    ]


_QUALITIES = each("quality", "low", "medium", "high")
_FIDELITY = each("fidelity", "low", "high", name="input_fidelity")
_FAL = [
    *_QUALITIES, *PNG_JPEG_WEBP, *clear_backgrounds(gif="png"), *each("background", "auto"),
    *counted("num_images", 4), *_three_sizes("image_size", "1024x1024", "1536x1024", "1024x1536"),
    *converted_by_easel(("gif", "avif")),
]  # fmt: skip
# Without a quality fal takes the dearest, so Easel sends that and names the change.
_FAL_15 = [*_FAL, Row({"quality": "auto"}, {"quality": "high"}, ("auto quality became high",))]
_FAL_1 = [*_FAL, *each("quality", "auto")]
_LUMENFALL = [
    *_QUALITIES, *LUMENFALLS_FORMATS, *clear_backgrounds(gif="gif"), *counted("n", 10),
    Row({"quality": "auto"}, {"quality": None}),
    Row({"background": "auto"}),
    Row({"size": "square"}, {"aspect_ratio": None, "size": "1024x1024"}),
    Row({"size": "landscape"}, {"size": "1536x1024"}),
    Row({"size": "portrait"}, {"size": "1024x1536"}),
    Row({"size": "1254x836"}, {"size": "1254x836"}),
    # A ratio alone goes into the field for ratios.
    Row({"size": "1:1"}, {"aspect_ratio": "1:1", "resolution": "1K"}),
    Row({"size": "3:2"}, {"aspect_ratio": "3:2", "resolution": "1K"}),
    Row({"size": "16:9"}, {"aspect_ratio": "3:2", "resolution": "1K"}, ("16:9 became 3:2",)),
    Row({"size": "9:16"}, {"aspect_ratio": "2:3", "resolution": "1K"}, ("9:16 became 2:3",)),
    Row({"size": "4:3"}, {"size": "1448x1086"}),
    Row({"size": "512x512"}, {"size": "1024x1024"}, ("512×512 became 1024×1024",)),
    Row({"size": "1920x1080"}, {"size": "1536x1024"}, ("1920×1080 became 1536×1024",)),
]  # fmt: skip
_OXEN = [
    *(
        replace(row, changes=(*row.changes, OWN_QUALITY)) if row.changes else row
        for row in _three_sizes("size", "square", "landscape", "portrait")
    ),
    *converted_by_easel(("gif", "avif")), *counted("num_generations", 4), *PNG_JPEG_WEBP,
    *(Row({"quality": name}) for name in ("low", "medium", "high")),
    Row({"quality": "auto"}, changes=()),
    Row({"background": "auto"}),
    Row({"background": "opaque"}, {}, (OWN_QUALITY, "the service chooses the background itself")),
]  # fmt: skip
_OXEN_FIDELITY = [
    Row({"fidelity": name}, {}, (OWN_QUALITY, "the service chooses the fidelity itself"))
    for name in ("low", "high")
]
_FAL_PLAIN = {
    "num_images": 1,
    "image_size": "auto",
    "quality": "medium",
    "background": "auto",
    "output_format": "png",
}
_LUMENFALL_PLAIN = {"n": 1, "quality": "medium", "output_format": "png"}
OXEN_PLAIN = {"num_generations": 1, "size": "auto", "output_format": "png"}


def _refused(service: str, kind: Kind, choice: str) -> list[Refusal]:
    able = ABLE[service, kind]
    return [*no_quality(("xhigh", "max"), able.finest, choice), *no_seed(able), *no_tiers(able, "2k", "4k")]


def _fal(kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    able = ABLE["fal", kind]
    too_many = sentence("takes up to 4 pictures; you gave 5.", able.five_sources, "Or leave some out.")
    return {
        ("gpt-image-1.5", "fal", kind): Table(
            endpoint="fal-ai/gpt-image-1.5/edit" if edits else "fal-ai/gpt-image-1.5",
            sources="image_urls" if edits else None,
            most=4,
            mask="mask_image_url" if edits else None,
            plain=_FAL_PLAIN | ({} if edits else {"image_size": "1024x1024"}),
            rows=[*_FAL_15, *(_FIDELITY if edits else ())],
            refused=[
                *_refused("fal", kind, _UP_TO_AUTO),
                *no_quality(("ultra",), "", _UP_TO_AUTO),
                *([({"sources": (PICTURE,) * 5}, too_many)] if edits else ()),
            ],
        ),
        ("gpt-image-1", "fal", kind): Table(
            endpoint=f"fal-ai/gpt-image-1/{'edit-image' if edits else 'text-to-image'}",
            sources="image_urls" if edits else None,
            most=4,
            plain=_FAL_PLAIN,
            rows=[*_FAL_1, *(_FIDELITY if edits else ())],
            refused=[*_refused("fal", kind, _UP_TO_HIGH), *no_mask(able, kind)],
        ),
    }


def _lumenfall(model: str, kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    return {
        (model, "lumenfall", kind): Table(
            endpoint="images/edits" if edits else "images/generations",
            sources="image[]" if edits else None,
            most=10,
            mask="mask" if edits else None,
            plain=_LUMENFALL_PLAIN,
            rows=[*_LUMENFALL, *(_FIDELITY if edits else ())],
            refused=_refused("lumenfall", kind, _UP_TO_HIGH),
        )
    }


def _oxen(kind: Kind) -> dict[OfferKey, Table]:
    edits = kind == "edit"
    able = ABLE["oxen", kind]
    finest = [
        ({"quality": name}, sentence(f"has no {name} quality.", able.finest, "Or leave the quality out."))
        for name in ("xhigh", "max")
    ]
    clear = sentence("has no transparent background.", able.clear, "Or leave the background out.")
    return {
        ("gpt-image-1.5", "oxen", kind): Table(
            endpoint="ai/queue",
            sources="input_image" if edits else None,
            most=4,
            plain=OXEN_PLAIN,
            rows=[*_OXEN, *(_OXEN_FIDELITY if edits else ())],
            refused=[
                *finest,
                ({"background": "transparent"}, clear),
                *no_mask(able, kind),
                *no_seed(able),
                *no_tiers(able, "2k", "4k"),
            ],
            changes=(OWN_QUALITY,),
        )
    }


def _tables(kind: Kind) -> dict[OfferKey, Table]:
    return {**_fal(kind), **_lumenfall("gpt-image-1.5", kind), **_lumenfall("gpt-image-1", kind), **_oxen(kind)}


TABLES = _tables("imagine") | _tables("edit")
