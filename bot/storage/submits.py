"""What is written down around a submit: that it begins, its ticket, and that it may have been paid twice."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.domain.jobs import Job, Ticket
from bot.domain.money import Money
from bot.ports import Unit
from bot.storage import ledger
from bot.storage.rows import encode_tickets, tickets_from
from bot.storage.spool import SPOOL, kept_from


def begin_submit(job: Job, provider: str, now: Instant, *, again: bool) -> Unit[bool]:
    """Note that a submit is about to leave; `again` counts one that follows a lost answer."""
    rows = yield (
        "UPDATE jobs SET provider = $3, submitted_at = $4, resubmits = resubmits + $5, updated_at = $4 "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' AND COALESCE(ticket, '') = $6 RETURNING id",
        (job.id, job.attempts, provider, now, int(again), _known(job)),
    )
    return bool(rows)


def submit_again(job: Job, provider: str, cost: Money | None, now: Instant) -> Unit[bool]:
    """Note that a submit is about to leave in the place of a lost one, and what that may have cost."""
    begun = yield from begin_submit(job, provider, now, again=True)
    if begun:
        yield from note_double_cost(job, cost, now)
    return begun


def save_ticket(job: Job, ticket: Ticket, now: Instant) -> Unit[bool]:
    """Keep what the provider gave for the job's latest submit, and its bytes, before anybody waits on it."""
    rows = yield (
        "UPDATE jobs SET ticket = $3, submitted_at = NULL, updated_at = $4 "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' RETURNING id",
        (job.id, job.attempts, encode_tickets((*job.tickets, ticket)), now),
    )
    for number, content in enumerate(ticket.kept if rows else ()):
        yield SPOOL, (job.id, kept_from(len(job.tickets)) + number, content)
    return bool(rows)


def _known(job: Job) -> str:
    return encode_tickets(job.tickets) if job.tickets else ""


def tickets_at(provider: str) -> Unit[list[Ticket]]:
    """The tickets that living jobs hold at a service."""
    rows = yield (
        "SELECT ticket FROM jobs WHERE ticket IS NOT NULL AND state IN ('waiting', 'running', 'delivering')",
        (),
    )
    return [ticket for row in rows for ticket in tickets_from(row["ticket"]) if ticket.provider == provider]


def note_double_cost(job: Job, cost: Money | None, now: Instant) -> Unit[None]:
    """A submit is sent once more after a lost answer: the operator may have paid twice, the member pays once.

    `cost` is what the lost one was billed at, None where nobody can tell.
    """
    told = f"{cost} was paid for pictures that were lost"
    guess = f"{job.reserved.money} may have been paid twice"
    reason = f"a lost answer: {guess if cost is None else told}"
    yield ledger.LEDGER, (now, job.requester.guild_id, None, job.id, None, "adjust", 0, 0, 0, reason)
