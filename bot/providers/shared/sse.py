"""Server-sent events, read with limits (https://html.spec.whatwg.org/multipage/server-sent-events.html).

The libraries for this keep whatever arrives; what a service sends here may be a hundred megabytes by mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bot.domain.errors import InvalidResponse


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


async def events(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[Event | None]:
    """The events of a stream; None for a comment, which only says that the other side is alive.

    Raises:
        InvalidResponse: an event is longer than `limit` bytes.
    """
    name, size = "", 0
    data: list[str] = []
    async for line in _lines(chunks, limit):
        size += len(line)
        if size > limit:
            raise InvalidResponse(detail="an event is too big")
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data))
            name, data, size = "", [], 0
            continue
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if not field:
            yield None
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


async def _lines(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Lines without their ends, of whichever of the three kinds."""
    rest, after_return = bytearray(), False
    async for chunk in chunks:
        # A \r ends a line at once; a \n that comes in the next chunk is the other half of that end.
        first, *others = re.split(rb"\r\n|\r|\n", chunk.removeprefix(b"\n") if after_return else chunk)
        after_return = chunk.endswith(b"\r") if chunk else after_return
        # Only what is new is looked at: a line may be long, and come in a thousand chunks.
        rest += first
        if len(rest) > limit:
            raise InvalidResponse(detail="an event is too big")
        for line in others:
            yield bytes(rest)
            rest = bytearray(line)
    if rest:
        yield bytes(rest)
