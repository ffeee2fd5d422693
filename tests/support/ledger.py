"""Jobs, limits and grants for tests of storage, and the check that ledger, usage, grants and jobs agree."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from bot.domain.clock import Instant
from bot.domain.jobs import Job, JobState
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.domain.requests import ImageRequest, ReplyAddress, Requester
from bot.domain.windows import Window
from bot.ports import Row, Unit
from bot.storage import jobs, reservations
from bot.storage.sqlite import Sqlite, open_sqlite
from bot.storage.usage import LEVELS
from tests.support.databases import place_database

HOUR = 60 * 60 * 1000
DAY = 24 * HOUR
NOW = 1_767_268_800_000
"""Noon of 2026-01-01, UTC."""
GUILD, CHANNEL, MEMBER, MODERATOR = 11, 22, 33, 44
DEFAULT_LIMIT = Limit(subject="everyone", subject_id=0, unit="images", window="day", amount=10)
LEASE_SECONDS = 60.0
LEASE = 60_000
"""The same in milliseconds."""
Key = tuple[int, int, int, int]
"""Guild, subject, level and start of a row of usage."""
Numbers = tuple[int, int, int, int]
"""Images spent and reserved, micro-dollars spent and reserved."""


@contextlib.asynccontextmanager
async def open_database(path: Path, *, fresh: bool = False) -> AsyncIterator[Sqlite]:
    """A database in a real file, closed at the end. A `fresh` one is made by its own migrations."""
    if not fresh:
        await place_database(path)
    database = await open_sqlite(path, NOW)
    try:
        yield database
    finally:
        await database.aclose()


def query(sql: str, *parameters: object) -> Unit[list[Row]]:
    """One statement."""
    return (yield sql, parameters)


def requester(member: int = MEMBER, guild: int = GUILD, roles: Sequence[int] = ()) -> Requester:
    """A member of a guild, with their roles."""
    return Requester(user_id=member, guild_id=guild, channel_id=CHANNEL, role_ids=tuple(roles))


def new_job(
    job_id: int, images: int = 1, micros: int = 0, by: Requester | None = None, **fields: Any
) -> jobs.NewJob:
    """A job to accept, for so many images and micro-dollars."""
    defaults: dict[str, Any] = {
        "requester": by or requester(),
        "request": ImageRequest(prompt="a fox", model="gpt-image-1.5", count=images),
        "reply": ReplyAddress(application_id=1, channel_id=CHANNEL, token="sesame"),
        "cost": Amount(images=images, money=Money(micros)),
    }
    return jobs.NewJob(id=job_id, **(defaults | fields))


def limit_for(subject: str, subject_id: int, amount: int, unit: str = "images", window: Window = "day") -> Limit:
    """A limit that a moderator set."""
    fields: dict[str, Any] = {"subject": subject, "subject_id": subject_id, "unit": unit, "window": window}
    return Limit(**fields, amount=amount, set_by=MODERATOR)


def claimed_job(new: jobs.NewJob, now: Instant = NOW, default_limit: Limit = DEFAULT_LIMIT) -> Unit[Job]:
    """Accept and claim a job in one unit, whatever other jobs wait."""
    yield from jobs.accept(new, default_limit, now)
    yield "UPDATE jobs SET state = 'running', attempts = 1, leased_until = $2 WHERE id = $1", (new.id, now + LEASE)
    return (yield from jobs.get(new.id))


async def accept(database: Sqlite, *job_ids: int, now: int = NOW) -> None:
    """Accept jobs of one image each, for 500 micro-dollars."""
    for job_id in job_ids:
        await database.write(jobs.accept(new_job(job_id, micros=500), DEFAULT_LIMIT, now))


async def claim(database: Sqlite, now: int = NOW, count: int = 10, worker: str = "w1") -> list[Job]:
    """Claim what is due, for `LEASE` milliseconds."""
    return await database.write(jobs.claim(worker, count, LEASE_SECONDS, now, database.skip_locked))


async def accept_and_claim(database: Sqlite) -> Job:
    """Job 1, as a worker has it."""
    await accept(database, 1)
    [job] = await claim(database)
    return job


def succeeded(images: int, micros: int = 0) -> jobs.Outcome:
    """An outcome that is charged at so many images and micro-dollars."""
    return jobs.Outcome(state=JobState.DONE, charged=Amount(images=images, money=Money(micros)))


FAILED = jobs.Outcome(state=JobState.FAILED, error="GenerationFailed")


def images_left(
    by: Requester | None = None, now: Instant = NOW, default_limit: Limit = DEFAULT_LIMIT
) -> Unit[int]:
    """Images that a member may still ask for."""
    allowance = yield from reservations.allowance(by or requester(), default_limit, now)
    return allowance.left


def ledger_entries(job_id: int) -> Unit[list[tuple[str, int | None, int, int]]]:
    """Entry, grant, images and micro-dollars of a job's rows in the ledger, in their order."""
    rows = yield "SELECT * FROM ledger WHERE job_id = $1 ORDER BY id", (job_id,)
    return [(row["entry"], row["grant_id"], row["images"], row["micros"]) for row in rows]


