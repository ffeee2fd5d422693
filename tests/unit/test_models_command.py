"""`python -m bot models` as an operator uses it: the table, and the check of a file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.catalog.catalog import Catalog
from bot.catalog.summary import told_price
from bot.domain.clock import real_time
from bot.domain.providers import ModelStatus
from bot.models import lines, rows
from bot.providers.registry import LABELS
from bot.settings import Settings
from bot.storage import model_statuses
from bot.storage.sqlite import open_sqlite
from tests.support.ledger import NOW
from tests.support.routing import flat_prices
from tests.support.world.world import ROOT

FLARE = "gpt-image-2.5-flare"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)


def written(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    """What the command prints; with another exit code, what it prints to standard error."""
    assert main(["models", *arguments]) == code
    output, errors = capsys.readouterr()
    assert not (output if code else errors)
    return (errors if code else output).splitlines()


def cells(found: Sequence[str], heading: str) -> list[list[str]]:
    """The rows below a model's heading, where nothing is wrapped."""
    start = next(number for number, line in enumerate(found) if line.startswith(heading))
    rest = found[start + 1 :]
    end = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return [line.split() for line in rest[:end]]


def test_without_any_setting_it_shows_the_whole_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys)
    catalog = Catalog.load()
    caption, *headings = [line for line in found if not line.startswith(" ")]
    assert caption == "The price of one square picture of medium quality."
    assert headings == [f"{model.label} ({model.name})" for model in catalog.models]
    assert sum("no key" in line for line in found) == sum(len(model.offers) for model in catalog.models)
    assert max(map(len, found)) <= 100
    assert list(Path().iterdir()) == [], "it only looks"


def test_the_readme_has_the_preferred_models_with_their_prices() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    start = next(number for number, cells in enumerate(table) if cells[:2] == ["model", "good for"])
    catalog = Catalog.load()
    services = [next(name for name, label in LABELS.items() if label == cell) for cell in table[start][2:]]
    for model, cells in zip(map(catalog.model, catalog.order), table[start + 2 :], strict=False):
        prices = (told_price(model.offer(name), None) if name in model.providers else "" for name in services)
        assert cells == [model.label, model.good_for, *map(str, prices)]


def test_a_narrow_terminal_breaks_no_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = printed(capsys)
    assert max(map(len, found)) <= 80


