"""Limits: nobody gets more than is left, whoever asks at once and however a job ends."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bot.domain.errors import QuotaExceeded
from bot.domain.jobs import JobState
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.ports import Unit
from bot.storage import jobs, quotas
from bot.storage import limits as rules
from bot.storage.sqlite import Sqlite
from tests.support.ledger import (
    DAY,
    DEFAULT,
    FAILED,
    GUILD,
    HOUR,
    MEMBER,
    MODERATOR,
    NOW,
    asked,
    assert_balanced,
    begun,
    done,
    entries_of,
    left,
    opened,
    query,
    requester,
    rule,
)

FIVE = rule("everyone", 0, 5)


async def accepted(database: Sqlite, numbers: range | list[int]) -> int:
    """Ask for all of them at once; how many were not refused."""
    answers = await asyncio.gather(
        *(database.write(jobs.accept(asked(number), FIVE, NOW)) for number in numbers), return_exceptions=True
    )
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(refusal, QuotaExceeded) for refusal in refusals)
    return len(answers) - len(refusals)


async def ask_and_print(path: str, first: int) -> None:
    """What a second process does: asks for 24 at once and prints how many were accepted."""
    async with opened(Path(path)) as database:
        sys.stdout.write(f"{await accepted(database, range(first, first + 24))}\n")


@pytest.mark.parametrize("seed", range(4))
async def test_64_at_once_with_five_left_get_exactly_five(tmp_path: Path, seed: int) -> None:
    numbers = list(range(1, 65))
    random.Random(seed).shuffle(numbers)
    async with opened(tmp_path / "easel.db") as database:
        assert await accepted(database, numbers) == 5
        assert await database.read(left(default=FIVE)) == 0
        assert len(await database.read(query("SELECT id FROM jobs"))) == 5
        await assert_balanced(database)


async def test_64_at_once_through_four_connections_get_exactly_five(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        four = [await stack.enter_async_context(opened(tmp_path / "easel.db")) for _ in range(4)]
        counts = await asyncio.gather(
            *(accepted(database, range(1 + 16 * number, 17 + 16 * number)) for number, database in enumerate(four))
        )
        assert sum(counts) == 5
        await assert_balanced(four[0])


async def test_three_processes_at_one_file_get_exactly_five(tmp_path: Path) -> None:
    path = tmp_path / "easel.db"
    code = (
        "import asyncio, sys, tests.storage.test_reservations as here; "
        "asyncio.run(here.ask_and_print(sys.argv[1], int(sys.argv[2])))"
    )
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(path), str(first), stdout=-1, cwd=Path(__file__).parents[2]
        )
        for first in (100, 200, 300)
    ]
    answers = [await child.communicate() for child in children]
    assert sum(int(output) for output, _ in answers) == 5
    async with opened(path) as database:
        await assert_balanced(database)


async def test_the_same_request_delivered_ten_times_at_once_is_one_job(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        answers = await asyncio.gather(
            *(database.write(jobs.accept(asked(1, images=3), DEFAULT, NOW)) for _ in range(10))
        )
        assert sorted(answer.created for answer in answers) == [False] * 9 + [True]
        assert {answer.job for answer in answers} == {answers[0].job}
        assert [answer.allowance.left for answer in answers] == [7] * 10
        await assert_balanced(database)


async def test_a_failed_job_gives_everything_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        before = await database.read(quotas.allowance(requester(), DEFAULT, NOW))
        job = await database.write(begun(asked(1, images=4, micros=400)))
        assert await database.read(left()) == 6
        await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(quotas.allowance(requester(), DEFAULT, NOW)) == before
        await assert_balanced(database)


async def test_three_of_four_pictures_cost_three(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await database.write(begun(asked(1, images=4, micros=400)))
        await database.write(jobs.finish(job, done(3, 300), NOW))
        allowance = await database.read(quotas.allowance(requester(), DEFAULT, NOW))
        assert (allowance.spent, allowance.reserved, allowance.left) == (3, 0, 7)
        assert await database.read(entries_of(1)) == [
            ("reserve", None, 4, 400),
            ("settle", None, 3, 300),
            ("refund", None, 1, 100),
        ]
        await assert_balanced(database)


async def test_a_dearer_price_is_recorded_and_never_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("everyone", 0, 1000, "micros"), NOW))
        job = await database.write(begun(asked(1, micros=1000)))
        assert await database.write(jobs.finish(job, done(1, 1700), NOW))
        ended = await database.read(jobs.get(1))
        assert (ended.charged, ended.reserved) == (Amount(images=1, money=Money(1700)), Amount())
        assert await database.read(entries_of(1)) == [("reserve", None, 1, 1000), ("settle", None, 1, 1700)]
        await assert_balanced(database)


async def test_more_pictures_than_were_reserved_count_for_everybody(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await database.write(begun(asked(1, images=2)))
        await database.write(jobs.finish(job, done(3), NOW))
        assert await database.read(left()) == 7
        await assert_balanced(database)


async def test_a_charge_that_settles_after_midnight_belongs_to_the_day_it_was_reserved_in(tmp_path: Path) -> None:
    before_midnight, after_midnight = NOW + 12 * HOUR - 1, NOW + 12 * HOUR
    async with opened(tmp_path / "easel.db") as database:
        job = await database.write(begun(asked(1, images=4), before_midnight))
        assert await database.read(left(now=after_midnight)) == 10
        await database.write(jobs.finish(job, done(3), after_midnight))
        assert await database.read(left(now=after_midnight)) == 10
        assert await database.read(left(now=before_midnight)) == 7
        await assert_balanced(database)


async def test_the_member_comes_before_the_role_before_everyone_before_the_default(tmp_path: Path) -> None:
    roles = (501, 502)
    who = requester(roles=roles)
    async with opened(tmp_path / "easel.db") as database:
        assert await database.read(left(who)) == 10
        steps: list[tuple[Limit, int]] = [
            (rule("everyone", 0, 20), 20),
            (rule("role", 501, 3), 3),
            (rule("role", 502, 6), 6),
            (rule("role", 777, 90), 6),
            (rule("member", MEMBER, 2), 2),
        ]
        for step, expected in steps:
            await database.write(rules.set_limit(GUILD, step, NOW))
            allowance = await database.read(quotas.allowance(who, DEFAULT, NOW))
            assert allowance.left == expected
        assert allowance.why == rule("member", MEMBER, 2)
        assert await database.read(left(requester(member=MEMBER + 1))) == 20


async def test_the_roles_are_compared_by_what_they_give_a_day(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("role", 501, 5), NOW))
        await database.write(rules.set_limit(GUILD, rule("role", 502, 90, window="month"), NOW))
        assert await database.read(left(requester(roles=(501, 502)))) == 5


def one_more_window(more: Limit) -> Unit[None]:
    values = (GUILD, more.subject, more.subject_id, more.unit, more.window, more.limit)
    yield "INSERT INTO rules VALUES ($1, $2, $3, $4, $5, $6, 0, 0)", values


async def test_of_several_windows_all_must_have_room(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("everyone", 0, 5), NOW))
        await database.write(one_more_window(rule("everyone", 0, 7, window="month")))
        await database.write(jobs.accept(asked(1, images=5), DEFAULT, NOW))
        with pytest.raises(QuotaExceeded) as today:
            await database.write(jobs.accept(asked(2), DEFAULT, NOW))
        assert (today.value.left, today.value.rule.window) == (0, "day")
        with pytest.raises(QuotaExceeded) as tomorrow:
            await database.write(jobs.accept(asked(3, images=3), DEFAULT, NOW + DAY))
        assert (tomorrow.value.left, tomorrow.value.rule.window) == (2, "month")
        await database.write(jobs.accept(asked(4, images=2), DEFAULT, NOW + DAY))
        assert await database.read(left(now=NOW + 2 * DAY)) == 0
        await assert_balanced(database)


async def test_of_two_full_windows_the_longer_one_says_when_it_starts_anew(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("everyone", 0, 5), NOW))
        await database.write(one_more_window(rule("everyone", 0, 5, window="month")))
        await database.write(jobs.accept(asked(1, images=5), DEFAULT, NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(asked(2), DEFAULT, NOW))
        assert refused.value.resets_at == NOW - 12 * HOUR + 31 * DAY


async def test_a_refusal_names_the_narrowest_limit(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("guild", GUILD, 3), NOW))
        await database.write(rules.set_limit(GUILD, rule("everyone", 0, 1), NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(asked(1, images=4), DEFAULT, NOW))
        assert "You asked for 4 pictures and have 1 left." in refused.value.sentence


async def test_money_is_a_limit_of_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("member", MEMBER, 1000, "micros"), NOW))
        await database.write(jobs.accept(asked(1, images=2, micros=600), DEFAULT, NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(asked(2, images=4, micros=600), DEFAULT, NOW))
        assert (refused.value.left, refused.value.rule.unit) == (2, "micros")
        await database.write(jobs.accept(asked(3, images=2, micros=400), DEFAULT, NOW))
        await database.write(jobs.accept(asked(4, images=2, micros=0), DEFAULT, NOW))
        assert await database.read(left()) == 4
        await assert_balanced(database)


async def test_a_server_limit_holds_for_all_members_together(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("guild", GUILD, 5), NOW))
        await database.write(jobs.accept(asked(1, images=4, who=requester(1)), DEFAULT, NOW))
        assert await database.read(left(requester(2))) == 1
        with pytest.raises(QuotaExceeded):
            await database.write(jobs.accept(asked(2, images=2, who=requester(2)), DEFAULT, NOW))
        assert await database.read(left(requester(2, guild=GUILD + 1))) == 10


async def test_the_operators_cap_is_one_day_for_servers_in_all_time_zones(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(0, rule("operator", 0, 6), NOW))
        await database.write(query("INSERT INTO guilds VALUES (12, 'Asia/Tokyo', 0)"))
        await database.write(jobs.accept(asked(1, images=6), DEFAULT, NOW))
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(asked(2, who=requester(guild=12)), DEFAULT, NOW + 4 * HOUR))
        assert refused.value.resets_at == NOW + 12 * HOUR
        await assert_balanced(database)


async def test_outside_of_any_server_a_picture_counts_once_for_the_operator(tmp_path: Path) -> None:
    nowhere = requester(guild=0)
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(0, rule("operator", 0, 6), NOW))
        job = await database.write(begun(asked(1, images=2, who=nowhere)))
        assert await database.read(left(nowhere)) == 4
        await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(left(nowhere)) == 6
        await assert_balanced(database)


async def test_a_new_limit_tells_what_it_replaced_and_a_cleared_one_what_it_was(tmp_path: Path) -> None:
    old, new = rule("member", MEMBER, 3), rule("member", MEMBER, 9, window="week")
    async with opened(tmp_path / "easel.db") as database:
        assert await database.write(rules.set_limit(GUILD, old, NOW)) == []
        assert await database.write(rules.set_limit(GUILD, new, NOW)) == [old]
        assert await database.read(rules.limits(GUILD)) == [new]
        assert await database.write(rules.clear_limit(GUILD, new, NOW)) == [new]
        assert await database.write(rules.clear_limit(GUILD, new, NOW)) == []
        assert await database.read(rules.limits(GUILD)) == []
        rows = await database.read(query("SELECT * FROM ledger ORDER BY id"))
        assert [(row["entry"], row["member_id"], row["actor_id"]) for row in rows] == [
            ("rule", MEMBER, MODERATOR)
        ] * 3
        assert [row["reason"].partition(": ")[2] for row in rows] == [
            "3 images per day; before: none",
            "9 images per week; before: 3 per day",
            "cleared; before: 9 per week",
        ]


async def test_a_limit_below_what_was_spent_refuses_without_going_below_zero(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await database.write(begun(asked(1, images=8)))
        await database.write(rules.set_limit(GUILD, rule("everyone", 0, 2), NOW))
        assert await database.read(left()) == 0
        with pytest.raises(QuotaExceeded, match="have 0 left"):
            await database.write(jobs.accept(asked(2), DEFAULT, NOW))
        await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(left()) == 2


async def test_a_job_ends_once_however_often_it_is_told_to(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await database.write(begun(asked(1, images=2)))
        answers = await asyncio.gather(*(database.write(jobs.finish(job, done(2), NOW)) for _ in range(20)))
        assert sum(answer is not None for answer in answers) == 1
        assert (await database.read(jobs.get(1))).state is JobState.DONE
        await assert_balanced(database)
