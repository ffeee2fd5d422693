"""Tickets: as many as a job takes, with the bytes they keep; and a job that goes on as another model's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.errors import NotFound, QuotaExceeded
from bot.domain.jobs import Job, JobState, Ticket
from bot.domain.money import Money
from bot.storage import jobs, spool, submits
from bot.storage import limits as rules
from bot.storage.sqlite import Sqlite
from tests.storage.test_jobs import claimed, one_claimed
from tests.support.ledger import (
    DEFAULT,
    FAILED,
    GUILD,
    LEASE,
    NOW,
    asked,
    assert_balanced,
    begun,
    done,
    entries_of,
    left,
    opened,
    query,
    rule,
)

FIRST = Ticket(provider="fal", data={"request_id": "a"}, count=4)
SECOND = Ticket(provider="oxen", data={"ids": ["b", "c"]}, count=2)


async def keep(database: Sqlite, job: Job, ticket: Ticket) -> Job:
    """Save a ticket as the worker does; returns the job as the worker then knows it."""
    assert await database.write(submits.save_ticket(job, ticket, NOW))
    return replace(job, tickets=(*job.tickets, replace(ticket, kept=())), submitted_at=None)


async def test_a_job_takes_as_many_tickets_as_it_needs_each_at_its_own_service(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await keep(database, await keep(database, await one_claimed(database), FIRST), SECOND)
        found = await database.read(jobs.get(1))
        assert (found.tickets, found.accepted) == ((FIRST, SECOND), 6)
        assert found.tickets == job.tickets
        [again] = await claimed(database, NOW + LEASE, worker="w2")
        assert again.tickets == (FIRST, SECOND)


async def test_the_next_submit_is_written_down_only_by_who_knows_of_all_the_tickets(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        unaware = await one_claimed(database)
        once = await keep(database, unaware, FIRST)
        twice = await keep(database, once, SECOND)
        for stale in (unaware, once):
            assert not await database.write(submits.begin_submit(stale, "fal", NOW, again=False))
        assert (await database.read(jobs.get(1))).submitted_at is None
        assert await database.write(submits.begin_submit(twice, "fal", NOW + 3, again=False))
        assert (await database.read(jobs.get(1))).submitted_at == NOW + 3


async def test_kept_pictures_are_read_piece_by_piece_and_never_taken_for_uploads(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(spool.store_uploads(1, {0: b"upload", 4: b"mask"}, NOW))
        pictures = tuple(bytes([number]) * 9 for number in range(10))
        job = await keep(database, job, replace(FIRST, kept=pictures))
        job = await keep(database, job, SECOND)
        await keep(database, job, replace(SECOND, kept=(b"last", b"\x00\xff")))
        assert await database.read(spool.uploads(1)) == {0: b"upload", 4: b"mask"}
        assert await database.read(spool.stored_results(1, 0)) == pictures
        assert await database.read(spool.stored_results(1, 1)) == ()
        assert await database.read(spool.stored_results(1, 2)) == (b"last", b"\x00\xff")
        assert await database.read(spool.stored_results(1, 3)) == ()
        assert await database.read(spool.stored_results(2, 0)) == ()


@pytest.mark.parametrize("ending", [FAILED, done(1)])
async def test_kept_pictures_survive_a_restart_and_go_with_the_job(tmp_path: Path, ending: jobs.Outcome) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await keep(database, await one_claimed(database), replace(FIRST, kept=(b"paid for",)))
    async with opened(tmp_path / "easel.db") as database:
        [job] = await claimed(database, NOW + LEASE, worker="w2")
        assert job.tickets == (FIRST,)
        assert await database.read(spool.stored_results(1, 0)) == (b"paid for",)
        await database.write(jobs.finish(job, ending, NOW))
        assert await database.read(spool.stored_results(1, 0)) == ()
        assert await database.read(query("SELECT * FROM spool")) == []
        assert (await database.read(jobs.get(1))).tickets == ()


async def test_a_lost_claim_keeps_no_pictures(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        lost = await one_claimed(database)
        await claimed(database, NOW + LEASE, worker="w2")
        assert not await database.write(submits.save_ticket(lost, replace(FIRST, kept=(b"late",)), NOW))
        assert await database.read(query("SELECT * FROM spool")) == []


async def test_the_one_ticket_of_an_earlier_version_stands_for_all_of_its_pictures(tmp_path: Path) -> None:
    written = json.dumps({"provider": "fal", "data": {"request_id": "old"}})
    async with opened(tmp_path / "easel.db") as database:
        await database.write(jobs.accept(asked(1, images=4), DEFAULT, NOW))
        await database.write(query("UPDATE jobs SET ticket = $1 WHERE id = 1", written))
        [job] = await claimed(database)
        assert job.tickets == (Ticket(provider="fal", data={"request_id": "old"}, count=4),)
        assert job.accepted == job.request.count
        [ticket] = await database.read(submits.tickets_at("fal"))
        assert ticket.data == {"request_id": "old"}
        assert await database.write(jobs.finish(job, done(4), NOW))


async def test_the_tickets_at_a_service_are_those_of_living_jobs(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        for number in (1, 2, 3, 4):
            job = await database.write(begun(asked(number)))
            job = await keep(database, job, Ticket(provider="fal", data={"id": number}))
            job = await keep(database, job, Ticket(provider="oxen", data={"id": -number}))
            if number == 2:
                await database.write(jobs.finish(job, FAILED, NOW))
            if number == 3:
                await database.write(jobs.reschedule(job, NOW + 9, NOW, not_submitted=False))
            if number == 4:
                await database.write(jobs.begin_delivery(job, job.reserved, NOW))
        await database.write(jobs.accept(asked(5), DEFAULT, NOW))
        assert sorted(ticket.data["id"] for ticket in await database.read(submits.tickets_at("fal"))) == [1, 3, 4]
        assert sorted(ticket.data["id"] for ticket in await database.read(submits.tickets_at("oxen"))) == [
            -4,
            -3,
            -1,
        ]
        assert await database.read(submits.tickets_at("lumenfall")) == []


async def waiting_for_a_successor(database: Sqlite, cap: int | None = None) -> Job:
    """A claimed job of two pictures for $0.50, in a server that may spend `cap` micro-dollars a day."""
    if cap is not None:
        await database.write(rules.set_limit(GUILD, rule("guild", GUILD, cap, unit="micros"), NOW))
    return await database.write(begun(asked(1, images=2, micros=500_000)))


async def test_a_dearer_successor_reserves_the_difference_and_every_cent_is_accounted_for(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await waiting_for_a_successor(database, cap=800_000)
        request = replace(job.request, model="gpt-image-2", instead_of="gpt-image-1")
        job = await database.write(jobs.switch_model(job, request, Money(800_000), DEFAULT, NOW + 5))
        assert (job.request, job.reserved.money, job.reserved.images) == (request, Money(800_000), 2)
        [row] = await database.read(query("SELECT model FROM jobs"))
        assert row["model"] == "gpt-image-2"
        assert await database.read(left()) == 8
        await assert_balanced(database)
        await database.write(jobs.finish(job, done(1, 300_000), NOW + 9))
        # What was reserved in two steps comes back once.
        assert await database.read(entries_of(1)) == [
            ("reserve", None, 2, 500_000),
            ("reserve", None, 0, 300_000),
            ("settle", None, 1, 300_000),
            ("refund", None, 0, 500_000),
            ("refund", None, 1, 0),
        ]
        assert await database.read(left()) == 9
        await assert_balanced(database)


@pytest.mark.parametrize("price", [500_000, 20_000])
async def test_a_successor_that_is_no_dearer_reserves_nothing_more(tmp_path: Path, price: int) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await waiting_for_a_successor(database, cap=500_000)
        request = replace(job.request, model="gpt-image-2")
        job = await database.write(jobs.switch_model(job, request, Money(price), DEFAULT, NOW))
        assert (job.request.model, job.reserved.money) == ("gpt-image-2", Money(500_000))
        await database.write(jobs.finish(job, FAILED, NOW))
        await assert_balanced(database)


async def test_a_successor_that_is_too_dear_for_the_server_changes_nothing_and_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await waiting_for_a_successor(database, cap=799_999)
        tables = ("jobs", "ledger", "usage")
        before = [await database.read(query(f"SELECT * FROM {table}")) for table in tables]  # noqa: S608
        request = replace(job.request, model="gpt-image-2")
        with pytest.raises(QuotaExceeded, match="You asked for 2 pictures and have 0 left") as refused:
            await database.write(jobs.switch_model(job, request, Money(800_000), DEFAULT, NOW))
        assert refused.value.rule.unit == "micros"
        assert [await database.read(query(f"SELECT * FROM {table}")) for table in tables] == before  # noqa: S608
        await database.write(jobs.finish(job, FAILED, NOW))
        await assert_balanced(database)


async def test_nothing_succeeds_work_that_was_accepted_lost_or_ended(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        accepted = await database.write(begun(asked(1)))
        accepted = await keep(database, accepted, FIRST)
        lost = replace(await database.write(begun(asked(2))), attempts=7)
        ended = await database.write(begun(asked(3)))
        await database.write(jobs.finish(ended, FAILED, NOW))
        before = await database.read(query("SELECT * FROM jobs"))
        for job in (accepted, replace(accepted, tickets=()), lost, ended):
            request = replace(job.request, model="gpt-image-2")
            with pytest.raises(NotFound):
                await database.write(jobs.switch_model(job, request, Money(900_000), DEFAULT, NOW))
        assert await database.read(query("SELECT * FROM jobs")) == before
        assert (await database.read(jobs.get(3))).state is JobState.FAILED
        await assert_balanced(database)
