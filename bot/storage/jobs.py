"""The life of a job, as units. Every write after the claim is fenced by the number that the claim returned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from bot.domain.clock import Instant
from bot.domain.errors import NotFound, QuotaExceeded
from bot.domain.jobs import AcceptedJob, Job, JobState
from bot.domain.limits import Allowance, Limit
from bot.domain.money import Amount, Money
from bot.domain.requests import ImageRequest, ReplyAddress, Requester
from bot.ports import Unit
from bot.storage import ledger, quotas
from bot.storage.rows import encode, job_from, redacted
from bot.storage.spool import UPLOAD_WAIT

PATIENCE = 60 * 60 * 1000
"""Milliseconds after which nobody waits for a picture any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a commission writes. `cost` is the most that it can be charged."""

    id: int
    requester: Requester
    request: ImageRequest
    reply: ReplyAddress
    cost: Amount
    parent_id: int | None = None
    waits_for_uploads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ends, and what it really cost."""

    state: JobState
    charged: Amount = Amount()
    result_message_id: int | None = None
    error: str | None = None


def accept(new: NewJob, default: Limit, now: Instant) -> Unit[AcceptedJob]:
    """Write the job down and reserve its cost, or return the one that is there already.

    Raises:
        QuotaExceeded: no room; nothing is written.
    """
    requester = new.requester
    due_at = now + UPLOAD_WAIT if new.waits_for_uploads else now
    rows = yield (
        "INSERT INTO jobs (id, state, guild_id, channel_id, member_id, kind, model, requester, request, reply, "
        "reserved_images, reserved_micros, due_at, expires_at, parent_id, created_at, updated_at) "
        "VALUES ($1, 'waiting', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15) "
        "ON CONFLICT (id) DO NOTHING RETURNING id",
        (
            new.id,
            requester.guild_id,
            requester.channel_id,
            requester.user_id,
            new.request.kind,
            new.request.model,
            encode(requester),
            encode(new.request),
            encode(new.reply),
            new.cost.images,
            new.cost.money.micros,
            due_at,
            now + PATIENCE,
            new.parent_id,
            now,
        ),
    )
    if rows:
        allowance: Allowance = yield from quotas.reserve(new.id, requester, new.cost, default, now)
    else:
        allowance = yield from quotas.allowance(requester, default, now)
    job = yield from get(new.id)
    ahead = yield (
        "SELECT CAST(COUNT(*) AS BIGINT) AS ahead FROM jobs WHERE state = 'waiting' AND id <> $1 AND due_at <= $2",
        (new.id, due_at),
    )
    return AcceptedJob(job=job, created=bool(rows), ahead=ahead[0]["ahead"], allowance=allowance)


def get(job_id: int) -> Unit[Job]:
    """One job.

    Raises:
        NotFound: there is none of that id.
    """
    rows = yield "SELECT * FROM jobs WHERE id = $1", (job_id,)
    if not rows:
        raise NotFound("Easel does not know this request any more.")
    return job_from(rows[0])


def by_result(message_id: int) -> Unit[Job | None]:
    """The job whose pictures a message holds."""
    rows = yield "SELECT * FROM jobs WHERE result_message_id = $1", (message_id,)
    return job_from(rows[0]) if rows else None


def of_member(guild_id: int, member_id: int, most: int) -> Unit[list[Job]]:
    """A member's jobs: those that run first, the newest of each first."""
    rows = yield (
        "SELECT * FROM jobs WHERE guild_id = $1 AND member_id = $2 ORDER BY "
        "CASE WHEN state IN ('waiting', 'running', 'delivering') THEN 0 ELSE 1 END, id DESC LIMIT $3",
        (guild_id, member_id, most),
    )
    return [job_from(row) for row in rows]


