"""The event stream: told to who listens at that moment, never again (Oxen: async queue, completion events)."""

import asyncio
import uuid
from collections import defaultdict
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.records import Generation, User
from bot.sandbox.oxen.wire import ModelStrike, OxenError, Strike, compact

COMPLETED = "media_generation_completed"
_FOREIGN = "deployment_status_changed"
Message = tuple[bytes, bool]
"""What to write, and whether the connection is to break in the middle of it."""


class Events:
    """The open streams, by user."""

    def __init__(self, options: OxenOptions, strike: ModelStrike) -> None:
        self._options = options
        self._strike = strike
        self._streams: defaultdict[str, set[asyncio.Queue[Message]]] = defaultdict(set)
        self._late: set[asyncio.Task[None]] = set()
        self.opened = 0
        """How many streams were ever opened."""
        self.told = 0
        """How many completions were sent to a stream."""

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return sum(len(streams) for streams in self._streams.values())

    async def close(self) -> None:
        """Forget the completions that are still to be told."""
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def stream(self, request: web.Request, user: User) -> web.StreamResponse:
        """GET /events. Who has the headers is subscribed."""
        if fault := self._strike("events_refused"):
            raise OxenError(fault.status or 503, "service_unavailable", "Service Unavailable")
        box: asyncio.Queue[Message] = asyncio.Queue()
        streams = self._streams[user.user_id]
        streams.add(box)
        self.opened += 1
        try:
            response = web.StreamResponse(headers={"Cache-Control": "no-cache"})
            response.content_type = "text/event-stream"
            response.force_close()
            await response.prepare(request)
            if not self._strike("events_ended"):
                await self._write(request, response, box)
            return response
        finally:
            streams.discard(box)

    def tell(self, generation: Generation) -> None:
        """Tell the row's user that it has succeeded or failed, unless the switches say otherwise."""
        strike = partial(self._strike, model=generation.model)
        if strike("events_silent"):
            return
        if fault := strike("events_late"):
            wait = fault.seconds if fault.seconds is not None else 1
            task = asyncio.create_task(self._tell_later(wait, generation, strike))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            self._tell(generation, strike)

    def broadcast(self, user_id: str, event: str, data: Any, *, break_it: bool = False) -> None:
        """Send any event to a user's streams."""
        text = data if isinstance(data, str) else compact(data)
        message = f"event: {event}\ndata: {text}\n\n".encode()
        for box in self._streams.get(user_id, ()):
            box.put_nowait((message, break_it))

    async def _tell_later(self, seconds: float, generation: Generation, strike: Strike) -> None:
        await asyncio.sleep(seconds)
        self._tell(generation, strike)

    def _tell(self, generation: Generation, strike: Strike) -> None:
        user_id = generation.user.user_id
        if fault := strike("events_flood"):
            for number in range(fault.count or 200):
                other = _told(str(uuid.uuid4()), generation.model, None, f"not yours {number}")
                self.broadcast(user_id, *((COMPLETED, other) if number % 2 else (_FOREIGN, {"number": number})))
        if self._options.foreign_events:
            self.broadcast(user_id, _FOREIGN, {"deployment_id": str(uuid.uuid4()), "status": "active"})
        error = generation.error_message
        if strike("events_wrong"):
            error = None if error else "Internal Server Error"
        data = _told(generation.generation_id, generation.model, generation.result_url, error)
        text = compact(data)
        self.told += len(self._streams.get(user_id, ()))
        garbled = strike("events_garbled")
        shown = text[: len(text) // 2] if garbled else text
        self.broadcast(user_id, COMPLETED, shown, break_it=bool(strike("events_cut")))

    async def _write(
        self, request: web.Request, response: web.StreamResponse, box: asyncio.Queue[Message]
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._options.heartbeat_seconds):
                    content, break_it = await box.get()
            except TimeoutError:
                content, break_it = b": keep-alive\n\n", False
            if break_it:
                await response.write(content[: len(content) // 2])
                if request.transport is not None:
                    request.transport.abort()
                return
            await response.write(content)


def _told(generation_id: str, model: str, url: str | None, error: str | None) -> dict[str, Any]:
    if error is not None:
        return {"generation_id": generation_id, "status": "failed", "media_type": "image", "error": error}
    told = {"generation_id": generation_id, "status": "succeeded", "media_type": "image", "model": model}
    return {**told, "url": url}
