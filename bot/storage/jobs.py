"""The life of a job, as units. Every write after the claim is fenced by the attempt that the claim returned."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bot.domain.choices import AlternativeModel
from bot.domain.clock import Instant, later
from bot.domain.errors import NotFound, QuotaExceeded
from bot.domain.jobs import PATIENCE, AcceptedJob, Job, JobState
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.domain.requests import ImageRequest, ReplyAddress, Requester
from bot.ports import Unit
from bot.storage import reservations, retries, spool, submits
from bot.storage.rows import encode, job_from, redacted


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to accept. `cost` is the most that it can be charged."""

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
    alternative: AlternativeModel | None = None
    """The other model with which the member is offered to ask again; the uploads are kept for that."""
    notes: tuple[str, ...] = ()
    """For the operator's ledger: what was perhaps paid in vain."""


def accept(new: NewJob, default_limit: Limit, now: Instant) -> Unit[AcceptedJob]:
    """Write a job down and reserve its cost, or return the job of that id that is there already.

    Raises:
        QuotaExceeded: no room; nothing is written.
    """
    due_at = later(now, spool.UPLOAD_WAIT) if new.waits_for_uploads else now
    rows = yield (
        "INSERT INTO jobs (id, state, guild_id, member_id, requester, request, reply, reserved_images, "
        "reserved_micros, due_at, patience_ms, parent_id, created_at) "
        "VALUES ($1, 'waiting', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
        "ON CONFLICT (id) DO NOTHING RETURNING *",
        (
            new.id,
            new.requester.guild_id,
            new.requester.user_id,
            encode(new.requester),
            encode(new.request),
            encode(new.reply),
            new.cost.images,
            new.cost.money.micros,
            due_at,
            _milliseconds(PATIENCE),
            new.parent_id,
            now,
        ),
    )
    if rows:
        job = job_from(rows[0])
        allowance = yield from reservations.reserve(job, new.cost, default_limit)
    else:
        job = yield from get(new.id)
        allowance = yield from reservations.allowance(new.requester, default_limit, now)
    [row] = yield (
        "SELECT CAST(COUNT(*) AS BIGINT) AS ahead FROM jobs WHERE state = 'waiting' AND id <> $1 AND due_at <= $2",
        (new.id, due_at),
    )
    return AcceptedJob(job=job, created=bool(rows), ahead=row["ahead"], allowance=allowance)


def get(job_id: int) -> Unit[Job]:
    """One job.

    Raises:
        NotFound: there is none of that id.
    """
    rows = yield "SELECT * FROM jobs WHERE id = $1", (job_id,)
    if not rows:
        raise _unknown_job()
    return job_from(rows[0])


def by_result(message_id: int) -> Unit[Job | None]:
    """The job whose pictures a message shows."""
    rows = yield "SELECT * FROM jobs WHERE result_message_id = $1", (message_id,)
    return job_from(rows[0]) if rows else None


def of_member(guild_id: int, member_id: int, count: int) -> Unit[list[Job]]:
    """Up to `count` of a member's jobs: the living ones first, the newest of each first."""
    rows = yield (
        "SELECT * FROM jobs WHERE guild_id = $1 AND member_id = $2 ORDER BY "
        "CASE WHEN state IN ('waiting', 'running', 'delivering') THEN 0 ELSE 1 END, id DESC LIMIT $3",
        (guild_id, member_id, count),
    )
    return [job_from(row) for row in rows]


def claim(
    worker: str, count: int, lease: float, now: Instant, skip_locked: str, running: Collection[int] = ()
) -> Unit[list[Job]]:
    """Take up to `count` jobs that are due, or whose lease has expired, for `lease` seconds.

    `running` are the ids of the jobs that this worker already has: a clock that jumps ahead must not make it
    claim one of them twice.
    """
    placeholders = ", ".join(f"${number}" for number in range(5, 5 + len(running)))
    not_running = f"AND id NOT IN ({placeholders}) " if running else ""
    rows = yield (
        # Materialized: as a plain subquery PostgreSQL may run it again for each row and take more than `count`.
        # skip_locked is the engine's own constant.
        "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE ((state = 'waiting' AND due_at <= $3) "  # noqa: S608
        "OR (state IN ('running', 'delivering') AND leased_until <= $3)) "
        f"{not_running}ORDER BY due_at, id LIMIT $4 {skip_locked}) "
        "UPDATE jobs SET state = CASE WHEN state = 'waiting' THEN 'running' ELSE state END, "
        "attempts = attempts + 1, worker = $1, leased_until = $2 "
        "WHERE id IN (SELECT id FROM due) RETURNING *",
        (worker, later(now, lease), now, count, *running),
    )
    return sorted((job_from(row) for row in rows), key=lambda job: (job.due_at, job.id))


