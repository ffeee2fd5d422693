"""What the tables of offers consist of, and the rows that many offers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.domain.requests import OutputFormat, Source

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
OfferKey = tuple[str, str, str]
"""Model, provider, and `imagine` or `edit`."""
Kind = Literal["imagine", "edit"]
Options = Mapping[str, Any]
Conversion = tuple[str | None, bool]
"""The format that Easel converts to, and whether it compresses."""
Refusal = tuple[Options, str]
"""Options beside the plain request, and the refusal after the model's label; only this service has a key."""


@dataclass(frozen=True, slots=True)
class Row:
    """Options beside the plain request, and the fields of the body that they change (None: no such field)."""

    options: Options
    body: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] | None = None
    conversion: Conversion | None = None
    """None for either: as for the plain request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One kind of request for a model at a service; the plain one has a prompt and, to edit, one picture."""

    endpoint: str
    plain: Mapping[str, Any]
    """The body beside the prompt."""
    rows: Sequence[Row]
    refused: Sequence[Refusal]
    most: int = 0
    """Pictures that it takes."""
    sources: str | None = None
    mask: str | None = None
    """Fields for pictures and for the mask."""
    changes: tuple[str, ...] = ()
    conversion: Conversion = (None, False)
    """Of the plain request."""


def source(width: int, height: int) -> Options:
    """An edit of one picture of this size."""
    sized = Source(url=PICTURE.url, filename=PICTURE.filename, width=width, height=height)
    return {"sources": (sized,)}


def each(option: str, *values: str, name: str | None = None) -> list[Row]:
    """An option whose values go unchanged into a field, of its own name unless another is given."""
    return [Row({option: value}, {name or option: value}) for value in values]


def clear_backgrounds(*, gif: str) -> list[Row]:
    """Transparent and opaque; `gif` is what a transparent GIF is painted as."""
    clear = {"background": "transparent"}
    return [
        *each("background", "transparent", "opaque"),
        Row({**clear, "output_format": "webp"}, {**clear, "output_format": "webp"}),
        Row(
            {**clear, "output_format": "gif"},
            {**clear, "output_format": gif},
            conversion=(None if gif == "gif" else "gif", False),
        ),
    ]


def counted(name: str, most: int) -> list[Row]:
    """Several pictures, so many of them at most in the first submit."""
    return [Row({"count": count}, {name: min(count, most)}) for count in (2, 4, 5, 10)]


def converted_by_easel(formats: Iterable[OutputFormat]) -> list[Row]:
    """Formats and compressions that the provider lacks: it paints a PNG, which Easel converts."""
    return [
        *(Row({"output_format": name}, {"output_format": "png"}, conversion=(name, False)) for name in formats),
        *(
            Row({"output_format": name, "compression": much}, {"output_format": "png"}, conversion=(name, True))
            for name, much in (("jpeg", 0), ("webp", 60), ("avif", 100))
        ),
    ]


