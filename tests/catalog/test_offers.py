"""The catalogue as a table: options, the provider's request body, changes named to the member, refusals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.live import live_offer
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.schema import Operation
from bot.domain.clock import Clock
from bot.domain.errors import Refused
from bot.domain.providers import ModelStatus
from bot.domain.requests import Background, Fidelity, ImageRequest, OutputFormat, Quality, RequestKind, Source
from bot.routing.router import Router
from tests.support.catalogs import seed_catalog
from tests.support.routing import PROVIDERS

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
REQUEST = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
OfferKey = tuple[str, str, str]
"""Model, provider, and `imagine` or `edit`."""
SchemaFields = frozenset[str] | None
"""The fields that a provider's schema lists; None where it was not read."""


SHIPPED = Catalog.load()


@pytest.fixture
def catalog() -> Catalog:
    """Every model that ships with Easel."""
    return SHIPPED


@dataclass(frozen=True, slots=True)
class Row:
    """Options beside the plain request, and the fields of the body that they change (None: no such field)."""

    options: dict[str, Any]
    body: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    conversion: tuple[str | None, bool] = (None, False)
    """The format that Easel converts to, and whether it compresses."""


def three_sizes(name: str, square: str, landscape: str, portrait: str) -> list[Row]:
    """The sizes of a provider that has three."""
    return [
        Row({"size": "square"}, {name: square}),
        Row({"size": "1:1"}, {name: square}),
        Row({"size": "1024x1024"}, {name: square}),
        Row({"size": "landscape"}, {name: landscape}),
        Row({"size": "3:2"}, {name: landscape}),
        Row({"size": "1536x1024"}, {name: landscape}),
        Row({"size": "portrait"}, {name: portrait}),
        Row({"size": "2:3"}, {name: portrait}),
        Row({"size": "1024×1536"}, {name: portrait}),
        Row({"size": "16:9"}, {name: landscape}, ("16:9 became 3:2",)),
        Row({"size": "21:9"}, {name: landscape}, ("21:9 became 3:2",)),
        Row({"size": "6:5"}, {name: square}, ("6:5 became 1:1",)),
        Row({"size": "4:5"}, {name: portrait}, ("4:5 became 2:3",)),
        Row({"size": "9:16"}, {name: portrait}, ("9:16 became 2:3",)),
        Row({"size": "512x512"}, {name: square}, ("512×512 became 1024×1024",)),
        Row({"size": "1920x1080"}, {name: landscape}, ("1920×1080 became 1536×1024",)),
        Row({"size": "768x1152"}, {name: portrait}, ("768×1152 became 1024×1536",)),
    ]


def converted_by_easel(formats: Iterable[str]) -> list[Row]:
    """Formats and compressions that the provider lacks: it paints a PNG, which Easel converts."""
    return [
        *(Row({"output_format": name}, {"output_format": "png"}, conversion=(name, False)) for name in formats),
        *(
            Row({"output_format": name, "compression": much}, {"output_format": "png"}, conversion=(name, True))
            for name, much in (("jpeg", 0), ("webp", 60), ("avif", 100))
        ),
    ]


PASSED = [
    Row({"quality": "low"}, {"quality": "low"}),
    Row({"quality": "medium"}, {"quality": "medium"}),
    Row({"quality": "high"}, {"quality": "high"}),
    Row({"output_format": "png"}, {"output_format": "png"}),
    Row({"output_format": "jpeg"}, {"output_format": "jpeg"}),
    Row({"output_format": "webp"}, {"output_format": "webp"}),
]
BACKGROUNDS = [
    Row({"background": "transparent"}, {"background": "transparent"}),
    Row({"background": "opaque"}, {"background": "opaque"}),
    Row(
        {"background": "transparent", "output_format": "webp"},
        {"background": "transparent", "output_format": "webp"},
    ),
    Row(
        {"background": "transparent", "output_format": "gif"},
        {"background": "transparent", "output_format": "png"},
        conversion=("gif", False),
    ),
]
FOUR_AT_A_TIME = [Row({"count": count}, {"num_images": min(count, 4)}) for count in (2, 4, 5, 10)]
THREE_AT_FAL = three_sizes("image_size", "1024x1024", "1536x1024", "1024x1536")
AUTO_AT_FAL = Row({"background": "auto"}, {"background": "auto"})
FIDELITY = [
    Row({"fidelity": "low"}, {"input_fidelity": "low"}),
    Row({"fidelity": "high"}, {"input_fidelity": "high"}),
]

