"""Opening a file: all migrations are applied once, or one line says why the file cannot be used."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.domain.errors import SetupError
from bot.storage import jobs, migrations
from bot.storage.sqlite import TYPES, open_sqlite
from tests.support.ledger import (
    DEFAULT_LIMIT,
    NOW,
    images_left,
    new_job,
    open_database,
    query,
)

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"


def with_another_migration(folder: Path, *statements: str) -> tuple[migrations.Migration, ...]:
    """The real migrations and one more."""
    copied = folder / "migrations"
    shutil.copytree(migrations.FOLDER, copied, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    (copied / "9000_more.sql").write_text("-- one more;\n" + "".join(f"{line};\n" for line in statements))
    return migrations.load(TYPES, copied)


async def test_a_fresh_file_has_every_table_and_lists_its_migrations(tmp_path: Path) -> None:
    async with open_database(tmp_path / "deep" / "down" / "easel.db", fresh=True) as database:
        tables = {row["name"] for row in await database.read(query(SCHEMA)) if row["type"] == "table"}
        assert tables >= {
            "jobs",
            "ledger",
            "usage",
            "spool",
            "limits",
            "provider_orders",
            "grants",
            "guilds",
            "notes",
            "migrations",
        }
        rows = await database.read(query("SELECT number, name, applied_at FROM migrations ORDER BY number"))
        assert [row["name"] for row in rows] == [file.name for file in migrations.load(TYPES)]
        assert rows[0]["applied_at"] == NOW


async def test_a_commit_is_synced_to_disk_and_deleted_rows_are_overwritten(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
        rows = {name: await database.write(query(f"PRAGMA {name}")) for name in wanted}
        found = {name: row[name] for name, [row] in rows.items()}
        assert found == wanted


async def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        schema = await database.read(query(SCHEMA))
        await database.write(jobs.accept(new_job(1), DEFAULT_LIMIT, NOW))
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        assert await database.write(migrations.apply(migrations.load(TYPES), NOW + 1)) == 0
        assert [tuple(row) for row in await database.read(query(SCHEMA))] == [tuple(row) for row in schema]
        assert await database.read(images_left()) == 9


async def test_an_added_migration_is_applied_to_a_database_in_use(tmp_path: Path) -> None:
    more = with_another_migration(
        tmp_path, "CREATE TABLE easels (id RUNNING_NUMBER)", "INSERT INTO easels VALUES (7)"
    )
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        assert await database.write(migrations.apply(more, NOW)) == 1
        assert await database.write(migrations.apply(more, NOW)) == 0
        assert [row["id"] for row in await database.read(query("SELECT id FROM easels"))] == [7]


async def test_a_migration_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    more = with_another_migration(
        tmp_path, "CREATE TABLE easels (id RUNNING_NUMBER)", "INSERT INTO nowhere VALUES (7)"
    )
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        before = [tuple(row) for row in await database.read(query(SCHEMA))]
        with pytest.raises(Exception, match="does not answer"):
            await database.write(migrations.apply(more, NOW))
        assert [tuple(row) for row in await database.read(query(SCHEMA))] == before
        assert await database.write(migrations.apply(migrations.load(TYPES), NOW)) == 0


async def test_a_migration_changed_after_it_was_applied_stops_the_start(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        await database.write(query("UPDATE migrations SET checksum = 'another' WHERE number = 1"))
    with pytest.raises(
        SetupError, match=r"0001_initial was changed after it had been applied\. Restore the file\."
    ):
        await open_sqlite(tmp_path / "easel.db", NOW)


async def test_a_database_of_a_newer_version_stops_the_start(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        await database.write(query("INSERT INTO migrations VALUES (9999, '9999_future', 'x', 0)"))
    with pytest.raises(SetupError, match=r"has 9999_future, which this version does not know\. Update Easel\."):
        await open_sqlite(tmp_path / "easel.db", NOW)


async def test_eight_processes_that_open_a_fresh_file_at_once_all_succeed(tmp_path: Path) -> None:
    databases = await asyncio.gather(*(open_sqlite(tmp_path / "easel.db", NOW) for _ in range(8)))
    rows = await databases[0].read(query("SELECT number FROM migrations"))
    assert len(rows) == len(migrations.load(TYPES))
    for database in databases:
        await database.aclose()


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("not a folder")
    return folder / "file" / "easel.db"


def a_folder(folder: Path) -> Path:
    return folder


def no_database(folder: Path) -> Path:
    (folder / "easel.db").write_text("Dear diary, " * 1000)
    return folder / "easel.db"


def damaged(folder: Path) -> Path:
    connection = sqlite3.connect(folder / "easel.db")
    connection.execute("CREATE TABLE notes (name, content)")
    connection.commit()
    connection.close()
    with (folder / "easel.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    return folder / "easel.db"


@pytest.mark.parametrize("path_in", [below_a_file, a_folder, no_database, damaged])
async def test_a_path_that_cannot_be_used_is_one_line_and_leaves_no_thread(
    tmp_path: Path, path_in: Callable[[Path], Path]
) -> None:
    path = path_in(tmp_path)
    before = set(threading.enumerate())
    with pytest.raises(SetupError) as refused:
        await open_sqlite(path, NOW)
    assert str(refused.value).startswith(f"DATABASE_URL: {path} cannot be used (")
    assert "\n" not in str(refused.value)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread


async def test_a_start_that_is_refused_leaves_no_thread_and_no_lock(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        await database.write(query("INSERT INTO migrations VALUES (9999, '9999_future', 'x', 0)"))
    before = set(threading.enumerate())
    with pytest.raises(SetupError):
        await open_sqlite(tmp_path / "easel.db", NOW)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread
    other = sqlite3.connect(tmp_path / "easel.db", timeout=0)
    other.execute("DELETE FROM migrations WHERE number = 9999")
    other.commit()
    other.close()
    async with open_database(tmp_path / "easel.db", fresh=True) as database:
        assert await database.read(images_left()) == 10


async def test_a_start_that_is_cancelled_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    for turns in (0, *(2**power for power in range(15))):
        starting = asyncio.create_task(open_sqlite(tmp_path / f"{turns}.db", NOW))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled():
            await starting.result().aclose()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread
