"""Sizes of pictures: what a member may write, and the nearest one that a provider has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import log
from typing import Literal, cast

LONGEST_SIDE = 8192
WIDEST = 20
_ALIKE = 0.01
"""How far the ratio that is shown for pixels may be from theirs."""


Tier = Literal["1k", "2k", "4k"]
TIERS: Mapping[Tier, int] = {"1k": 1024 * 1024, "2k": 2048 * 2048, "4k": 3840 * 2160}
"""Pixels of each tier, about: providers differ, and what one calls 4K may have twice as many."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Width and height: pixels where `exact`, else only their ratio, perhaps with a tier."""

    width: int
    height: int
    exact: bool = False
    tier: Tier | None = None

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    @property
    def ratio(self) -> str:
        """As members know it: 16:9; of pixels the simplest that is within a hundredth, 16:9 for 1365x768."""
        if not self.exact:
            return f"{self.width}:{self.height}"
        near = ((max(1, round(self.aspect * height)), height) for height in range(1, self.height + 1))
        width, height = next(pair for pair in near if abs(log(pair[0] / pair[1] / self.aspect)) < _ALIKE)
        return f"{width}:{height}"

    @property
    def pixels(self) -> str:
        """As providers write it: 1536x1024."""
        return f"{self.width}x{self.height}"

    @property
    def area(self) -> int:
        """Pixels in all."""
        return self.width * self.height

    def __str__(self) -> str:
        """As members read it: 1536×1024, 21:9, or 21:9 4k."""
        shape = f"{self.width}{'×' if self.exact else ':'}{self.height}"
        return f"{shape} {self.tier}" if self.tier else shape


NAMED = {"square": Shape(1, 1), "landscape": Shape(3, 2), "portrait": Shape(2, 3)}


def parse(text: str) -> Shape | None:
    """Read `square`, `16:9`, `16:9 4k` or `1536x1024`; None for `auto`.

    Raises:
        ValueError: the text is none of these.
    """
    word = text.strip().lower()
    if word == "auto":
        return None
    if (tiered := re.fullmatch(r"(.*\S) +(1k|2k|4k)", word)) is not None:
        shape = parse(tiered[1])
        if shape is None or shape.exact or shape.tier:
            raise ValueError(text)
        return replace(shape, tier=cast("Tier", tiered[2]))
    if word in NAMED:
        return NAMED[word]
    match = re.fullmatch(r"([0-9]{1,4}) *([:x×]) *([0-9]{1,4})", word)
    if match is None:
        raise ValueError(text)
    width, height, exact = int(match[1]), int(match[3]), match[2] != ":"
    if not (width and height and 1 / WIDEST <= width / height <= WIDEST) or max(width, height) > LONGEST_SIDE:
        raise ValueError(text)
    return Shape(width, height, exact)


def parse_ratio(text: str) -> Shape:
    """Read a ratio, as the catalogue has it.

    Raises:
        ValueError: the text is no W:H.
    """
    with suppress(ValueError):
        shape = parse(text)
        if shape is not None and not shape.exact and not shape.tier:
            return shape
    raise ValueError(f"{text} is not a ratio like 16:9, of 1:{WIDEST} to {WIDEST}:1")


def parse_pixels(text: str) -> Shape:
    """Read a size in pixels, as the catalogue has it.

    Raises:
        ValueError: the text is no WxH.
    """
    with suppress(ValueError):
        shape = parse(text)
        if shape is not None and shape.exact:
            return shape
    raise ValueError(f"{text} is not a size like 1024x1024, of {LONGEST_SIDE} pixels to a side at most")


def same_ratio(one: Shape, other: Shape) -> bool:
    """Whether two shapes differ by no more than a pixel's rounding."""
    return abs(log(one.aspect / other.aspect)) < 0.02


def nearest(wanted: Shape, known: Iterable[Shape]) -> Shape:
    """The shape with the nearest ratio; of several the nearest in area, or the first where only a ratio counts."""

    def distance(shape: Shape) -> tuple[float, float]:
        skew = round(abs(log(shape.aspect / wanted.aspect)), 3)
        return skew, abs(log(shape.area / wanted.area)) if wanted.exact else 0.0

    return min(known, key=distance)
