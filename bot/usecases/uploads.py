"""Reads pictures that belong to no message while their links are good."""

from __future__ import annotations

from bot.domain import checks
from bot.domain.clock import Clock
from bot.domain.content import Content
from bot.domain.errors import BadSource
from bot.domain.jobs import Job
from bot.domain.requests import ImageRequest
from bot.pictures.budget import Budget
from bot.ports import Database, Delivery
from bot.storage import spool

UPLOADS_READ_AT_ONCE = 4


def uploads_of(request: ImageRequest) -> set[int]:
    """The numbers of the request's pictures that belong to no message."""
    return {number for number, source in enumerate(request.pictures) if not source.refetchable}


class Uploads:
    """Stores the uploads of jobs in the spool."""

    def __init__(self, *, database: Database, delivery: Delivery, clock: Clock) -> None:
        self._database = database
        self._delivery = delivery
        self._clock = clock
        self._reading = Budget(UPLOADS_READ_AT_ONCE, 1)

    async def store(self, job: Job) -> None:
        """Store a job's uploads, and let it begin.

        A picture that cannot be read is left to the worker, which fails alike and tells the member.
        """
        numbers = sorted(uploads_of(job.request))
        if not numbers:
            return
        contents: dict[int, Content] = {}
        async with self._reading.room(1, job.requester.user_id):
            for number in numbers:
                try:
                    fetched = await self._delivery.read(job.request.pictures[number], checks.MAXIMUM_SOURCE_BYTES)
                except BadSource:
                    break
                contents[number] = fetched.content
            await self._database.write(spool.store_uploads(job.id, contents, self._clock.now()))
        self._database.wake()