PNG_JPEG_WEBP = each("output_format", "png", "jpeg", "webp")
PNG_AND_JPEG = [*each("output_format", "png", "jpeg"), *converted_by_easel(("webp", "gif", "avif"))]
LUMENFALLS_FORMATS = [
    *PNG_JPEG_WEBP, *each("output_format", "gif", "avif"),
    Row({"output_format": "jpeg", "compression": 0}, {"output_format": "jpeg", "output_compression": 0}),
    Row({"output_format": "avif", "compression": 70}, {"output_format": "avif", "output_compression": 70}),
]  # fmt: skip
EASELS_FORMATS = [
    *(Row({"output_format": name}, conversion=(name, False)) for name in ("png", "jpeg", "webp", "gif", "avif")),
    Row({"output_format": "jpeg", "compression": 60}, conversion=("jpeg", True)),
]
"""A provider that takes no format: whatever it paints becomes what the member asked for."""
ONE_QUALITY = [
    *(Row({"quality": name}) for name in ("auto", "medium")),
    *(Row({"background": name}) for name in ("auto", "opaque")),
]
"""A model that paints one quality, and nothing transparent."""
SEED = [Row({"seed": 7}, {"seed": 7})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Able:
    """The models that a refusal names, where only this service has a key; empty where none can do it."""

    quality: str = ""
    """Low and high."""
    finest: str = ""
    """`xhigh` and `max`."""
    clear: str = ""
    seed: str = ""
    fidelity: str = ""
    mask: str = ""
    tiers: str = ""
    """Those that a model lacks."""
    opaque: str = ""
    five_sources: str = ""


TWO_25 = "GPT Image 2.5 Flare or GPT Image 2.5 Sunburst"
THREE_2 = "GPT Image 2.5 Flare, GPT Image 2.5 Sunburst or GPT Image 2"
FORMER = "GPT Image 1.5 or GPT Image 1"
WITH_SEED = "Nano Banana 2, Nano Banana Pro or FLUX.2 pro"
_CLEAR_EDIT = "GPT Image 2.5 Flare, GPT Image 2.5 Sunburst or GPT Image 1.5"
_LUMENFALL = "GPT Image 2, GPT Image 1.5 or GPT Image 1"
_FIRST_THREE = "GPT Image 2.5 Flare, GPT Image 2.5 Sunburst or Nano Banana 2"
_LARGE_AT_LUMENFALL = "Nano Banana 2, GPT Image 2 or Nano Banana Pro"
ABLE: Mapping[tuple[str, Kind], Able] = {
    ("fal", "imagine"): Able(
        quality=THREE_2, finest=TWO_25, clear=THREE_2, seed=WITH_SEED, tiers=_FIRST_THREE
    ),
    ("fal", "edit"): Able(
        quality=THREE_2, finest=TWO_25, clear=_CLEAR_EDIT, seed=WITH_SEED, fidelity=THREE_2, mask=THREE_2,
        tiers=_FIRST_THREE, opaque=_FIRST_THREE, five_sources=_FIRST_THREE,
    ),
    ("lumenfall", "imagine"): Able(quality=_LUMENFALL, clear=FORMER, seed=WITH_SEED, tiers=_LARGE_AT_LUMENFALL),
    ("lumenfall", "edit"): Able(
        quality=_LUMENFALL, clear=FORMER, seed=WITH_SEED, fidelity=_LUMENFALL, mask=_LUMENFALL,
        tiers=_LARGE_AT_LUMENFALL,
    ),
    ("oxen", "imagine"): Able(
        quality=THREE_2, finest=TWO_25, clear=TWO_25, seed="FLUX.2 pro", tiers=_FIRST_THREE, opaque=_FIRST_THREE
    ),
    ("oxen", "edit"): Able(
        quality=THREE_2, finest=TWO_25, clear=TWO_25, seed="FLUX.2 pro", fidelity=THREE_2, mask=THREE_2,
        tiers=_FIRST_THREE, opaque=_FIRST_THREE,
    ),
}  # fmt: skip


def sentence(cannot: str, able: str, advice: str) -> str:
    """A refusal behind the model's label."""
    if able:
        return f"{cannot} Choose {able} as the model. {advice}"
    plain = advice.removeprefix("Or ")
    return f"{cannot} {plain[:1].upper()}{plain[1:]}"


def no_seed(able: Able) -> list[Refusal]:
    return [({"seed": 7}, sentence("takes no seed.", able.seed, "Or leave the seed out."))]


def no_fidelity(able: Able, kind: Kind) -> list[Refusal]:
    """An edit without a choice of fidelity; without a picture there is none at any model."""
    cannot = "has no choice of fidelity."
    names = ("low", "high") if kind == "edit" else ()
    return [({"fidelity": name}, sentence(cannot, able.fidelity, "Or leave the fidelity out.")) for name in names]


def no_mask(able: Able, kind: Kind) -> list[Refusal]:
    if kind == "imagine":
        return []
    advice = "Or ask without one, and say in the prompt what should change."
    return [({"mask": PICTURE}, sentence("takes no mask.", able.mask, advice))]


def no_quality(names: Iterable[str], able: str, choice: str) -> list[Refusal]:
    """Values of quality that a model lacks; `choice` are those that it has."""
    advice = f"Or choose {choice}."
    return [({"quality": name}, sentence(f"has no {name} quality.", able, advice)) for name in names]


def no_clear(able: Able, choice: str = "auto or opaque") -> list[Refusal]:
    cannot = "has no transparent background."
    return [({"background": "transparent"}, sentence(cannot, able.clear, f"Or choose {choice}."))]


def one_quality_refusals(service: str, kind: Kind, *, seed: bool) -> list[Refusal]:
    """What a model with one quality refuses; `seed` is whether it takes one."""
    able = ABLE[service, kind]
    return [
        *no_quality(("low", "high"), able.quality, "auto or medium"),
        *no_quality(("xhigh", "max"), able.finest, "auto or medium"),
        *no_clear(able), *no_fidelity(able, kind), *no_mask(able, kind), *([] if seed else no_seed(able)),
    ]  # fmt: skip


def no_tiers(able: Able, *tiers: str) -> list[Refusal]:
    """Tiers that a model does not paint."""
    return [
        (
            {"size": f"landscape {tier}"},
            sentence(f"does not paint in {tier}.", able.tiers, f"Or leave {tier} out."),
        )
        for tier in tiers
    ]


def by_ratio(tiers: Mapping[str, Mapping[str, Any]], widest: str, after_5: str) -> list[Row]:
    """Sizes of a provider that takes ratios. `tiers` are the fields for each tier; the first is the usual one.

    `widest` is the ratio of the widest picture, `after_5` what 5:1 becomes.
    """
    usual, largest = next(iter(tiers)), list(tiers)[-1]

    def row(size: str, ratio: str, tier: str = usual, *changes: str) -> Row:
        return Row({"size": size}, {"aspect_ratio": ratio, **tiers[tier]}, changes)

    def pixels(size: str, ratio: str, tier: str) -> Row:
        found = tier if tier in tiers else largest
        return row(size, ratio, found, f"{size.replace('x', '×')} became {ratio} {found}")

    return [
        row("square", "1:1"), row("landscape", "3:2"), row("portrait", "2:3"),
        *(row(ratio, ratio) for ratio in ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16")),
        row("5:1", after_5, usual, f"5:1 became {after_5}"),
        row("20:1", widest, usual, f"20:1 became {widest}"),
        pixels("1024x1024", "1:1", "1k"), pixels("1536x1024", "3:2", "1k"),
        pixels("2048x2048", "1:1", "2k"), pixels("3840x2160", "16:9", "4k"),
        *(row(f"square {tier}", "1:1", tier) for tier in tiers),
        *(row(f"landscape {tier}", "3:2", tier) for tier in tiers),
        *(row(f"9:16 {tier}", "9:16", tier) for tier in tiers),
    ]  # fmt: skip


def in_pixels(name: str, sizes: Mapping[str, Any]) -> list[Row]:
    """Sizes that become pixels, or a provider's word for them, in this field, without a change."""
    return [Row({"size": size}, {name: value}) for size, value in sizes.items()]


def changed(name: str, sizes: Mapping[str, tuple[Any, str]]) -> list[Row]:
    """Sizes that become others: what is sent, and what the member is told."""
    return [Row({"size": size}, {name: value}, (told,)) for size, (value, told) in sizes.items()]


def wide(width: int, height: int) -> dict[str, int]:
    """A size as fal takes it."""
    return {"width": width, "height": height}
