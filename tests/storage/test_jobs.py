"""The life of a job: which writes its state and its lease allow, and what remains once it has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.clock import later
from bot.domain.errors import NotFound
from bot.domain.jobs import PATIENCE, JobState, Ticket
from bot.domain.money import Amount, Money
from bot.domain.requests import ImageRequest
from bot.storage import jobs, spool, submits
from tests.support.ledger import (
    DEFAULT_LIMIT,
    FAILED,
    GUILD,
    LEASE,
    LEASE_SECONDS,
    MEMBER,
    NOW,
    accept,
    accept_and_claim,
    assert_balanced,
    claim,
    claimed_job,
    images_left,
    new_job,
    open_database,
    query,
    requester,
    succeeded,
)

TICKET = Ticket(provider="fal", data={"request_id": "abc", "response_url": "https://queue.fal.run/x?signed=1"})
COST = Amount(images=1, money=Money(500))


async def test_an_accepted_job_is_returned_with_its_place_in_the_queue(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 3, 2)
        new = new_job(1, images=2, micros=500, parent_id=3)
        accepted = await database.write(jobs.accept(new, DEFAULT_LIMIT, NOW))
        job = accepted.job
        assert (accepted.created, accepted.ahead, accepted.allowance.left) == (True, 2, 6)
        assert (job.requester, job.request, job.reply) == (new.requester, new.request, new.reply)
        assert (job.state, job.attempts, job.parent_id, job.created_at) == (JobState.WAITING, 0, 3, NOW)
        assert (job.reserved, job.charged) == (Amount(images=2, money=Money(500)), Amount())
        assert (job.waited, job.patience) == (0, PATIENCE)
        assert await database.read(jobs.get(1)) == job


async def test_any_text_of_a_member_is_read_as_it_was_written(tmp_path: Path) -> None:
    prompt = "zero\x00, half a pair \ud83d, quotes \"'`;--, emoji 🦊, a line\u2028break"
    async with open_database(tmp_path / "easel.db") as database:
        request = ImageRequest(prompt=prompt, model="m")
        await database.write(jobs.accept(new_job(1, request=request), DEFAULT_LIMIT, NOW))
        assert (await database.read(jobs.get(1))).request == request


async def test_jobs_are_claimed_in_the_order_they_became_due_up_to_the_count(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 5, 4, now=NOW + 1)
        await accept(database, 9, 8)
        assert [job.id for job in await claim(database, NOW + 1, count=3)] == [8, 9, 4]
        assert [job.id for job in await claim(database, NOW + 1, count=3)] == [5]
        assert await claim(database, NOW + 1) == []


async def test_a_job_is_not_claimed_before_it_is_due(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        assert await claim(database, NOW - 1) == []
        assert await database.read(jobs.next_due()) == NOW
        [job] = await claim(database, NOW)
        assert (job.state, job.attempts, job.worker) == (JobState.RUNNING, 1, "w1")
        assert job.leased_until == NOW + LEASE


async def test_the_next_due_instant_is_when_a_lease_can_be_claimed(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        assert await database.read(jobs.next_due()) is None
        await accept_and_claim(database)
        due_at = await database.read(jobs.next_due())
        assert due_at == NOW + LEASE
        assert await claim(database, due_at - 1) == []
        assert len(await claim(database, due_at)) == 1


async def test_the_next_due_instant_is_the_sooner_of_a_waiting_and_a_leased_job(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept_and_claim(database)
        await accept(database, 2, now=NOW + LEASE + 5)
        assert await database.read(jobs.next_due()) == NOW + LEASE
        await accept(database, 3, now=NOW + 5)
        assert await database.read(jobs.next_due()) == NOW + 5


async def test_an_abandoned_job_is_claimed_again_with_its_ticket(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        assert await database.write(submits.begin_submit(job, "fal", NOW))
        assert await database.write(submits.save_ticket(job, TICKET))
        assert await claim(database, NOW + LEASE - 1, worker="w2") == []
        [again] = await claim(database, NOW + LEASE, worker="w2")
        assert (again.state, again.attempts, again.worker) == (JobState.RUNNING, 2, "w2")
        assert (again.tickets, again.provider, again.submitted_at) == ((TICKET,), "fal", None)


async def test_a_job_abandoned_during_delivery_is_claimed_in_that_state(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        assert await database.write(jobs.begin_delivery(job, COST, NOW + 7))
        [again] = await claim(database, NOW + LEASE)
        assert (again.state, again.charged, again.delivering_at) == (JobState.DELIVERING, COST, NOW + 7)
        assert await database.write(jobs.begin_delivery(again, COST, NOW + LEASE))
        assert (await database.read(jobs.get(1))).delivering_at == NOW + 7


async def test_after_a_lost_lease_no_write_succeeds(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        lost = await accept_and_claim(database)
        await claim(database, NOW + LEASE, worker="w2")
        before = await database.read(query("SELECT * FROM jobs"))
        later = NOW + LEASE + 1
        assert await database.write(jobs.renew_lease(lost, LEASE_SECONDS, later)) is None
        assert not await database.write(submits.submit_again(lost, "fal", None, later))
        assert not await database.write(submits.save_ticket(lost, TICKET))
        assert not await database.write(jobs.reschedule(lost, later, forget_submit=True))
        assert not await database.write(jobs.begin_delivery(lost, COST, later))
        assert not await database.write(jobs.finish(lost, succeeded(1, 500), later))
        assert not await database.write(jobs.finish(lost, FAILED, later))
        assert await database.read(query("SELECT * FROM jobs")) == before
        assert await database.read(images_left()) == 9
        await assert_balanced(database)


async def test_no_write_changes_a_job_that_has_ended(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        assert await database.write(jobs.finish(job, succeeded(1, 500), NOW))
        before = await database.read(query("SELECT * FROM jobs"))
        assert await database.write(jobs.renew_lease(job, LEASE_SECONDS, NOW)) is None
        assert not await database.write(submits.submit_again(job, "fal", None, NOW))
        assert not await database.write(submits.save_ticket(job, TICKET))
        assert not await database.write(jobs.reschedule(job, NOW, forget_submit=True))
        assert not await database.write(jobs.begin_delivery(job, COST, NOW))
        await database.write(spool.store_uploads(1, {0: b"late"}, NOW))
        await database.write(jobs.cancel(1, NOW))
        assert await database.read(query("SELECT * FROM jobs")) == before
        assert await database.read(spool.uploads(1)) == {}
        assert await claim(database, later(NOW, PATIENCE)) == []


async def test_a_renewed_lease_lasts_longer_and_returns_a_cancel_request(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(jobs.cancel(1, NOW))
        renewed = await database.write(jobs.renew_lease(job, LEASE_SECONDS, NOW + 20_000))
        assert renewed is not None
        assert (renewed.leased_until, renewed.cancel_requested) == (NOW + 20_000 + LEASE, True)
        assert await claim(database, NOW + LEASE) == []


async def test_a_submit_sent_again_is_counted_and_refused_where_a_ticket_is_not_known(
    tmp_path: Path,
) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        assert await database.write(submits.begin_submit(job, "fal", NOW))
        assert await database.write(submits.submit_again(job, "fal", None, NOW + 5))
        again = await database.read(jobs.get(1))
        assert (again.resubmits, again.submitted_at) == (1, NOW + 5)
        assert await database.write(submits.save_ticket(job, TICKET))
        # A worker that does not know of the ticket submits nothing; one that does submits what is still missing.
        assert not await database.write(submits.submit_again(job, "fal", None, NOW))
        current = await database.read(jobs.get(1))
        assert (current.tickets, current.submitted_at) == ((TICKET,), None)
        assert await database.write(submits.begin_submit(current, "oxen", NOW + 9))
        current = await database.read(jobs.get(1))
        assert (current.provider, current.submitted_at, current.resubmits) == ("oxen", NOW + 9, 1)


async def test_a_rescheduled_job_keeps_its_ticket_until_it_is_due_again(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(submits.begin_submit(job, "fal", NOW))
        await database.write(submits.save_ticket(job, TICKET))
        assert await database.write(jobs.reschedule(job, NOW + 9, forget_submit=False))
        assert not await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(jobs.next_due()) == NOW + 9
        assert await claim(database, NOW + 8) == []
        [again] = await claim(database, NOW + 9)
        assert (again.tickets, again.submitted_at, again.attempts) == ((TICKET,), None, 2)


async def test_a_rescheduled_job_keeps_a_submit_whose_response_was_lost(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(submits.begin_submit(job, "fal", NOW))
        assert await database.write(jobs.reschedule(job, NOW + 9, forget_submit=False))
        [again] = await claim(database, NOW + 9)
        assert (again.tickets, again.submitted_at, again.provider) == ((), NOW, "fal")


async def test_a_submit_that_was_not_accepted_is_forgotten(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(submits.begin_submit(job, "fal", NOW))
        assert await database.write(jobs.reschedule(job, NOW + 9, forget_submit=True))
        assert (await database.read(jobs.get(1))).submitted_at is None


async def test_a_rescheduled_delivery_stays_a_delivery(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(jobs.begin_delivery(job, COST, NOW))
        assert await database.write(jobs.reschedule(job, NOW + 9, forget_submit=False))
        assert await claim(database, NOW + 8) == []
        [again] = await claim(database, NOW + 9)
        assert (again.state, again.charged) == (JobState.DELIVERING, COST)


async def test_cancelling_a_waiting_job_ends_it_and_releases_its_reservation(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        job = await database.write(jobs.cancel(1, NOW))
        assert (job.state, job.reserved) == (JobState.CANCELLED, Amount())
        assert await database.read(images_left()) == 10
        assert await claim(database) == []
        assert (await database.write(jobs.cancel(1, NOW))).state is JobState.CANCELLED
        await assert_balanced(database)


async def test_cancelling_a_running_job_is_requested_of_its_worker(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        assert await database.read(jobs.with_cancel_requested("w1")) == []
        job = await database.write(jobs.cancel(1, NOW))
        assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)
        assert await database.read(jobs.with_cancel_requested("w1")) == [1]
        assert await database.read(jobs.with_cancel_requested("w2")) == []
        assert await database.read(images_left()) == 9
        await database.write(jobs.finish(job, jobs.Outcome(state=JobState.CANCELLED, error="JobCancelled"), NOW))
        assert await database.read(jobs.with_cancel_requested("w1")) == []
        assert await database.read(images_left()) == 10


async def test_cancelling_a_rescheduled_job_with_a_ticket_makes_it_due_at_once(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(submits.save_ticket(job, TICKET))
        await database.write(jobs.reschedule(job, NOW + 30_000, forget_submit=False))
        job = await database.write(jobs.cancel(1, NOW + 1))
        assert (job.state, job.cancel_requested) == (JobState.WAITING, True)
        [again] = await claim(database, NOW + 1)
        assert (again.tickets, again.cancel_requested) == ((TICKET,), True)


async def test_cancelling_is_too_late_during_delivery(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(jobs.begin_delivery(job, COST, NOW))
        job = await database.write(jobs.cancel(1, NOW))
        assert (job.state, job.cancel_requested) == (JobState.DELIVERING, False)
        assert await database.write(jobs.finish(job, succeeded(1, 500), NOW))


async def test_cancelling_an_unknown_job_is_refused(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        with pytest.raises(NotFound, match="does not know this request"):
            await database.write(jobs.cancel(404, NOW))


async def test_the_card_of_a_job_is_saved(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        assert (await database.write(jobs.remember_card(1, 99))).reply.card_id == 99
        job = await database.read(jobs.get(1))
        assert (job.reply.card_id, job.reply.token) == (99, "sesame")


async def test_a_result_is_found_by_its_message(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        outcome = jobs.Outcome(state=JobState.DONE, charged=COST, result_message_id=777)
        await database.write(jobs.finish(job, outcome, NOW))
        found = await database.read(jobs.by_result(777))
        assert found is not None
        assert (found.id, found.state, found.charged, found.result_message_id) == (1, JobState.DONE, COST, 777)
        assert await database.read(jobs.by_result(778)) is None


async def test_a_members_list_has_the_living_jobs_first_and_then_the_newest(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        for number in (1, 2, 3):
            await accept(database, number)
        [first] = await claim(database, count=1)
        assert first.id == 1
        await database.write(jobs.cancel(3, NOW))
        await database.write(jobs.cancel(2, NOW))
        of_another = new_job(4, by=requester(MEMBER + 1))
        await database.write(jobs.accept(of_another, DEFAULT_LIMIT, NOW))
        assert [job.id for job in await database.read(jobs.of_member(GUILD, MEMBER, 10))] == [1, 3, 2]
        assert [job.id for job in await database.read(jobs.of_member(GUILD, MEMBER, 2))] == [1, 3]


async def test_a_card_that_was_saved_after_the_claim_is_in_the_finished_job(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await database.write(claimed_job(new_job(1)))
        assert job.reply.card_id is None
        await database.write(jobs.remember_card(job.id, 77))
        ended = await database.write(jobs.finish(job, FAILED, NOW))
        assert ended is not None
        assert ended.reply.card_id == 77
        assert (await database.read(jobs.get(job.id))).reply.token is None
