"""What providers say of their models is there after a restart."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from bot.domain.providers import ModelStatus
from bot.storage import model_statuses
from tests.support.ledger import NOW, open_database

STATUS = ModelStatus(
    model="gpt-image-2",
    gone=False,
    available_until=date(2027, 3, 1),
    prices={"low": {"1k": 4_000, "4k": 35_000}, "high": {"1k": 130_000}},
    fields={"imagine": frozenset({"prompt", "quality"}), "edit": frozenset()},
    told_at=NOW,
    priced_at=NOW - 5,
)


async def test_all_of_it_is_read_again(tmp_path: Path) -> None:
    silent = ModelStatus(model="gpt-image-1.5")
    saved = {("oxen", "gpt-image-2"): STATUS, ("fal", "gpt-image-1.5"): silent}
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.read(model_statuses.all_statuses()) == {}
        await database.write(model_statuses.save(saved))
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.read(model_statuses.all_statuses()) == saved
        dearer = replace(STATUS, prices={"low": {"1k": 9_000}}, priced_at=NOW)
        await database.write(model_statuses.save({("oxen", "gpt-image-2"): dearer}))
        assert await database.read(model_statuses.all_statuses()) == saved | {("oxen", "gpt-image-2"): dearer}


async def test_what_is_not_said_stays_as_another_process_has_written_it(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(model_statuses.save({("oxen", "gpt-image-2"): STATUS}))
        only_served = ModelStatus(model="gpt-image-2", gone=False, told_at=NOW + 9, priced_at=1)
        await database.write(model_statuses.save({("oxen", "gpt-image-2"): only_served}))
        known = (await database.read(model_statuses.all_statuses()))["oxen", "gpt-image-2"]
        assert known == replace(STATUS, told_at=NOW + 9, available_until=None)


@pytest.mark.parametrize("model", ["gpt-image-2", "a:b:c", "50%_off"])
async def test_a_retired_model_stays_retired_until_the_provider_says_that_it_has_it(
    tmp_path: Path, model: str
) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(model_statuses.save({("oxen", model): replace(STATUS, model=model)}))
        for provider in ("fal", "oxen", "oxen"):
            await database.write(model_statuses.retire(provider, model, NOW + 1))
    async with open_database(tmp_path / "easel.db") as database:

        async def gone() -> dict[tuple[str, str], bool | None]:
            statuses = await database.read(model_statuses.all_statuses())
            assert statuses["oxen", model].prices == STATUS.prices
            return {pair: status.gone for pair, status in statuses.items()}

        assert await gone() == {("fal", model): True, ("oxen", model): True}
        # Another process that could not ask leaves it as it is.
        await database.write(model_statuses.save({("oxen", model): replace(STATUS, model=model, gone=None)}))
        assert (await gone())["oxen", model] is True
        await database.write(model_statuses.save({("oxen", model): replace(STATUS, model=model)}))
        assert await gone() == {("fal", model): True, ("oxen", model): False}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("prices", text) for text in ("", "null", "{", '{"low": 5}', '{"low": {"1k": "dear"}}', "[]")),
        *(("fields", text) for text in ("", "null", '{"imagine": 5}', '{"upscale": ["prompt"]}')),
        *(("gone", "perhaps"), ("available_until", "soon"), ("told_at", "x"), ("prices", b"\xff")),
    ],
)
async def test_a_row_that_cannot_be_read_is_as_if_nothing_had_been_said(
    tmp_path: Path, column: str, value: str | bytes
) -> None:
    path = tmp_path / "easel.db"
    saved = {("oxen", "gpt-image-2"): STATUS, ("fal", "gpt-image-2"): STATUS}
    async with open_database(path) as database:
        await database.write(model_statuses.save(saved))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE model_statuses SET {column} = ? WHERE provider = 'oxen'", (value,))  # noqa: S608
    async with open_database(path) as database:
        assert set(await database.read(model_statuses.all_statuses())) == {("fal", "gpt-image-2")}
        await database.write(model_statuses.save(saved))
        assert await database.read(model_statuses.all_statuses()) == saved
