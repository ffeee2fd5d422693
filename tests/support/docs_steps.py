"""Follows a page of the docs: carries out its steps in a copy of the project.

A step is a line that names a file, and the block below it:

    **New file** `path`
    **In** `path`, **below** `the beginning of a line`         (**below each**: of every such line)
    **In** `path`, **in the place of** `the beginning of a line`
    **In** `path`, **at the end**

A command is a line of a block of the kind `console` that begins with a dollar; what it prints is below it.
"""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

CONSOLE = re.compile(r"^```console\n(?P<block>.*?)```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(
    r"^\*\*(?:New file|In)\*\* `(?P<path>[^`]+)`"
    r"(?P<where>, \*\*at the end\*\*|, \*\*(?:below(?P<each> each)?|(?P<instead>in the place of))\*\*"
    r" `+(?P<line>.+?)`+)?\n\n"
    r"```\w*\n(?P<block>.*?)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of one file. Without `line` and `at_the_end`, the file is new."""

    path: str
    block: str
    line: str | None
    each: bool
    at_the_end: bool
    instead: bool

    def carry_out(self, tree: Path) -> None:
        """Change the file in a copy of the project."""
        path = tree / self.path
        if self.at_the_end:
            path.write_text(f"{path.read_text('utf-8').rstrip()}\n\n{self.block}", "utf-8")
        elif self.line is not None:
            path.write_text(self._inserted(path), "utf-8")
        else:
            assert not path.exists(), f"{self.path} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.block, "utf-8")

    def _inserted(self, path: Path) -> str:
        text = path.read_text("utf-8")
        lines = text.splitlines(keepends=True)
        found = [number for number, line in enumerate(lines) if line.startswith(self.line or "")]
        assert found, f"{self.path} has no line that begins with {self.line}"
        assert self.each or len(found) == 1, f"{self.path} has several lines that begin with {self.line}"
        ends = _statement_ends(text) if path.suffix == ".py" else {}
        for number in reversed(found):
            end = ends.get(number, number) + 1
            lines[number if self.instead else end : end] = [self.block]
        return "".join(lines)


def _statement_ends(text: str) -> dict[int, int]:
    """The last line of each statement of a module or a class, by its first; both counted from 0."""
    tree = ast.parse(text)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {node.lineno - 1: (node.end_lineno or node.lineno) - 1 for body in bodies for node in body}


def steps(page: str) -> list[Step]:
    """The steps of a page, in order."""
    return [
        Step(
            path=match["path"],
            block=match["block"],
            line=match["line"],
            each=match["each"] is not None,
            at_the_end="at the end" in (match["where"] or ""),
            instead=match["instead"] is not None,
        )
        for match in STEP.finditer(page)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as a page shows it, and what it prints there."""

    line: str
    output: str


def steps_and_commands(page: str) -> list[Step | Command]:
    """All that a page has its reader do, in order."""
    found: list[tuple[int, Step | Command]] = []
    found += zip((match.start() for match in STEP.finditer(page)), steps(page), strict=True)
    for match in CONSOLE.finditer(page):
        for part in re.split(r"^\$ ", match["block"], flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append((match.start(), Command(line=line, output=output)))
    return [each for _, each in sorted(found, key=lambda placed: placed[0])]


def copy_project(root: Path, tree: Path) -> Path:
    """A copy of what makes Easel; returns it."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("bot", "cogs", "migrations"):
        shutil.copytree(root / folder, tree / folder, ignore=ignored)
    for name in ("README.md", ".env.example", "pyproject.toml"):
        shutil.copy(root / name, tree / name)
    return tree
