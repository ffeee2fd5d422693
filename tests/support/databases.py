"""Database files that are up to date, without the time that their migrations take."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bot.storage.sqlite import open_sqlite

_empty: bytes | None = None
"""A file that the migrations have made: they run once in each process of the tests."""


async def place_database(path: Path) -> None:
    """Put an empty database at `path`, as `open_sqlite` leaves it; one that is there stays."""
    global _empty
    if _empty is None:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "easel.db"
            await (await open_sqlite(made, 0)).aclose()
            _empty = await asyncio.to_thread(made.read_bytes)
    if not path.exists():  # noqa: ASYNC240 - one call, on a local disk
        path.write_bytes(_empty)  # noqa: ASYNC240 - the same
