"""Grants: used after the window, the one that expires first first, and given back the other way round."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.domain.errors import QuotaExceeded
from bot.domain.jobs import AcceptedJob
from bot.ports import Unit
from bot.storage import grants, jobs, ledger, quotas
from bot.storage import limits as rules
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


def grant_until(images: int, expires_at: int | None) -> Unit[int]:
    """A grant with an end; returns its id."""
    rows = yield (
        "INSERT INTO grants (guild_id, member_id, images_left, expires_at, created_at) "
        "VALUES ($1, $2, $3, $4, $5) RETURNING id",
        (GUILD, MEMBER, images, expires_at, NOW),
    )
    grant_id: int = rows[0]["id"]
    yield (
        ledger.LEDGER,
        (NOW, GUILD, MEMBER, None, grant_id, "grant", images, 0, MODERATOR, None),
    )
    return grant_id


def pieces_left() -> Unit[list[int]]:
    """What is left of every grant, in the order they were given."""
    rows = yield "SELECT images_left FROM grants ORDER BY id", ()
    return [row["images_left"] for row in rows]


async def test_a_grant_comes_after_the_days_own_pictures(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        assert await database.write(grants.grant(GUILD, MEMBER, 5, MODERATOR, "thanks", NOW)) == 5
        assert await database.read(left()) == 15
        await database.write(jobs.accept(asked(1, images=10), DEFAULT, NOW))
        assert await database.read(pieces_left()) == [5]
        await database.write(jobs.accept(asked(2, images=4), DEFAULT, NOW))
        assert await database.read(pieces_left()) == [1]
        with pytest.raises(QuotaExceeded, match="have 1 left"):
            await database.write(jobs.accept(asked(3, images=2), DEFAULT, NOW))
        assert await database.read(left(now=NOW + DAY)) == 11
        await assert_balanced(database)


async def test_grants_are_used_by_their_end_and_given_back_in_reverse(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        forever = await database.write(grant_until(2, None))
        late = await database.write(grant_until(2, NOW + 9 * DAY))
        soon = await database.write(grant_until(2, NOW + DAY))
        job = await database.write(begun(asked(1, images=15)))
        assert await database.read(entries_of(1)) == [
            ("reserve", None, 10, 0),
            ("reserve", soon, 2, 0),
            ("reserve", late, 2, 0),
            ("reserve", forever, 1, 0),
        ]
        await database.write(jobs.finish(job, done(11), NOW))
        assert (await database.read(entries_of(1)))[4:] == [
            ("settle", None, 11, 0),
            ("refund", forever, 1, 0),
            ("refund", late, 2, 0),
            ("refund", soon, 1, 0),
        ]
        assert await database.read(pieces_left()) == [2, 2, 1]
        await assert_balanced(database)


async def test_a_cheaper_job_gives_the_grant_back_before_the_days_own(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grant_until(3, None))
        job = await database.write(begun(asked(1, images=12)))
        await database.write(jobs.finish(job, done(9), NOW))
        allowance = await database.read(quotas.allowance(requester(), DEFAULT, NOW))
        assert (allowance.spent, allowance.granted, allowance.left) == (9, 3, 4)
        await assert_balanced(database)


async def test_an_expired_grant_is_worth_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grant_until(5, NOW + HOUR))
        assert await database.read(left()) == 15
        assert await database.read(left(now=NOW + HOUR - 1)) == 15
        assert await database.read(left(now=NOW + HOUR)) == 10
        with pytest.raises(QuotaExceeded, match="have 10 left"):
            await database.write(jobs.accept(asked(1, images=11), DEFAULT, NOW + HOUR))
        await assert_balanced(database)


async def test_what_comes_back_to_an_expired_grant_stays_expired(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grant_until(5, NOW + HOUR))
        job = await database.write(begun(asked(1, images=15)))
        await database.write(jobs.finish(job, FAILED, NOW + 2 * HOUR))
        assert await database.read(pieces_left()) == [5]
        assert await database.read(left(now=NOW + 2 * HOUR)) == 10
        await assert_balanced(database)


async def test_a_grant_never_lifts_the_servers_limit(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 50, MODERATOR, "thanks", NOW))
        await database.write(rules.set_limit(GUILD, rule("guild", GUILD, 12), NOW))
        allowance = await database.read(quotas.allowance(requester(), DEFAULT, NOW))
        assert (allowance.left, allowance.granted, allowance.why.subject) == (12, 0, "guild")
        with pytest.raises(QuotaExceeded, match="have 12 left"):
            await database.write(jobs.accept(asked(1, images=13), DEFAULT, NOW))
        await database.write(jobs.accept(asked(2, images=12), DEFAULT, NOW))
        assert await database.read(pieces_left()) == [48]
        assert await database.read(left()) == 0
        await assert_balanced(database)


async def test_a_grant_never_lifts_the_operators_cap(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 50, MODERATOR, "thanks", NOW))
        await database.write(rules.set_limit(0, rule("operator", 0, 4), NOW))
        await database.write(jobs.accept(asked(1, images=3, who=requester(guild=GUILD + 1)), DEFAULT, NOW))
        assert await database.read(left()) == 1
        with pytest.raises(QuotaExceeded) as refused:
            await database.write(jobs.accept(asked(2, images=2), DEFAULT, NOW))
        assert refused.value.rule.subject == "operator"


async def test_what_is_shown_as_left_is_what_can_be_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(rules.set_limit(GUILD, rule("everyone", 0, 2), NOW))
        await database.write(rules.set_limit(GUILD, rule("guild", GUILD, 6), NOW))
        await database.write(grants.grant(GUILD, MEMBER, 9, MODERATOR, "thanks", NOW))
        shown = await database.read(left())
        with pytest.raises(QuotaExceeded):
            await database.write(jobs.accept(asked(1, images=shown + 1), DEFAULT, NOW))
        await database.write(jobs.accept(asked(2, images=shown), DEFAULT, NOW))
        assert await database.read(left()) == 0


async def test_taking_back_takes_the_newest_and_only_what_is_left(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 3, MODERATOR, "thanks", NOW))
        await database.write(grants.grant(GUILD, MEMBER, 4, MODERATOR, "thanks", NOW))
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == -5
        assert await database.read(pieces_left()) == [2, 0]
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == -2
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == 0
        assert await database.read(left()) == 10
        rows = await database.read(query("SELECT images, reason FROM ledger WHERE entry = 'adjust' ORDER BY id"))
        assert [(row["images"], row["reason"]) for row in rows] == [(-4, "sorry"), (-1, "sorry"), (-2, "sorry")]
        await assert_balanced(database)


async def test_what_has_expired_is_not_there_to_be_taken_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 3, MODERATOR, "thanks", NOW))
        await database.write(grant_until(9, NOW + HOUR))
        later = NOW + 2 * HOUR
        assert await database.write(grants.grant(GUILD, MEMBER, -12, MODERATOR, "sorry", later)) == -3
        assert await database.read(pieces_left()) == [0, 9]


async def test_granted_pictures_that_are_being_painted_cannot_be_taken_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(grants.grant(GUILD, MEMBER, 5, MODERATOR, "thanks", NOW))
        job = await database.write(begun(asked(1, images=13)))
        assert await database.write(grants.grant(GUILD, MEMBER, -5, MODERATOR, "sorry", NOW)) == -2
        await database.write(jobs.finish(job, done(13), NOW))
        assert await database.read(left()) == 0
        await assert_balanced(database)


async def test_granting_taking_back_and_asking_at_once_never_go_below_zero(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        given = [grants.grant(GUILD, MEMBER, 2, MODERATOR, "thanks", NOW) for _ in range(10)]
        taken = [grants.grant(GUILD, MEMBER, -3, MODERATOR, "sorry", NOW) for _ in range(10)]
        wanted = [jobs.accept(asked(number), DEFAULT, NOW) for number in range(1, 31)]
        changes = asyncio.gather(
            *(database.write(unit) for pair in zip(given, taken, strict=True) for unit in pair)
        )
        answers = await asyncio.gather(*(database.write(unit) for unit in wanted), return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, AcceptedJob)]
        assert len(accepted) + await database.read(left()) == 10 + sum(await changes)
        await assert_balanced(database)
