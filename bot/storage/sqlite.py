"""SQLite: one connection writes, a few read. Callers' units share commits, each in its own savepoint."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiosqlite
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random

from bot.domain.clock import Instant
from bot.domain.errors import SetupError, StorageError
from bot.ports import Result, Row, Unit
from bot.storage import migrations

log = logging.getLogger(__name__)

GROUP = 256
"""Units in one commit, at most."""
READERS = 3
TYPES = {"RUNNING_NUMBER": "INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB_TYPE": "BLOB"}
BUSY_MILLISECONDS = 5_000
CLOSING_SECONDS = 5.0


@dataclass(slots=True)
class _Pending:
    """A unit in the writer's queue, and who waits for it."""

    unit: Unit[Any]
    answer: asyncio.Future[Any]


class Sqlite:
    """The `Database` plug over one file. Make it with `open_sqlite`."""

    skip_locked = ""

    def __init__(self, writer: aiosqlite.Connection, readers: Sequence[aiosqlite.Connection]) -> None:
        self._writer = writer
        self._readers = readers
        self._free: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._free.put_nowait(reader)
        self._pending: asyncio.Queue[_Pending | None] = asyncio.Queue()
        self._work = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._write_groups(), name="database-writer")

    async def write(self, unit: Unit[Result]) -> Result:
        """Queue a unit for the next commit. A caller that is cancelled does not take its unit back."""
        if self._closing or self._task.done():
            raise StorageError
        pending = _Pending(unit, asyncio.get_running_loop().create_future())
        self._pending.put_nowait(pending)
        return cast(Result, await pending.answer)

    async def read(self, unit: Unit[Result]) -> Result:
        """Run a unit on a reader's own snapshot; it sees all that was committed before the call."""
        reader = await self._free.get()
        try:
            if self._closing:
                raise StorageError
            return cast(Result, await _on_thread(reader, _read_unit, unit))
        except sqlite3.Error as error:
            raise StorageError(f"The database does not answer ({type(error).__name__}).") from error
        finally:
            self._free.put_nowait(reader)

    def wake(self) -> None:
        """Tell the worker of this process that there is work."""
        self._work.set()

    async def wait_for_work(self, seconds: float) -> None:
        """Return at the next `wake`, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._work.clear()

    async def aclose(self) -> None:
        """Commit what is queued, then close every connection."""
        self._closing = True
        self._pending.put_nowait(None)
        try:
            # Shielded: a cancelled caller must not take the writer's answers with it.
            await asyncio.shield(self._task)
        finally:
            for connection in (*self._readers, self._writer):
                await connection.close()

    async def _write_groups(self) -> None:
        """Take all that is queued, run it in one hop, answer everybody after the commit."""
        while True:
            group = [await self._pending.get()]
            while len(group) < GROUP and not self._pending.empty():
                group.append(self._pending.get_nowait())
            units = [pending for pending in group if pending is not None]
            if units:
                await self._run_group(units)
            if None in group:
                return

    async def _run_group(self, group: list[_Pending]) -> None:
        try:
            outcomes = await _on_thread(self._writer, _write_group, [pending.unit for pending in group])
        except Exception as error:  # noqa: BLE001 - whatever broke the group is everybody's answer
            log.error("a group of %d units was rolled back: %s", len(group), type(error).__name__)
            failure = StorageError(f"The database does not answer ({type(error).__name__}).")
            failure.__cause__ = error
            outcomes = [failure] * len(group)
        for pending, outcome in zip(group, outcomes, strict=True):
            if pending.answer.done():
                continue
            if isinstance(outcome, BaseException):
                pending.answer.set_exception(outcome)
            else:
                pending.answer.set_result(outcome)


async def open_sqlite(path: Path, now: Instant) -> Sqlite:
    """Open the file, bring it up to date and start the writer.

    Raises:
        SetupError: the file cannot be opened or was written by a newer version.
    """
    connections: list[aiosqlite.Connection] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = await _connect(path, connections, reads_only=False)
        await _on_thread(writer, _migrate, now)
        readers = [await _connect(path, connections, reads_only=True) for _ in range(READERS)]
    except (OSError, sqlite3.Error) as error:
        await _close(connections)
        raise SetupError(f"DATABASE_URL: {path} cannot be used ({error}).") from None
    except BaseException:
        await _close(connections)
        raise
    return Sqlite(writer, readers)


async def _connect(path: Path, opened: list[aiosqlite.Connection], *, reads_only: bool) -> aiosqlite.Connection:
    # isolation_level None: the module must never begin a transaction of its own.
    connection = aiosqlite.connect(path, isolation_level=None)
    try:
        await connection
    except BaseException:
        # aiosqlite tells its thread to end and does not wait: it would speak to a loop that is closed by then.
        connection._thread.join(CLOSING_SECONDS)  # noqa: SLF001
        raise
    opened.append(connection)
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_MILLISECONDS}",
        "foreign_keys=ON",
        # What is blanked must not stay readable in the file's free space.
        "secure_delete=ON",
        f"query_only={int(reads_only)}",
    ):
        # Two that turn on the log at once: SQLite tells one at once that it is busy, without waiting.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_busy),
            stop=stop_after_delay(1),
            wait=wait_random(0.01, 0.05),
            reraise=True,
        ):
            with attempt:
                await (await connection.execute(f"PRAGMA {pragma}")).close()
    return connection


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


async def _close(connections: list[aiosqlite.Connection]) -> None:
    for connection in connections:
        await connection.close()


async def _on_thread(connection: aiosqlite.Connection, function: Callable[..., Any], argument: Any) -> Any:
    """Run `function(sqlite3 connection, argument)` on the connection's thread.

    The one use of a private name of aiosqlite, which is pinned to 0.22.1 for it: its public methods hop to
    the thread once for each statement, which costs three quarters of the throughput.
    """
    return await connection._execute(function, connection._conn, argument)  # type: ignore[no-untyped-call]  # noqa: SLF001


def _drive(connection: sqlite3.Connection, unit: Unit[Result]) -> Result:
    """Run a unit to its end; each statement's rows are fetched at once, so that no cursor stays open."""
    rows: list[Row] = []
    started = False
    while True:
        try:
            sql, parameters = unit.send(rows) if started else next(unit)
        except StopIteration as stop:
            return cast(Result, stop.value)
        started = True
        try:
            rows = connection.execute(sql, _named(parameters)).fetchall()
        except sqlite3.Error:
            unit.close()
            raise


