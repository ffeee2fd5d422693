"""The life of a job: who may write it, when, and what is left of it when it has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.errors import NotFound
from bot.domain.jobs import Job, JobState, Ticket
from bot.domain.money import Amount, Money
from bot.domain.requests import ImageRequest
from bot.storage import jobs, spool, submits
from bot.storage.sqlite import Sqlite
from tests.support.ledger import (
    DEFAULT,
    FAILED,
    GUILD,
    LEASE,
    MEMBER,
    NOW,
    asked,
    assert_balanced,
    begun,
    done,
    left,
    opened,
    query,
    requester,
)

TICKET = Ticket(provider="fal", data={"request_id": "abc", "response_url": "https://queue.fal.run/x?signed=1"})
COST = Amount(images=1, money=Money(500))


async def commissioned(database: Sqlite, *numbers: int, now: int = NOW) -> None:
    for number in numbers:
        await database.write(jobs.accept(asked(number, micros=500), DEFAULT, now))


async def claimed(database: Sqlite, now: int = NOW, most: int = 10, worker: str = "w1") -> list[Job]:
    return await database.write(jobs.claim(worker, most, LEASE, now, database.skip_locked))


async def one_claimed(database: Sqlite) -> Job:
    await commissioned(database, 1)
    [job] = await claimed(database)
    return job


async def test_a_new_job_says_what_it_is_and_how_many_are_ahead(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await commissioned(database, 3, 2)
        new = asked(1, images=2, micros=500, parent_id=3)
        accepted = await database.write(jobs.accept(new, DEFAULT, NOW))
        job = accepted.job
        assert (accepted.created, accepted.ahead, accepted.allowance.left) == (True, 2, 6)
        assert (job.requester, job.request, job.reply) == (new.requester, new.request, new.reply)
        assert (job.state, job.attempts, job.parent_id, job.created_at) == (JobState.WAITING, 0, 3, NOW)
        assert (job.reserved, job.charged) == (Amount(images=2, money=Money(500)), Amount())
        assert job.expires_at == NOW + jobs.PATIENCE
        assert await database.read(jobs.get(1)) == job


async def test_whatever_a_member_may_type_is_read_as_it_was_written(tmp_path: Path) -> None:
    prompt = "zero\x00, half a pair \ud83d, quotes \"'`;--, emoji 🦊, a line\u2028break"
    async with opened(tmp_path / "easel.db") as database:
        request = ImageRequest(prompt=prompt, model="m")
        await database.write(jobs.accept(asked(1, request=request), DEFAULT, NOW))
        assert (await database.read(jobs.get(1))).request == request


async def test_jobs_are_claimed_in_the_order_they_became_due_and_only_so_many(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await commissioned(database, 5, 4, now=NOW + 1)
        await commissioned(database, 9, 8)
        assert [job.id for job in await claimed(database, NOW + 1, most=3)] == [8, 9, 4]
        assert [job.id for job in await claimed(database, NOW + 1, most=3)] == [5]
        assert await claimed(database, NOW + 1) == []


async def test_a_job_is_not_claimed_before_it_is_due(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await commissioned(database, 1)
        assert await claimed(database, NOW - 1) == []
        assert await database.read(jobs.next_due()) == NOW
        [job] = await claimed(database, NOW)
        assert (job.state, job.attempts, job.worker) == (JobState.RUNNING, 1, "w1")
        assert job.leased_until == NOW + LEASE


async def test_the_moment_that_is_announced_as_due_is_due(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        assert await database.read(jobs.next_due()) is None
        await one_claimed(database)
        announced = await database.read(jobs.next_due())
        assert announced == NOW + LEASE
        assert await claimed(database, announced - 1) == []
        assert len(await claimed(database, announced)) == 1


async def test_of_a_waiting_and_a_leased_job_the_sooner_is_announced(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await one_claimed(database)
        await commissioned(database, 2, now=NOW + LEASE + 5)
        assert await database.read(jobs.next_due()) == NOW + LEASE
        await commissioned(database, 3, now=NOW + 5)
        assert await database.read(jobs.next_due()) == NOW + 5


async def test_an_abandoned_job_is_claimed_again_with_its_ticket(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        assert await database.write(submits.begin_submit(job, "fal", NOW, again=False))
        assert await database.write(submits.save_ticket(job, TICKET, NOW))
        assert await claimed(database, NOW + LEASE - 1, worker="w2") == []
        [again] = await claimed(database, NOW + LEASE, worker="w2")
        assert (again.state, again.attempts, again.worker) == (JobState.RUNNING, 2, "w2")
        assert (again.tickets, again.provider, again.submitted_at) == ((TICKET,), "fal", None)


async def test_a_job_abandoned_while_it_was_posted_is_claimed_in_that_state(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        assert await database.write(jobs.begin_delivery(job, COST, NOW + 7))
        [again] = await claimed(database, NOW + LEASE)
        assert (again.state, again.charged, again.delivering_at) == (JobState.DELIVERING, COST, NOW + 7)
        assert await database.write(jobs.begin_delivery(again, COST, NOW + LEASE))
        assert (await database.read(jobs.get(1))).delivering_at == NOW + 7


async def test_a_lost_claim_can_write_nothing_at_all(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        lost = await one_claimed(database)
        await claimed(database, NOW + LEASE, worker="w2")
        before = await database.read(query("SELECT * FROM jobs"))
        later = NOW + LEASE + 1
        assert await database.write(jobs.renew_lease(lost, LEASE, later)) is None
        assert not await database.write(submits.begin_submit(lost, "fal", later, again=True))
        assert not await database.write(submits.save_ticket(lost, TICKET, later))
        assert not await database.write(jobs.reschedule(lost, later, later, not_submitted=True))
        assert not await database.write(jobs.begin_delivery(lost, COST, later))
        assert not await database.write(jobs.finish(lost, done(1, 500), later))
        assert not await database.write(jobs.finish(lost, FAILED, later))
        assert await database.read(query("SELECT * FROM jobs")) == before
        assert await database.read(left()) == 9
        await assert_balanced(database)


async def test_a_job_that_has_ended_can_be_written_by_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        assert await database.write(jobs.finish(job, done(1, 500), NOW))
        before = await database.read(query("SELECT * FROM jobs"))
        assert await database.write(jobs.renew_lease(job, LEASE, NOW)) is None
        assert not await database.write(submits.begin_submit(job, "fal", NOW, again=True))
        assert not await database.write(submits.save_ticket(job, TICKET, NOW))
        assert not await database.write(jobs.reschedule(job, NOW, NOW, not_submitted=True))
        assert not await database.write(jobs.begin_delivery(job, COST, NOW))
        await database.write(spool.store_uploads(1, {0: b"late"}, NOW))
        await database.write(jobs.remember_card(1, 99))
        await database.write(jobs.cancel(1, NOW))
        assert await database.read(query("SELECT * FROM jobs")) == before
        assert await database.read(spool.uploads(1)) == {}
        assert await claimed(database, NOW + jobs.PATIENCE) == []


async def test_a_renewed_lease_lasts_longer_and_tells_of_a_cancel(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(jobs.cancel(1, NOW))
        renewed = await database.write(jobs.renew_lease(job, LEASE, NOW + 20_000))
        assert renewed is not None
        assert (renewed.leased_until, renewed.cancel_requested) == (NOW + 20_000 + LEASE, True)
        assert await claimed(database, NOW + LEASE) == []


async def test_a_submit_is_counted_when_it_is_sent_again_and_never_for_work_that_has_a_ticket(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        assert await database.write(submits.begin_submit(job, "fal", NOW, again=False))
        assert await database.write(submits.begin_submit(job, "fal", NOW + 5, again=True))
        again = await database.read(jobs.get(1))
        assert (again.resubmits, again.submitted_at) == (1, NOW + 5)
        assert await database.write(submits.save_ticket(job, TICKET, NOW))
        # Whoever does not know of the ticket submits nothing; whoever does, submits what is still missing.
        assert not await database.write(submits.begin_submit(job, "fal", NOW, again=True))
        knowing = await database.read(jobs.get(1))
        assert (knowing.tickets, knowing.submitted_at) == ((TICKET,), None)
        assert await database.write(submits.begin_submit(knowing, "oxen", NOW + 9, again=False))
        knowing = await database.read(jobs.get(1))
        assert (knowing.provider, knowing.submitted_at, knowing.resubmits) == ("oxen", NOW + 9, 1)


async def test_a_postponed_job_keeps_its_ticket_and_comes_back_when_it_is_due(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(submits.begin_submit(job, "fal", NOW, again=False))
        await database.write(submits.save_ticket(job, TICKET, NOW))
        assert await database.write(jobs.reschedule(job, NOW + 9, NOW, not_submitted=False))
        assert not await database.write(jobs.finish(job, FAILED, NOW))
        assert await database.read(jobs.next_due()) == NOW + 9
        assert await claimed(database, NOW + 8) == []
        [again] = await claimed(database, NOW + 9)
        assert (again.tickets, again.submitted_at, again.attempts) == ((TICKET,), None, 2)


async def test_a_postponed_job_remembers_a_submit_whose_answer_was_lost(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(submits.begin_submit(job, "fal", NOW, again=False))
        assert await database.write(jobs.reschedule(job, NOW + 9, NOW, not_submitted=False))
        [again] = await claimed(database, NOW + 9)
        assert (again.tickets, again.submitted_at, again.provider) == ((), NOW, "fal")


async def test_a_submit_that_certainly_was_not_accepted_is_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(submits.begin_submit(job, "fal", NOW, again=False))
        assert await database.write(jobs.reschedule(job, NOW + 9, NOW, not_submitted=True))
        assert (await database.read(jobs.get(1))).submitted_at is None


async def test_a_postponed_post_stays_a_post(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(jobs.begin_delivery(job, COST, NOW))
        assert await database.write(jobs.reschedule(job, NOW + 9, NOW, not_submitted=False))
        assert await claimed(database, NOW + 8) == []
        [again] = await claimed(database, NOW + 9)
        assert (again.state, again.charged) == (JobState.DELIVERING, COST)


async def test_cancelling_a_waiting_job_ends_it_and_gives_everything_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await commissioned(database, 1)
        answer = await database.write(jobs.cancel(1, NOW))
        assert (answer.state, answer.reserved) == (JobState.CANCELLED, Amount())
        assert await database.read(left()) == 10
        assert await claimed(database) == []
        assert (await database.write(jobs.cancel(1, NOW))).state is JobState.CANCELLED
        await assert_balanced(database)


async def test_cancelling_a_running_job_asks_its_worker(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        assert await database.read(jobs.with_cancel_requested("w1")) == []
        answer = await database.write(jobs.cancel(1, NOW))
        assert (answer.state, answer.cancel_requested) == (JobState.RUNNING, True)
        assert await database.read(jobs.with_cancel_requested("w1")) == [1]
        assert await database.read(jobs.with_cancel_requested("w2")) == []
        assert await database.read(left()) == 9
        await database.write(jobs.finish(job, jobs.Outcome(state=JobState.CANCELLED, error="JobCancelled"), NOW))
        assert await database.read(jobs.with_cancel_requested("w1")) == []
        assert await database.read(left()) == 10


async def test_cancelling_a_postponed_job_with_a_ticket_hands_it_to_a_worker_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(submits.save_ticket(job, TICKET, NOW))
        await database.write(jobs.reschedule(job, NOW + 30_000, NOW, not_submitted=False))
        answer = await database.write(jobs.cancel(1, NOW + 1))
        assert (answer.state, answer.cancel_requested) == (JobState.WAITING, True)
        [again] = await claimed(database, NOW + 1)
        assert (again.tickets, again.cancel_requested) == ((TICKET,), True)


async def test_cancelling_is_too_late_while_it_is_posted(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(jobs.begin_delivery(job, COST, NOW))
        answer = await database.write(jobs.cancel(1, NOW))
        assert (answer.state, answer.cancel_requested) == (JobState.DELIVERING, False)
        assert await database.write(jobs.finish(job, done(1, 500), NOW))


async def test_cancelling_what_is_not_there_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        with pytest.raises(NotFound, match="does not know this request"):
            await database.write(jobs.cancel(404, NOW))


async def test_the_card_of_a_job_is_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await commissioned(database, 1)
        assert (await database.write(jobs.remember_card(1, 99))).reply.card_id == 99
        job = await database.read(jobs.get(1))
        assert (job.reply.card_id, job.reply.token) == (99, "sesame")


async def test_a_result_is_found_by_its_message(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        ending = jobs.Outcome(state=JobState.DONE, charged=COST, result_message_id=777)
        await database.write(jobs.finish(job, ending, NOW))
        found = await database.read(jobs.by_result(777))
        assert found is not None
        assert (found.id, found.state, found.charged, found.result_message_id) == (1, JobState.DONE, COST, 777)
        assert await database.read(jobs.by_result(778)) is None


async def test_a_members_list_shows_what_runs_first_and_then_the_newest(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        for number in (1, 2, 3):
            await commissioned(database, number)
        [first] = await claimed(database, most=1)
        assert first.id == 1
        await database.write(jobs.cancel(3, NOW))
        await database.write(jobs.cancel(2, NOW))
        stranger = asked(4, who=requester(MEMBER + 1))
        await database.write(jobs.accept(stranger, DEFAULT, NOW))
        assert [job.id for job in await database.read(jobs.of_member(GUILD, MEMBER, 10))] == [1, 3, 2]
        assert [job.id for job in await database.read(jobs.of_member(GUILD, MEMBER, 2))] == [1, 3]


async def test_a_card_that_became_known_after_the_claim_is_known_at_the_end(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await database.write(begun(asked(1)))
        assert job.reply.card_id is None
        await database.write(jobs.remember_card(job.id, 77))
        ended = await database.write(jobs.finish(job, FAILED, NOW))
        assert ended is not None
        assert ended.reply.card_id == 77
        assert (await database.read(jobs.get(job.id))).reply.token is None