FAL_15 = [
    *PASSED, *BACKGROUNDS, *FOUR_AT_A_TIME, *THREE_AT_FAL, *converted_by_easel(("gif", "avif")), AUTO_AT_FAL,
    # Without a quality fal takes the dearest, so Easel sends that and names the change.
    Row({"quality": "auto"}, {"quality": "high"}, ("auto quality became high",)),
]  # fmt: skip
FAL_1 = [*FAL_15[:-1], Row({"quality": "auto"}, {"quality": "auto"})]
FAL_2 = [
    *PASSED, *FOUR_AT_A_TIME, *converted_by_easel(("gif", "avif")),
    Row({"quality": "auto"}, {"quality": "auto"}),
    Row({"background": "auto"}),
    Row({"size": "square"}, {"image_size": "square_hd"}),
    Row({"size": "1024x1024"}, {"image_size": "square_hd"}),
    Row({"size": "4:3"}, {"image_size": "landscape_4_3"}),
    Row({"size": "768x1024"}, {"image_size": "portrait_4_3"}),
    Row({"size": "landscape"}, {"image_size": {"width": 1536, "height": 1024}}),
    Row({"size": "portrait"}, {"image_size": {"width": 1024, "height": 1536}}),
    Row({"size": "16:9"}, {"image_size": {"width": 1680, "height": 944}}),
    Row({"size": "3:1"}, {"image_size": {"width": 2160, "height": 720}}),
    Row({"size": "10:1"}, {"image_size": {"width": 2160, "height": 720}}, ("10:1 became 3:1",)),
    Row({"size": "3840x2160"}, {"image_size": {"width": 3840, "height": 2160}}),
    Row({"size": "1920x1080"}, {"image_size": {"width": 1920, "height": 1088}}, ("1920×1080 became 1920×1088",)),
    Row({"size": "512x512"}, {"image_size": {"width": 816, "height": 816}}, ("512×512 became 816×816",)),
]  # fmt: skip
FAL_25 = [
    *PASSED, *BACKGROUNDS,
    *(Row({"count": count}, {"num_images": count}) for count in (2, 4, 5, 10)),
    *(Row({"quality": name}, {"quality": name}) for name in ("auto", "xhigh", "max")),
    *(row for row in FAL_2 if "size" in row.options),
    AUTO_AT_FAL,
    *converted_by_easel(("gif", "avif"))[:2],
    # It compresses JPEG and WebP itself; an AVIF is Easel's own.
    *(
        Row({"output_format": name, "compression": 60}, {"output_format": name, "output_compression": 60})
        for name in ("jpeg", "webp")
    ),
    Row({"output_format": "avif", "compression": 60}, {"output_format": "png"}, conversion=("avif", True)),
]  # fmt: skip
GIF_AND_AVIF = [Row({"output_format": name}, {"output_format": name}) for name in ("gif", "avif")]
LUMENFALL = [
    *PASSED, *BACKGROUNDS[:3], *GIF_AND_AVIF,
    *(Row({"count": count}, {"n": count}) for count in (2, 5, 10)),
    Row({"quality": "auto"}, {"quality": None}),
    Row({"background": "auto"}),
    Row({"output_format": "jpeg", "compression": 0}, {"output_format": "jpeg", "output_compression": 0}),
    Row({"output_format": "avif", "compression": 70}, {"output_format": "avif", "output_compression": 70}),
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
OWN_QUALITY = "the service chooses the quality itself"
OXEN = [
    *(
        replace(row, changes=(*row.changes, OWN_QUALITY))
        for row in three_sizes("size", "square", "landscape", "portrait")
    ),
    *(replace(row, changes=(OWN_QUALITY,)) for row in converted_by_easel(("gif", "avif"))),
    *(Row({"count": count}, {"num_generations": min(count, 4)}, (OWN_QUALITY,)) for count in (2, 4, 5, 10)),
    *(Row({"output_format": name}, {"output_format": name}, (OWN_QUALITY,)) for name in ("png", "jpeg", "webp")),
    *(Row({"quality": name}, {}, (OWN_QUALITY,)) for name in ("low", "medium", "high")),
    Row({"quality": "auto"}),
    Row({"background": "auto"}, {}, (OWN_QUALITY,)),
    Row({"background": "opaque"}, {}, (OWN_QUALITY, "the service chooses the background itself")),
]
OXEN_EDIT = [
    Row({"fidelity": name}, {}, (OWN_QUALITY, "the service chooses the fidelity itself"))
    for name in ("low", "high")
]

FREE_AT_LUMENFALL = [
    *PASSED, *GIF_AND_AVIF,
    *(row for row in LUMENFALL if {"count", "compression"} & set(row.options)),
    Row({"quality": "auto"}, {"quality": None}),
    Row({"background": "auto"}),
    Row({"background": "opaque"}, {"background": "opaque"}),
    Row({"size": "square"}, {"size": "1024x1024"}),
    Row({"size": "16:9"}, {"size": "1680x944"}),
    Row({"size": "landscape 4k"}, {"size": "3520x2352"}),
    Row({"size": "16:9 2k"}, {"size": "2736x1536"}),
    Row({"size": "16:9 1k"}, {"size": "1360x768"}),
    Row({"size": "3840x2160"}, {"size": "3840x2160"}),
]  # fmt: skip
RATIOS_AT_OXEN = [
    Row({"size": "square"}, {"aspect_ratio": "1:1"}),
    Row({"size": "landscape"}, {"aspect_ratio": "3:2"}),
    Row({"size": "9:16"}, {"aspect_ratio": "9:16"}),
    Row({"size": "landscape 2k"}, {"aspect_ratio": "3:2", "resolution": "2K"}),
    Row({"size": "16:9 4k"}, {"aspect_ratio": "16:9", "resolution": "4K"}),
    Row({"size": "5:1"}, {"aspect_ratio": "21:9"}, ("5:1 became 7:3",)),
    Row({"size": "1536x1024"}, {"aspect_ratio": "3:2"}, ("1536×1024 became 3:2 1k",)),
    Row({"size": "3840x2160"}, {"aspect_ratio": "16:9", "resolution": "4K"}, ("3840×2160 became 16:9 4k",)),
]
OXEN_2 = [
    *PASSED, *RATIOS_AT_OXEN, *converted_by_easel(("gif", "avif")),
    *(Row({"count": count}, {"num_generations": min(count, 4)}) for count in (2, 4, 5, 10)),
    Row({"quality": "auto"}, {"quality": "high"}, ("auto quality became high",)),
    Row({"background": "auto"}),
]  # fmt: skip
OXEN_25 = [*OXEN_2, *BACKGROUNDS, *(Row({"quality": name}, {"quality": name}) for name in ("xhigh", "max"))]
OXEN_2_PLAIN = {
    "num_generations": 1,
    "aspect_ratio": "auto",
    "resolution": "1K",
    "quality": "medium",
    "output_format": "png",
}
OXEN_25_PLAIN = OXEN_2_PLAIN | {"background": "auto"}
FAL_PLAIN = {
    "num_images": 1,
    "image_size": "auto",
    "quality": "medium",
    "background": "auto",
    "output_format": "png",
}
FAL_2_PLAIN = {"num_images": 1, "image_size": "auto", "quality": "medium", "output_format": "png"}
LUMENFALL_PLAIN = {"n": 1, "quality": "medium", "output_format": "png"}
OXEN_PLAIN = {"num_generations": 1, "size": "auto", "output_format": "png"}
TABLE: dict[OfferKey, tuple[dict[str, Any], list[Row]]] = {
    ("gpt-image-1.5", "fal", "imagine"): (FAL_PLAIN | {"image_size": "1024x1024"}, FAL_15),
    ("gpt-image-1.5", "fal", "edit"): (FAL_PLAIN, [*FAL_15, *FIDELITY]),
    ("gpt-image-1.5", "lumenfall", "imagine"): (LUMENFALL_PLAIN, LUMENFALL),
    ("gpt-image-1.5", "lumenfall", "edit"): (LUMENFALL_PLAIN, [*LUMENFALL, *FIDELITY]),
    ("gpt-image-1.5", "oxen", "imagine"): (OXEN_PLAIN, OXEN),
    ("gpt-image-1.5", "oxen", "edit"): (OXEN_PLAIN, [*OXEN, *OXEN_EDIT]),
    ("gpt-image-2", "fal", "imagine"): (FAL_2_PLAIN | {"image_size": "square_hd"}, FAL_2),
    ("gpt-image-2", "fal", "edit"): (FAL_2_PLAIN, FAL_2),
    ("gpt-image-2.5-flare", "fal", "imagine"): (FAL_PLAIN | {"image_size": "square_hd"}, FAL_25),
    ("gpt-image-2.5-flare", "fal", "edit"): (FAL_PLAIN, FAL_25),
    ("gpt-image-2.5-sunburst", "fal", "imagine"): (FAL_PLAIN | {"image_size": "square_hd"}, FAL_25),
    ("gpt-image-2.5-sunburst", "fal", "edit"): (FAL_PLAIN, FAL_25),
    ("gpt-image-2.5-flare", "oxen", "imagine"): (OXEN_25_PLAIN, OXEN_25),
    ("gpt-image-2.5-flare", "oxen", "edit"): (OXEN_25_PLAIN, OXEN_25),
    ("gpt-image-2.5-sunburst", "oxen", "imagine"): (OXEN_25_PLAIN, OXEN_25),
    ("gpt-image-2.5-sunburst", "oxen", "edit"): (OXEN_25_PLAIN, OXEN_25),
    ("gpt-image-2", "lumenfall", "imagine"): (LUMENFALL_PLAIN, FREE_AT_LUMENFALL),
    ("gpt-image-2", "lumenfall", "edit"): (LUMENFALL_PLAIN, FREE_AT_LUMENFALL),
    ("gpt-image-2", "oxen", "imagine"): (OXEN_2_PLAIN, OXEN_2),
    ("gpt-image-2", "oxen", "edit"): (OXEN_2_PLAIN, OXEN_2),
    ("gpt-image-1", "fal", "imagine"): (FAL_PLAIN, FAL_1),
    ("gpt-image-1", "fal", "edit"): (FAL_PLAIN, [*FAL_1, *FIDELITY]),
    ("gpt-image-1", "lumenfall", "imagine"): (LUMENFALL_PLAIN, LUMENFALL),
    ("gpt-image-1", "lumenfall", "edit"): (LUMENFALL_PLAIN, [*LUMENFALL, *FIDELITY]),
}
ENDPOINTS: dict[OfferKey, tuple[str, str | None, str | None]] = {
    ("gpt-image-1.5", "fal", "imagine"): ("fal-ai/gpt-image-1.5", None, None),
    ("gpt-image-1.5", "fal", "edit"): ("fal-ai/gpt-image-1.5/edit", "image_urls", "mask_image_url"),
    ("gpt-image-1.5", "lumenfall", "imagine"): ("images/generations", None, None),
    ("gpt-image-1.5", "lumenfall", "edit"): ("images/edits", "image[]", "mask"),
    ("gpt-image-1.5", "oxen", "imagine"): ("ai/queue", None, None),
    ("gpt-image-1.5", "oxen", "edit"): ("ai/queue", "input_image", None),
    ("gpt-image-2", "fal", "imagine"): ("openai/gpt-image-2", None, None),
    ("gpt-image-2", "fal", "edit"): ("openai/gpt-image-2/edit", "image_urls", "mask_url"),
    ("gpt-image-2.5-flare", "fal", "imagine"): ("openai/gpt-image-2.5/flare/text-to-image", None, None),
    ("gpt-image-2.5-flare", "fal", "edit"): ("openai/gpt-image-2.5/flare/edit", "image_urls", "mask_url"),
    ("gpt-image-2.5-sunburst", "fal", "imagine"): ("openai/gpt-image-2.5/sunburst/text-to-image", None, None),
    ("gpt-image-2.5-sunburst", "fal", "edit"): ("openai/gpt-image-2.5/sunburst/edit", "image_urls", "mask_url"),
    ("gpt-image-2.5-flare", "oxen", "imagine"): ("ai/queue", None, None),
    ("gpt-image-2.5-flare", "oxen", "edit"): ("ai/queue", "input_image", "mask_url"),
    ("gpt-image-2.5-sunburst", "oxen", "imagine"): ("ai/queue", None, None),
    ("gpt-image-2.5-sunburst", "oxen", "edit"): ("ai/queue", "input_image", "mask_url"),
    ("gpt-image-2", "lumenfall", "imagine"): ("images/generations", None, None),
    ("gpt-image-2", "lumenfall", "edit"): ("images/edits", "image[]", "mask"),
    ("gpt-image-2", "oxen", "imagine"): ("ai/queue", None, None),
    ("gpt-image-2", "oxen", "edit"): ("ai/queue", "input_image", "mask_url"),
    ("gpt-image-1", "fal", "imagine"): ("fal-ai/gpt-image-1/text-to-image", None, None),
    ("gpt-image-1", "fal", "edit"): ("fal-ai/gpt-image-1/edit-image", "image_urls", None),
    ("gpt-image-1", "lumenfall", "imagine"): ("images/generations", None, None),
    ("gpt-image-1", "lumenfall", "edit"): ("images/edits", "image[]", "mask"),
}
NEEDS = "needs a picture that the fidelity is about. Add the picture, or leave the fidelity out."
NO_JPEG = "A JPEG cannot be transparent. Choose PNG or WebP, or another background."
CLEAR_JPEG = {"background": "transparent", "output_format": "jpeg"}
NO_BACKGROUND = "has no choice of background. Choose GPT Image 1.5 or GPT Image 1 as the model. Or leave it out."
NO_CLEAR = "has no transparent background. Choose GPT Image 1 as the model. Or leave it out."
NO_FIDELITY = "has no choice of fidelity. Choose GPT Image 1.5 or GPT Image 1 as the model. Or leave it out."
NO_MASK = "as the model. Or ask without one, and say in the prompt what should change."
EVERYWHERE: list[tuple[dict[str, Any], str]] = [
    (CLEAR_JPEG, NO_JPEG),
    ({"compression": 50}, "A PNG cannot be compressed. Choose JPEG, WebP or AVIF as the format."),
    (
        {"compression": 50, "output_format": "gif"},
        "A GIF cannot be compressed. Choose JPEG, WebP or AVIF as the format.",
    ),
    ({"count": 0}, "paints 1 to 10 pictures at a time; you asked for 0."),
    ({"count": 11}, "paints 1 to 10 pictures at a time; you asked for 11."),
    (
        {"size": "as big as it goes, please"},
        "has no size “as big as it goes, p”. Choose square, landscape or portrait, a ratio like 16:9, "
        "or pixels like 1536x1024.",
    ),
]
WITHOUT_A_PICTURE: list[tuple[dict[str, Any], str]] = [
    ({"fidelity": "low"}, NEEDS),
    ({"fidelity": "high"}, NEEDS),
    ({"mask": PICTURE}, "needs a picture for the mask to belong to. Add the picture, or leave the mask out."),
]
UP_TO_HIGH = "Choose auto, low, medium or high."


def only_to_high(choice: str) -> list[tuple[dict[str, Any], str]]:
    """The two steps of quality that a model lacks."""
    return [({"quality": name}, f"has no quality “{name}”. {choice}") for name in ("xhigh", "max")]


OXEN_CHOOSES = [({"quality": name}, f"has no {name} quality. Leave it out.") for name in ("xhigh", "max")]
UP_TO_AUTO = "Choose low, medium, high or auto."
NO_CLEAR_2 = (
    {"background": "transparent"},
    "has no background “transparent”. Choose GPT Image 1.5 or GPT Image 1 as the model. Or choose auto or opaque.",
)
BACKGROUND_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"background": name}, NO_BACKGROUND) for name in ("transparent", "opaque")
]
FIDELITY_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"fidelity": name}, NO_FIDELITY) for name in ("low", "high")
]
NO_FIDELITY_HERE = [({"fidelity": name}, "has no choice of fidelity. Leave it out.") for name in ("low", "high")]
REFUSED: dict[OfferKey, list[tuple[dict[str, Any], str]]] = {
    ("gpt-image-1.5", "fal", "imagine"): only_to_high("Choose low, medium, high or auto."),
    ("gpt-image-1.5", "lumenfall", "imagine"): only_to_high(UP_TO_HIGH),
    ("gpt-image-1.5", "lumenfall", "edit"): only_to_high(UP_TO_HIGH),
    ("gpt-image-1", "fal", "imagine"): only_to_high(UP_TO_HIGH),
    ("gpt-image-1", "lumenfall", "imagine"): only_to_high(UP_TO_HIGH),
    ("gpt-image-1", "lumenfall", "edit"): only_to_high(UP_TO_HIGH),
    ("gpt-image-2.5-flare", "oxen", "edit"): NO_FIDELITY_HERE,
    ("gpt-image-2.5-sunburst", "oxen", "edit"): NO_FIDELITY_HERE,
    ("gpt-image-2", "lumenfall", "imagine"): [*only_to_high(UP_TO_HIGH), NO_CLEAR_2],
    ("gpt-image-2", "lumenfall", "edit"): [*only_to_high(UP_TO_HIGH), NO_CLEAR_2, *FIDELITY_REFUSED],
    ("gpt-image-2", "oxen", "imagine"): [*only_to_high(UP_TO_AUTO), *BACKGROUND_REFUSED],
    ("gpt-image-2", "oxen", "edit"): [*only_to_high(UP_TO_AUTO), *BACKGROUND_REFUSED, *FIDELITY_REFUSED],
    ("gpt-image-2.5-flare", "fal", "edit"): NO_FIDELITY_HERE,
    ("gpt-image-2.5-sunburst", "fal", "edit"): NO_FIDELITY_HERE,
    ("gpt-image-1.5", "fal", "edit"): [
        (
            {"sources": (PICTURE,) * 5},
            "takes up to 4 pictures; you gave 5. Choose GPT Image 2 or GPT Image 1 as the model. "
            "Or leave some out.",
        ),
        ({"sources": (PICTURE,) * 17}, "takes up to 4 pictures; you gave 17. Leave some out."),
        ({"quality": "ultra"}, "has no quality “ultra”. Choose low, medium, high or auto."),
        *only_to_high("Choose low, medium, high or auto."),
    ],
    ("gpt-image-1.5", "oxen", "imagine"): [({"background": "transparent"}, NO_CLEAR), *OXEN_CHOOSES],
    ("gpt-image-1.5", "oxen", "edit"): [
        *OXEN_CHOOSES,
        ({"background": "transparent"}, NO_CLEAR),
        ({"mask": PICTURE}, f"takes no mask. Choose GPT Image 2 or GPT Image 1 {NO_MASK}"),
    ],
    ("gpt-image-2", "fal", "imagine"): [
        *(({"background": name}, NO_BACKGROUND) for name in ("transparent", "opaque")),
        *only_to_high(UP_TO_HIGH),
    ],
    ("gpt-image-2", "fal", "edit"): [
        *only_to_high(UP_TO_HIGH),
        *(({"background": name}, NO_BACKGROUND) for name in ("transparent", "opaque")),
        *(({"fidelity": name}, NO_FIDELITY) for name in ("low", "high")),
    ],
    ("gpt-image-1", "fal", "edit"): [
        *only_to_high(UP_TO_HIGH),
        ({"mask": PICTURE}, f"takes no mask. Choose GPT Image 1.5 or GPT Image 2 {NO_MASK}"),
    ],
}


