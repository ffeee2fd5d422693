"""The rows of one ticket: one picture each, and each ends on its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from decimal import Decimal

from bot.domain.clock import Clock
from bot.domain.errors import (
    GenerationTimeout,
    NoPicture,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    TicketLost,
)
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from bot.providers.oxen.client import OxenClient
from bot.providers.oxen.errors import error_of_row
from bot.providers.oxen.events import Wakeup
from bot.providers.oxen.schemas import Row, TicketData, money
from bot.providers.shared.inline import Text, is_text
from bot.providers.shared.polling import PollPolicy

MAXIMUM_MISSES = 3
"""Polls of a row that is not there, or has no picture, before it is given up."""
COST_POLLS = 4
COST_PAUSE = 0.4
COST_PATIENCE = 2.0
"""Seconds for all polls of the cost."""
STRAGGLERS = 1 / 6
"""The part of `give_up_after` that is left for the remaining rows once one is painted."""

Found = Row | ProviderError | None
ReadRow = Callable[[str, int], Awaitable[Row | None]]


class Generations:
    """Polls its rows until every one has ended, with the link of a picture or with an error."""

    def __init__(
        self, client: OxenClient, data: TicketData, request: ImageRequest, poll_policy: PollPolicy
    ) -> None:
        self._client = client
        self._data = data
        self._request = request
        self._pause = min(COST_PAUSE, poll_policy.first_retry)
        self._ends: dict[str, Text | ProviderError] = {}
        self._status: dict[str, str] = {}
        self._misses: Counter[str] = Counter()

    @property
    def over(self) -> bool:
        """Whether every row has ended."""
        return not self._pending

    @property
    def links(self) -> list[Text]:
        """The links of the pictures, in the order of the ids."""
        ends = (self._ends.get(generation_id) for generation_id in self._data.ids)
        return [end for end in ends if is_text(end)]

    @property
    def error(self) -> ProviderError | None:
        """Why there is no picture at all; a refused prompt says more than other errors."""
        ends = (self._ends.get(generation_id) for generation_id in self._data.ids)
        errors = [end for end in ends if isinstance(end, ProviderError)]
        if self.links or not errors:
            return None
        return next((error for error in errors if isinstance(error, PromptRejected)), errors[0])

    @property
    def progress(self) -> Progress:
        """The rows' progress as members read it."""
        painted, total = len(self.links), len(self._data.ids)
        if painted:
            return Progress(fraction=painted / (total + 1), note=f"{painted} of {total} painted")
        queued = not self._ends and all(status == "queued" for status in self._status.values())
        return Progress(note="queued at the service" if queued else "painting")

    @property
    def _pending(self) -> list[str]:
        return [generation_id for generation_id in self._data.ids if generation_id not in self._ends]

    async def poll(self) -> None:
        """Read every row that has not ended.

        Raises:
            ProviderError: a row could not be read; the others are noted all the same.
        """
        failure: ProviderError | None = None
        for generation_id, found in (await self._read(self._pending, self._client.row)).items():
            if isinstance(found, ProviderError):
                failure = failure or found
            else:
                self._note(generation_id, found)
        if failure is not None:
            raise failure

    async def fresh_links(self) -> list[Text]:
        """The links once more, in case one has expired meanwhile."""
        painted = [generation_id for generation_id in self._data.ids if is_text(self._ends.get(generation_id))]
        found = await self._read(painted, self._client.row)
        return [row.link for row in found.values() if isinstance(row, Row) and row.link is not None]

    async def give_up(self) -> None:
        """Drop the rows that have not ended, so that the others can be delivered."""
        for generation_id in self._pending:
            with suppress(ProviderError):
                await self._client.cancel(generation_id)
            self._ends[generation_id] = GenerationTimeout(detail="still not finished")

    async def cost(self) -> Money | None:
        """What all of them cost together; None where Oxen does not say, or not soon."""
        try:
            async with asyncio.timeout(COST_PATIENCE):
                return await self._cost()
        except TimeoutError:
            return None

    async def _cost(self) -> Money | None:
        total, remaining = Decimal(0), set(self._data.ids)
        for attempt in range(COST_POLLS):
            if attempt:
                await asyncio.sleep(self._pause)
            for generation_id, found in (await self._read(remaining, self._client.details)).items():
                painted = is_text(self._ends.get(generation_id))
                if not isinstance(found, Row) or (found.cost is None and (painted or found.cost_garbled)):
                    continue
                total += found.cost or 0
                remaining.discard(generation_id)
            if not remaining:
                return money(total)
        return None

    def _note(self, generation_id: str, row: Row | None) -> None:
        if row is None or (row.status == "succeeded" and row.link is None):
            self._misses[generation_id] += 1
            if self._misses[generation_id] >= MAXIMUM_MISSES:
                self._ends[generation_id] = (
                    TicketLost(detail="404") if row is None else NoPicture(detail="no link")
                )
            return
        self._misses[generation_id] = 0
        self._status[generation_id] = row.status
        if row.status == "succeeded" and row.link is not None:
            self._ends[generation_id] = row.link
        elif row.status in ("failed", "cancelled"):
            self._ends[generation_id] = error_of_row(row, self._request)

    async def _read(self, ids: Iterable[str], read_row: ReadRow) -> dict[str, Found]:
        async def one(generation_id: str) -> Found:
            try:
                return await read_row(generation_id, self._data.room)
            except ProviderError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = {generation_id: group.create_task(one(generation_id)) for generation_id in ids}
        return {generation_id: task.result() for generation_id, task in tasks.items()}


class PollSchedule:
    """When to poll rows, and for how long."""

    def __init__(self, poll_policy: PollPolicy, clock: Clock, data: TicketData) -> None:
        self._poll_policy = poll_policy
        self._clock = clock
        self._started_at = asyncio.get_running_loop().time()
        self._painted_at: float | None = None
        """When the first picture was there, by the event loop's time."""
        self._polls = 0
        self._failures = 0
        self._wait = 0.0

    async def poll(self, rows: Generations) -> bool:
        """Poll once; whether there is still a row to wait for.

        Raises:
            ProviderBusy: too many failures in a row.
            GenerationTimeout: it has taken too long.
        """
        try:
            await rows.poll()
            self._wait = self._poll_policy.wait_after_success(self._polls)
            self._polls, self._failures = self._polls + 1, 0
        except ProviderBusy as busy:
            self._failures += 1
            if self._failures >= self._poll_policy.failures:
                raise
            self._wait = self._poll_policy.wait_after_failures(self._failures, busy.retry_after)
        if not rows.over and self._is_too_late(rows):
            if not rows.links:
                raise GenerationTimeout(detail="still not finished")
            await rows.give_up()
        return not rows.over

    async def pause(self, wakeup: Wakeup) -> None:
        """Wait until the next poll is due, or a row has changed."""
        if await wakeup.wait(self._wait):
            self._polls = 0

    def _is_too_late(self, rows: Generations) -> bool:
        now, give_up_after = asyncio.get_running_loop().time(), self._poll_policy.give_up_after
        if rows.links and self._painted_at is None:
            self._painted_at = now
        if self._painted_at is not None and now - self._painted_at > give_up_after * STRAGGLERS:
            return True
        return now - self._started_at > give_up_after
