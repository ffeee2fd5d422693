"""A process that is killed while it writes: what it had acknowledged is there, and the books balance."""

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
    DEFAULT,
    FAILED,
    GUILD,
    MODERATOR,
    NOW,
    asked,
    assert_balanced,
    begun,
    done,
    opened,
    query,
    requester,
)

PAINTERS = 8


async def write_until_killed(path: str) -> None:
    """What the child does: jobs without end, and a printed line for whatever was acknowledged."""
    async with opened(Path(path)) as database:
        for painter in range(PAINTERS):
            await database.write(grants.grant(GUILD, painter, 1_000_000, MODERATOR, "enough", NOW))
        async with asyncio.TaskGroup() as group:
            for painter in range(PAINTERS):
                group.create_task(_paint(database, painter))


async def _paint(database: Sqlite, painter: int) -> None:
    number = painter + 1
    while True:
        number += PAINTERS
        new = asked(number, images=1 + number % 4, micros=100, who=requester(painter), waits_for_uploads=True)
        if number % 5 == 0:
            with contextlib.suppress(QuotaExceeded):
                await database.write(jobs.accept(asked(number, images=10_000_000), DEFAULT, NOW))
        job = await database.write(begun(new))
        _say("begun", number)
        await database.write(spool.store_uploads(number, {0: b"x" * 2000}, NOW))
        _say("spooled", number)
        if number % 3:
            await database.write(jobs.finish(job, done(1, 70) if number % 2 else FAILED, NOW))
            _say("ended", number)


def _say(what: str, number: int) -> None:
    sys.stdout.write(f"{what} {number}\n")
    sys.stdout.flush()


async def killed_after(path: Path, lines: int) -> dict[str, set[int]]:
    """Start the child, kill it in the middle, and return all that it had acknowledged by then."""
    code = (
        "import asyncio, sys, tests.storage.test_crash as here; asyncio.run(here.write_until_killed(sys.argv[1]))"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    said = [await child.stdout.readline() for _ in range(lines)]
    child.kill()
    said += (await child.stdout.read()).splitlines(keepends=True)
    assert await child.wait() != 0
    acknowledged: dict[str, set[int]] = defaultdict(set)
    for line in said:
        if line.endswith(b"\n"):
            what, number = line.decode().split()
            acknowledged[what].add(int(number))
    return acknowledged


@pytest.mark.parametrize("lines", [1, 150, 1311])
async def test_whatever_a_killed_process_had_acknowledged_is_there(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "easel.db"
    acknowledged = await killed_after(path, lines)
    async with opened(path) as database:
        rows = await database.read(query("SELECT id, state FROM jobs"))
        spooled = await database.read(query("SELECT job_id FROM spool"))
        ended = {row["id"] for row in rows if row["state"] in ("done", "failed")}
        assert acknowledged["begun"] <= {row["id"] for row in rows}
        assert acknowledged["ended"] <= ended
        assert acknowledged["spooled"] <= {row["job_id"] for row in spooled} | ended
        assert ended.isdisjoint(row["job_id"] for row in spooled)
        await assert_balanced(database)
        await database.write(jobs.accept(asked(1), DEFAULT, NOW))
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()
