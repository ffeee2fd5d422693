"""Reads a database that another process may have open, and changes nothing in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.domain.errors import SetupError
from bot.ports import Result, Unit
from bot.storage.sqlite import drive


def look_into(path: Path, unit: Unit[Result]) -> Result | None:
    """The result of a unit that reads; None where there is no database yet, or an older one without its tables.

    Raises:
        SetupError: the file is no database, or may not be read.
    """
    if not path.exists():
        unit.close()
        return None
    # Without a write-ahead log no process has it open, and SQLite need not leave files of this user's beside it.
    way = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return drive(connection, unit)
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise SetupError(f"DATABASE_URL: {path} cannot be read ({error}).") from None