def test_a_row_says_what_the_model_can_do_there_and_for_how_much(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", "id:secret")
    monkeypatch.setenv("COLUMNS", "120")
    found = printed(capsys, "gpt-image-2.5-flare", "GPT Image 1.5")
    flare = cells(found, "GPT Image 2.5 Flare")[0]
    assert " ".join(flare) == (
        "fal $0.0132 catalogue not asked edit, mask, transparent, max quality, 10 at once, to 4k"
    )
    fal, _, oxen = cells(found, "GPT Image 1.5")
    assert " ".join(fal) == (
        "fal $0.034 catalogue not asked 1 Dec 2026 edit, mask, transparent, fidelity, 4 at once"
    )
    assert " ".join(oxen).startswith("Oxen $0.133 assumed no key 1 Dec 2026")
    assert "GPT Image 2 (gpt-image-2)" not in found


def test_what_the_operator_leaves_out_is_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "FAL_KEY": "id:secret",
        "LUMENFALL_API_KEY": "key",
        "MODELS": "gpt-image-2",
        "SERVICE_ORDER": "gpt-image-2=lumenfall",
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(name, value)
    found = printed(capsys)
    assert [row[3] for row in cells(found, "GPT Image 2 (")] == ["off", "not", "off"]
    assert {row[3] for row in cells(found, "GPT Image 2.5 Flare")} == {"off"}


def test_what_a_service_told_counts_and_the_catalogues_price_stands_beside_it() -> None:
    catalog = Catalog.load()
    prices = {"medium": {"1024x1024": 20_000}}
    until = date(2027, 3, 1)
    told = ModelStatus(
        model=FLARE, gone=False, prices=prices, priced_at=NOW - 3 * 3_600_000, available_until=until
    )
    [fal, oxen, *_] = rows(catalog, {("fal", FLARE): told}, ["fal"])
    assert fal.cells[:5] == ("fal", "$0.02", "service", "served", "1 Mar 2027")
    assert fal.remark == "the catalogue has $0.0132"
    assert (oxen.source, oxen.state) == ("catalogue", "no key")
    later = rows(catalog, {("fal", FLARE): told}, ["fal"], now=NOW)[0]
    assert later.source == "service 3 h ago"
    near = replace(told, prices={"medium": {"1024x1024": 13_500}}, gone=True)
    fal = rows(catalog, {("fal", FLARE): near}, ["fal"])[0]
    assert (fal.state, fal.source, fal.remark) == ("gone", "service", "")
    assert all(len(line) <= 80 for line in lines([fal], 80))


def test_a_list_of_prices_replaces_an_assumed_one() -> None:
    catalog = Catalog.load()
    told = ModelStatus(model="gpt-image-1.5", gone=False, prices=flat_prices(40_000))
    found = rows(catalog, {("oxen", "gpt-image-1.5"): told}, ["oxen"])
    oxen = next(row for row in found if (row.model.name, row.service) == ("gpt-image-1.5", "Oxen"))
    assert (str(oxen.price), oxen.source, oxen.remark) == ("$0.04", "service", "")


async def write_retired(path: Path) -> None:
    database = await open_sqlite(path, real_time())
    await database.write(model_statuses.retire("fal", FLARE, real_time()))
    await database.aclose()


def test_what_a_bot_has_noted_here_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(write_retired(Path("data/easel.db")))
    before = Path("data/easel.db").read_bytes()
    fal, oxen = cells(printed(capsys, FLARE), "GPT Image 2.5 Flare")[0:3:2]
    assert (fal[3], oxen[3:5]) == ("gone", ["no", "key"])
    assert Path("data/easel.db").read_bytes() == before
    assert not list(Path("data").glob("*-wal"))


async def test_it_reads_beside_a_bot_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    database = await open_sqlite(Path("data/easel.db"), real_time())
    await database.write(model_statuses.retire("oxen", FLARE, real_time()))
    found = await asyncio.to_thread(printed, capsys, FLARE)
    await database.aclose()
    assert [row[3] for row in cells(found, "GPT Image 2.5 Flare")[::2]] == ["no", "gone"]


def test_a_database_without_tables_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    Path("data/easel.db").touch()
    assert not any("gone" in line for line in printed(capsys))


def test_a_database_that_is_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{written('notes.txt', 'milk, eggs ' * 50)}")
    [line] = printed(capsys, code=78)
    assert line.startswith("easel: DATABASE_URL: notes.txt cannot be read")


def test_an_unknown_model_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = printed(capsys, "gpt-image-9", code=1)
    assert "gpt-image-9" in line


def test_a_files_changes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    first = written(
        "first.toml",
        'order = ["gpt-image-2", "gpt-image-1.5"]\n[[models]]\nname = "gpt-image-1"\nremoved = true\n'
        '[[models]]\nname = "gpt-image-2"\nlabel = "Two"\n'
        '[[models.offers]]\nprovider = "oxen"\nremoved = true\n'
        '[[models.offers]]\nprovider = "fal"\n[models.offers.prices.picture]\nmedium = { 1024x1024 = 120000 }\n',
    )
    second = written(
        "second.toml",
        '[[models]]\nname = "two-more"\nlabel = "Two more"\n'
        '[[models.offers]]\nprovider = "fal"\nlike = "gpt-image-2"\n'
        '[[models]]\nname = "gpt-image-1.5"\n'
        '[[models.offers]]\nprovider = "oxen"\nmodel = "other"\nedit = false\n',
    )
    found = printed(capsys, "--check", first, second)
    assert found[0] == "No mistake. Laid over Easel's own catalogue:"
    named = [line.strip() for line in found[1:]]
    assert "changes Two (gpt-image-2): label" in named
    assert "takes out Two at Oxen" in named
    assert "changes GPT Image 1.5 at Oxen: model, edit" in named
    assert "takes out GPT Image 1 (gpt-image-1)" in named
    assert "changes Two at fal: prices.picture.medium (a medium square $0.12, was $0.053)" in named
    [added] = [line for line in named if line.startswith("adds")]
    assert added.startswith("adds Two more (two-more) at fal: $0.1")
    assert added.endswith("a medium square, edit, mask, transparent, 4 at once, to 4k")
    assert "prefers Two, then GPT Image 1.5, then the others" in named


def test_a_file_that_changes_nothing_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--check", written("empty.toml", "")) == ["No mistake, and nothing changes."]


def test_every_mistake_is_a_line_and_no_setting_is_looked_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    mistaken = written(
        "mine.toml",
        '[[models]]\nname = "x"\n[[models.offers]]\nprovider = "acme"\n[[models.offers]]\nprovider = "y"\n',
    )
    assert printed(capsys, "--check", mistaken, "missing.toml", code=78) == [
        "easel: mine.toml is not valid at models.x.offers.acme: "
        "Easel knows no service acme; choose fal, lumenfall, oxen.",
        "easel: mine.toml is not valid at models.x.offers.y: "
        "Easel knows no service y; choose fal, lumenfall, oxen.",
        "easel: missing.toml cannot be read: No such file or directory.",
    ]


def test_a_mistake_in_catalog_files_is_said_by_the_table_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOG_FILES", written("mine.toml", '[[models]]\nname = "x"\nlable = "X"\n'))
    assert any("perhaps label is meant" in line for line in printed(capsys, code=78))


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    schema = json.loads("\n".join(printed(capsys, "--schema")))
    assert schema["definitions"]["Offer"]["properties"]["provider"]["enum"] == ["fal", "lumenfall", "oxen"]
