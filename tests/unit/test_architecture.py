"""The map in `bot/__init__.py`, the table in docs/architecture.md and the folders say the same."""

from __future__ import annotations

import re
import tomllib
from collections import Counter

import pytest

import bot
from tests.support.world.world import ROOT

MOST_FILES = 20
"""Python files in a folder: more, and a reader has to scroll."""

NOT_OURS = {"AsyncClient", "ConnectError", "ConnectTimeout", "PoolTimeout"}
"""httpx's classes, which the pages name as well."""

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def rooms() -> set[str]:
    """The packages and modules of `bot/`."""
    found = {path.stem for path in (ROOT / "bot").glob("*.py")} | {
        path.parent.name for path in (ROOT / "bot").glob("*/__init__.py")
    }
    return found - {"__init__"}


def test_the_map_names_every_room_once() -> None:
    names = re.findall(r"^(\w+) {2,}\S", bot.__doc__ or "", re.MULTILINE)
    assert Counter(names) == Counter(rooms())


def test_the_architecture_page_describes_every_room_and_every_folder_of_tests() -> None:
    named = {
        name.removesuffix(".py") for name in re.findall(r"^\| `bot/(\w+(?:\.py)?)/?`", ARCHITECTURE, re.MULTILINE)
    }
    assert named == rooms() - {"__main__"}
    tests = set(re.findall(r"^\| `tests/(\w+)/`", ARCHITECTURE, re.MULTILINE))
    assert tests == {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}


def test_every_path_that_a_page_names_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        paths = re.findall(r"`((?:bot|cogs|tests|docs|migrations|benchmarks)/[\w./-]*)`", page.read_text("utf-8"))
        missing = [path for path in paths if not (ROOT / path).exists() and "acme" not in path]
        assert not missing, page.name


def test_every_class_that_a_page_names_exists() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "bot").rglob("*.py"))
    for page in (ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        names = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)\b", page.read_text("utf-8"))
        own = [name for name in names if name not in NOT_OURS and "Acme" not in name]
        assert [name for name in own if f"class {name}" not in code] == [], page.name


def test_every_room_has_its_layer() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    named = {name.strip() for layer in layers for name in layer.split("|")}
    assert named == rooms() - {"sandbox"}


@pytest.mark.parametrize("folder", ["bot", "cogs", "tests", "benchmarks"])
def test_no_folder_holds_more_files_than_a_reader_takes_in(folder: str) -> None:
    counts = Counter(path.parent for path in (ROOT / folder).rglob("*.py"))
    assert {str(path): count for path, count in counts.items() if count > MOST_FILES} == {}
