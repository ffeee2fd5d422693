"""Event streams of pictures in OpenAI's form (openai: images, streaming)."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.lumenfall.execution import Gateway, b64
from bot.sandbox.lumenfall.models import MODELS
from bot.sandbox.lumenfall.models.base import Work
from bot.sandbox.lumenfall.pictures import Inputs, paint_job
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.schema import ImageParameters


class EventStream:
    """The response to one request with `stream: true`."""

    def __init__(self, gateway: Gateway, record: GatewayRequest, params: ImageParameters, inputs: Inputs) -> None:
        self._gateway = gateway
        self._record = record
        self._params = params
        self._inputs = inputs
        self._model = MODELS[str(record.model)]
        self._job = paint_job(self._model, params, gateway.options, inputs)
        self._strike = partial(gateway.strike, model=record.model)

    async def respond(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        """Send all events; a request that fails before the first one raises its LumenfallError instead."""
        await self._record.painted.wait()
        if self._record.failure is not None:
            raise self._record.failure
        response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream"})
        response.headers["Cache-Control"] = "no-cache"
        response.force_close()
        await response.prepare(request)
        first = True
        async for event in self._events():
            if await self._send(request, response, event, first=first):
                break
            first = False
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, event: dict[str, Any], *, first: bool
    ) -> bool:
        """Write one event, or what the faults turn it into. Returns whether the stream ends here."""
        raw = _encode(event)
        if first and self._strike("stream_reset"):
            await response.write(raw[: len(raw) // 2])
            if request.transport is not None:
                request.transport.abort()
            return True
        if first and self._strike("stream_garbled"):
            raw = f'event: {event["type"]}\ndata: {{"type": "{event["type"]}", "b64\n\n'.encode()
        await response.write(raw)
        if not first:
            return False
        if fault := self._strike("stream_stall"):
            await asyncio.sleep(fault.seconds_or(1))
        if fault := self._strike("stream_error"):
            error = {"message": str(fault.body or "The provider went away"), "type": "api_error"}
            await response.write(_encode({"type": "error", "error": {**error, "code": "UPSTREAM_ERROR"}}))
            return True
        return self._strike("stream_cut") is not None

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        kind = "image_generation" if self._record.operation == "generations" else "image_edit"
        loop = asyncio.get_running_loop()
        for index in range(self._params.partial_images):
            await asyncio.sleep(self._gateway.options.partial_seconds)
            blur = partial(self._job.preview, self._record.pictures[0], index)
            preview = await loop.run_in_executor(self._gateway.executor, blur)
            yield {**self._event(f"{kind}.partial_image", preview), "partial_image_index": index}
        await self._record.finished.wait()
        work = Work(size=self._job.size, count=1, route=self._record.route, sources=self._inputs.sizes)
        counts = self._model.usage(self._params, work)
        for picture in self._record.pictures:
            event = {**self._event(f"{kind}.completed", picture), "usage": counts}
            if self._gateway.options.stream_metadata:
                event["metadata"] = self._gateway.metadata(self._record)
            yield event

    def _event(self, kind: str, picture: bytes) -> dict[str, Any]:
        return {
            "type": kind,
            "b64_json": b64(picture),
            "created_at": int(self._gateway.now()),
            "size": f"{self._job.size[0]}x{self._job.size[1]}",
            "quality": self._params.quality or "auto",
            "background": self._params.background or "auto",
            "output_format": self._params.output_format,
        }


def _encode(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
