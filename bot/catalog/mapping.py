"""What becomes of each option of a request at a provider: passed on, renamed, converted, emulated, or refused.

An option that the provider lacks is emulated where that is honest, and the member is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.catalog import sizes
from bot.catalog.schema import (
    Option,
    OptionMapping,
    RatioMapping,
    SizeMapping,
)
from bot.catalog.sizes import Shape
from bot.domain.errors import BadPrompt, Refused, UnsupportedRequest
from bot.domain.requests import ImageRequest

OPTION_WORDS: dict[Option, str] = {
    "quality": "quality",
    "background": "background",
    "output_format": "format",
    "fidelity": "fidelity",
    "compression": "compression",
}
_NAMED_MODELS = 3
"""Models that a refusal names at most: the preferred ones."""
LOSSLESS = ("png", "gif")
"""Formats that compression says nothing about."""


class Unsupported(Exception):
    """The provider cannot do this with the model; `cannot` completes "GPT Image 1 …"."""

    def __init__(self, cannot: str, advice: str, *, prompt: bool = False, plain: bool = False) -> None:
        """`prompt`: the prompt is to blame. `plain`: it is so with every model, so none is named."""
        self.cannot = cannot
        self.advice = advice
        self._prompt = prompt
        self._plain = plain
        super().__init__(cannot)

    def refusal(self, label: str, others: Sequence[str]) -> Refused:
        """The refusal that a member reads; `others` are labels of models that can."""
        sentence = f"{self.cannot[:1].upper()}{self.cannot[1:]} {self.advice}".strip()
        if self._prompt:
            return BadPrompt(sentence)
        if self._plain:
            return UnsupportedRequest(sentence)
        if others:
            able = f"Choose {join_or(others[:_NAMED_MODELS])} as the model."
            return UnsupportedRequest(f"{label} {self.cannot} {able} {self.advice}".strip())
        advice = self.advice.removeprefix("Or ")
        return UnsupportedRequest(f"{label} {self.cannot} {advice[:1].upper()}{advice[1:]}".strip())


def map_size(sizing: SizeMapping, text: str, fields: dict[str, Any], changes: list[str]) -> Shape | None:
    """Set the size field; returns the size in pixels, None where the provider chooses it."""
    try:
        wanted = sizes.parse(text)
    except ValueError:
        raise Unsupported(
            f"has no size “{text[:20]}”.",
            "Choose square, landscape or portrait, a ratio like 16:9, or pixels like 1536x1024.",
        ) from None
    if wanted is None:
        if sizing.auto is not None:
            fields[sizing.field] = sizing.auto
        return next((sizes.parse_pixels(size) for size, word in sizing.known.items() if word == sizing.auto), None)
    known = {sizes.parse_pixels(size): word for size, word in sizing.known.items()}
    if wanted in known:
        fields[sizing.field] = known[wanted]
        return wanted
    # The field that takes only a ratio serves a member who asked for a ratio, not for pixels.
    ratio = sizing.ratio if ":" in text else None
    return _map_nearest_size(sizing, ratio, wanted, known, fields, changes)


def _map_nearest_size(
    sizing: SizeMapping,
    ratio: RatioMapping | None,
    wanted: Shape,
    known: dict[Shape, str],
    fields: dict[str, Any],
    changes: list[str],
) -> Shape:
    chosen = sizes.nearest(wanted, known)
    good = not wanted.exact and sizes.same_ratio(chosen, wanted)
    if sizing.custom is not None and not good and (custom := sizing.custom.nearest_allowed(wanted)):
        fields[sizing.field] = sizing.custom.formatted(custom)
        _note_size(wanted, custom, changes)
        return custom
    if ratio is not None and chosen.ratio in ratio.values:
        fields[ratio.field] = chosen.ratio
        fields.update(ratio.extra)
    else:
        fields[sizing.field] = known[chosen]
    _note_size(wanted, chosen, changes)
    return chosen


def _note_size(wanted: Shape, chosen: Shape, changes: list[str]) -> None:
    if wanted.exact and wanted != chosen:
        changes.append(f"{wanted} became {chosen}")
    elif not wanted.exact and not sizes.same_ratio(wanted, chosen):
        changes.append(f"{wanted} became {chosen.ratio}")


def map_option(
    option: Option,
    value: str,
    mapping: OptionMapping | None,
    listed: frozenset[str] | None,
    fields: dict[str, Any],
    changes: list[str],
) -> str:
    """Set an option's field; returns the value that is sent, in our words, empty where the provider chooses it."""
    word = OPTION_WORDS[option]
    if mapping is None:
        if value == "auto":
            return ""
        raise Unsupported(f"has no choice of {word}.", "Or leave it out.")
    if mapping.listed and (listed is None or mapping.field not in listed):
        if value in mapping.dropped:
            if value != "auto":
                changes.append(f"the service chooses the {word} itself")
            return ""
        raise Unsupported(f"has no {value} {word}.", "Or leave it out.")
    sent = mapping.instead.get(value, value)
    if sent not in mapping.values:
        raise Unsupported(
            f"has no {word} “{value}”.", f"Or choose {join_or((*mapping.values, *mapping.instead))}."
        )
    if sent != value and option != "output_format":
        changes.append(f"{value} {word} became {sent}")
    if mapping.values[sent]:
        fields[mapping.field] = mapping.values[sent]
    return sent


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


def join_or(words: Any) -> str:
    """a, b or c."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
