"""What a window holds is what the ledger says, for any time zone and any moment."""

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
from bot.storage import jobs, quotas
from bot.storage.sqlite import Sqlite, open_sqlite
from tests.support.ledger import (
    DAY,
    DEFAULT,
    FAILED,
    HOUR,
    NOW,
    asked,
    begun,
    done,
    left,
    opened,
    query,
    requester,
)
from tests.unit.test_limits import ALL_WINDOWS, ZONES, instant

numbers = itertools.count(1)
Painted = tuple[Instant, int, str]
"""When, how many, and how it ended."""


class SharedDatabase:
    """One file for all examples; each takes a server of its own."""

    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.database: Sqlite = self.runner.run(open_sqlite(path, NOW))

    def write(self, unit: Unit[Allowance]) -> Allowance:
        return self.runner.run(self.database.write(unit))

    def close(self) -> None:
        self.runner.run(self.database.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedDatabase]:
    bench = SharedDatabase(tmp_path_factory.mktemp("windows") / "easel.db")
    yield bench
    bench.close()


def history(who: Requester, zone: str, painted: list[Painted], rule: Limit, now: Instant) -> Unit[Allowance]:
    """Paint all of it, then look."""
    yield "INSERT INTO guilds (id, time_zone, updated_at) VALUES ($1, $2, 0)", (who.guild_id, zone)
    for at, images, how in painted:
        job = yield from begun(asked(next(numbers), images, who=who), at, rule)
        if how != "running":
            yield from jobs.finish(job, {"done": done(images), "part": done(1), "failed": FAILED}[how], at + DAY)
    return (yield from quotas.allowance(who, rule, now))


def counted(painted: list[Painted], window: Window, zone: str, now: Instant) -> tuple[int, int]:
    """The same, one by one."""
    start = window_bounds(window, now, ZoneInfo(zone)).start
    inside = [(images, how) for at, images, how in painted if at >= start]
    spent = sum({"done": images, "part": 1}.get(how, 0) for images, how in inside)
    return spent, sum(images for images, how in inside if how == "running")


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
def test_a_window_holds_exactly_what_was_reserved_since_it_began(
    bench: SharedDatabase, now: Instant, zone: str, window: Window, before: list[tuple[int, int, str]]
) -> None:
    who = requester(guild=next(numbers) + 1_000_000)
    rule = Limit(subject="everyone", subject_id=0, unit="images", window=window, limit=10_000)
    painted = [(now - age, images, how) for age, images, how in sorted(before, reverse=True)]
    allowance = bench.write(history(who, zone, painted, rule, now))
    assert (allowance.spent, allowance.reserved) == counted(painted, window, zone, now)
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
async def test_the_allowance_starts_anew_at_the_servers_own_midnight(
    tmp_path: Path, zone: str, last: str, first: str
) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(query("INSERT INTO guilds VALUES ($1, $2, 0)", requester().guild_id, zone))
        commission = await database.write(jobs.accept(asked(1, images=10), DEFAULT, instant(last)))
        assert (commission.allowance.left, commission.allowance.resets_at) == (0, instant(first))
        assert await database.read(left(now=instant(last))) == 0
        assert await database.read(left(now=instant(first))) == 10
