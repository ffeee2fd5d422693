"""Nano Banana 2 and Pro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.catalog.offers.shared import (
    EASELS_FORMATS,
    LUMENFALLS_FORMATS,
    ONE_QUALITY,
    PNG_JPEG_WEBP,
    SEED,
    Kind,
    OfferKey,
    Row,
    Table,
    by_ratio,
    converted_by_easel,
    counted,
    one_quality_refusals,
    source,
)

_TIERS = {tier: {"resolution": tier.upper()} for tier in ("1k", "2k", "4k")}
_RATIOS = {
    "nano-banana-2": [
        *by_ratio(_TIERS, widest="8:1", after_5="4:1"),
        *(Row({"size": ratio}, {"aspect_ratio": ratio}) for ratio in ("4:5", "21:9", "4:1", "1:4", "8:1", "1:8")),
    ],
    "nano-banana-pro": [
        *by_ratio(_TIERS, widest="21:9", after_5="21:9"),
        *(Row({"size": ratio}, {"aspect_ratio": ratio}) for ratio in ("4:5", "5:4", "21:9")),
        Row({"size": "1:4"}, {"aspect_ratio": "9:16"}, ("1:4 became 9:16",)),
    ],
}
# The service knows what it edits: "auto" is the picture's shape, whether Easel knows it or not.
_SOURCES = [Row(source(1536, 1024)), Row(source(2000, 100))]


def _table(
    kind: Kind, service: str, model: str, endpoint: str, plain: Mapping[str, Any], rows: list[Row], sources: str
) -> tuple[OfferKey, Table]:
    edits = kind == "edit"
    return (model, service, kind), Table(
        endpoint=endpoint,
        plain=plain,
        rows=[*ONE_QUALITY, *_RATIOS[model], *rows, *(_SOURCES if edits else ())],
        refused=one_quality_refusals(service, kind, seed=service != "oxen"),
        most=14 if edits else 0,
        sources=sources if edits else None,
        conversion=("png", False) if service == "oxen" else (None, False),
    )


def _fal(kind: Kind, model: str, count: int) -> tuple[OfferKey, Table]:
    endpoint = f"fal-ai/{model}" + ("/edit" if kind == "edit" else "")
    plain = {"num_images": 1, "aspect_ratio": "auto", "resolution": "1K", "output_format": "png"}
    rows = [*PNG_JPEG_WEBP, *converted_by_easel(("gif", "avif")), *counted("num_images", count)]
    return _table(kind, "fal", model, endpoint, plain, [*rows, *SEED], "image_urls")


def _lumenfall(kind: Kind, model: str) -> tuple[OfferKey, Table]:
    endpoint = "images/edits" if kind == "edit" else "images/generations"
    plain = {"n": 1, "resolution": "1K", "output_format": "png"}
    rows = [*LUMENFALLS_FORMATS, *counted("n", 10), *SEED]
    return _table(kind, "lumenfall", model, endpoint, plain, rows, "image[]")


def _oxen(kind: Kind, model: str) -> tuple[OfferKey, Table]:
    plain = {"num_generations": 1, "aspect_ratio": "auto", "resolution": "1K"}
    rows = [*EASELS_FORMATS, *counted("num_generations", 4)]
    return _table(kind, "oxen", model, "ai/queue", plain, rows, "input_image")


TABLES: dict[OfferKey, Table] = dict(
    table
    for kind in ("imagine", "edit")
    for table in (
        _fal(kind, "nano-banana-2", 4),
        _fal(kind, "nano-banana-pro", 1),
        _lumenfall(kind, "nano-banana-2"),
        _lumenfall(kind, "nano-banana-pro"),
        _oxen(kind, "nano-banana-2"),
        _oxen(kind, "nano-banana-pro"),
    )
)
