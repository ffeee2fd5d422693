"""Tickets: as many as a job needs, with their finished bytes; and jobs that switch to another model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.content import IN_MEMORY, DiskFile
from bot.domain.errors import NotFound, QuotaExceeded
from bot.domain.jobs import Job, JobState, Ticket
from bot.domain.money import Money
from bot.storage import jobs, limits, spool, submits
from bot.storage.sqlite import Sqlite
from tests.support.ledger import (
    DEFAULT_LIMIT,
    FAILED,
    GUILD,
    LEASE,
    NOW,
    accept,
    accept_and_claim,
    assert_balanced,
    claim,
    claimed_job,
    images_left,
    ledger_entries,
    limit_for,
    new_job,
    open_database,
    query,
    succeeded,
)
from tests.support.picture_files import on_disk

FIRST = Ticket(provider="fal", data={"request_id": "a"}, count=4)
SECOND = Ticket(provider="oxen", data={"ids": ["b", "c"]}, count=2)


async def save_ticket(database: Sqlite, job: Job, ticket: Ticket) -> Job:
    """Save a ticket as the worker does; returns the job as the worker then knows it."""
    assert await database.write(submits.save_ticket(job, ticket))
    return replace(job, tickets=(*job.tickets, replace(ticket, results=())), submitted_at=None)


async def test_a_job_has_as_many_tickets_as_it_needs_each_at_its_own_provider(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await save_ticket(
            database, await save_ticket(database, await accept_and_claim(database), FIRST), SECOND
        )
        found = await database.read(jobs.get(1))
        assert (found.tickets, found.accepted) == ((FIRST, SECOND), 6)
        assert found.tickets == job.tickets
        [again] = await claim(database, NOW + LEASE, worker="w2")
        assert again.tickets == (FIRST, SECOND)


async def test_a_submit_is_recorded_only_for_a_worker_that_knows_all_tickets(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        unaware = await accept_and_claim(database)
        once = await save_ticket(database, unaware, FIRST)
        twice = await save_ticket(database, once, SECOND)
        for stale in (unaware, once):
            assert not await database.write(submits.begin_submit(stale, "fal", NOW))
        assert (await database.read(jobs.get(1))).submitted_at is None
        assert await database.write(submits.begin_submit(twice, "fal", NOW + 3))
        assert (await database.read(jobs.get(1))).submitted_at == NOW + 3


async def test_stored_results_are_read_ticket_by_ticket_and_are_no_uploads(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(spool.store_uploads(1, {0: b"upload", 4: b"mask"}, NOW))
        pictures = tuple(bytes([number]) * 9 for number in range(10))
        job = await save_ticket(database, job, replace(FIRST, results=pictures))
        job = await save_ticket(database, job, SECOND)
        await save_ticket(database, job, replace(SECOND, results=(b"last", b"\x00\xff")))
        assert await database.read(spool.uploads(1)) == {0: b"upload", 4: b"mask"}
        assert await database.read(spool.stored_results(1, 0)) == pictures
        assert await database.read(spool.stored_results(1, 1)) == ()
        assert await database.read(spool.stored_results(1, 2)) == (b"last", b"\x00\xff")
        assert await database.read(spool.stored_results(1, 3)) == ()
        assert await database.read(spool.stored_results(2, 0)) == ()


async def test_large_results_are_on_disk_before_they_are_stored_and_once_they_are_read(tmp_path: Path) -> None:
    large = b"x" * (IN_MEMORY + 1)
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        await database.write(spool.store_results(1, 0, [on_disk(large), b"small"]))
        first, second = await database.read(spool.stored_results(1, 0))
    assert isinstance(first, DiskFile)
    assert (first.read(), second) == (large, b"small")


@pytest.mark.parametrize("outcome", [FAILED, succeeded(1)])
async def test_stored_results_survive_a_restart_and_are_deleted_with_the_job(
    tmp_path: Path, outcome: jobs.Outcome
) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await save_ticket(database, await accept_and_claim(database), replace(FIRST, results=(b"paid for",)))
    async with open_database(tmp_path / "easel.db") as database:
        [job] = await claim(database, NOW + LEASE, worker="w2")
        assert job.tickets == (FIRST,)
        assert await database.read(spool.stored_results(1, 0)) == (b"paid for",)
        await database.write(jobs.finish(job, outcome, NOW))
        assert await database.read(spool.stored_results(1, 0)) == ()
        assert await database.read(query("SELECT * FROM spool")) == []
        assert (await database.read(jobs.get(1))).tickets == ()


async def test_after_a_lost_lease_no_results_are_stored(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        lost = await accept_and_claim(database)
        await claim(database, NOW + LEASE, worker="w2")
        assert not await database.write(submits.save_ticket(lost, replace(FIRST, results=(b"late",))))
        assert await database.read(query("SELECT * FROM spool")) == []


async def test_the_single_ticket_of_an_earlier_version_is_for_all_images(tmp_path: Path) -> None:
    written = json.dumps({"provider": "fal", "data": {"request_id": "old"}})
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(jobs.accept(new_job(1, images=4), DEFAULT_LIMIT, NOW))
        await database.write(query("UPDATE jobs SET ticket = $1 WHERE id = 1", written))
        [job] = await claim(database)
        assert job.tickets == (Ticket(provider="fal", data={"request_id": "old"}, count=4),)
        assert job.accepted == job.request.count
        [ticket] = await database.read(submits.tickets_at("fal"))
        assert ticket.data == {"request_id": "old"}
        assert await database.write(jobs.finish(job, succeeded(4), NOW))


async def test_the_tickets_at_a_provider_are_those_of_living_jobs(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        for number in (1, 2, 3, 4):
            job = await database.write(claimed_job(new_job(number)))
            job = await save_ticket(database, job, Ticket(provider="fal", data={"id": number}))
            job = await save_ticket(database, job, Ticket(provider="oxen", data={"id": -number}))
            if number == 2:
                await database.write(jobs.finish(job, FAILED, NOW))
            if number == 3:
                await database.write(jobs.reschedule(job, NOW + 9, forget_submit=False))
            if number == 4:
                await database.write(jobs.begin_delivery(job, job.reserved, NOW))
        await database.write(jobs.accept(new_job(5), DEFAULT_LIMIT, NOW))
        assert sorted(ticket.data["id"] for ticket in await database.read(submits.tickets_at("fal"))) == [1, 3, 4]
        assert sorted(ticket.data["id"] for ticket in await database.read(submits.tickets_at("oxen"))) == [
            -4,
            -3,
            -1,
        ]
        assert await database.read(submits.tickets_at("lumenfall")) == []


async def job_to_switch(database: Sqlite, cap: int | None = None) -> Job:
    """A claimed job of two images for $0.50, in a guild with a cap of so many micro-dollars a day."""
    if cap is not None:
        await database.write(limits.set_limit(GUILD, limit_for("guild", GUILD, cap, unit="micros"), NOW))
    return await database.write(claimed_job(new_job(1, images=2, micros=500_000)))


async def test_a_more_expensive_successor_reserves_the_difference(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await job_to_switch(database, cap=800_000)
        request = replace(job.request, model="gpt-image-2", instead_of="gpt-image-1")
        job = await database.write(jobs.switch_model(job, request, Money(800_000), DEFAULT_LIMIT))
        assert (job.request, job.reserved.money, job.reserved.images) == (request, Money(800_000), 2)
        assert (await database.read(jobs.get(1))).request == request
        assert await database.read(images_left()) == 8
        await assert_balanced(database)
        await database.write(jobs.finish(job, succeeded(1, 300_000), NOW + 9))
        # Money that was reserved in two steps is released once.
        assert await database.read(ledger_entries(1)) == [
            ("reserve", None, 2, 500_000),
            ("reserve", None, 0, 300_000),
            ("settle", None, 1, 300_000),
            ("release", None, 0, 500_000),
            ("release", None, 1, 0),
        ]
        assert await database.read(images_left()) == 9
        await assert_balanced(database)


@pytest.mark.parametrize("price", [500_000, 20_000])
async def test_a_successor_that_costs_no_more_reserves_nothing_more(tmp_path: Path, price: int) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await job_to_switch(database, cap=500_000)
        request = replace(job.request, model="gpt-image-2")
        job = await database.write(jobs.switch_model(job, request, Money(price), DEFAULT_LIMIT))
        assert (job.request.model, job.reserved.money) == ("gpt-image-2", Money(500_000))
        await database.write(jobs.finish(job, FAILED, NOW))
        await assert_balanced(database)


async def test_a_successor_beyond_the_guilds_limit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await job_to_switch(database, cap=799_999)
        tables = ("jobs", "ledger", "usage")
        before = [await database.read(query(f"SELECT * FROM {table}")) for table in tables]  # noqa: S608
        request = replace(job.request, model="gpt-image-2")
        with pytest.raises(QuotaExceeded, match="You asked for 2 pictures and have 0 left") as refused:
            await database.write(jobs.switch_model(job, request, Money(800_000), DEFAULT_LIMIT))
        assert refused.value.limit.unit == "micros"
        assert [await database.read(query(f"SELECT * FROM {table}")) for table in tables] == before  # noqa: S608
        await database.write(jobs.finish(job, FAILED, NOW))
        await assert_balanced(database)


async def test_a_job_that_was_accepted_lost_or_ended_switches_no_model(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        accepted = await database.write(claimed_job(new_job(1)))
        accepted = await save_ticket(database, accepted, FIRST)
        lost = replace(await database.write(claimed_job(new_job(2))), attempts=7)
        ended = await database.write(claimed_job(new_job(3)))
        await database.write(jobs.finish(ended, FAILED, NOW))
        before = await database.read(query("SELECT * FROM jobs"))
        for job in (accepted, replace(accepted, tickets=()), lost, ended):
            request = replace(job.request, model="gpt-image-2")
            with pytest.raises(NotFound):
                await database.write(jobs.switch_model(job, request, Money(900_000), DEFAULT_LIMIT))
        assert await database.read(query("SELECT * FROM jobs")) == before
        assert (await database.read(jobs.get(3))).state is JobState.FAILED
        await assert_balanced(database)
