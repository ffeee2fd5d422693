"""What becomes of each option of a request at a provider: passed on, renamed, converted, emulated, or refused.

An option that the provider lacks is emulated where that is honest, and the member is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.catalog.refusals import Unsupported, join_or
from bot.catalog.schema import Option, OptionMapping
from bot.domain.requests import ImageRequest

OPTION_WORDS: dict[Option, str] = {
    "quality": "quality",
    "background": "background",
    "output_format": "format",
    "fidelity": "fidelity",
}
"""The options whose values are words, and what members call them."""
LOSSLESS = ("png", "gif")
"""Formats that compression says nothing about."""


def map_options(
    mappings: Mapping[Option, OptionMapping],
    request: ImageRequest,
    fields: dict[str, Any],
    changes: list[str],
) -> dict[Option, str]:
    """Set the fields of all options in words; returns the values that are sent, as `map_option` does."""
    sent: dict[Option, str] = {}
    for option in OPTION_WORDS:
        value = getattr(request, option)
        if value is not None:
            sent[option] = map_option(option, value, mappings.get(option), fields, changes)
    return sent


def map_option(
    option: Option,
    value: str,
    mapping: OptionMapping | None,
    fields: dict[str, Any],
    changes: list[str],
) -> str:
    """Set an option's field; returns the value that is sent, in our words, empty where the provider chooses it."""
    word = OPTION_WORDS[option]
    if mapping is None:
        if value == "auto":
            return ""
        raise Unsupported(f"has no choice of {word}.", f"Or leave the {word} out.")
    if mapping.way == "emulate" and option == "output_format":
        return ""
    if mapping.listed:
        if value in mapping.dropped:
            if value != "auto":
                changes.append(f"the service chooses the {word} itself")
            return ""
        raise Unsupported(f"has no {value} {word}.", f"Or leave the {word} out.")
    sent = mapping.instead.get(value, value)
    if sent not in mapping.values:
        raise Unsupported(f"has no {value} {word}.", f"Or choose {join_or((*mapping.values, *mapping.instead))}.")
    if sent != value and option != "output_format":
        changes.append(f"{value} {word} became {sent}")
    if mapping.values[sent]:
        fields[mapping.field] = mapping.values[sent]
    return sent if mapping.field else ""


def map_compression(mapping: OptionMapping | None, request: ImageRequest, fields: dict[str, Any]) -> bool:
    """Set the compression's field; returns whether Easel has to compress the picture itself."""
    if request.compression is None:
        return False
    if request.output_format in LOSSLESS:
        kind = request.output_format.upper()
        raise Unsupported(
            f"a {kind} cannot be compressed.", "Choose JPEG, WebP or AVIF as the format.", plain=True
        )
    if mapping is None or mapping.way == "emulate":
        return True
    if mapping.formats and request.output_format not in mapping.formats:
        return True
    fields[mapping.field] = request.compression
    return False


def map_seed(mapping: OptionMapping | None, seed: int | None, fields: dict[str, Any]) -> None:
    """Set the seed's field.

    Raises:
        Unsupported: the provider takes none.
    """
    if seed is None:
        return
    if mapping is None:
        raise Unsupported("takes no seed.", "Or leave the seed out.")
    fields[mapping.field] = seed
