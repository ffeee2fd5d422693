"""The writer: units that share a commit share no failure, and no result is set before it is on the disk."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.domain.errors import NotFound, StorageError
from bot.domain.jobs import AcceptedJob
from bot.domain.requests import ImageRequest
from bot.ports import Unit
from bot.storage import jobs, notes
from bot.storage.sqlite import GROUP, Sqlite, open_sqlite
from tests.support.ledger import (
    DEFAULT_LIMIT,
    NOW,
    assert_balanced,
    new_job,
    open_database,
    query,
    requester,
)

PLENTY = 1_000_000_000


def pages(most: int) -> Unit[int]:
    """Let the writer's file grow to so many pages and no further; returns how many it has."""
    yield f"PRAGMA max_page_count = {most}", ()
    rows = yield "PRAGMA page_count", ()
    count: int = rows[0]["page_count"]
    return count


def write_and_raise(name: str, error: Exception) -> Unit[None]:
    """Writes something, then fails."""
    yield from notes.write(name, "written")
    raise error


def increment(name: str) -> Unit[int]:
    """Adds one to the number in a note."""
    before = int((yield from notes.read(name)) or 0)
    yield from notes.write(name, str(before + 1))
    return before + 1


async def at_once(database: Sqlite, *units: Unit[object]) -> list[object]:
    """Queue all units before the writer takes the first."""
    return await asyncio.gather(*(database.write(unit) for unit in units), return_exceptions=True)


async def names(database: Sqlite) -> list[str]:
    return [row["name"] for row in await database.read(query("SELECT name FROM notes ORDER BY name"))]


