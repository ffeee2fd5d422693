"""The rows of one ticket: one picture each, and each with an end of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from decimal import Decimal

from bot.domain.clock import Clock, Instant
from bot.domain.errors import (
    GenerationTimeout,
    InvalidResponse,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    TicketLost,
)
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from bot.providers.oxen.client import OxenClient
from bot.providers.oxen.errors import failure
from bot.providers.oxen.events import Wakeup
from bot.providers.oxen.schemas import Row, TicketData, money
from bot.providers.shared.polling import PollPolicy

MISSES = 3
"""Looks at a row that is not there, or has no picture, before it is given up."""
COST_LOOKS = 4
COST_PAUSE = 0.4
COST_PATIENCE = 2.0
"""Seconds for all questions about the cost."""
LONGEST_ASKED_WAIT = 60.0
"""Seconds: a longer Retry-After is not waited for between two looks."""
STRAGGLING = 1 / 6
"""Of our whole patience, for what is not painted yet once something is."""

Found = Row | ProviderError | None
Ask = Callable[[str, int], Awaitable[Row | None]]


class Generations:
    """Looked at until every one is over; then its picture's link or what went wrong is known."""

    def __init__(self, api: OxenClient, held: TicketData, request: ImageRequest, pace: PollPolicy) -> None:
        self._api = api
        self._held = held
        self._request = request
        self._pause = min(COST_PAUSE, pace.trouble)
        self._ends: dict[str, str | ProviderError] = {}
        self._status: dict[str, str] = {}
        self._misses: Counter[str] = Counter()

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return not self._pending

    @property
    def links(self) -> list[str]:
        """Where the pictures are, in the order of the ids."""
        ends = (self._ends.get(one) for one in self._held.ids)
        return [end for end in ends if isinstance(end, str)]

    @property
    def error(self) -> ProviderError | None:
        """Why there is no picture at all; a refused prompt says more than what befell the others."""
        errors = [end for one in self._held.ids if isinstance(end := self._ends.get(one), ProviderError)]
        if self.links or not errors:
            return None
        return next((error for error in errors if isinstance(error, PromptRejected)), errors[0])

    @property
    def progress(self) -> Progress:
        """Where they stand, in plain words."""
        painted, total = len(self.links), len(self._held.ids)
        if painted:
            return Progress(fraction=painted / (total + 1), note=f"{painted} of {total} painted")
        queued = not self._ends and all(status == "queued" for status in self._status.values())
        return Progress(note="queued at the service" if queued else "painting")

    @property
    def _pending(self) -> list[str]:
        return [one for one in self._held.ids if one not in self._ends]

    async def look(self) -> None:
        """Look at all that is not over yet.

        Raises:
            ProviderError: of the looks themselves; what could be seen is noted all the same.
        """
        trouble: ProviderError | None = None
        for one, found in (await self._ask(self._pending, self._api.row)).items():
            if isinstance(found, ProviderError):
                trouble = trouble or found
            else:
                self._note(one, found)
        if trouble is not None:
            raise trouble

    async def fresh_links(self) -> list[str]:
        """The links once more, for one that has run out meanwhile."""
        painted = [one for one in self._held.ids if isinstance(self._ends.get(one), str)]
        found = await self._ask(painted, self._api.row)
        return [row.link for row in found.values() if isinstance(row, Row) and row.link is not None]

    async def give_up(self) -> None:
        """Drop what is still not over, so that the others can be delivered."""
        for one in self._pending:
            with suppress(ProviderError):
                await self._api.drop(one)
            self._ends[one] = GenerationTimeout(detail="still not finished")

    async def cost(self) -> Money | None:
        """What all of them cost together; None where the service does not say, or not soon."""
        try:
            async with asyncio.timeout(COST_PATIENCE):
                return await self._cost()
        except TimeoutError:
            return None

    async def _cost(self) -> Money | None:
        total, open_ = Decimal(0), set(self._held.ids)
        for look in range(COST_LOOKS):
            if look:
                await asyncio.sleep(self._pause)
            for one, found in (await self._ask(open_, self._api.details)).items():
                painted = isinstance(self._ends.get(one), str)
                if not isinstance(found, Row) or (found.cost is None and (painted or found.cost_garbled)):
                    continue
                total += found.cost or 0
                open_.discard(one)
            if not open_:
                return money(total)
        return None

    def _note(self, one: str, row: Row | None) -> None:
        if row is None or (row.status == "succeeded" and row.link is None):
            self._misses[one] += 1
            if self._misses[one] >= MISSES:
                self._ends[one] = (
                    TicketLost(detail="404")
                    if row is None
                    else InvalidResponse("The image service finished without a picture.", detail="no link")
                )
            return
        self._misses[one] = 0
        self._status[one] = row.status
        if row.status == "succeeded" and row.link is not None:
            self._ends[one] = row.link
        elif row.status in ("failed", "cancelled"):
            self._ends[one] = failure(row, self._request)

    async def _ask(self, ids: Iterable[str], ask: Ask) -> dict[str, Found]:
        async def one(generation_id: str) -> Found:
            try:
                return await ask(generation_id, self._held.room)
            except ProviderError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = {generation_id: group.create_task(one(generation_id)) for generation_id in ids}
        return {generation_id: task.result() for generation_id, task in tasks.items()}


class PollSchedule:
    """When to look at rows, and how long."""

    def __init__(self, pace: PollPolicy, clock: Clock, held: TicketData) -> None:
        self._pace = pace
        self._clock = clock
        self._started = held.submitted_at or clock.now()
        self._painted_at: Instant | None = None
        self._quiet = 0
        self._failures = 0
        self._wait = 0.0

    async def go_on(self, rows: Generations) -> bool:
        """Look once; whether there is still something to wait for.

        Raises:
            ProviderBusy: too often in a row.
            GenerationTimeout: it has taken too long.
        """
        try:
            await rows.look()
            self._wait = self._pace.quiet(self._quiet)
            self._quiet, self._failures = self._quiet + 1, 0
        except ProviderBusy as busy:
            self._failures += 1
            if self._failures >= self._pace.failures:
                raise
            asked = min(busy.retry_after or 0.0, LONGEST_ASKED_WAIT)
            self._wait = max(self._pace.troubled(self._failures), asked)
        if not rows.over and self._impatient(rows):
            if not rows.links:
                raise GenerationTimeout(detail="still not finished")
            await rows.give_up()
        return not rows.over

    async def pause(self, bell: Wakeup) -> None:
        """Wait until it is time, or until there is news."""
        if await bell.wait(self._wait):
            self._quiet = 0

    def _impatient(self, rows: Generations) -> bool:
        now, patience = self._clock.now(), self._pace.patience * 1000
        if rows.links and self._painted_at is None:
            self._painted_at = now
        if self._painted_at is not None and now - self._painted_at > patience * STRAGGLING:
            return True
        return now - self._started > patience
