"""SQLite: one connection writes, a few read. Units share commits, each in a savepoint of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiosqlite
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random

from bot.domain.clock import Instant
from bot.domain.errors import SetupError, StorageError
from bot.ports import Result, Row, Unit
from bot.storage import migrations
from bot.storage.worker_locks import WorkerLocks

log = logging.getLogger(__name__)

GROUP = 256
"""Most units in one commit."""
READERS = 3
TYPES = {"RUNNING_NUMBER": "INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB_TYPE": "BLOB"}
BUSY_MILLISECONDS = 5_000
CLOSING_SECONDS = 5.0


@dataclass(slots=True)
class _Pending:
    """A unit in the writer's queue, and the future that its caller waits for."""

    unit: Unit[Any]
    future: asyncio.Future[Any]


class Sqlite:
    """The `Database` port over one file, opened by `open_sqlite`."""

    skip_locked = ""

    def __init__(
        self, writer: aiosqlite.Connection, readers: Sequence[aiosqlite.Connection], locks: WorkerLocks
    ) -> None:
        self._writer = writer
        self._locks = locks
        self._readers = readers
        self._idle_readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._idle_readers.put_nowait(reader)
        self._pending: asyncio.Queue[_Pending | None] = asyncio.Queue()
        self._wakeup = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._write_groups(), name="database-writer")

    async def write(self, unit: Unit[Result]) -> Result:
        """Run a unit in the next commit. It runs even if the caller is cancelled meanwhile."""
        if self._closing or self._task.done():
            raise StorageError
        pending = _Pending(unit, asyncio.get_running_loop().create_future())
        self._pending.put_nowait(pending)
        return cast(Result, await pending.future)

    async def read(self, unit: Unit[Result]) -> Result:
        """Run a unit over a snapshot of all that was committed before the call."""
        reader = await self._idle_readers.get()
        try:
            if self._closing:
                raise StorageError
            return cast(Result, await _run_on_thread(reader, _read_unit, unit))
        except sqlite3.Error as error:
            raise _storage_error(error) from error
        finally:
            self._idle_readers.put_nowait(reader)

    def wake(self) -> None:
        """End the worker's `wait_for_work`: there may be work."""
        self._wakeup.set()

    async def wait_for_work(self, seconds: float) -> None:
        """Return at the next `wake`, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wakeup.wait()
        self._wakeup.clear()

    async def hold_worker(self, name: str) -> None:
        """Hold a lock in a worker's name until the database is closed, or the process has ended."""
        try:
            await asyncio.to_thread(self._locks.hold, name)
        except OSError as error:
            raise _storage_error(error) from error

    async def ended_workers(self, names: Iterable[str]) -> set[str]:
        """Those of the workers whose process has ended, as far as that can be known."""
        try:
            return await asyncio.to_thread(self._locks.ended, names)
        except OSError as error:
            raise _storage_error(error) from error

    async def aclose(self) -> None:
        """Commit what is queued, then close every connection."""
        self._closing = True
        self._pending.put_nowait(None)
        try:
            # Shielded: cancelling this call must not cancel the writer, whose callers still wait.
            await asyncio.shield(self._task)
        finally:
            for connection in (*self._readers, self._writer):
                await connection.close()
            self._locks.close()

    async def _write_groups(self) -> None:
        """Take all queued units, run them in one hop to the thread, and set their results after the commit."""
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
            results = await _run_on_thread(self._writer, _write_group, [pending.unit for pending in group])
        except Exception as error:  # noqa: BLE001 - every caller of the group gets it
            log.error("a group of %d units was rolled back: %s", len(group), type(error).__name__)
            results = [_storage_error(error)] * len(group)
        for pending, result in zip(group, results, strict=True):
            if pending.future.done():
                continue
            if isinstance(result, BaseException):
                pending.future.set_exception(result)
            else:
                pending.future.set_result(result)


