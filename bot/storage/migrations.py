"""Brings a database up to date: runs each numbered file in `migrations/` once, all in one transaction."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from bot.domain.clock import Instant
from bot.domain.errors import SetupError
from bot.ports import Unit

FOLDER = Path(__file__).resolve().parents[2] / "migrations"

TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


def load(types: dict[str, str], folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Read the files in their order; `types` maps the placeholders for types that engines name differently."""
    return tuple(_read(path, types) for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")))


def _read(path: Path, types: dict[str, str]) -> Migration:
    text = path.read_text(encoding="utf-8")
    body = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
    for name, replacement in types.items():
        body = re.sub(rf"\b{name}\b", replacement, body)
    statements = tuple(part.strip() for part in re.split(r";\s*\n", body) if part.strip())
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(int(path.name[:4]), path.stem, checksum, statements)


def apply(migrations: tuple[Migration, ...], now: Instant) -> Unit[int]:
    """Apply the migrations that are missing; returns their number.

    Raises:
        SetupError: the database is newer than this program, or an applied file was changed.
    """
    yield TABLE, ()
    rows = yield "SELECT number, name, checksum FROM migrations ORDER BY number", ()
    missing = {migration.number: migration for migration in migrations}
    for row in rows:
        migration = missing.pop(row["number"], None)
        if migration is None:
            raise SetupError(f"The database has {row['name']}, which this version does not know. Update Easel.")
        if migration.checksum != row["checksum"]:
            raise SetupError(f"{migration.name} was changed after it had been applied. Restore the file.")
    for migration in missing.values():
        for statement in migration.statements:
            yield statement, ()
        values = (migration.number, migration.name, migration.checksum, now)
        yield "INSERT INTO migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)", values
    return len(missing)
