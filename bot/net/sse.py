"""Server-sent events, read with limits (https://html.spec.whatwg.org/multipage/server-sent-events.html).

httpx-sse is not used. Its reader collects a line and an event for as long as they last, and what a service sends
by mistake may be a hundred megabytes; its decoder alone is not public, reports events without data, which the
standard drops, and passes over comments, which show that the service is alive.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from bot.net.errors import ResponseTooLarge

LARGE = 1_048_576
"""Bytes of an event that waits for its turn, where there are turns."""
LARGE_SECONDS = 60.0
"""What a large event may take to arrive once it has its turn."""
IDLE_LIMIT = 262_144
"""Bytes without an event in between: at a comment each quarter of a minute, those of a day and more."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name (`message` where it has none) and its data, lines joined."""

    name: str
    data: str

    def json(self) -> Any:
        """The data as JSON; None where it is none."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the response's type is `text/event-stream`."""
    content_type: str = response.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


class _Turn:
    """A stream's turn to have a large event in memory."""

    def __init__(self, turns: asyncio.Semaphore | None) -> None:
        self._turns = turns
        self._taken = False
        self.deadline: float | None = None

    async def take(self) -> None:
        """Wait for it, if the stream does not have it yet. Meanwhile the service cannot send more."""
        if self._turns is not None and not self._taken:
            await self._turns.acquire()
            self._taken = True
            self.deadline = asyncio.get_running_loop().time() + LARGE_SECONDS

    def give_back(self) -> None:
        """The event is no longer needed."""
        if self._turns is not None and self._taken:
            self._turns.release()
            self._taken, self.deadline = False, None


async def events(
    response: httpx.Response, limit: int, turns: asyncio.Semaphore | None = None
) -> AsyncGenerator[Event | None, None]:
    """The events of a streamed response; None for a comment. Close it, so that it holds no turn.

    `turns` says how many streams may have a large event in memory at the same time.

    Raises:
        ResponseTooLarge: an event has more than `limit` bytes, or more than `IDLE_LIMIT` come without one.
        httpx.RequestError: the stream broke off, or a large event took too long.
    """
    name, size, idle = "", 0, 0
    data: list[str] = []
    turn = _Turn(turns)
    try:
        async for line in _lines(response, limit, turn):
            size += len(line)
            idle += 0 if line.startswith(b"data") else len(line) + 1
            if size > limit or idle > IDLE_LIMIT:
                raise ResponseTooLarge("event", request=response.request)
            if not line:
                if data:
                    idle = 0
                    yield Event(name or "message", "\n".join(data))
                name, data, size = "", [], 0
                turn.give_back()
                continue
            field, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if not field:
                yield None
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
    finally:
        turn.give_back()


async def _lines(response: httpx.Response, limit: int, turn: _Turn) -> AsyncIterator[bytes]:
    """Lines without their ends, of any of the three kinds."""
    rest, after_return = bytearray(), False
    async for chunk in _chunks(response, turn):
        # A \r ends a line at once; a \n that comes in the next chunk is the other half of that end.
        first, *others = re.split(rb"\r\n|\r|\n", chunk.removeprefix(b"\n") if after_return else chunk)
        after_return = chunk.endswith(b"\r")
        # Only what is new is looked at: a line may be long, and come in a thousand chunks.
        rest += first
        if len(rest) > limit:
            raise ResponseTooLarge("event", request=response.request)
        if len(rest) > LARGE:
            await turn.take()
        for line in others:
            yield bytes(rest)
            rest = bytearray(line)
    if rest:
        yield bytes(rest)


async def _chunks(response: httpx.Response, turn: _Turn) -> AsyncIterator[bytes]:
    chunks = aiter(response.aiter_raw())
    while True:
        try:
            async with asyncio.timeout_at(turn.deadline) as patience:
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if not patience.expired():
                raise
            raise httpx.ReadTimeout("too slow", request=response.request) from None
        yield chunk
