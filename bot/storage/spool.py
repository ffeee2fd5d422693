"""Bytes that cannot be fetched again, stored until their job ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.domain.clock import Instant
from bot.domain.content import Content, in_memory, on_disk
from bot.ports import Unit

UPLOAD_WAIT = 30.0
"""Seconds that a job waits for its uploads to be stored before a worker reads them itself."""
_INSERT = "INSERT INTO spool (job_id, number, content) VALUES ($1, $2, $3) ON CONFLICT (job_id, number) DO NOTHING"


def _first_result_number(part: int) -> int:
    """The number of a ticket's first picture. Numbers below 100 are the pictures that a request points at."""
    return (part + 1) * 100


def store_results(job_id: int, part: int, contents: Sequence[Content]) -> Unit[None]:
    """Store the finished bytes of a job's ticket; `part` is the ticket's place in the job."""
    for number, content in enumerate(contents, _first_result_number(part)):
        yield _INSERT, (job_id, number, in_memory(content))


def stored_results(job_id: int, part: int) -> Unit[tuple[Content, ...]]:
    """The finished bytes of a job's ticket, in order."""
    contents = yield from _read(job_id, _first_result_number(part), _first_result_number(part + 1))
    return tuple(contents.values())


def store_uploads(job_id: int, contents: Mapping[int, Content], now: Instant) -> Unit[None]:
    """Store uploads by their place in the request, and make the job due if it only waited for them.

    The job's row is updated first, which locks it: the job cannot end in between and leave bytes behind.
    """
    rows = yield (
        "UPDATE jobs SET due_at = CASE WHEN state = 'waiting' AND attempts = 0 THEN $2 ELSE due_at END "
        "WHERE id = $1 AND state IN ('waiting', 'running') RETURNING id",
        (job_id, now),
    )
    for number, content in contents.items() if rows else ():
        yield _INSERT, (job_id, number, in_memory(content))


def uploads(job_id: int) -> Unit[dict[int, Content]]:
    """The stored uploads of a job, by their place in the request."""
    return (yield from _read(job_id, 0, _first_result_number(0)))


def _read(job_id: int, first: int, end: int) -> Unit[dict[int, Content]]:
    """What is stored under these numbers, in order; of large contents, one at a time is in memory."""
    numbers = yield (
        "SELECT number FROM spool WHERE job_id = $1 AND number >= $2 AND number < $3 ORDER BY number",
        (job_id, first, end),
    )
    contents = {}
    for row in numbers:
        [found] = yield "SELECT content FROM spool WHERE job_id = $1 AND number = $2", (job_id, row["number"])
        contents[row["number"]] = on_disk(bytes(found["content"]))
        del found
    return contents
