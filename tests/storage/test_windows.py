"""The usage of a window is the sum of its reservations, in any time zone and at any instant."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.clock import Instant
from bot.domain.limits import Allowance, Limit
from bot.domain.requests import Requester
from bot.domain.windows import Window, window_bounds
from bot.ports import Unit
from bot.storage import jobs, reservations
from bot.storage.sqlite import Sqlite, open_sqlite
from tests.support.ledger import (
    DAY,
    DEFAULT_LIMIT,
    FAILED,
    HOUR,
    NOW,
    claimed_job,
    images_left,
    new_job,
    open_database,
    query,
    requester,
    succeeded,
)
from tests.support.time_zones import ALL_WINDOWS, ZONES, instant

numbers = itertools.count(1)
PastJob = tuple[Instant, int, str]
"""When a job was accepted, its images, and how it ended."""


class SharedDatabase:
    """One file for all examples; each uses a guild of its own."""

    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.database: Sqlite = self.runner.run(open_sqlite(path, NOW))

    def write(self, unit: Unit[Allowance]) -> Allowance:
        return self.runner.run(self.database.write(unit))

    def close(self) -> None:
        self.runner.run(self.database.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedDatabase]:
    shared = SharedDatabase(tmp_path_factory.mktemp("windows") / "easel.db")
    yield shared
    shared.close()


def after_jobs(
    member: Requester, zone: str, past_jobs: list[PastJob], limit: Limit, now: Instant
) -> Unit[Allowance]:
    """Write all jobs; returns the allowance after them."""
    yield "INSERT INTO guilds (id, time_zone) VALUES ($1, $2)", (member.guild_id, zone)
    for at, images, outcome in past_jobs:
        job = yield from claimed_job(new_job(next(numbers), images, by=member), at, limit)
        if outcome != "running":
            yield from jobs.finish(
                job, {"done": succeeded(images), "part": succeeded(1), "failed": FAILED}[outcome], at + DAY
            )
    return (yield from reservations.allowance(member, limit, now))


def counted(past_jobs: list[PastJob], window: Window, zone: str, now: Instant) -> tuple[int, int]:
    """Images spent and reserved in the window, counted job by job."""
    start = window_bounds(window, now, ZoneInfo(zone)).start
    inside = [(images, outcome) for at, images, outcome in past_jobs if at >= start]
    spent = sum({"done": images, "part": 1}.get(outcome, 0) for images, outcome in inside)
    return spent, sum(images for images, outcome in inside if outcome == "running")


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    now=st.integers(instant("2012-02-01T00:00Z"), instant("2037-01-01T00:00Z")),
    zone=st.sampled_from(ZONES),
    window=st.sampled_from(ALL_WINDOWS),
    before=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 40 * DAY), st.integers(0, 30 * HOUR)),
            st.integers(1, 4),
            st.sampled_from(["running", "done", "part", "failed"]),
        ),
        max_size=12,
    ),
)
def test_the_usage_of_a_window_is_what_was_reserved_since_it_began(
    shared: SharedDatabase, now: Instant, zone: str, window: Window, before: list[tuple[int, int, str]]
) -> None:
    member = requester(guild=next(numbers) + 1_000_000)
    limit = Limit(subject="everyone", subject_id=0, unit="images", window=window, amount=10_000)
    past_jobs = [(now - age, images, outcome) for age, images, outcome in sorted(before, reverse=True)]
    allowance = shared.write(after_jobs(member, zone, past_jobs, limit, now))
    assert (allowance.spent, allowance.reserved) == counted(past_jobs, window, zone, now)
    assert allowance.resets_at == window_bounds(window, now, ZoneInfo(zone)).end


@pytest.mark.parametrize(
    ("zone", "last", "first"),
    [
        ("UTC", "2026-05-04T23:59:59.999Z", "2026-05-05T00:00Z"),
        ("Asia/Kathmandu", "2026-05-04T18:14:59.999Z", "2026-05-04T18:15Z"),
        ("America/Sao_Paulo", "2018-11-04T02:59:59.999Z", "2018-11-04T03:00Z"),
        ("Africa/Cairo", "2024-04-25T21:59:59.999Z", "2024-04-25T22:00Z"),
        ("Pacific/Kiritimati", "2026-05-04T09:59:59.999Z", "2026-05-04T10:00Z"),
    ],
)
async def test_the_allowance_resets_at_the_guilds_own_midnight(
    tmp_path: Path, zone: str, last: str, first: str
) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(query("INSERT INTO guilds VALUES ($1, $2)", requester().guild_id, zone))
        accepted = await database.write(jobs.accept(new_job(1, images=10), DEFAULT_LIMIT, instant(last)))
        assert (accepted.allowance.left, accepted.allowance.resets_at) == (0, instant(first))
        assert await database.read(images_left(now=instant(last))) == 0
        assert await database.read(images_left(now=instant(first))) == 10
