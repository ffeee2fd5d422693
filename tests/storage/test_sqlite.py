"""The writer: who shares a commit shares no fault, and nobody is told "done" before it is on the disk."""

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
from tests.support.ledger import DEFAULT, NOW, asked, assert_balanced, opened, query, requester

PLENTY = 1_000_000_000


def pages(most: int) -> Unit[int]:
    """Let the writer's file grow to so many pages and no further; returns how many it has."""
    yield f"PRAGMA max_page_count = {most}", ()
    rows = yield "PRAGMA page_count", ()
    count: int = rows[0]["page_count"]
    return count


def noted_and_then(name: str, fault: Exception) -> Unit[None]:
    """Writes something, then fails."""
    yield from notes.write_note(name, "written")
    raise fault


def counted(name: str) -> Unit[int]:
    """Adds one to a number that is kept under a name."""
    before = int((yield from notes.note(name)) or 0)
    yield from notes.write_note(name, str(before + 1))
    return before + 1


async def at_once(database: Sqlite, *units: Unit[object]) -> list[object]:
    """Queue them all before the writer takes the first."""
    return await asyncio.gather(*(database.write(unit) for unit in units), return_exceptions=True)


async def names(database: Sqlite) -> list[str]:
    return [row["name"] for row in await database.read(query("SELECT name FROM notes ORDER BY name"))]


async def test_a_refusal_in_a_group_takes_only_itself_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        answers = await at_once(
            database,
            notes.write_note("a", "1"),
            noted_and_then("b", NotFound("gone")),
            notes.write_note("c", "1"),
            noted_and_then("d", ValueError("a bug")),
            notes.write_note("e", "1"),
        )
        assert [type(answer) for answer in answers] == [type(None), NotFound, type(None), ValueError, type(None)]
        assert await names(database) == ["a", "c", "e"]


async def test_a_statement_that_the_database_refuses_takes_only_its_unit_back(tmp_path: Path) -> None:
    def broken() -> Unit[None]:
        yield from notes.write_note("b", "1")
        yield "INSERT INTO notes (name, content) VALUES ('b', 'twice')", ()

    async with opened(tmp_path / "easel.db") as database:
        answers = await at_once(database, notes.write_note("a", "1"), broken(), notes.write_note("c", "1"))
        assert isinstance(answers[1], RuntimeError)
        assert "UNIQUE" in str(answers[1])
        assert await names(database) == ["a", "c"]


