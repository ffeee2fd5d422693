"""Whose jobs may be taken over at once: those of a process that has ended, however it ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.domain.limits import Limit
from bot.storage import jobs
from tests.support.ledger import LEASE_SECONDS, NOW, accept_and_claim, claim, new_job, open_database
from tests.support.world.world import ROOT

JOBS = 1000
ROOM = Limit(subject="everyone", subject_id=0, unit="images", window="day", amount=JOBS)


async def hold_jobs(path: str) -> None:
    """The child process: claims all its jobs in the name of "w1", says so, and never gives them back."""
    async with open_database(Path(path)) as database:
        await database.hold_worker("w1")
        accepts = (database.write(jobs.accept(new_job(number), ROOM, NOW)) for number in range(1, JOBS + 1))
        await asyncio.gather(*accepts)
        claimed = await database.write(jobs.claim("w1", JOBS, LEASE_SECONDS, NOW, database.skip_locked))
        sys.stdout.write(f"{len(claimed)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


@asynccontextmanager
async def holding_process(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The child process, once it holds its jobs; killed in the end."""
    code = (
        "import asyncio, sys; from tests.storage import test_worker_locks as here; "
        "asyncio.run(here.hold_jobs(sys.argv[1]))"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == f"{JOBS}\n".encode()
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def locks(folder: Path) -> list[Path]:
    """The lock files that are left."""
    return list(folder.glob("*.lock"))


async def test_a_thousand_jobs_of_a_killed_process_are_claimed_before_their_leases_end(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    async with holding_process(path) as child, open_database(path) as database:
        await database.hold_worker("w2")
        assert await database.read(jobs.leaseholders()) == ["w1"]
        assert await database.ended_workers(["w1", "w2"]) == set()
        assert await claim(database, NOW + 1, JOBS, "w2") == []
        child.kill()
        await child.wait()
        assert await database.ended_workers(["w1", "w2"]) == {"w1"}
        assert await database.write(jobs.expire_leases("w1", NOW + 1)) == JOBS
        assert len(await claim(database, NOW + 1, JOBS, "w2")) == JOBS
    assert locks(tmp_path) == []


async def test_a_worker_whose_database_was_closed_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    async with open_database(path) as first, open_database(path) as second:
        await first.hold_worker("w1")
        await accept_and_claim(first)
        assert await second.ended_workers(["w1"]) == set()
        assert await first.ended_workers(["w1"]) == set()
        await first.aclose()
        assert await second.ended_workers(["w1"]) == {"w1"}


async def test_a_worker_of_an_earlier_version_without_a_lock_has_ended(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.ended_workers(["host-1"]) == {"host-1"}