def request_for(key: OfferKey, change: dict[str, Any]) -> ImageRequest:
    """The plain request for a model, with a change."""
    sources = (PICTURE,) if key[2] == "edit" else ()
    return replace(REQUEST, model=key[0], **({"sources": sources} | change))


def translate(
    catalog: Catalog, key: OfferKey, change: dict[str, Any], listed: SchemaFields = None
) -> ProviderRequest:
    offer = catalog.model(key[0]).offer(key[1])
    return live_offer(offer, status_with(offer, listed)).translate(request_for(key, change))


def status_with(offer: Offer, listed: SchemaFields) -> ModelStatus:
    """A schema that lists these fields beside all that the offer sends anyway; None for no schema."""
    fields: dict[RequestKind, frozenset[str]] = {}
    operations: tuple[tuple[RequestKind, Operation | None], ...]
    operations = (("imagine", offer.imagine), ("edit", offer.edit))
    for kind, operation in operations:
        if operation is not None and listed is not None:
            own = {mapping.field for mapping in operation.options.values() if not mapping.listed}
            fields[kind] = frozenset({operation.prompt, *own, *operation.size.fields, *operation.fixed, *listed})
    return ModelStatus(model="any", fields=fields)


def refusal_of(key: OfferKey, change: dict[str, Any]) -> str:
    """The refusal where only this provider has the model, and others have the other ones of the first three."""
    catalog = SHIPPED.model_copy(update={"models": (SHIPPED.model(key[0]),)})
    if (seed := seed_catalog()).get(key[0]) is not None:
        others = tuple(each for each in seed.models if each.name != key[0])
        catalog = catalog.model_copy(update={"models": (*catalog.models, *others)})
    router = Router(catalog=catalog, providers=PROVIDERS, clock=Clock(), provider_orders={key[0]: (key[1],)})
    with pytest.raises(Refused) as refusal:
        router.candidates(request_for(key, change))
    return refusal.value.sentence