def claim(
    worker: str, most: int, lease: int, now: Instant, skip_locked: str, held: Collection[int] = ()
) -> Unit[list[Job]]:
    """Take up to `most` jobs that are due, or whose worker has not been heard of, for `lease` milliseconds.

    `held` are those that the worker still carries: a clock that jumps ahead ends no lease of its own.
    """
    not_held = ", ".join(f"${number}" for number in range(5, 5 + len(held)))
    others = f"AND id NOT IN ({not_held}) " if held else ""
    rows = yield (
        # Materialized: as a plain subquery PostgreSQL may run it again for each row and take more than `most`.
        # skip_locked is the engine's own constant.
        "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE ((state = 'waiting' AND due_at <= $3) "  # noqa: S608
        "OR (state IN ('running', 'delivering') AND leased_until <= $3)) "
        f"{others}ORDER BY due_at, id LIMIT $4 {skip_locked}) "
        "UPDATE jobs SET state = CASE WHEN state = 'waiting' THEN 'running' ELSE state END, "
        "attempts = attempts + 1, worker = $1, leased_until = $2, updated_at = $3 "
        "WHERE id IN (SELECT id FROM due) RETURNING *",
        (worker, now + lease, now, most, *held),
    )
    return sorted((job_from(row) for row in rows), key=lambda job: (job.due_at, job.id))


def next_due() -> Unit[Instant | None]:
    """When the next job becomes due or loses its lease."""
    rows = yield (
        "SELECT CASE WHEN due IS NULL OR leased < due THEN COALESCE(leased, due) ELSE due END AS at FROM ("
        "SELECT (SELECT MIN(due_at) FROM jobs WHERE state = 'waiting') AS due, "
        "(SELECT MIN(leased_until) FROM jobs WHERE state IN ('running', 'delivering')) AS leased) AS next",
        (),
    )
    at: Instant | None = rows[0]["at"]
    return at


def renew_lease(job: Job, lease: int, now: Instant) -> Unit[Job | None]:
    """Hold on to a job; returns it as it stands now (somebody may have asked to cancel), None when it is lost."""
    rows = yield (
        "UPDATE jobs SET leased_until = $3, updated_at = $4 WHERE id = $1 AND attempts = $2 "
        "AND state IN ('running', 'delivering') RETURNING *",
        (job.id, job.attempts, now + lease, now),
    )
    return job_from(rows[0]) if rows else None


def switch_model(job: Job, request: ImageRequest, money: Money, default: Limit, now: Instant) -> Unit[Job]:
    """Let a job that nobody has accepted go on as another request, and reserve what that costs more.

    Raises:
        QuotaExceeded: no room for the difference; nothing is written.
        NotFound: the job belongs to somebody else by now.
    """
    more = max(0, money.micros - job.reserved.money.micros)
    rows = yield (
        "UPDATE jobs SET request = $3, model = $4, reserved_micros = reserved_micros + $5, updated_at = $6 "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' AND ticket IS NULL RETURNING *",
        (job.id, job.attempts, encode(request), request.model, more, now),
    )
    if not rows:
        raise NotFound("Easel does not know this request any more.")
    if more:
        try:
            yield from quotas.reserve(job.id, job.requester, Amount(money=Money(more)), default, job.created_at)
        except QuotaExceeded as full:
            raise QuotaExceeded(wanted=request.count, left=0, resets_at=full.resets_at, rule=full.rule) from None
    return job_from(rows[0])


def reschedule(job: Job, due_at: Instant, now: Instant, *, not_submitted: bool) -> Unit[bool]:
    """Try again later. A ticket is kept; `not_submitted` forgets a submit that certainly was not accepted."""
    rows = yield (
        "UPDATE jobs SET state = CASE WHEN state = 'running' THEN 'waiting' ELSE state END, due_at = $3, "
        "leased_until = $3, submitted_at = CASE WHEN $5 = 1 THEN NULL ELSE submitted_at END, updated_at = $4 "
        "WHERE id = $1 AND attempts = $2 AND state IN ('running', 'delivering') RETURNING id",
        (job.id, job.attempts, due_at, now, int(not_submitted)),
    )
    return bool(rows)


