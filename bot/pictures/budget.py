"""Bytes or places that may be taken at a time, shared out fairly among members."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count

on_behalf_of: ContextVar[int | None] = ContextVar("on_behalf_of", default=None)
"""The member for whom a task works: set once for a job, known wherever it waits for room."""


@dataclass(eq=False, slots=True)
class _Request:
    size: int
    owner: Hashable
    number: int
    granted: asyncio.Future[None]


class Budget:
    """So much may be taken at a time; a request for more than all of it counts as all.

    Room goes to the member who was served longest ago, and among a member's own requests to the first. A member
    holds at most `share` of it, or one request that is larger. What is taken for nobody has no such bound.
    """

    def __init__(self, most: int, share: int | None = None) -> None:
        self._most = most
        self._share = most if share is None else share
        self._used = 0
        self._held: Counter[Hashable] = Counter()
        self._served: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[_Request]] = {}
        self._numbers = count(1)

    @asynccontextmanager
    async def room(self, size: int, owner: int | None = None) -> AsyncIterator[None]:
        """Wait until so much is free, and take it; for the task's member unless an `owner` is named."""
        if size == 0:
            yield
            return
        if owner is None:
            owner = on_behalf_of.get()
        granted = asyncio.get_running_loop().create_future()
        request = _Request(
            size=min(size, self._most),
            owner=object() if owner is None else owner,
            number=next(self._numbers),
            granted=granted,
        )
        self._waiting.setdefault(request.owner, deque()).append(request)
        self._grant()
        try:
            await granted
            yield
        finally:
            self._leave(request)

    def _grant(self) -> None:
        """Let in all for whom there is room; the first who lacks only room keeps those behind from taking it."""
        while self._used < self._most:
            request = min(self._next_requests(), key=self._turn, default=None)
            if request is None or self._used + request.size > self._most:
                return
            self._no_longer_waits(request)
            self._used += request.size
            self._held[request.owner] += request.size
            self._served[request.owner] = next(self._numbers)
            request.granted.set_result(None)

    def _next_requests(self) -> Iterator[_Request]:
        """Of each member the first request, unless the member holds too much."""
        for owner, requests in self._waiting.items():
            # One that was cancelled is about to leave.
            first = next((each for each in requests if not each.granted.done()), None)
            held = self._held[owner]
            if first is not None and (not held or held + first.size <= self._share):
                yield first

    def _turn(self, request: _Request) -> tuple[int, int]:
        return self._served.get(request.owner, 0), request.number

    def _no_longer_waits(self, request: _Request) -> None:
        requests = self._waiting[request.owner]
        requests.remove(request)
        if not requests:
            del self._waiting[request.owner]

    def _leave(self, request: _Request) -> None:
        """Give back what a request took; one that was cancelled while it waited took nothing."""
        if request in self._waiting.get(request.owner, ()):
            self._no_longer_waits(request)
        else:
            self._used -= request.size
            self._held[request.owner] -= request.size
        if not self._held[request.owner]:
            del self._held[request.owner]
        self._grant()
        if not self._waiting:
            # Not before: who comes again would be served before all who have waited since.
            self._served = {owner: self._served[owner] for owner in self._held}
