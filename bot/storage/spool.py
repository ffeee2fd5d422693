"""Bytes that cannot be fetched again, kept until their job ends."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.clock import Instant
from bot.ports import Unit

SPOOL = "INSERT INTO spool (job_id, number, content) VALUES ($1, $2, $3) ON CONFLICT (job_id, number) DO NOTHING"


UPLOAD_WAIT = 30_000
"""Milliseconds that a job waits for its uploads to be kept before a worker reads them itself."""


def stored_results(job_id: int, part: int) -> Unit[tuple[bytes, ...]]:
    """The finished bytes of a job's ticket with this number, in order."""
    rows = yield (
        "SELECT content FROM spool WHERE job_id = $1 AND number >= $2 AND number < $3 ORDER BY number",
        (job_id, kept_from(part), kept_from(part + 1)),
    )
    return tuple(bytes(row["content"]) for row in rows)


def kept_from(part: int) -> int:
    """The pictures that a request points at come before, by their own numbers."""
    return (part + 1) * 100


def store_uploads(job_id: int, contents: Mapping[int, bytes], now: Instant) -> Unit[None]:
    """Spool bytes that cannot be fetched again, by their place in the request, and let the job begin.

    The job's row comes first: it is locked by that, so that the job cannot end and leave bytes behind.
    """
    rows = yield (
        "UPDATE jobs SET due_at = CASE WHEN state = 'waiting' AND attempts = 0 THEN $2 ELSE due_at END "
        "WHERE id = $1 AND state IN ('waiting', 'running') RETURNING id",
        (job_id, now),
    )
    for number, content in contents.items() if rows else ():
        yield SPOOL, (job_id, number, content)


def uploads(job_id: int) -> Unit[dict[int, bytes]]:
    """The spooled bytes of a job, by their place in the request."""
    rows = yield "SELECT number, content FROM spool WHERE job_id = $1 AND number < $2", (job_id, kept_from(0))
    return {row["number"]: bytes(row["content"]) for row in rows}
