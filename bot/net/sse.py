"""Server-sent events, read with limits (https://html.spec.whatwg.org/multipage/server-sent-events.html).

httpx-sse is not used. Its reader collects a line and an event for as long as they last, and what a service sends
by mistake may be a hundred megabytes; its decoder alone is not public, reports events without data, which the
standard drops, and passes over comments, which show that the service is alive.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from bot.domain.content import Content, DiskFile, Receiver
from bot.net.errors import ResponseTooLarge
from bot.net.large_json import json_in

IDLE_LIMIT = 262_144
"""Bytes without an event in between: at a comment each quarter of a minute, those of a day and more."""
_LINES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name (`message` where it has none) and its data, lines joined, on disk where it is large."""

    name: str
    data: str | DiskFile

    async def json(self) -> Any:
        """The data as JSON, of which long strings stay on disk; None where it is none."""
        if isinstance(self.data, DiskFile):
            return await asyncio.to_thread(json_in, self.data, lenient=True)
        return json_in(self.data.encode())


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the response's type is `text/event-stream`."""
    content_type: str = response.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


async def events(response: httpx.Response, limit: int) -> AsyncGenerator[Event | None, None]:
    """The events of a streamed response; None for a comment.

    Raises:
        ResponseTooLarge: an event has more than `limit` bytes, or more than `IDLE_LIMIT` come without one.
        httpx.RequestError: the stream broke off.
    """
    name, size, idle = "", 0, 0
    data: Receiver | None = None
    async for line in _lines(response, limit):
        size += len(line)
        is_data = _start(line, 4) == b"data"
        idle += 0 if is_data else len(line) + 1
        if size > limit or idle > IDLE_LIMIT:
            raise ResponseTooLarge("event", request=response.request)
        if not line:
            if data is not None:
                idle = 0
                yield Event(name or "message", _text(data.content()))
            name, data, size = "", None, 0
        elif is_data and _start(line, 5) in (b"data", b"data:"):
            data = _with_line(data, line)
        elif isinstance(line, bytes):
            field, _, value = line.decode("utf-8", "replace").partition(":")
            if not field:
                yield None
            elif field == "event":
                name = value.removeprefix(" ")


def _start(line: Content, size: int) -> bytes:
    return line[:size] if isinstance(line, bytes) else line.read(size)


def _with_line(data: Receiver | None, line: Content) -> Receiver:
    """An event's data with one more line of it."""
    if data is None:
        data = Receiver()
    else:
        data.append(b"\n")
    first = 6 if _start(line, 6) == b"data: " else 5
    if isinstance(line, bytes):
        data.append(line[first:])
    else:
        for part in line.parts(first, len(line) - first):
            data.append(part)
    return data


def _text(content: Content) -> str | DiskFile:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content


async def _lines(response: httpx.Response, limit: int) -> AsyncIterator[Content]:
    """Lines without their ends, of any of the three kinds; a long one is on disk."""
    rest, size, after_return, count = Receiver(), 0, False, 0
    async for chunk in response.aiter_raw():
        # A \r ends a line at once; a \n that comes in the next chunk is the other half of that end.
        first, *others = re.split(rb"\r\n|\r|\n", chunk.removeprefix(b"\n") if after_return else chunk)
        after_return = chunk.endswith(b"\r")
        # Only what is new is looked at: a line may be long, and come in a thousand chunks.
        rest.append(first)
        size += len(first)
        if size > limit:
            raise ResponseTooLarge("event", request=response.request)
        if not others:
            continue
        for line in (rest.content(), *others[:-1]):
            yield line
            count += 1
            # Whatever has arrived is read without a wait, for as long as the service sends.
            if count % _LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        rest, size = Receiver(), len(others[-1])
        rest.append(others[-1])
    if size:
        yield rest.content()
