"""Grants: used after the window, the one that expires first first, and given back in the opposite order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.domain.errors import QuotaExceeded
from bot.domain.jobs import AcceptedJob
from bot.domain.money import Amount
from bot.ports import Unit
from bot.storage import grants, jobs, ledger, limits, reservations
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


def grant_until(images: int, expires_at: int | None) -> Unit[int]:
    """A grant that expires; returns its id."""
    [row] = yield (
        "INSERT INTO grants (guild_id, member_id, images_left, expires_at) VALUES ($1, $2, $3, $4) RETURNING id",
        (GUILD, MEMBER, images, expires_at),
    )
    grant_id: int = row["id"]
    entry = ledger.Entry(
        kind="grant",
        at=NOW,
        guild_id=GUILD,
        member_id=MEMBER,
        grant_id=grant_id,
        amount=Amount(images=images),
        actor_id=MODERATOR,
    )
    yield ledger.append(entry)
    return grant_id


def grants_left() -> Unit[list[int]]:
    """Images left of every grant, the oldest first."""
    rows = yield "SELECT images_left FROM grants ORDER BY id", ()
    return [row["images_left"] for row in rows]


async def test_a_grant_is_used_after_the_days_own_images(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.write(grants.grant(GUILD, MEMBER, 5, MODERATOR, "thanks", NOW)) == 5
        assert await database.read(images_left()) == 15
        await database.write(jobs.accept(new_job(1, images=10), DEFAULT_LIMIT, NOW))
        assert await database.read(grants_left()) == [5]
        await database.write(jobs.accept(new_job(2, images=4), DEFAULT_LIMIT, NOW))
        assert await database.read(grants_left()) == [1]
        with pytest.raises(QuotaExceeded, match="have 1 left"):
            await database.write(jobs.accept(new_job(3, images=2), DEFAULT_LIMIT, NOW))
        assert await database.read(images_left(now=NOW + DAY)) == 11
        await assert_balanced(database)


async def test_grants_are_used_by_expiry_and_given_back_in_reverse(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        forever = await database.write(grant_until(2, None))
        late = await database.write(grant_until(2, NOW + 9 * DAY))
        soon = await database.write(grant_until(2, NOW + DAY))
        job = await database.write(claimed_job(new_job(1, images=15)))
        assert await database.read(ledger_entries(1)) == [
            ("reserve", None, 10, 0),
            ("reserve", soon, 2, 0),
            ("reserve", late, 2, 0),
            ("reserve", forever, 1, 0),
        ]
        await database.write(jobs.finish(job, succeeded(11), NOW))
        assert (await database.read(ledger_entries(1)))[4:] == [
            ("settle", None, 11, 0),
            ("release", forever, 1, 0),
            ("release", late, 2, 0),
            ("release", soon, 1, 0),
        ]
        assert await database.read(grants_left()) == [2, 2, 1]
        await assert_balanced(database)


async def test_unused_images_go_back_to_the_grant_before_the_window(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grant_until(3, None))
        job = await database.write(claimed_job(new_job(1, images=12)))
        await database.write(jobs.finish(job, succeeded(9), NOW))
        allowance = await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW))
        assert (allowance.spent, allowance.granted, allowance.left) == (9, 3, 4)
        await assert_balanced(database)


async def test_an_expired_grant_is_not_usable(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grant_until(5, NOW + HOUR))
        assert await database.read(images_left()) == 15
        assert await database.read(images_left(now=NOW + HOUR - 1)) == 15
        assert await database.read(images_left(now=NOW + HOUR)) == 10
        with pytest.raises(QuotaExceeded, match="have 10 left"):
            await database.write(jobs.accept(new_job(1, images=11), DEFAULT_LIMIT, NOW + HOUR))
        await assert_balanced(database)


async def test_images_released_to_an_expired_grant_stay_expired(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grant_until(5, NOW + HOUR))
        job = await database.write(claimed_job(new_job(1, images=15)))
        await database.write(jobs.finish(job, FAILED, NOW + 2 * HOUR))
        assert await database.read(grants_left()) == [5]
        assert await database.read(images_left(now=NOW + 2 * HOUR)) == 10
        await assert_balanced(database)


async def test_a_grant_never_lifts_the_servers_limit(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 50, MODERATOR, "thanks", NOW))
        await database.write(limits.set_limit(GUILD, limit_for("guild", GUILD, 12), NOW))
        allowance = await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW))
        assert (allowance.left, allowance.granted, allowance.limit.subject) == (12, 0, "guild")
        with pytest.raises(QuotaExceeded, match="have 12 left"):
            await database.write(jobs.accept(new_job(1, images=13), DEFAULT_LIMIT, NOW))
        await database.write(jobs.accept(new_job(2, images=12), DEFAULT_LIMIT, NOW))
        assert await database.read(grants_left()) == [48]
        assert await database.read(images_left()) == 0
        await assert_balanced(database)


async def test_a_grant_never_lifts_the_operators_cap(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 50, MODERATOR, "thanks", NOW))
        await database.write(limits.set_limit(0, limit_for("operator", 0, 4), NOW))
        await database.write(jobs.accept(new_job(1, images=3, by=requester(guild=GUILD + 1)), DEFAULT_LIMIT, NOW))
        assert await database.read(images_left()) == 1
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(new_job(2, images=2), DEFAULT_LIMIT, NOW))
        assert refused.value.limit.subject == "operator"


async def test_the_images_shown_as_left_can_be_asked_for(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(limits.set_limit(GUILD, limit_for("everyone", 0, 2), NOW))
        await database.write(limits.set_limit(GUILD, limit_for("guild", GUILD, 6), NOW))
        await database.write(grants.grant(GUILD, MEMBER, 9, MODERATOR, "thanks", NOW))
        shown = await database.read(images_left())
        with pytest.raises(QuotaExceeded):
            await database.write(jobs.accept(new_job(1, images=shown + 1), DEFAULT_LIMIT, NOW))
        await database.write(jobs.accept(new_job(2, images=shown), DEFAULT_LIMIT, NOW))
        assert await database.read(images_left()) == 0


async def test_taking_back_takes_the_newest_and_only_what_is_left(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 3, MODERATOR, "thanks", NOW))
        await database.write(grants.grant(GUILD, MEMBER, 4, MODERATOR, "thanks", NOW))
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == -5
        assert await database.read(grants_left()) == [2, 0]
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == -2
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == 0
        assert await database.read(images_left()) == 10
        rows = await database.read(query("SELECT images, reason FROM ledger WHERE entry = 'adjust' ORDER BY id"))
        assert [(row["images"], row["reason"]) for row in rows] == [(-4, "sorry"), (-1, "sorry"), (-2, "sorry")]
        await assert_balanced(database)


async def test_an_expired_grant_is_not_taken_back(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 3, MODERATOR, "thanks", NOW))
        await database.write(grant_until(9, NOW + HOUR))
        later = NOW + 2 * HOUR
        assert await database.write(grants.grant(GUILD, MEMBER, -12, MODERATOR, "sorry", later)) == -3
        assert await database.read(grants_left()) == [0, 9]


async def test_granted_images_that_a_job_has_reserved_cannot_be_taken_back(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 5, MODERATOR, "thanks", NOW))
        job = await database.write(claimed_job(new_job(1, images=13)))
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == -2
        await database.write(jobs.finish(job, succeeded(13), NOW))
        assert await database.read(images_left()) == 0
        await assert_balanced(database)


async def test_grants_take_backs_and_jobs_at_once_never_go_below_zero(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        given = [grants.grant(GUILD, MEMBER, 2, MODERATOR, "thanks", NOW) for _ in range(10)]
        taken = [grants.grant(GUILD, MEMBER, -3, MODERATOR, "sorry", NOW) for _ in range(10)]
        wanted = [jobs.accept(new_job(number), DEFAULT_LIMIT, NOW) for number in range(1, 31)]
        changes = asyncio.gather(
            *(database.write(unit) for pair in zip(given, taken, strict=True) for unit in pair)
        )
        results = await asyncio.gather(*(database.write(unit) for unit in wanted), return_exceptions=True)
        accepted = [result for result in results if isinstance(result, AcceptedJob)]
        assert len(accepted) + await database.read(images_left()) == 10 + sum(await changes)
        await assert_balanced(database)
