"""Shapes of pictures: what a person may write, and the nearest one that a service has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd, log, sqrt

LONGEST_SIDE = 8192
WIDEST = 20
BESIDE = 3
"""Steps that a size may be moved to stay within a service's bounds."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Width and height: pixels where `exact`, else only their ratio."""

    width: int
    height: int
    exact: bool = False

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    @property
    def ratio(self) -> str:
        """The ratio in its smallest numbers: 3:2."""
        common = gcd(self.width, self.height)
        return f"{self.width // common}:{self.height // common}"

    @property
    def pixels(self) -> str:
        """As services write it: 1536x1024."""
        return f"{self.width}x{self.height}"

    @property
    def area(self) -> int:
        """Pixels in all."""
        return self.width * self.height

    def __str__(self) -> str:
        """As a person wrote it: 1536×1024, or 21:9."""
        return f"{self.width}{'×' if self.exact else ':'}{self.height}"


NAMED = {"square": Shape(1, 1), "landscape": Shape(3, 2), "portrait": Shape(2, 3)}


def read(text: str) -> Shape | None:
    """What `square`, `16:9` or `1536x1024` means; None for `auto`.

    Raises:
        ValueError: it is none of these.
    """
    word = text.strip().lower()
    if word == "auto":
        return None
    if word in NAMED:
        return NAMED[word]
    match = re.fullmatch(r"([0-9]{1,4}) *([:x×]) *([0-9]{1,4})", word)
    if match is None:
        raise ValueError(text)
    width, height, exact = int(match[1]), int(match[3]), match[2] != ":"
    if not (width and height and 1 / WIDEST <= width / height <= WIDEST) or max(width, height) > LONGEST_SIDE:
        raise ValueError(text)
    return Shape(width, height, exact)


def exact(text: str) -> Shape:
    """A size in pixels out of the catalogue.

    Raises:
        ValueError: it is no WxH.
    """
    shape = read(text)
    if shape is None or not shape.exact:
        raise ValueError(f"{text} is not a size like 1024x1024")
    return shape


def same_ratio(one: Shape, other: Shape) -> bool:
    """Whether two shapes differ by no more than a pixel's rounding."""
    return abs(log(one.aspect / other.aspect)) < 0.02


def nearest(wanted: Shape, known: Iterable[Shape]) -> Shape:
    """The shape with the nearest ratio; of several the nearest in area, or the first where only a ratio counts."""

    def distance(shape: Shape) -> tuple[float, float]:
        skew = round(abs(log(shape.aspect / wanted.aspect)), 3)
        return skew, abs(log(shape.area / wanted.area)) if wanted.exact else 0.0

    return min(known, key=distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Which sizes a service paints beside those that it lists. Sides in pixels."""

    step: int
    least_side: int
    most_side: int
    widest: float
    least_area: int
    most_area: int
    usual_area: int

    def fitted(self, wanted: Shape) -> Shape | None:
        """The size within the bounds that is nearest to what is wanted; None where its ratio is too extreme."""
        if max(wanted.aspect, 1 / wanted.aspect) > self.widest:
            return None
        area = min(max(wanted.area if wanted.exact else self.usual_area, self.least_area), self.most_area)
        scale = sqrt(area / wanted.area)
        longest, shortest = max(wanted.width, wanted.height), min(wanted.width, wanted.height)
        scale = max(min(scale, self.most_side / longest), self.least_side / shortest)
        plain = Shape(self._stepped(wanted.width * scale), self._stepped(wanted.height * scale), exact=True)
        # Rounded to the step it may be a little too small, too large or too wide: then one beside it is not.
        for found in (plain, *sorted(self._beside(plain, wanted), key=lambda shape: abs(log(shape.area / area)))):
            if self._allows(found) and same_ratio(found, wanted):
                return found
        return None

    def _stepped(self, side: float) -> int:
        return max(self.step, round(side / self.step) * self.step)

    def _beside(self, shape: Shape, wanted: Shape) -> Iterator[Shape]:
        """Shapes of the wanted ratio, as near as the step allows, a few steps smaller and larger."""
        for steps in range(-BESIDE, BESIDE + 1):
            side = min(shape.width, shape.height) + steps * self.step
            if side > 0 and wanted.width >= wanted.height:
                yield Shape(self._stepped(side * wanted.aspect), side, exact=True)
            elif side > 0:
                yield Shape(side, self._stepped(side / wanted.aspect), exact=True)

    def _allows(self, shape: Shape) -> bool:
        sides = (shape.width, shape.height)
        return (
            min(sides) >= self.least_side
            and max(sides) <= self.most_side
            and self.least_area <= shape.area <= self.most_area
            and max(shape.aspect, 1 / shape.aspect) <= self.widest
        )
