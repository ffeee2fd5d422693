"""A job's submits to providers: what is written before and after each, so that a crash loses none."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.domain.jobs import Job, Ticket
from bot.domain.money import Money
from bot.ports import Statement, Unit
from bot.storage import spool
from bot.storage.ledger import Entry, append
from bot.storage.rows import encode_tickets, tickets_from


def begin_submit(job: Job, provider: str, now: Instant) -> Unit[bool]:
    """Record that a submit is about to be sent.

    False if the lease was lost, or if the stored job has tickets that `job` lacks.
    """
    return _begin(job, provider, now, resubmits=0)


def _begin(job: Job, provider: str, now: Instant, *, resubmits: int) -> Unit[bool]:
    known_tickets = encode_tickets(job.tickets) if job.tickets else ""
    rows = yield (
        "UPDATE jobs SET provider = $3, submitted_at = $4, resubmits = resubmits + $5 "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' AND COALESCE(ticket, '') = $6 RETURNING id",
        (job.id, job.attempts, provider, now, resubmits, known_tickets),
    )
    return bool(rows)


def submit_again(job: Job, provider: str, lost_cost: Money | None, now: Instant) -> Unit[bool]:
    """Record that a submit is about to replace one whose response was lost, and what that one may have cost.

    False as at `begin_submit`.
    """
    begun = yield from _begin(job, provider, now, resubmits=1)
    if begun:
        yield from note_double_cost(job, lost_cost, now)
    return begun


def forget_submit(job: Job, note: str, now: Instant, *, resubmits: int = 0) -> Unit[bool]:
    """Forget a submit of which nothing more can be learnt, and note for the operator what it may have cost.

    `resubmits` is 1 where the work was painted, and will be painted once more. False if the lease was lost.
    """
    rows = yield (
        "UPDATE jobs SET submitted_at = NULL, resubmits = resubmits + $3 "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' RETURNING id",
        (job.id, job.attempts, resubmits),
    )
    if rows:
        yield operator_note(job, note, now)
    return bool(rows)


def save_ticket(job: Job, ticket: Ticket) -> Unit[bool]:
    """Save the ticket of the job's latest submit, and its finished pictures, before anything waits on it."""
    rows = yield (
        "UPDATE jobs SET ticket = $3, submitted_at = NULL "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' RETURNING id",
        (job.id, job.attempts, encode_tickets((*job.tickets, ticket))),
    )
    if rows:
        yield from spool.store_results(job.id, len(job.tickets), ticket.results)
    return bool(rows)


def tickets_at(provider: str) -> Unit[list[Ticket]]:
    """The tickets of all living jobs at a provider."""
    rows = yield (
        "SELECT ticket FROM jobs WHERE ticket IS NOT NULL AND state IN ('waiting', 'running', 'delivering')",
        (),
    )
    return [ticket for row in rows for ticket in tickets_from(row["ticket"]) if ticket.provider == provider]


def note_double_cost(job: Job, lost_cost: Money | None, now: Instant) -> Unit[None]:
    """Note for the operator that a submit whose response was lost may be paid for; the member pays once.

    `lost_cost` is what the lost submit was billed at, None where the provider cannot tell.
    """
    if lost_cost is None:
        yield adjustment(job, f"{job.reserved.money} may have been paid twice", now)
    else:
        yield adjustment(job, f"{lost_cost} was paid for pictures that were lost", now)


def adjustment(job: Job, note: str, now: Instant) -> Statement:
    """The ledger entry that tells the operator what a lost response may have cost; no allowance changes."""
    return operator_note(job, f"a lost answer: {note}", now)


def operator_note(job: Job, text: str, now: Instant) -> Statement:
    """The ledger entry that tells the operator what was perhaps paid in vain; no allowance changes."""
    return append(
        Entry(
            kind="adjust",
            at=now,
            guild_id=job.requester.guild_id,
            job_id=job.id,
            reason=text,
        )
    )