async def test_a_unit_that_raises_rolls_back_only_itself(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        results = await at_once(
            database,
            notes.write("a", "1"),
            write_and_raise("b", NotFound("gone")),
            notes.write("c", "1"),
            write_and_raise("d", ValueError("a bug")),
            notes.write("e", "1"),
        )
        assert [type(result) for result in results] == [type(None), NotFound, type(None), ValueError, type(None)]
        assert await names(database) == ["a", "c", "e"]


async def test_a_statement_that_the_database_refuses_rolls_back_only_its_unit(tmp_path: Path) -> None:
    def broken() -> Unit[None]:
        yield from notes.write("b", "1")
        yield "INSERT INTO notes (name, content) VALUES ('b', 'twice')", ()

    async with open_database(tmp_path / "easel.db") as database:
        results = await at_once(database, notes.write("a", "1"), broken(), notes.write("c", "1"))
        assert isinstance(results[1], RuntimeError)
        assert "UNIQUE" in str(results[1])
        assert await names(database) == ["a", "c"]


async def test_units_run_one_after_the_other_in_the_order_they_were_queued(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        results = await at_once(database, *(increment("n") for _ in range(3 * GROUP)))
        assert results == list(range(1, 3 * GROUP + 1))


async def test_rows_that_a_unit_read_are_unchanged_when_it_writes(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as one, open_database(tmp_path / "easel.db") as two:
        results = await asyncio.gather(
            *(database.write(increment("n")) for _ in range(50) for database in (one, two))
        )
        for _ in range(50):
            results += await asyncio.gather(one.write(increment("n")), two.write(increment("n")))
        assert sorted(results) == list(range(1, 201))


async def test_a_full_disk_fails_the_whole_group_and_the_next_group_works(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(notes.write("before", "1"))
        await database.write(pages(1))
        results = await at_once(
            database,
            notes.write("small", "1"),
            notes.write("large", "x" * 100_000),
            notes.write("never tried", "1"),
        )
        assert [type(result) for result in results] == [StorageError] * 3
        assert await names(database) == ["before"]
        await database.write(pages(PLENTY))
        await database.write(notes.write("after", "x" * 100_000))
        assert await names(database) == ["after", "before"]


@pytest.mark.parametrize("room", range(9))
async def test_wherever_the_disk_becomes_full_only_accepted_jobs_are_stored(tmp_path: Path, room: int) -> None:
    chance = random.Random(room)
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(pages(await database.write(pages(PLENTY)) + room))
        accepted: set[int] = set()
        for first in range(1, 200, 20):
            units = []
            for number in range(first, first + 20):
                request = ImageRequest(prompt="x" * chance.randint(1, 3000), model="m")
                new = new_job(number, by=requester(number), request=request)
                units.append(jobs.accept(new, DEFAULT_LIMIT, NOW + number * 3_600_000))
            results = await at_once(database, *units)
            assert {type(result) for result in results} <= {StorageError, AcceptedJob}
            accepted |= {first + place for place, result in enumerate(results) if type(result) is not StorageError}
        stored = {row["id"] for row in await database.read(query("SELECT id FROM jobs"))}
        assert stored == accepted
        assert len(stored) < 200
        await assert_balanced(database)


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    """Make the operating system refuse writes beyond `size` bytes, as a broken disk would."""
    import resource  # Unix alone has it

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="only Unix can limit the size of files")
async def test_a_commit_that_fails_fails_the_whole_group(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(notes.write("before", "1"))
        with no_file_may_grow_beyond((tmp_path / "easel.db-wal").stat().st_size):
            results = await at_once(database, notes.write("a", "1"), notes.write("b", "1"))
        assert [type(result) for result in results] == [StorageError] * 2
        assert await names(database) == ["before"]
        await database.write(notes.write("after", "1"))
        assert await names(database) == ["after", "before"]


async def test_a_commit_that_the_engine_refuses_leaves_no_transaction_open(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(
            query("CREATE TABLE child (name TEXT REFERENCES notes (name) DEFERRABLE INITIALLY DEFERRED)")
        )
        orphan = query("INSERT INTO child VALUES ('missing')")
        results = await at_once(database, notes.write("a", "1"), orphan)
        assert [type(result) for result in results] == [StorageError] * 2
        await database.write(notes.write("b", "1"))
        assert await names(database) == ["b"]


async def test_a_file_that_is_locked_is_a_storage_error_and_works_once_it_is_unlocked(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(query("PRAGMA busy_timeout = 50"))
        other = sqlite3.connect(tmp_path / "easel.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError):
            await database.write(notes.write("a", "1"))
        other.close()
        await database.write(notes.write("b", "1"))
        assert await names(database) == ["b"]


async def test_the_unit_of_a_cancelled_caller_is_committed(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        callers = [asyncio.create_task(database.write(notes.write(name, "1"))) for name in "abc"]
        await asyncio.sleep(0)
        callers[1].cancel()
        await asyncio.wait(callers)
        assert [caller.cancelled() for caller in callers] == [False, True, False]
        assert await names(database) == ["a", "b", "c"]


async def test_a_caller_cancelled_while_its_unit_runs_does_not_affect_others(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        for number in range(40):
            caller = asyncio.create_task(database.write(notes.write(f"{number:02}", "1")))
            for _ in range(number % 8):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait([caller])
        await database.write(notes.write("last", "1"))
        stored = await names(database)
        assert stored[-1] == "last"
        assert len(stored) >= 30


async def test_closing_commits_all_that_was_queued(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    database = await open_sqlite(path, NOW)
    callers = [asyncio.create_task(database.write(increment("n"))) for _ in range(2 * GROUP)]
    await asyncio.sleep(0)
    await database.aclose()
    assert sorted([await caller for caller in callers]) == list(range(1, 2 * GROUP + 1))
    async with open_database(path) as again:
        assert await again.read(notes.read("n")) == str(2 * GROUP)


async def test_a_cancelled_close_leaves_no_caller_without_a_result(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "easel.db", NOW)
    callers = [asyncio.create_task(database.write(increment("n"))) for _ in range(4 * GROUP)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(database.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    async with asyncio.timeout(10):
        results = await asyncio.gather(*callers, return_exceptions=True)
    done = [result for result in results if isinstance(result, int)]
    assert {type(result) for result in results} <= {int, StorageError}
    async with open_database(tmp_path / "easel.db") as again:
        assert await again.read(notes.read("n")) == (str(max(done)) if done else None)


async def test_after_closing_reads_and_writes_fail(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "easel.db", NOW)
    await database.aclose()
    with pytest.raises(StorageError):
        await database.write(notes.write("a", "1"))
    with pytest.raises(StorageError):
        await database.read(notes.read("a"))
    await database.aclose()


async def test_a_read_sees_all_that_was_committed_before_it(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:

        async def write_and_look(number: int) -> None:
            name = str(number)
            await database.write(notes.write(name, "old"))
            assert await database.read(notes.read(name)) == "old"
            await database.write(notes.write(name, "new"))
            assert await database.read(notes.read(name)) == "new"

        await asyncio.gather(*(write_and_look(number) for number in range(100)))


async def test_a_read_sees_one_snapshot(tmp_path: Path) -> None:
    def two_reads() -> Unit[tuple[str | None, str | None]]:
        first = yield from notes.read("n")
        for _ in range(200):
            yield "SELECT COUNT(*) FROM notes", ()
        return first, (yield from notes.read("n"))

    async with open_database(tmp_path / "easel.db") as database:
        await database.write(increment("n"))
        looking = [asyncio.create_task(database.read(two_reads())) for _ in range(20)]
        await at_once(database, *(increment("n") for _ in range(200)))
        assert all(first == second for first, second in [await look for look in looking])


async def test_a_read_cannot_write(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        with pytest.raises(StorageError):
            await database.read(notes.write("a", "1"))
        assert await names(database) == []


async def test_a_reader_can_be_used_again_after_a_failure(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        for _ in range(10):
            with pytest.raises(NotFound):
                await database.read(jobs.get(404))
            with pytest.raises(StorageError):
                await database.read(query("SELECT * FROM nowhere"))
        assert await names(database) == []


async def test_wake_ends_a_wait_for_work(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        waiting = asyncio.create_task(database.wait_for_work(60))
        await asyncio.sleep(0)
        database.wake()
        async with asyncio.timeout(5):
            await waiting
            database.wake()
            await database.wait_for_work(60)
            await database.wait_for_work(0.001)


async def test_nothing_stays_open(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with open_database(tmp_path / "easel.db") as database:
            await at_once(database, notes.write("a", "1"), write_and_raise("b", NotFound()))
            await names(database)
        del database
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
    assert [path.name for path in tmp_path.iterdir()] == ["easel.db"]  # noqa: ASYNC240 - a handful of names
