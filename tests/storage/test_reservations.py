"""Limits: no more is accepted than is left, however many requests come at once and however a job ends."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bot.domain.errors import QuotaExceeded
from bot.domain.jobs import AcceptedJob, JobState
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.ports import Unit
from bot.storage import jobs, limits, reservations
from bot.storage.sqlite import Sqlite
from tests.support.ledger import (
    DAY,
    DEFAULT_LIMIT,
    FAILED,
    GUILD,
    HOUR,
    MEMBER,
    MODERATOR,
    NOW,
    assert_balanced,
    claimed_job,
    images_left,
    ledger_entries,
    limit_for,
    new_job,
    open_database,
    query,
    requester,
    succeeded,
)
from tests.support.world.world import ROOT

FIVE = limit_for("everyone", 0, 5)


async def accepted(database: Sqlite, numbers: range | list[int]) -> int:
    """Accept all of them at once; returns how many were not refused."""
    results = await asyncio.gather(
        *(database.write(jobs.accept(new_job(number), FIVE, NOW)) for number in numbers), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(refusal, QuotaExceeded) for refusal in refusals)
    return len(results) - len(refusals)


async def accept_and_print(path: str, first: int) -> None:
    """The child process: accepts 24 jobs at once and prints how many were not refused."""
    async with open_database(Path(path)) as database:
        sys.stdout.write(f"{await accepted(database, range(first, first + 24))}\n")


@pytest.mark.parametrize("seed", range(4))
async def test_64_at_once_with_five_left_get_exactly_five(tmp_path: Path, seed: int) -> None:
    numbers = list(range(1, 65))
    random.Random(seed).shuffle(numbers)
    async with open_database(tmp_path / "easel.db") as database:
        assert await accepted(database, numbers) == 5
        assert await database.read(images_left(default_limit=FIVE)) == 0
        assert len(await database.read(query("SELECT id FROM jobs"))) == 5
        await assert_balanced(database)


async def test_64_at_once_through_four_connections_get_exactly_five(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        four = [await stack.enter_async_context(open_database(tmp_path / "easel.db")) for _ in range(4)]
        counts = await asyncio.gather(
            *(accepted(database, range(1 + 16 * number, 17 + 16 * number)) for number, database in enumerate(four))
        )
        assert sum(counts) == 5
        await assert_balanced(four[0])


async def test_three_processes_at_one_file_get_exactly_five(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    code = (
        "import asyncio, sys; from tests.storage import test_reservations as here; "
        "asyncio.run(here.accept_and_print(sys.argv[1], int(sys.argv[2])))"
    )
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(path), str(first), stdout=-1, cwd=ROOT
        )
        for first in (100, 200, 300)
    ]
    results = [await child.communicate() for child in children]
    assert sum(int(output) for output, _ in results) == 5
    async with open_database(path) as database:
        await assert_balanced(database)


async def test_the_same_request_delivered_ten_times_at_once_is_one_job(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        results = await asyncio.gather(
            *(database.write(jobs.accept(new_job(1, images=3), DEFAULT_LIMIT, NOW)) for _ in range(10))
        )
        assert sorted(result.created for result in results) == [False] * 9 + [True]
        assert {result.job for result in results} == {results[0].job}
        assert [result.allowance.left for result in results] == [7] * 10
        await assert_balanced(database)


async def test_a_failed_job_releases_everything(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        before = await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW))
        job = await database.write(claimed_job(new_job(1, images=4, micros=400)))
        assert await database.read(images_left()) == 6
        await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW)) == before
        await assert_balanced(database)


async def test_three_of_four_pictures_cost_three(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=4, micros=400)))
        await database.write(jobs.finish(job, succeeded(3, 300), NOW))
        allowance = await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW))
        assert (allowance.spent, allowance.reserved, allowance.left) == (3, 0, 7)
        assert await database.read(ledger_entries(1)) == [
            ("reserve", None, 4, 400),
            ("settle", None, 3, 300),
            ("release", None, 1, 100),
        ]
        await assert_balanced(database)


async def test_a_cost_above_the_reservation_is_recorded_and_never_refused(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("everyone", 0, 1000, "micros"), NOW))
        job = await database.write(claimed_job(new_job(1, micros=1000)))
        assert await database.write(jobs.finish(job, succeeded(1, 1700), NOW))
        ended = await database.read(jobs.get(1))
        assert (ended.charged, ended.reserved) == (Amount(images=1, money=Money(1700)), Amount())
        assert await database.read(ledger_entries(1)) == [("reserve", None, 1, 1000), ("settle", None, 1, 1700)]
        await assert_balanced(database)


async def test_images_beyond_the_reservation_count_for_every_subject(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=2)))
        await database.write(jobs.finish(job, succeeded(3), NOW))
        assert await database.read(images_left()) == 7
        await assert_balanced(database)


async def test_a_charge_that_settles_after_midnight_belongs_to_the_day_it_was_reserved_in(tmp_path: Path) -> None:
    before_midnight, after_midnight = NOW + 12 * HOUR - 1, NOW + 12 * HOUR
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=4), before_midnight))
        assert await database.read(images_left(now=after_midnight)) == 10
        await database.write(jobs.finish(job, succeeded(3), after_midnight))
        assert await database.read(images_left(now=after_midnight)) == 10
        assert await database.read(images_left(now=before_midnight)) == 7
        await assert_balanced(database)


async def test_a_members_limit_comes_before_a_roles_before_everyones_before_the_default(tmp_path: Path) -> None:
    roles = (501, 502)
    member = requester(roles=roles)
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.read(images_left(member)) == 10
        steps: list[tuple[Limit, int]] = [
            (limit_for("everyone", 0, 20), 20),
            (limit_for("role", 501, 3), 3),
            (limit_for("role", 502, 6), 6),
            (limit_for("role", 777, 90), 6),
            (limit_for("member", MEMBER, 2), 2),
        ]
        for step, expected in steps:
            await database.write(limits.set_limit(GUILD, step, NOW))
            allowance = await database.read(reservations.allowance(member, DEFAULT_LIMIT, NOW))
            assert allowance.left == expected
        assert allowance.limit == limit_for("member", MEMBER, 2)
        assert await database.read(images_left(requester(member=MEMBER + 1))) == 20


async def test_the_limits_of_roles_are_compared_by_images_a_day(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("role", 501, 5), NOW))
        await database.write(limits.set_limit(GUILD, limit_for("role", 502, 90, window="month"), NOW))
        assert await database.read(images_left(requester(roles=(501, 502)))) == 5


def one_more_window(more: Limit) -> Unit[None]:
    values = (GUILD, more.subject, more.subject_id, more.unit, more.window, more.amount)
    yield "INSERT INTO limits VALUES ($1, $2, $3, $4, $5, $6, 0)", values


async def test_every_window_of_a_subject_must_have_room(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("everyone", 0, 5), NOW))
        await database.write(one_more_window(limit_for("everyone", 0, 7, window="month")))
        await database.write(jobs.accept(new_job(1, images=5), DEFAULT_LIMIT, NOW))
        with pytest.raises(QuotaExceeded) as today:
            await database.write(jobs.accept(new_job(2), DEFAULT_LIMIT, NOW))
        assert (today.value.left, today.value.limit.window) == (0, "day")
        with pytest.raises(QuotaExceeded) as tomorrow:
            await database.write(jobs.accept(new_job(3, images=3), DEFAULT_LIMIT, NOW + DAY))
        assert (tomorrow.value.left, tomorrow.value.limit.window) == (2, "month")
        await database.write(jobs.accept(new_job(4, images=2), DEFAULT_LIMIT, NOW + DAY))
        assert await database.read(images_left(now=NOW + 2 * DAY)) == 0
        await assert_balanced(database)


async def test_of_two_full_windows_the_refusal_names_the_one_that_ends_last(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("everyone", 0, 5), NOW))
        await database.write(one_more_window(limit_for("everyone", 0, 5, window="month")))
        await database.write(jobs.accept(new_job(1, images=5), DEFAULT_LIMIT, NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(new_job(2), DEFAULT_LIMIT, NOW))
        assert refused.value.resets_at == NOW - 12 * HOUR + 31 * DAY


async def test_a_refusal_names_the_narrowest_limit(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("guild", GUILD, 3), NOW))
        await database.write(limits.set_limit(GUILD, limit_for("everyone", 0, 1), NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(new_job(1, images=4), DEFAULT_LIMIT, NOW))
        assert "You asked for 4 pictures and have 1 left." in refused.value.sentence


async def test_a_limit_of_money_applies_beside_the_one_of_images(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("member", MEMBER, 1000, "micros"), NOW))
        await database.write(jobs.accept(new_job(1, images=2, micros=600), DEFAULT_LIMIT, NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(new_job(2, images=4, micros=600), DEFAULT_LIMIT, NOW))
        assert (refused.value.left, refused.value.limit.unit) == (2, "micros")
        await database.write(jobs.accept(new_job(3, images=2, micros=400), DEFAULT_LIMIT, NOW))
        await database.write(jobs.accept(new_job(4, images=2, micros=0), DEFAULT_LIMIT, NOW))
        assert await database.read(images_left()) == 4
        await assert_balanced(database)


async def test_a_server_limit_holds_for_all_members_together(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("guild", GUILD, 5), NOW))
        await database.write(jobs.accept(new_job(1, images=4, by=requester(1)), DEFAULT_LIMIT, NOW))
        assert await database.read(images_left(requester(2))) == 1
        with pytest.raises(QuotaExceeded):
            await database.write(jobs.accept(new_job(2, images=2, by=requester(2)), DEFAULT_LIMIT, NOW))
        assert await database.read(images_left(requester(2, guild=GUILD + 1))) == 10


async def test_the_operators_cap_is_one_day_for_servers_in_all_time_zones(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(0, limit_for("operator", 0, 6), NOW))
        await database.write(query("INSERT INTO guilds VALUES (12, 'Asia/Tokyo')"))
        await database.write(jobs.accept(new_job(1, images=6), DEFAULT_LIMIT, NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(new_job(2, by=requester(guild=12)), DEFAULT_LIMIT, NOW + 4 * HOUR))
        assert refused.value.resets_at == NOW + 12 * HOUR
        await assert_balanced(database)


async def test_outside_of_any_guild_an_image_counts_once_for_the_operator(tmp_path: Path) -> None:
    outside = requester(guild=0)
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(0, limit_for("operator", 0, 6), NOW))
        job = await database.write(claimed_job(new_job(1, images=2, by=outside)))
        assert await database.read(images_left(outside)) == 4
        await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(images_left(outside)) == 6
        await assert_balanced(database)


async def test_setting_and_clearing_a_limit_return_and_note_the_previous_one(tmp_path: Path) -> None:
    old, new = limit_for("member", MEMBER, 3), limit_for("member", MEMBER, 9, window="week")
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.write(limits.set_limit(GUILD, old, NOW)) == []
        assert await database.write(limits.set_limit(GUILD, new, NOW)) == [old]
        assert await database.read(limits.limits(GUILD)) == [new]
        assert await database.write(limits.clear_limit(GUILD, new, NOW)) == [new]
        assert await database.write(limits.clear_limit(GUILD, new, NOW)) == []
        assert await database.read(limits.limits(GUILD)) == []
        rows = await database.read(query("SELECT * FROM ledger ORDER BY id"))
        assert [(row["entry"], row["member_id"], row["actor_id"]) for row in rows] == [
            ("limit", MEMBER, MODERATOR)
        ] * 3
        assert [row["reason"].partition(": ")[2] for row in rows] == [
            "3 images per day; before: none",
            "9 images per week; before: 3 per day",
            "cleared; before: 9 per week",
        ]


async def test_a_limit_below_the_usage_refuses_without_going_below_zero(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=8)))
        await database.write(limits.set_limit(GUILD, limit_for("everyone", 0, 2), NOW))
        assert await database.read(images_left()) == 0
        with pytest.raises(QuotaExceeded, match="have 0 left"):
            await database.write(jobs.accept(new_job(2), DEFAULT_LIMIT, NOW))
        await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(images_left()) == 2


async def test_a_job_that_is_finished_many_times_ends_once(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1, images=2)))
        results = await asyncio.gather(*(database.write(jobs.finish(job, succeeded(2), NOW)) for _ in range(20)))
        assert sum(result is not None for result in results) == 1
        assert (await database.read(jobs.get(1))).state is JobState.DONE
        await assert_balanced(database)


async def test_accepting_a_job_sums_the_usage_of_each_window_once(tmp_path: Path) -> None:
    sums: list[str] = []

    def watched(unit: Unit[AcceptedJob]) -> Unit[AcceptedJob]:
        statement = next(unit)
        try:
            while True:
                if "FROM usage" in statement[0]:
                    sums.append(statement[0])
                statement = unit.send((yield statement))
        except StopIteration as stop:
            accepted: AcceptedJob = stop.value
            return accepted

    async with open_database(tmp_path / "easel.db") as database:
        for limit in (FIVE, limit_for("everyone", 0, 900, "micros"), limit_for("guild", GUILD, 7)):
            await database.write(limits.set_limit(GUILD, limit, NOW))
        accepted = await database.write(watched(jobs.accept(new_job(1, 2, 300), DEFAULT_LIMIT, NOW)))
        # The member's two limits share a day; the guild's is another subject's.
        assert len(sums) == 2
        assert accepted.allowance == await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW))
        assert accepted.allowance.left == 3