def _named(parameters: Sequence[Any]) -> dict[str, Any]:
    """`$1` is a parameter's name to SQLite."""
    return {str(number): value for number, value in enumerate(parameters, 1)}


def _read_unit(connection: sqlite3.Connection, unit: Unit[Any]) -> Any:
    connection.execute("BEGIN")
    try:
        return _drive(connection, unit)
    finally:
        connection.execute("ROLLBACK")


def _migrate(connection: sqlite3.Connection, now: Instant) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        _drive(connection, migrations.apply(migrations.load(TYPES), now))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _write_group(connection: sqlite3.Connection, units: list[Unit[Any]]) -> list[Any]:
    """One transaction, a savepoint for each unit; returns results and refusals in the units' order.

    Raises:
        sqlite3.Error: nothing of the group was kept.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_write_unit(connection, unit) for unit in units]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _translate(error: Exception) -> Exception:
    """What a caller gets for a unit that failed alone: its own refusal, or a plain word for the engine's."""
    # A DatabaseError of no finer kind is a damaged file.
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        translated: Exception = StorageError(f"The database does not answer ({type(error).__name__}).")
    elif isinstance(error, sqlite3.Error):
        translated = RuntimeError(f"the database refused a statement: {error}")
    else:
        return error
    translated.__cause__ = error
    return translated


def _write_unit(connection: sqlite3.Connection, unit: Unit[Any]) -> Any:
    connection.execute("SAVEPOINT unit")
    try:
        outcome = _drive(connection, unit)
    except Exception as error:
        # A full disk makes the engine roll back everything by itself: a RELEASE would then commit alone.
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO unit")
        outcome = _translate(error)
    connection.execute("RELEASE unit")
    return outcome