async def open_sqlite(path: Path, now: Instant) -> Sqlite:
    """Open the file, bring it up to date and start the writer.

    Raises:
        SetupError: the file cannot be opened or was written by a newer version.
    """
    connections: list[aiosqlite.Connection] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = await _connect(path, connections, reads_only=False)
        await _run_on_thread(writer, _migrate, now)
        readers = [await _connect(path, connections, reads_only=True) for _ in range(READERS)]
    except (OSError, sqlite3.Error) as error:
        await _close(connections)
        raise SetupError(f"DATABASE_URL: {path} cannot be used ({error}).") from None
    except BaseException:
        await _close(connections)
        raise
    return Sqlite(writer, readers, WorkerLocks(path))


async def _connect(path: Path, opened: list[aiosqlite.Connection], *, reads_only: bool) -> aiosqlite.Connection:
    # isolation_level None: the module must never begin a transaction of its own.
    connection = aiosqlite.connect(path, isolation_level=None)
    try:
        await connection
    except BaseException:
        # aiosqlite stops its thread without waiting: the thread would call a loop that is closed by then.
        connection._thread.join(CLOSING_SECONDS)  # noqa: SLF001
        raise
    opened.append(connection)
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_MILLISECONDS}",
        "foreign_keys=ON",
        # Deleted tokens and links must not stay readable in the free space of the file.
        "secure_delete=ON",
        f"query_only={int(reads_only)}",
    ):
        # Of two connections that switch to WAL at once, SQLite fails one as busy without waiting.
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


async def _run_on_thread(connection: aiosqlite.Connection, function: Callable[..., Any], argument: Any) -> Any:
    """Run `function(sqlite3 connection, argument)` on the connection's thread.

    This uses a private method of aiosqlite, which is pinned to 0.22.1 for it: the public ones hop to the thread
    once for each statement, which costs three quarters of the throughput.
    """
    return await connection._execute(function, connection._conn, argument)  # type: ignore[no-untyped-call]  # noqa: SLF001


def drive(connection: sqlite3.Connection, unit: Unit[Result]) -> Result:
    """Run a unit to its end; fetches the rows of each statement at once, since an open cursor fails the commit."""
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
    """Parameters by name: SQLite reads `$1` as the parameter named 1."""
    return {str(number): value for number, value in enumerate(parameters, 1)}


def _read_unit(connection: sqlite3.Connection, unit: Unit[Any]) -> Any:
    connection.execute("BEGIN")
    try:
        return drive(connection, unit)
    finally:
        connection.execute("ROLLBACK")


def _migrate(connection: sqlite3.Connection, now: Instant) -> None:
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        drive(connection, migrations.apply(migrations.load(TYPES), now))


def _write_group(connection: sqlite3.Connection, units: list[Unit[Any]]) -> list[Any]:
    """Run units in one transaction, each in a savepoint; returns a result or an exception for each, in order.

    Raises:
        sqlite3.Error: the whole group was rolled back.
    """
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        return [_write_unit(connection, unit) for unit in units]


def _translate(error: Exception) -> Exception:
    """The exception for the caller of a unit that failed alone: its own, or ours in place of the engine's."""
    # A plain DatabaseError means a damaged file.
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        return _storage_error(error)
    if isinstance(error, sqlite3.Error):
        bug = RuntimeError(f"the database refused a statement: {error}")
        bug.__cause__ = error
        return bug
    return error


def _storage_error(error: Exception) -> StorageError:
    failure = StorageError(f"The database does not answer ({type(error).__name__}).")
    failure.__cause__ = error
    return failure


def _write_unit(connection: sqlite3.Connection, unit: Unit[Any]) -> Any:
    connection.execute("SAVEPOINT unit")
    try:
        result = drive(connection, unit)
    except Exception as error:
        # On a full disk the engine itself rolls back the transaction: a RELEASE would then commit alone.
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO unit")
        result = _translate(error)
    connection.execute("RELEASE unit")
    return result
