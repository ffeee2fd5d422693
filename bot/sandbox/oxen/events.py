"""Oxen's event stream: completions reach the streams open at that moment only (Oxen: async queue)."""

import asyncio
import uuid
from collections import defaultdict
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.kit.faults import ModelStrike, Strike
from bot.sandbox.kit.tasks import BackgroundTasks
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.records import Generation, User
from bot.sandbox.oxen.wire import OxenError, compact

COMPLETED = "media_generation_completed"
_FOREIGN = "deployment_status_changed"
Message = tuple[bytes, bool]
"""The bytes to write, and whether the connection is reset in the middle of them."""


class Events:
    """The open event streams, by user."""

    def __init__(self, options: OxenOptions, strike: ModelStrike) -> None:
        self._options = options
        self._strike = strike
        self._streams: defaultdict[str, set[asyncio.Queue[Message]]] = defaultdict(set)
        self._late = BackgroundTasks()
        self.opened = 0
        """How many streams were ever opened."""
        self.sent = 0
        """How many completions were sent to a stream."""

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return sum(len(streams) for streams in self._streams.values())

    async def close(self) -> None:
        """Drop the completions that are not sent yet."""
        await self._late.close()

    async def stream(self, request: web.Request, user: User) -> web.StreamResponse:
        """GET /events. A client is subscribed once it has the headers."""
        if fault := self._strike("events_refused"):
            raise OxenError(fault.status or 503, "service_unavailable", "Service Unavailable")
        messages: asyncio.Queue[Message] = asyncio.Queue()
        streams = self._streams[user.user_id]
        streams.add(messages)
        self.opened += 1
        try:
            response = web.StreamResponse(headers={"Cache-Control": "no-cache"})
            response.content_type = "text/event-stream"
            response.force_close()
            await response.prepare(request)
            if self._strike("events_empty"):
                while True:
                    await response.write(b"\n" * 65_536)
            if not self._strike("events_ended"):
                await self._write(request, response, messages)
            return response
        finally:
            streams.discard(messages)

    def send_completion(self, generation: Generation) -> None:
        """Send the row's success or failure to its user's streams, or what the faults turn it into."""
        strike = partial(self._strike, model=generation.model)
        if strike("events_silent"):
            return
        if fault := strike("events_late"):
            self._late.start(self._send_later(fault.seconds_or(1), generation, strike))
        else:
            self._send(generation, strike)

    def broadcast(self, user_id: str, event: str, data: Any, *, reset: bool = False) -> None:
        """Send any event to a user's streams."""
        text = data if isinstance(data, str) else compact(data)
        message = f"event: {event}\ndata: {text}\n\n".encode()
        for messages in self._streams.get(user_id, ()):
            messages.put_nowait((message, reset))

    async def _send_later(self, seconds: float, generation: Generation, strike: Strike) -> None:
        await asyncio.sleep(seconds)
        self._send(generation, strike)

    def _send(self, generation: Generation, strike: Strike) -> None:
        user_id = generation.user.user_id
        if fault := strike("events_flood"):
            for number in range(fault.count or 200):
                other = _completion(str(uuid.uuid4()), generation.model, None, f"not yours {number}")
                self.broadcast(user_id, *((COMPLETED, other) if number % 2 else (_FOREIGN, {"number": number})))
        if self._options.foreign_events:
            self.broadcast(user_id, _FOREIGN, {"deployment_id": str(uuid.uuid4()), "status": "active"})
        error = generation.error_message
        if strike("events_wrong"):
            error = None if error else "Internal Server Error"
        data = _completion(generation.generation_id, generation.model, generation.result_url, error)
        text = compact(data)
        self.sent += len(self._streams.get(user_id, ()))
        if strike("events_garbled"):
            text = text[: len(text) // 2]
        self.broadcast(user_id, COMPLETED, text, reset=bool(strike("events_cut")))

    async def _write(
        self, request: web.Request, response: web.StreamResponse, messages: asyncio.Queue[Message]
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._options.heartbeat_seconds):
                    content, reset = await messages.get()
            except TimeoutError:
                content, reset = b": keep-alive\n\n", False
            if reset:
                await response.write(content[: len(content) // 2])
                if request.transport is not None:
                    request.transport.abort()
                return
            await response.write(content)


def _completion(generation_id: str, model: str, url: str | None, error: str | None) -> dict[str, Any]:
    if error is not None:
        return {"generation_id": generation_id, "status": "failed", "media_type": "image", "error": error}
    return {
        "generation_id": generation_id,
        "status": "succeeded",
        "media_type": "image",
        "model": model,
        "url": url,
    }
