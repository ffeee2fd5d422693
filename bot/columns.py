"""Columns of text, as `doctor` and `models` print them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Self

GAP = "  "
"""Between two columns."""
TOGETHER = "\N{NO-BREAK SPACE}"
"""In the place of a space at which a line is not to be broken."""


FRESH = 1800.0
"""Seconds for which what was told counts as just told."""


def ago(seconds: float) -> str:
    """How long ago something was told, after a space; nothing where it was just told."""
    if seconds < FRESH:
        return ""
    hours = round(seconds / 3600)
    return f" {max(1, hours)} h ago" if hours < 48 else f" {hours // 24} days ago"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows of text below each other; `widths` in characters, of each column but the last."""

    widths: tuple[int, ...]
    indent: int = 0
    total: int | None = None
    """Characters of a line, beyond which the last column is wrapped; None does not wrap it."""

    @classmethod
    def of(cls, rows: Iterable[Sequence[str]], *, indent: int = 0, total: int | None = None) -> Self:
        """As wide as all of these rows need, so that they can be printed in groups."""
        cells = zip_longest(*(row[:-1] for row in rows), fillvalue="")
        return cls(widths=tuple(max(map(len, column)) for column in cells), indent=indent, total=total)

    def lines(self, row: Sequence[str]) -> Iterator[str]:
        """A row, in more than one line where its last column is wrapped."""
        *cells, last = row
        start = " " * self.indent
        start += "".join(f"{cell:{width}}{GAP}" for cell, width in zip(cells, self.widths, strict=True))
        room = None if self.total is None else max(1, self.total - len(start))
        for number, part in enumerate((textwrap.wrap(last, room) if room and last else None) or [last]):
            yield f"{start if number == 0 else ' ' * len(start)}{part}".rstrip().replace(TOGETHER, " ")
