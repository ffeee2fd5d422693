"""A process is killed while it writes: all that it acknowledged is there, and the ledger balances."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from bot.domain.errors import QuotaExceeded
from bot.storage import grants, jobs, spool
from bot.storage.sqlite import Sqlite
from tests.support.ledger import (
    DEFAULT_LIMIT,
    FAILED,
    GUILD,
    MODERATOR,
    NOW,
    assert_balanced,
    claimed_job,
    new_job,
    open_database,
    query,
    requester,
    succeeded,
)
from tests.support.world.world import ROOT

MEMBERS = 8


async def write_until_killed(path: str) -> None:
    """The child process: writes jobs without end, and prints a line for each write that was acknowledged."""
    async with open_database(Path(path)) as database:
        for member in range(1, MEMBERS + 1):
            await database.write(grants.grant(GUILD, member, 1_000_000, MODERATOR, "enough", NOW))
        async with asyncio.TaskGroup() as group:
            for member in range(1, MEMBERS + 1):
                group.create_task(_write_jobs(database, member))


async def _write_jobs(database: Sqlite, member: int) -> None:
    number = member + 1
    while True:
        number += MEMBERS
        new = new_job(number, images=1 + number % 4, micros=100, by=requester(member), waits_for_uploads=True)
        if number % 5 == 0:
            with contextlib.suppress(QuotaExceeded):
                await database.write(jobs.accept(new_job(number, images=10_000_000), DEFAULT_LIMIT, NOW))
        job = await database.write(claimed_job(new))
        _print("begun", number)
        await database.write(spool.store_uploads(number, {0: b"x" * 2000}, NOW))
        _print("spooled", number)
        if number % 3:
            await database.write(jobs.finish(job, succeeded(1, 70) if number % 2 else FAILED, NOW))
            _print("ended", number)


def _print(step: str, number: int) -> None:
    sys.stdout.write(f"{step} {number}\n")
    sys.stdout.flush()


async def killed_after(path: Path, lines: int) -> dict[str, set[int]]:
    """Start the child process, kill it after `lines` lines, and return all that it acknowledged."""
    code = (
        "import asyncio, sys; from tests.storage import test_crash as here; "
        "asyncio.run(here.write_until_killed(sys.argv[1]))"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert child.stdout is not None
    printed = [await child.stdout.readline() for _ in range(lines)]
    child.kill()
    printed += (await child.stdout.read()).splitlines(keepends=True)
    assert await child.wait() != 0
    acknowledged: dict[str, set[int]] = defaultdict(set)
    for line in printed:
        if line.endswith(b"\n"):
            step, number = line.decode().split()
            acknowledged[step].add(int(number))
    return acknowledged


@pytest.mark.parametrize("lines", [1, 150, 1311])
async def test_all_that_a_killed_process_acknowledged_is_there(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "easel.db"
    acknowledged = await killed_after(path, lines)
    async with open_database(path) as database:
        rows = await database.read(query("SELECT id, state FROM jobs"))
        spooled = await database.read(query("SELECT job_id FROM spool"))
        ended = {row["id"] for row in rows if row["state"] in ("done", "failed")}
        assert acknowledged["begun"] <= {row["id"] for row in rows}
        assert acknowledged["ended"] <= ended
        assert acknowledged["spooled"] <= {row["job_id"] for row in spooled} | ended
        assert ended.isdisjoint(row["job_id"] for row in spooled)
        await assert_balanced(database)
        await database.write(jobs.accept(new_job(1), DEFAULT_LIMIT, NOW))
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()