def usage_from(ledger: Iterable[Row]) -> dict[Key, Numbers]:
    """Usage, computed from nothing but the ledger."""
    entries_by_job: dict[int, list[Row]] = defaultdict(list)
    for row in ledger:
        if row["entry"] in ("reserve", "settle", "release"):
            entries_by_job[row["job_id"]].append(row)
    usage: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for entries in entries_by_job.values():
        first = next(row for row in entries if row["entry"] == "reserve")
        guild, member = first["guild_id"], first["member_id"]
        of_member, of_all = _usage_of_job(entries)
        for subject, numbers in ((guild, member), of_member), *((each, of_all) for each in {(guild, 0), (0, 0)}):
            for level, size in LEVELS:
                total = usage[(*subject, level, first["at"] - first["at"] % size)]
                total[:] = [before + more for before, more in zip(total, numbers, strict=True)]
    return {key: (a, b, c, d) for key, (a, b, c, d) in usage.items() if (a, b, c, d) != (0, 0, 0, 0)}


def _usage_of_job(entries: Sequence[Row]) -> tuple[Numbers, Numbers]:
    """What one job adds to its member's window, and to the guild and the operator."""

    def total(entry: str, column: str, *, window_only: bool = False) -> int:
        rows = [row for row in entries if row["entry"] == entry]
        return sum(row[column] for row in rows if not (window_only and row["grant_id"] is not None))

    images, micros = total("reserve", "images"), total("reserve", "micros")
    window = total("reserve", "images", window_only=True)
    if not any(row["entry"] in ("settle", "release") for row in entries):
        return (0, window, 0, micros), (0, images, 0, micros)
    spent, paid = total("settle", "images"), total("settle", "micros")
    beyond = max(0, spent - images)
    assert images + beyond == spent + total("release", "images")
    assert micros + max(0, paid - micros) == paid + total("release", "micros")
    spent_in_window = window - total("release", "images", window_only=True) + beyond
    return (spent_in_window, 0, paid, 0), (spent, 0, paid, 0)


async def assert_balanced(database: Sqlite) -> None:
    """Ledger, usage, grants and jobs agree."""
    ledger = await database.read(query("SELECT * FROM ledger ORDER BY id"))
    usage = await database.read(query("SELECT * FROM usage"))
    columns = ("images_spent", "images_reserved", "micros_spent", "micros_reserved")
    stored = {
        (row["guild_id"], row["subject_id"], row["level"], row["start"]): tuple(row[name] for name in columns)
        for row in usage
        if any(row[name] for name in columns)
    }
    assert stored == usage_from(ledger)
    signs = {"grant": 1, "release": 1, "adjust": 1, "reserve": -1}
    granted: dict[int, int] = defaultdict(int)
    for row in ledger:
        if row["grant_id"] is not None:
            granted[row["grant_id"]] += signs[row["entry"]] * row["images"]
    grants = await database.read(query("SELECT id, images_left FROM grants"))
    assert {row["id"]: row["images_left"] for row in grants} == dict(granted)
    await _assert_jobs_match(database, ledger)


async def _assert_jobs_match(database: Sqlite, ledger: Sequence[Row]) -> None:
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in ledger:
        sums[row["job_id"], row["entry"]][0] += row["images"]
        sums[row["job_id"], row["entry"]][1] += row["micros"]
    for row in await database.read(query("SELECT * FROM jobs")):
        reserved = [row["reserved_images"], row["reserved_micros"]]
        if row["state"] in ("done", "failed", "cancelled"):
            assert reserved == [0, 0]
            assert sums[row["id"], "settle"] == [row["charged_images"], row["charged_micros"]]
        else:
            assert sums[row["id"], "reserve"] == reserved