def leaseholders() -> Unit[list[str]]:
    """The workers that hold a job."""
    rows = yield (
        "SELECT DISTINCT worker FROM jobs WHERE state IN ('running', 'delivering') AND worker IS NOT NULL",
        (),
    )
    return [row["worker"] for row in rows]


def expire_leases(worker: str, now: Instant) -> Unit[int]:
    """Let the jobs of a worker whose process has ended be claimed at once; returns how many there are."""
    rows = yield (
        "UPDATE jobs SET leased_until = $2 "
        "WHERE state IN ('running', 'delivering') AND worker = $1 AND leased_until > $2 RETURNING id",
        (worker, now),
    )
    return len(rows)


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


def renew_lease(job: Job, lease: float, now: Instant) -> Unit[Job | None]:
    """Extend the lease by `lease` seconds from now, and store how long `job` was waited for.

    Returns the job as it is stored, None if the lease was lost.

    The stored job may have a cancel request or a card that the worker does not know of.
    """
    rows = yield (
        "UPDATE jobs SET leased_until = $3, waited_ms = $4 WHERE id = $1 AND attempts = $2 "
        "AND state IN ('running', 'delivering') RETURNING *",
        (job.id, job.attempts, later(now, lease), _milliseconds(job.waited)),
    )
    return job_from(rows[0]) if rows else None


def switch_model(job: Job, request: ImageRequest, price: Money, default_limit: Limit) -> Unit[Job]:
    """Change the request of a job that no provider has accepted, and reserve what it costs more.

    Raises:
        QuotaExceeded: no room for the difference; nothing is written.
        NotFound: the lease was lost, or a provider has accepted the job.
    """
    more = max(Money(), price - job.reserved.money)
    rows = yield (
        "UPDATE jobs SET request = $3, reserved_micros = reserved_micros + $4 "
        "WHERE id = $1 AND attempts = $2 AND state = 'running' AND ticket IS NULL RETURNING *",
        (job.id, job.attempts, encode(request), more.micros),
    )
    if not rows:
        raise _unknown_job()
    if more > Money():
        try:
            yield from reservations.reserve(job, Amount(money=more), default_limit)
        except QuotaExceeded as full:
            raise QuotaExceeded(wanted=request.count, left=0, resets_at=full.resets_at, limit=full.limit) from None
    return job_from(rows[0])


def reschedule(job: Job, due_at: Instant, *, forget_submit: bool) -> Unit[bool]:
    """Put a job back until `due_at`, with its tickets and with what `job` says of waiting and fetching.

    `forget_submit` forgets a submit that was not accepted.
    """
    rows = yield (
        "UPDATE jobs SET state = CASE WHEN state = 'running' THEN 'waiting' ELSE state END, due_at = $3, "
        "leased_until = $3, submitted_at = CASE WHEN $4 = 1 THEN NULL ELSE submitted_at END, "
        "waited_ms = $5, patience_ms = $6, fetch_failed = $7 "
        "WHERE id = $1 AND attempts = $2 AND state IN ('running', 'delivering') RETURNING id",
        (
            job.id,
            job.attempts,
            due_at,
            int(forget_submit),
            _milliseconds(job.waited),
            _milliseconds(job.patience),
            int(job.fetch_failed),
        ),
    )
    return bool(rows)


def begin_delivery(job: Job, cost: Amount, now: Instant) -> Unit[bool]:
    """Record that the pictures are about to be posted, what they will be charged at, and `job`'s new patience."""
    rows = yield (
        "UPDATE jobs SET state = 'delivering', delivering_at = COALESCE(delivering_at, $3), "
        "charged_images = $4, charged_micros = $5, patience_ms = $6 "
        "WHERE id = $1 AND attempts = $2 AND state IN ('running', 'delivering') RETURNING id",
        (job.id, job.attempts, now, cost.images, cost.money.micros, _milliseconds(job.patience)),
    )
    return bool(rows)


