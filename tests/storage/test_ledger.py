"""The ledger: usage can be computed from it alone, and each job's reservation was spent or released."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from bot.domain.errors import QuotaExceeded
from bot.domain.jobs import Job
from bot.domain.money import Money
from bot.ports import Unit
from bot.storage import grants, jobs, reservations, submits
from tests.support.ledger import (
    DAY,
    DEFAULT_LIMIT,
    FAILED,
    GUILD,
    MODERATOR,
    NOW,
    assert_balanced,
    claimed_job,
    ledger_entries,
    new_job,
    open_database,
    query,
    requester,
    succeeded,
)


async def test_a_job_that_cost_what_was_reserved_has_two_rows(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=2, micros=500)))
        assert await database.write(jobs.finish(job, succeeded(2, 500), NOW))
        assert await database.read(ledger_entries(1)) == [("reserve", None, 2, 500), ("settle", None, 2, 500)]
        await assert_balanced(database)


async def test_a_failed_job_releases_all_that_it_reserved(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=2, micros=500)))
        assert await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(ledger_entries(1)) == [("reserve", None, 2, 500), ("release", None, 2, 500)]
        await assert_balanced(database)


async def test_a_job_that_costs_no_money_still_counts_its_images(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=2)))
        assert await database.write(jobs.finish(job, succeeded(1), NOW))
        assert await database.read(ledger_entries(1)) == [
            ("reserve", None, 2, 0),
            ("settle", None, 1, 0),
            ("release", None, 1, 0),
        ]
        await assert_balanced(database)


async def test_a_refusal_leaves_no_row_anywhere(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        with contextlib.suppress(QuotaExceeded):
            await database.write(jobs.accept(new_job(1, images=11), DEFAULT_LIMIT, NOW))
        for table in ("jobs", "ledger", "usage", "spool"):
            assert await database.read(query(f"SELECT * FROM {table}")) == []  # noqa: S608 - a literal


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        (None, "a lost answer: $0.134 may have been paid twice"),
        (Money(40_000), "a lost answer: $0.04 was paid for pictures that were lost"),
        (Money(0), "a lost answer: $0.00 was paid for pictures that were lost"),
    ],
)
async def test_a_possible_double_cost_is_noted_and_charged_to_no_member(
    tmp_path: Path, cost: Money | None, reason: str
) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, micros=134_000)))
        await database.write(submits.note_double_cost(job, cost, NOW))
        [row] = await database.read(query("SELECT * FROM ledger WHERE entry = 'adjust'"))
        assert (row["job_id"], row["member_id"], row["images"], row["micros"]) == (1, None, 0, 0)
        assert row["reason"] == reason
        await database.write(jobs.finish(job, succeeded(1, 134_000), NOW))
        await assert_balanced(database)


async def test_two_hundred_jobs_at_once_that_all_fail_leave_every_allowance_as_it_was(tmp_path: Path) -> None:
    chance = random.Random(7)
    members = [requester(user, guild) for guild in (GUILD, GUILD + 1) for user in range(100, 105)]
    async with open_database(tmp_path / "easel.db") as database:
        for member in members:
            await database.write(grants.grant(member.guild_id, member.user_id, 15, MODERATOR, "thanks", NOW))
        before = [await database.read(reservations.allowance(member, DEFAULT_LIMIT, NOW)) for member in members]
        refused = 0

        async def one(number: int) -> None:
            nonlocal refused
            new = new_job(number, chance.randint(1, 4), chance.randint(0, 900), chance.choice(members))
            try:
                await database.write(jobs.accept(new, DEFAULT_LIMIT, NOW))
            except QuotaExceeded:
                refused += 1
                return
            if chance.random() < 0.3:
                await database.write(jobs.cancel(number, NOW))
                return
            [job] = await database.write(_claim_one(number))
            later = NOW + chance.randint(0, 3 * DAY)
            assert await database.write(jobs.finish(job, FAILED, later))
            assert not await database.write(jobs.finish(job, succeeded(1), later))

        await asyncio.gather(*(one(number) for number in range(1, 201)))
        assert 0 < refused < 200
        assert [
            await database.read(reservations.allowance(member, DEFAULT_LIMIT, NOW)) for member in members
        ] == before
        await assert_balanced(database)


def _claim_one(job_id: int) -> Unit[list[Job]]:
    yield "UPDATE jobs SET state = 'running', attempts = 1, leased_until = $2 WHERE id = $1", (job_id, NOW)
    return [(yield from jobs.get(job_id))]
