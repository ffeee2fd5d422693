"""Jobs, limits and the ledger in a real SQLite file, and the check that the books balance."""

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
from bot.storage import jobs, quotas
from bot.storage.sqlite import Sqlite, open_sqlite

HOUR = 60 * 60 * 1000


DAY = 24 * HOUR


NOW = 1_767_268_800_000
"""Noon of 2026-01-01, UTC."""


GUILD, CHANNEL, MEMBER, MODERATOR = 11, 22, 33, 44


DEFAULT = Limit(subject="everyone", subject_id=0, unit="images", window="day", limit=10)


LEASE = 60_000


Key = tuple[int, int, int, int]
"""Guild, subject, level and start of a row of usage."""


Numbers = tuple[int, int, int, int]
"""Images spent and reserved, micro-dollars spent and reserved."""


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Sqlite]:
    """A real file, brought up to date and closed at the end."""
    database = await open_sqlite(path, NOW)
    try:
        yield database
    finally:
        await database.aclose()


def query(sql: str, *parameters: object) -> Unit[list[Row]]:
    """One statement."""
    return (yield sql, parameters)


def requester(member: int = MEMBER, guild: int = GUILD, roles: Sequence[int] = ()) -> Requester:
    """Who asks."""
    return Requester(user_id=member, guild_id=guild, channel_id=CHANNEL, role_ids=tuple(roles))


def asked(job_id: int, images: int = 1, micros: int = 0, who: Requester | None = None, **more: Any) -> jobs.NewJob:
    """A request that costs so much."""
    request = ImageRequest(prompt="a fox", model="gpt-image-1.5", count=images)
    fields: dict[str, Any] = {
        "id": job_id,
        "requester": who or requester(),
        "request": request,
        "reply": ReplyAddress(application_id=1, channel_id=CHANNEL, token="sesame"),
        "cost": Amount(images=images, money=Money(micros)),
    }
    return jobs.NewJob(**(fields | more))


def rule(subject: str, subject_id: int, limit: int, unit: str = "images", window: Window = "day") -> Limit:
    """A limit that a moderator set."""
    fields: dict[str, Any] = {"subject": subject, "subject_id": subject_id, "unit": unit, "window": window}
    return Limit(**fields, limit=limit, set_by=MODERATOR)


def begun(new: jobs.NewJob, now: Instant = NOW, default: Limit = DEFAULT) -> Unit[Job]:
    """Commission and claim a job in one unit, whatever else waits."""
    yield from jobs.accept(new, default, now)
    yield "UPDATE jobs SET state = 'running', attempts = 1, leased_until = $2 WHERE id = $1", (new.id, now + LEASE)
    return (yield from jobs.get(new.id))


def done(images: int, micros: int = 0) -> jobs.Outcome:
    """An ending that costs so much."""
    return jobs.Outcome(state=JobState.DONE, charged=Amount(images=images, money=Money(micros)))


FAILED = jobs.Outcome(state=JobState.FAILED, error="GenerationFailed")


def left(who: Requester | None = None, now: Instant = NOW, default: Limit = DEFAULT) -> Unit[int]:
    """Pictures that somebody may still ask for."""
    allowance = yield from quotas.allowance(who or requester(), default, now)
    return allowance.left


def usage_from(ledger: Iterable[Row]) -> dict[Key, Numbers]:
    """Usage, told from nothing but the ledger."""
    of_job: dict[int, list[Row]] = defaultdict(list)
    for row in ledger:
        if row["entry"] in ("reserve", "settle", "refund"):
            of_job[row["job_id"]].append(row)
    usage: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for entries in of_job.values():
        first = next(row for row in entries if row["entry"] == "reserve")
        member, everything = _numbers(entries)
        above = dict.fromkeys([(first["guild_id"], 0), (0, 0)])
        subjects = [
            ((first["guild_id"], first["member_id"]), member),
            *((subject, everything) for subject in above),
        ]
        for subject, numbers in subjects:
            for level, size in ((0, quotas.QUARTER), (1, quotas.DAY)):
                total = usage[(*subject, level, first["at"] - first["at"] % size)]
                total[:] = [before + more for before, more in zip(total, numbers, strict=True)]
    return {key: (a, b, c, d) for key, (a, b, c, d) in usage.items() if (a, b, c, d) != (0, 0, 0, 0)}


def _numbers(entries: Sequence[Row]) -> tuple[Numbers, Numbers]:
    """What one job adds to its member's window, and to everybody above."""

    def total(entry: str, column: str, *, window_only: bool = False) -> int:
        rows = [row for row in entries if row["entry"] == entry]
        return sum(row[column] for row in rows if not (window_only and row["grant_id"] is not None))

    images, micros = total("reserve", "images"), total("reserve", "micros")
    window = total("reserve", "images", window_only=True)
    if not any(row["entry"] in ("settle", "refund") for row in entries):
        return (0, window, 0, micros), (0, images, 0, micros)
    spent, paid = total("settle", "images"), total("settle", "micros")
    beyond = max(0, spent - images)
    assert images + beyond == spent + total("refund", "images")
    assert micros + max(0, paid - micros) == paid + total("refund", "micros")
    of_window = window - total("refund", "images", window_only=True) + beyond
    return (of_window, 0, paid, 0), (spent, 0, paid, 0)


async def assert_balanced(database: Sqlite) -> None:
    """Ledger, usage, grants and jobs tell the same story."""
    ledger = await database.read(query("SELECT * FROM ledger ORDER BY id"))
    usage = await database.read(query("SELECT * FROM usage"))
    names = ("images_spent", "images_reserved", "micros_spent", "micros_reserved")
    kept = {
        (row["guild_id"], row["subject_id"], row["level"], row["start"]): tuple(row[name] for name in names)
        for row in usage
        if any(row[name] for name in names)
    }
    assert kept == usage_from(ledger)
    signs = {"grant": 1, "refund": 1, "adjust": 1, "reserve": -1}
    granted: dict[int, int] = defaultdict(int)
    for row in ledger:
        if row["grant_id"] is not None:
            granted[row["grant_id"]] += signs[row["entry"]] * row["images"]
    grants = await database.read(query("SELECT id, images_left FROM grants"))
    assert {row["id"]: row["images_left"] for row in grants} == dict(granted)
    await _assert_jobs_match(database, ledger)


async def _assert_jobs_match(database: Sqlite, ledger: Sequence[Row]) -> None:
    entries: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in ledger:
        entries[row["job_id"], row["entry"]][0] += row["images"]
        entries[row["job_id"], row["entry"]][1] += row["micros"]
    for row in await database.read(query("SELECT * FROM jobs")):
        reserved = [row["reserved_images"], row["reserved_micros"]]
        if row["state"] in ("done", "failed", "cancelled"):
            assert reserved == [0, 0]
            assert entries[row["id"], "settle"] == [row["charged_images"], row["charged_micros"]]
        else:
            assert entries[row["id"], "reserve"] == reserved


def entries_of(job_id: int) -> Unit[list[tuple[str, int | None, int, int]]]:
    """A job's rows in the ledger, in their order."""
    rows = yield "SELECT * FROM ledger WHERE job_id = $1 ORDER BY id", (job_id,)
    return [(row["entry"], row["grant_id"], row["images"], row["micros"]) for row in rows]