def finish(job: Job, outcome: Outcome, now: Instant) -> Unit[Job | None]:
    """End a claimed job and settle its money in one transaction; None if the lease was lost.

    A submit that is still without a response is noted for the operator. The returned job has its whole reply
    address; the stored one has neither its token nor signed links. The job is untidy until `tidied`.
    """
    return (yield from _finish(job, outcome, now, "attempts = $2 AND state IN ('running', 'delivering')"))


def cancel(job_id: int, now: Instant) -> Unit[Job]:
    """Cancel a waiting job at once, or request it of a running job's worker; returns the job as it is then.

    Raises:
        NotFound: there is no such job.
    """
    job = yield from get(job_id)
    if job.state is JobState.WAITING and not job.tickets:
        cancelled = Outcome(state=JobState.CANCELLED)
        ended = yield from _finish(job, cancelled, now, "attempts = $2 AND state = 'waiting' AND ticket IS NULL")
        if ended is not None:
            return ended
    rows = yield (
        "UPDATE jobs SET cancel_requested = 1, due_at = CASE WHEN due_at > $2 THEN $2 ELSE due_at END "
        "WHERE id = $1 AND state IN ('waiting', 'running') RETURNING *",
        (job_id, now),
    )
    return job_from(rows[0]) if rows else (yield from get(job_id))


def _finish(job: Job, outcome: Outcome, now: Instant, condition: str) -> Unit[Job | None]:
    rows = yield (
        # The condition is one of two literals of this module.
        "UPDATE jobs SET state = $3, reserved_images = 0, reserved_micros = 0, charged_images = $4, "  # noqa: S608
        "charged_micros = $5, result_message_id = $6, error = $7, ticket = NULL, leased_until = NULL, untidy = 1 "
        f"WHERE id = $1 AND {condition} RETURNING *",
        (
            job.id,
            job.attempts,
            outcome.state.value,
            outcome.charged.images,
            outcome.charged.money.micros,
            outcome.result_message_id,
            outcome.error,
        ),
    )
    if not rows:
        return None
    # The stored job, not the claimed one: its card may have become known in between.
    ended = job_from(rows[0])
    yield "UPDATE jobs SET request = $2, reply = $3 WHERE id = $1", (job.id, *redacted(ended))
    yield from reservations.settle(job, outcome.charged, now)
    if outcome.alternative is None:
        yield from spool.forget([job.id])
    else:
        yield from spool.forget_results(job.id)
        yield from retries.offer(job.id, outcome.alternative, now)
    if job.submitted_at is not None:
        yield submits.adjustment(job, f"{job.reserved.money} may have been paid for nothing", now)
    for note in outcome.notes:
        yield submits.operator_note(job, note, now)
    return ended


def remember_card(job_id: int, card_id: int) -> Unit[Job]:
    """Save the id of the message that shows the job's progress; returns the job with it.

    A job that has ended is untidy again, since its card is still there.
    """
    job = yield from get(job_id)
    job = replace(job, reply=replace(job.reply, card_id=card_id))
    yield (
        "UPDATE jobs SET reply = $2, untidy = $3 WHERE id = $1",
        (job_id, encode(job.reply), int(job.state.ended)),
    )
    return job


def untidy() -> Unit[list[Job]]:
    """Ended jobs whose card may still be there, or whose failure may be untold, the oldest first."""
    rows = yield "SELECT * FROM jobs WHERE untidy = 1 ORDER BY id", ()
    return [job_from(row) for row in rows]


def tidied(job_ids: Iterable[int]) -> Unit[None]:
    """Note that nothing is left in Discord of the progress of these jobs."""
    for job_id in job_ids:
        yield "UPDATE jobs SET untidy = 0 WHERE id = $1", (job_id,)


def with_cancel_requested(worker: str) -> Unit[list[int]]:
    """Ids of the worker's running jobs that a person asked to cancel."""
    rows = yield (
        "SELECT id FROM jobs WHERE worker = $1 AND cancel_requested = 1 AND state = 'running'",
        (worker,),
    )
    return [row["id"] for row in rows]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _unknown_job() -> NotFound:
    return NotFound("Easel does not know this request any more.")