ROWS = [pytest.param(key, row, id=f"{'/'.join(key)} {row.options}") for key in TABLE for row in TABLE[key][1]]


@pytest.mark.parametrize("key", TABLE, ids="/".join)
def test_a_plain_request_becomes_the_providers_body(catalog: Catalog, key: OfferKey) -> None:
    provider_request = translate(catalog, key, {})
    assert provider_request.body(1) == {"prompt": REQUEST.prompt, **TABLE[key][0]}
    assert (provider_request.provider, provider_request.operation.endpoint) == (key[1], ENDPOINTS[key][0])
    assert provider_request.changes == ((OWN_QUALITY,) if key[:2] == ("gpt-image-1.5", "oxen") else ())


@pytest.mark.parametrize(("key", "row"), ROWS)
def test_each_option_is_passed_renamed_converted_or_named_as_a_change(
    catalog: Catalog, key: OfferKey, row: Row
) -> None:
    provider_request = translate(catalog, key, row.options)
    wanted = {"prompt": REQUEST.prompt, **TABLE[key][0], **row.body}
    assert provider_request.body(provider_request.counts[0]) == {
        name: value for name, value in wanted.items() if value is not None
    }
    assert provider_request.changes == row.changes
    assert (provider_request.convert_to, provider_request.compress) == row.conversion


