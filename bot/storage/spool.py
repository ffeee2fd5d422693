"""Bytes that cannot be fetched again, stored until their job ends, in pieces: none needs much memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bot.domain.clock import Instant
from bot.domain.content import Content, Receiver, parts_of
from bot.ports import Unit

UPLOAD_WAIT = 30.0
"""Seconds that a job waits for its uploads to be stored before a worker reads them itself."""


def _first_result_number(part: int) -> int:
    """The number of a ticket's first picture. Numbers below 100 are the pictures that a request points at."""
    return (part + 1) * 100


def store_results(job_id: int, part: int, contents: Sequence[Content]) -> Unit[None]:
    """Store the finished bytes of a job's ticket; `part` is the ticket's place in the job."""
    for number, content in enumerate(contents, _first_result_number(part)):
        yield from _store(job_id, number, content)


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
        yield from _store(job_id, number, content)


def uploads(job_id: int) -> Unit[dict[int, Content]]:
    """The stored uploads of a job, by their place in the request."""
    return (yield from _read(job_id, 0, _first_result_number(0)))


def move_uploads(job_id: int, new_id: int) -> Unit[set[int]]:
    """Give a job's uploads to another one with the same pictures; returns their numbers."""
    rows = yield (
        "UPDATE spool SET job_id = $2 WHERE job_id = $1 AND number < $3 RETURNING number",
        (job_id, new_id, _first_result_number(0)),
    )
    return {row["number"] for row in rows}


def forget(job_ids: Iterable[int]) -> Unit[None]:
    """Remove all that is stored for these jobs."""
    for job_id in job_ids:
        yield "DELETE FROM spool WHERE job_id = $1", (job_id,)


def forget_results(job_id: int) -> Unit[None]:
    """Remove a job's finished bytes, and keep its uploads."""
    yield "DELETE FROM spool WHERE job_id = $1 AND number >= $2", (job_id, _first_result_number(0))


def _store(job_id: int, number: int, content: Content) -> Unit[None]:
    """Store what is not stored yet."""
    if (yield "SELECT piece FROM spool WHERE job_id = $1 AND number = $2 LIMIT 1", (job_id, number)):
        return
    insert = "INSERT INTO spool (job_id, number, piece, content) VALUES ($1, $2, $3, $4)"
    for piece, part in enumerate(parts_of(content)):
        yield insert, (job_id, number, piece, part)


def _read(job_id: int, first: int, end: int) -> Unit[dict[int, Content]]:
    """What is stored under these numbers, in order."""
    pieces = yield (
        "SELECT number, piece FROM spool WHERE job_id = $1 AND number >= $2 AND number < $3 "
        "ORDER BY number, piece",
        (job_id, first, end),
    )
    receivers: dict[int, Receiver] = {}
    select = "SELECT content FROM spool WHERE job_id = $1 AND number = $2 AND piece = $3"
    for row in pieces:
        [found] = yield select, (job_id, row["number"], row["piece"])
        receivers.setdefault(row["number"], Receiver()).append(bytes(found["content"]))
    return {number: receiver.content() for number, receiver in receivers.items()}