async def test_units_run_one_after_the_other_in_the_order_they_came(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        answers = await at_once(database, *(counted("n") for _ in range(3 * GROUP)))
        assert answers == list(range(1, 3 * GROUP + 1))


async def test_what_a_unit_read_still_holds_when_it_writes_however_many_write(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as one, opened(tmp_path / "easel.db") as two:
        answers = await asyncio.gather(
            *(database.write(counted("n")) for _ in range(50) for database in (one, two))
        )
        for _ in range(50):
            answers += await asyncio.gather(one.write(counted("n")), two.write(counted("n")))
        assert sorted(answers) == list(range(1, 201))


async def test_a_full_disk_refuses_the_whole_group_and_the_next_one_works_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(notes.write_note("before", "1"))
        await database.write(pages(1))
        answers = await at_once(
            database,
            notes.write_note("small", "1"),
            notes.write_note("large", "x" * 100_000),
            notes.write_note("never tried", "1"),
        )
        assert [type(answer) for answer in answers] == [StorageError] * 3
        assert await names(database) == ["before"]
        await database.write(pages(PLENTY))
        await database.write(notes.write_note("after", "x" * 100_000))
        assert await names(database) == ["after", "before"]


@pytest.mark.parametrize("room", range(9))
async def test_wherever_the_disk_becomes_full_what_was_promised_is_there_and_nothing_else(
    tmp_path: Path, room: int
) -> None:
    chance = random.Random(room)
    async with opened(tmp_path / "easel.db") as database:
        await database.write(pages(await database.write(pages(PLENTY)) + room))
        promised: set[int] = set()
        for first in range(1, 200, 20):
            units = []
            for number in range(first, first + 20):
                request = ImageRequest(prompt="x" * chance.randint(1, 3000), model="m")
                new = asked(number, who=requester(number), request=request)
                units.append(jobs.accept(new, DEFAULT, NOW + number * 3_600_000))
            answers = await at_once(database, *units)
            assert {type(answer) for answer in answers} <= {StorageError, AcceptedJob}
            promised |= {first + place for place, answer in enumerate(answers) if type(answer) is not StorageError}
        kept = {row["id"] for row in await database.read(query("SELECT id FROM jobs"))}
        assert kept == promised
        assert len(kept) < 200
        await assert_balanced(database)


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    """The operating system refuses to write further, as it would on a broken disk."""
    import resource  # Unix alone has it

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="only Unix can limit the size of files")
async def test_a_commit_that_fails_refuses_the_whole_group(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(notes.write_note("before", "1"))
        with no_file_may_grow_beyond((tmp_path / "easel.db-wal").stat().st_size):
            answers = await at_once(database, notes.write_note("a", "1"), notes.write_note("b", "1"))
        assert [type(answer) for answer in answers] == [StorageError] * 2
        assert await names(database) == ["before"]
        await database.write(notes.write_note("after", "1"))
        assert await names(database) == ["after", "before"]


async def test_a_commit_that_the_engine_refuses_leaves_no_transaction_open(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(
            query("CREATE TABLE child (name TEXT REFERENCES notes (name) DEFERRABLE INITIALLY DEFERRED)")
        )
        orphan = query("INSERT INTO child VALUES ('nobody')")
        answers = await at_once(database, notes.write_note("a", "1"), orphan)
        assert [type(answer) for answer in answers] == [StorageError] * 2
        await database.write(notes.write_note("b", "1"))
        assert await names(database) == ["b"]


async def test_a_file_that_somebody_else_holds_is_a_storage_error_and_then_works_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(query("PRAGMA busy_timeout = 50"))
        other = sqlite3.connect(tmp_path / "easel.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError):
            await database.write(notes.write_note("a", "1"))
        other.close()
        await database.write(notes.write_note("b", "1"))
        assert await names(database) == ["b"]


async def test_a_cancelled_caller_does_not_take_its_unit_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        callers = [asyncio.create_task(database.write(notes.write_note(name, "1"))) for name in "abc"]
        await asyncio.sleep(0)
        callers[1].cancel()
        await asyncio.wait(callers)
        assert [caller.cancelled() for caller in callers] == [False, True, False]
        assert await names(database) == ["a", "b", "c"]


async def test_a_caller_cancelled_while_its_unit_runs_harms_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        for number in range(40):
            caller = asyncio.create_task(database.write(notes.write_note(f"{number:02}", "1")))
            for _ in range(number % 8):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait([caller])
        await database.write(notes.write_note("last", "1"))
        kept = await names(database)
        assert kept[-1] == "last"
        assert len(kept) >= 30


async def test_closing_commits_all_that_was_queued(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    database = await open_sqlite(path, NOW)
    callers = [asyncio.create_task(database.write(counted("n"))) for _ in range(2 * GROUP)]
    await asyncio.sleep(0)
    await database.aclose()
    assert sorted([await caller for caller in callers]) == list(range(1, 2 * GROUP + 1))
    async with opened(path) as again:
        assert await again.read(notes.note("n")) == str(2 * GROUP)


async def test_a_cancelled_close_leaves_no_caller_without_an_answer(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "easel.db", NOW)
    callers = [asyncio.create_task(database.write(counted("n"))) for _ in range(4 * GROUP)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(database.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*callers, return_exceptions=True)
    done = [answer for answer in answers if isinstance(answer, int)]
    assert {type(answer) for answer in answers} <= {int, StorageError}
    async with opened(tmp_path / "easel.db") as again:
        assert await again.read(notes.note("n")) == (str(max(done)) if done else None)


async def test_after_closing_nothing_is_read_or_written(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "easel.db", NOW)
    await database.aclose()
    with pytest.raises(StorageError):
        await database.write(notes.write_note("a", "1"))
    with pytest.raises(StorageError):
        await database.read(notes.note("a"))
    await database.aclose()


async def test_a_reader_sees_all_that_was_committed_before_it_asked(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:

        async def write_and_look(number: int) -> None:
            name = str(number)
            await database.write(notes.write_note(name, "old"))
            assert await database.read(notes.note(name)) == "old"
            await database.write(notes.write_note(name, "new"))
            assert await database.read(notes.note(name)) == "new"

        await asyncio.gather(*(write_and_look(number) for number in range(100)))


async def test_a_unit_that_only_reads_sees_one_moment(tmp_path: Path) -> None:
    def two_looks() -> Unit[tuple[str | None, str | None]]:
        first = yield from notes.note("n")
        for _ in range(200):
            yield "SELECT COUNT(*) FROM notes", ()
        return first, (yield from notes.note("n"))

    async with opened(tmp_path / "easel.db") as database:
        await database.write(counted("n"))
        looking = [asyncio.create_task(database.read(two_looks())) for _ in range(20)]
        await at_once(database, *(counted("n") for _ in range(200)))
        assert all(first == second for first, second in [await look for look in looking])


async def test_a_unit_that_writes_is_no_reading(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        with pytest.raises(StorageError):
            await database.read(notes.write_note("a", "1"))
        assert await names(database) == []


async def test_a_reader_is_free_again_after_a_fault(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        for _ in range(10):
            with pytest.raises(NotFound):
                await database.read(jobs.get(404))
            with pytest.raises(StorageError):
                await database.read(query("SELECT * FROM nowhere"))
        assert await names(database) == []


async def test_whoever_waits_for_work_is_woken(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
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
        async with opened(tmp_path / "easel.db") as database:
            await at_once(database, notes.write_note("a", "1"), noted_and_then("b", NotFound()))
            await names(database)
        del database
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
    assert [path.name for path in tmp_path.iterdir()] == ["easel.db"]  # noqa: ASYNC240 - a handful of names
