"""Amounts of money and of pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in micro-dollars: `Money(134_000)` is $0.134."""

    micros: int = 0

    def __add__(self, other: Money) -> Money:
        return Money(self.micros + other.micros)

    def __sub__(self, other: Money) -> Money:
        return Money(self.micros - other.micros)

    def __mul__(self, count: int) -> Money:
        return Money(self.micros * count)

    def share(self, part: int, whole: int) -> Money:
        """The share of `part` in `whole`, rounded up."""
        return Money(-(-self.micros * part // whole))

    @property
    def precise(self) -> str:
        """Dollars to the nearest hundredth of a cent, for operators: $0.0132, $0.05."""
        dollars = f"{self.micros / 1_000_000:,.4f}"
        return f"${dollars.removesuffix('00') if dollars.endswith('00') else dollars.removesuffix('0')}"

    def __str__(self) -> str:
        """Dollars with at least two decimals, and a third where it matters: $0.13, $0.034."""
        thousandths = -(-self.micros // 1000)
        dollars = f"${thousandths / 1000:,.3f}"
        return dollars.removesuffix("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An amount in both units that limits know."""

    images: int = 0
    money: Money = Money()
