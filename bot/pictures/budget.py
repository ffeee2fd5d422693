"""Bytes or places that may be taken at a time, shared out fairly among members."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
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
        self._waiting: list[_Request] = []
        self._numbers = count(1)

    @asynccontextmanager
    async def room(self, size: int, owner: int | None = None) -> AsyncIterator[None]:
        """Wait until so much is free, and take it; for the task's member unless an `owner` is named."""
        if owner is None:
            owner = on_behalf_of.get()
        granted = asyncio.get_running_loop().create_future()
        request = _Request(
            size=min(size, self._most),
            owner=object() if owner is None else owner,
            number=next(self._numbers),
            granted=granted,
        )
        self._waiting.append(request)
        self._grant()
        try:
            await granted
            yield
        finally:
            self._leave(request)

    def _grant(self) -> None:
        """Let in all for whom there is room; the first who lacks only room keeps those behind from taking it."""
        for request in sorted(self._waiting, key=lambda each: (self._served.get(each.owner, 0), each.number)):
            held = self._held[request.owner]
            if request.granted.done():  # cancelled, and about to leave
                continue
            if held and held + request.size > self._share:
                continue
            if self._used + request.size > self._most:
                return
            self._waiting.remove(request)
            self._used += request.size
            self._held[request.owner] += request.size
            self._served[request.owner] = next(self._numbers)
            request.granted.set_result(None)

    def _leave(self, request: _Request) -> None:
        """Give back what a request took; one that was cancelled while it waited took nothing."""
        if request in self._waiting:
            self._waiting.remove(request)
        else:
            self._used -= request.size
            self._held[request.owner] -= request.size
        if not self._held[request.owner]:
            del self._held[request.owner]
            if not any(each.owner == request.owner for each in self._waiting):
                self._served.pop(request.owner, None)
        self._grant()
