"""The table of cases by variant, printed once all have run, on any worker of pytest-xdist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "contract"
INSTEAD = "contract instead"
KEPT, BROKEN, NOT_RUN = "✓", "✗", "·"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The outcome of one case for one variant; `instead` is why it cannot exist there."""

    row: int
    case: str
    column: int
    service: str
    mode: str
    failed: bool
    instead: str = ""


def cells(stats: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """The cells in a terminal reporter's reports."""
    cells_by_place: dict[tuple[int, int], Cell] = {}
    for outcome in ("passed", "failed", "error"):
        for report in stats.get(outcome, ()):
            properties = dict(getattr(report, "user_properties", ()))
            if NAME in properties:
                cell = Cell(**properties[NAME], failed=outcome != "passed", instead=properties.get(INSTEAD, ""))
                cells_by_place[cell.row, cell.column] = cell
    return sorted(cells_by_place.values(), key=lambda cell: (cell.row, cell.column))


def table(outcomes: Iterable[Cell]) -> list[str]:
    """Rows are cases, columns are variants, and reasons are notes below."""
    known = list(outcomes)
    columns = {cell.column: (cell.service, cell.mode) for cell in sorted(known, key=lambda cell: cell.column)}
    rows = {cell.row: cell.case for cell in known}
    notes: dict[str, int] = {}
    marks: dict[tuple[int, int], str] = {}
    for cell in known:
        mark = KEPT
        if cell.failed:
            mark = BROKEN
        elif cell.instead:
            mark = str(notes.setdefault(cell.instead, len(notes) + 1))
        marks[cell.row, cell.column] = mark
    wide = max(map(len, rows.values()), default=0)
    widths = {column: max(map(len, names)) + 2 for column, names in columns.items()}
    lines = [
        " " * wide + "".join(f"{columns[column][half]:>{width}}" for column, width in widths.items())
        for half in (0, 1)
    ]
    lines.append("─" * (wide + sum(widths.values())))
    lines += [
        f"{case:<{wide}}"
        + "".join(f"{marks.get((row, column), NOT_RUN):>{width}}" for column, width in widths.items())
        for row, case in rows.items()
    ]
    lines.append("")
    passed = sum(mark == KEPT for mark in marks.values())
    broken = sum(mark == BROKEN for mark in marks.values())
    lines.append(
        f"{KEPT} kept: {passed}   {BROKEN} broken: {broken}   cannot exist there: {len(marks) - passed - broken}"
    )
    lines += [f"{number:>3}  {reason}" for reason, number in notes.items()]
    return lines
