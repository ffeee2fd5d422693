"""The table of case by way, printed once all have run, on whichever worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "contract"
INSTEAD = "contract instead"
KEPT, BROKEN, NOT_RUN = "✓", "✗", "·"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What became of one case in one way; `instead` is why it cannot exist there."""

    row: int
    case: str
    column: int
    service: str
    manner: str
    failed: bool
    instead: str = ""


def cells(stats: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """The cells that a terminal reporter's reports tell of."""
    found: dict[tuple[int, int], Cell] = {}
    for outcome in ("passed", "failed", "error"):
        for report in stats.get(outcome, ()):
            said = dict(getattr(report, "user_properties", ()))
            if NAME in said:
                cell = Cell(**said[NAME], failed=outcome != "passed", instead=said.get(INSTEAD, ""))
                found[cell.row, cell.column] = cell
    return sorted(found.values(), key=lambda cell: (cell.row, cell.column))


def table(found: Iterable[Cell]) -> list[str]:
    """Rows are cases, columns are ways, and reasons are notes below."""
    known = list(found)
    columns = {cell.column: (cell.service, cell.manner) for cell in sorted(known, key=lambda cell: cell.column)}
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
    kept = sum(mark == KEPT for mark in marks.values())
    broken = sum(mark == BROKEN for mark in marks.values())
    lines.append(
        f"{KEPT} kept: {kept}   {BROKEN} broken: {broken}   cannot exist there: {len(marks) - kept - broken}"
    )
    lines += [f"{number:>3}  {reason}" for reason, number in notes.items()]
    return lines