def begin_delivery(job: Job, cost: Amount, now: Instant) -> Unit[bool]:
    """The pictures are there and about to be posted; what they will be charged at is kept for a restart."""
    rows = yield (
        "UPDATE jobs SET state = 'delivering', delivering_at = COALESCE(delivering_at, $3), "
        "charged_images = $4, charged_micros = $5, updated_at = $3 "
        "WHERE id = $1 AND attempts = $2 AND state IN ('running', 'delivering') RETURNING id",
        (job.id, job.attempts, now, cost.images, cost.money.micros),
    )
    return bool(rows)


def finish(job: Job, ending: Outcome, now: Instant) -> Unit[Job | None]:
    """End a claimed job and settle its money, in one; None when it belongs to somebody else by now.

    Where a submit is still without an answer, that is noted for the operator.
    What is returned still has its reply address whole; what is kept has neither token nor signed links.
    """
    return (yield from _finish(job, ending, now, "attempts = $2 AND state IN ('running', 'delivering')"))


def cancel(job_id: int, now: Instant) -> Unit[Job]:
    """Cancel a waiting job at once; ask the worker of a running one. Returns the job as it stands after.

    Raises:
        NotFound: there is no such job.
    """
    job = yield from get(job_id)
    if job.state is JobState.WAITING and not job.tickets:
        ended = yield from _finish(
            job,
            Outcome(state=JobState.CANCELLED),
            now,
            "attempts = $2 AND state = 'waiting' AND ticket IS NULL",
        )
        if ended is not None:
            return ended
    yield (
        "UPDATE jobs SET cancel_requested = 1, due_at = CASE WHEN due_at > $2 THEN $2 ELSE due_at END, "
        "updated_at = $2 WHERE id = $1 AND state IN ('waiting', 'running')",
        (job_id, now),
    )
    return (yield from get(job_id))


def _finish(job: Job, ending: Outcome, now: Instant, condition: str) -> Unit[Job | None]:
    rows = yield (
        # The condition is one of two literals of this module.
        "UPDATE jobs SET state = $3, reserved_images = 0, reserved_micros = 0, charged_images = $4, "  # noqa: S608
        "charged_micros = $5, result_message_id = $6, error = $7, ticket = NULL, leased_until = NULL, "
        f"updated_at = $8 WHERE id = $1 AND {condition} RETURNING *",
        (
            job.id,
            job.attempts,
            ending.state.value,
            ending.charged.images,
            ending.charged.money.micros,
            ending.result_message_id,
            ending.error,
            now,
        ),
    )
    if not rows:
        return None
    # As it stands now, not as it was claimed: its card may have become known in between.
    ended = job_from(rows[0])
    yield "UPDATE jobs SET request = $2, reply = $3 WHERE id = $1", (job.id, *redacted(ended))
    requester = job.requester
    yield from quotas.settle(
        job.id, requester.guild_id, requester.user_id, job.reserved, ending.charged, job.created_at, now
    )
    yield "DELETE FROM spool WHERE job_id = $1", (job.id,)
    if job.submitted_at is not None:
        reason = f"a lost answer: {job.reserved.money} may have been paid for nothing"
        yield ledger.LEDGER, (now, requester.guild_id, None, job.id, None, "adjust", 0, 0, 0, reason)
    return ended


def remember_card(job_id: int, card_id: int) -> Unit[Job]:
    """Keep the id of the message that shows the job's progress; returns the job as it stands by now.

    A job that has ended keeps nothing: between the reading and the writing its token may have been blanked.
    """
    job = yield from get(job_id)
    job = replace(job, reply=replace(job.reply, card_id=card_id))
    yield (
        "UPDATE jobs SET reply = $2 WHERE id = $1 AND state IN ('waiting', 'running', 'delivering')",
        (job_id, encode(job.reply)),
    )
    return job


def with_cancel_requested(worker: str) -> Unit[list[int]]:
    """The worker's jobs that somebody asked to cancel."""
    rows = yield (
        "SELECT id FROM jobs WHERE worker = $1 AND cancel_requested = 1 AND state = 'running'",
        (worker,),
    )
    return [row["id"] for row in rows]