@pytest.mark.parametrize("key", TABLE, ids="/".join)
def test_pictures_and_a_mask_go_into_the_providers_fields(catalog: Catalog, key: OfferKey) -> None:
    _, sources, mask = ENDPOINTS[key]
    provider_request = translate(catalog, key, {"mask": PICTURE} if mask else {})
    body = provider_request.body(1, sources=["one", "two"], mask="three")
    found = {name: value for name, value in body.items() if value in (["one", "two"], "three")}
    expected = {sources: ["one", "two"]} if sources else {}
    assert found == (expected | {mask: "three"} if mask else expected)


REFUSALS = [
    pytest.param(key, change, sentence, id=f"{'/'.join(key)} {list(change)}")
    for key in TABLE
    for change, sentence in (
        *EVERYWHERE,
        *(WITHOUT_A_PICTURE if key[2] == "imagine" else ()),
        *REFUSED.get(key, ()),
    )
]


@pytest.mark.parametrize(("key", "change", "sentence"), REFUSALS)
def test_an_unsupported_option_is_refused_with_a_model_that_supports_it(
    key: OfferKey, change: dict[str, Any], sentence: str
) -> None:
    # A refusal that holds for every model names none.
    expected = sentence if sentence.startswith("A ") else f"{SHIPPED.model(key[0]).label} {sentence}"
    assert refusal_of(key, change) == expected


