"""The bot's database as a test reads it, beside the bot that writes it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

CHARGED = {"reserve": 1, "settle": 1}
"""The ledger's images for a job of one picture that was delivered."""
RELEASED = {"reserve": 1, "release": 1}
"""The ledger's images for a job of one picture that was not."""


class StoredJobs:
    """Jobs and their ledger entries."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def rows(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        """The result of one SELECT."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, parameters).fetchall()

    def update(self, sql: str, *parameters: Any) -> None:
        """Change the bot's database behind its back."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(sql, parameters)

    def job(self, job: int) -> sqlite3.Row:
        """A job's row."""
        return self.rows("SELECT * FROM jobs WHERE id = ?", job)[0]

    def tickets(self, job: int) -> list[dict[str, Any]]:
        """The tickets of a running job; none before the first is stored."""
        rows = self.rows("SELECT ticket FROM jobs WHERE id = ? AND ticket IS NOT NULL", job)
        found: list[dict[str, Any]] = json.loads(rows[0]["ticket"]) if rows else []
        return found

    async def wait_state(self, job: int, *states: str, within: float = 8.0) -> str:
        """The job's state, once it is one of these."""

        def reached() -> str | None:
            found = [str(row["state"]) for row in self.rows("SELECT state FROM jobs WHERE id = ?", job)]
            return found[0] if found and found[0] in states else None

        return await wait_until(reached, within)

    async def wait_finished(self, job: int, within: float = 8.0) -> str:
        """The job's final state."""
        return await self.wait_state(job, "done", "failed", "cancelled", within=within)

    async def wait_accepted(self, job: int) -> None:
        """Until a provider has accepted the job and its ticket is stored."""
        await wait_until(lambda: self.rows("SELECT id FROM jobs WHERE id = ? AND ticket IS NOT NULL", job))

    # The ledger

    def ledger_entries(self, job: int) -> dict[str, int]:
        """Images by kind of ledger entry, kinds that sum to zero included."""
        sql = "SELECT entry, SUM(images) AS images FROM ledger WHERE job_id = ? GROUP BY entry"
        return {row["entry"]: row["images"] for row in self.rows(sql, job)}

    def ledger_images(self, job: int) -> dict[str, int]:
        """Images by kind of ledger entry, without kinds that sum to zero."""
        return {entry: images for entry, images in self.ledger_entries(job).items() if images}

    def ledger_micros(self, job: int, entry: str) -> int:
        """Micro-dollars of one kind of a job's ledger entries."""
        sql = "SELECT COALESCE(SUM(micros), 0) AS micros FROM ledger WHERE job_id = ? AND entry = ?"
        return int(self.rows(sql, job, entry)[0]["micros"])

    def operator_notes(self, job: int) -> list[str]:
        """The reasons of a job's adjustments, which only the operator reads."""
        sql = "SELECT reason FROM ledger WHERE job_id = ? AND entry = 'adjust'"
        return [str(row["reason"]) for row in self.rows(sql, job)]
