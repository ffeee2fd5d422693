"""Server-sent events, read with limits (https://html.spec.whatwg.org/multipage/server-sent-events.html).

httpx-sse is not used. Its reader collects a line and an event for as long as they last, and what a service sends
by mistake may be a hundred megabytes; its decoder alone is not public, reports events without data, which the
standard drops, and passes over comments, which show that the service is alive.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from bot.net.errors import ResponseTooLarge

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


async def events(response: httpx.Response, limit: int) -> AsyncIterator[Event | None]:
    """The events of a streamed response; None for a comment.

    Raises:
        ResponseTooLarge: an event has more than `limit` bytes, or more than `IDLE_LIMIT` come without one.
        httpx.RequestError: the stream broke off.
    """
    name, size, idle = "", 0, 0
    data: list[str] = []
    async for line in _lines(response, limit):
        size += len(line)
        idle += 0 if line.startswith(b"data") else len(line) + 1
        if size > limit or idle > IDLE_LIMIT:
            raise ResponseTooLarge("event", request=response.request)
        if not line:
            if data:
                idle = 0
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


async def _lines(response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    """Lines without their ends, of any of the three kinds."""
    rest, after_return = bytearray(), False
    async for chunk in response.aiter_raw():
        # A \r ends a line at once; a \n that comes in the next chunk is the other half of that end.
        first, *others = re.split(rb"\r\n|\r|\n", chunk.removeprefix(b"\n") if after_return else chunk)
        after_return = chunk.endswith(b"\r")
        # Only what is new is looked at: a line may be long, and come in a thousand chunks.
        rest += first
        if len(rest) > limit:
            raise ResponseTooLarge("event", request=response.request)
        for line in others:
            yield bytes(rest)
            rest = bytearray(line)
    if rest:
        yield bytes(rest)