def test_the_table_names_every_value_of_every_option_for_every_service(catalog: Catalog) -> None:
    keys = {
        (model.name, offer.provider, kind)
        for model in catalog.models
        for offer in model.offers
        for kind in ("imagine", "edit")
    }
    assert set(TABLE) == set(ENDPOINTS) == keys
    options: dict[str, Any] = {
        "quality": Quality,
        "background": Background,
        "output_format": OutputFormat,
        "fidelity": Fidelity,
    }
    wanted = {(option, value) for option, values in options.items() for value in get_args(values)}
    for key in TABLE:
        changes = [row.options for row in TABLE[key][1]]
        changes += [change for change, _ in (*REFUSED.get(key, ()), *WITHOUT_A_PICTURE)]
        assert wanted <= {next(iter(change.items())) for change in changes if len(change) == 1}, key


LISTED = [
    ({"quality": "low"}, {"quality": "low"}, ()),
    ({"quality": "auto"}, {"quality": None}, ()),
    ({"background": "transparent"}, {"background": "transparent"}, ()),
    ({"background": "opaque"}, {"background": "opaque"}, ()),
    ({"fidelity": "high"}, {"input_fidelity": "high"}, ()),
]


@pytest.mark.parametrize(("change", "body", "changes"), LISTED)
def test_fields_that_a_providers_schema_lists_are_sent(
    catalog: Catalog, change: dict[str, Any], body: dict[str, Any], changes: tuple[str, ...]
) -> None:
    key = ("gpt-image-1.5", "oxen", "edit")
    provider_request = translate(catalog, key, change, frozenset({"quality", "background", "input_fidelity"}))
    plain = {"prompt": REQUEST.prompt, **OXEN_PLAIN, "quality": "medium", "background": "auto"}
    assert provider_request.body(1) == {name: value for name, value in (plain | body).items() if value is not None}
    assert provider_request.changes == changes


def test_a_schema_that_lists_one_field_gets_that_one_alone(catalog: Catalog) -> None:
    key = ("gpt-image-1.5", "oxen", "imagine")
    provider_request = translate(catalog, key, {"background": "opaque"}, frozenset({"prompt", "background"}))
    assert provider_request.body(1) == {"prompt": REQUEST.prompt, **OXEN_PLAIN, "background": "opaque"}
    assert provider_request.changes == (OWN_QUALITY,)


@pytest.mark.parametrize(
    ("service", "count", "submits"),
    [
        ("fal", 1, (1,)), ("fal", 4, (4,)), ("fal", 5, (4, 1)), ("fal", 10, (4, 4, 2)),
        ("oxen", 10, (4, 4, 2)), ("lumenfall", 10, (10,)), ("lumenfall", 5, (5,)),
    ],
)  # fmt: skip
def test_more_pictures_than_one_submit_takes_need_several(
    catalog: Catalog, service: str, count: int, submits: tuple[int, ...]
) -> None:
    provider_request = translate(catalog, ("gpt-image-1.5", service, "imagine"), {"count": count})
    assert provider_request.counts == submits
    assert [provider_request.body(size)[provider_request.operation.count.field] for size in submits] == list(
        submits
    )
