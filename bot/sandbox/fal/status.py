"""How a request of fal's queue is followed: by polling, or by its stream of events (fal: queue/status)."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.wire import platform_failure, reply
from bot.sandbox.kit.broken_answers import cut, drop, page, truncated

_AN_HOUR = 3_600


def urls(found: QueueRequest, base: str) -> dict[str, str]:
    """Where the request is to be found; the endpoint's sub-path is not in it."""
    url = f"{base}/{found.app}/requests/{found.request_id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def wants_logs(request: web.Request) -> bool:
    """What `logs` says; the official clients write it in different ways."""
    return request.query.get("logs", "").lower() in ("1", "true")


class Status:
    """The answers that say how far a request is."""

    def __init__(self, desk: FalContext) -> None:
        self._desk = desk

    def body(self, found: QueueRequest, logs: list[dict[str, str]] | None) -> dict[str, Any]:
        """The JSON; `logs` is None when nobody asked for them."""
        body: dict[str, Any] = {"status": found.state, "request_id": found.request_id}
        body |= urls(found, self._desk.hosts().queue)
        if found.state == "IN_QUEUE":
            return {**body, "queue_position": found.position}
        body["logs"] = logs
        if found.state == "COMPLETED":
            ran = (found.finished_at or 0) - found.started_at if found.started_at else None
            body["metrics"] = {"inference_time": ran}
            if found.failure and not found.hidden:
                body["error"] = f"Invalid status code: {found.failure.status}"
                body["error_type"] = found.failure.error_type
        return body

    async def poll(self, request: web.Request, found: QueueRequest) -> web.StreamResponse:
        """202 until it is complete, then 200; all log lines each time."""
        found.counts["status"] += 1
        logs = found.logs if wants_logs(request) else None
        status = 200 if found.state == "COMPLETED" else 202
        answer = reply(self.body(found, logs), status, request_id=found.request_id)
        return await troubled(self._desk, request, "status", found, answer)

    async def stream(self, request: web.Request, found: QueueRequest) -> web.StreamResponse:
        """Server-sent events, each with only the log lines that are new; ends after COMPLETED."""
        found.counts["stream"] += 1
        strike = partial(self._desk.strike, endpoint=found.endpoint)
        if fault := strike("stream_error"):
            raise platform_failure(fault.status or 500, "Internal Server Error", "internal_error")
        if strike("stream_html"):
            return page(200)
        if fault := strike("stream_hang"):
            return await _hang(request, fault.seconds if fault.seconds is not None else _AN_HOUR)
        headers = {"Cache-Control": "no-cache", "x-fal-request-id": found.request_id}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        response.force_close()
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the client has left
            if strike("stream_silent"):
                await self._comment_on(response)
            else:
                await self._events(request, found, response, garbled=strike("stream_garbled") is not None)
        return response

    async def _events(
        self, request: web.Request, found: QueueRequest, response: web.StreamResponse, *, garbled: bool
    ) -> None:
        seen, last = 0, ""
        while True:
            changed = found.changed
            fresh, seen = found.logs[seen:], len(found.logs)
            text = json.dumps(self.body(found, fresh if wants_logs(request) else None))
            if text != last:
                shown = text[: len(text) // 2] if garbled else text
                await response.write(f"data: {shown}\n\n".encode())
                last = text
            if found.state == "COMPLETED" or self._desk.strike("stream_cut", found.endpoint):
                return
            try:
                await asyncio.wait_for(changed.wait(), self._desk.options.heartbeat_seconds)
            except TimeoutError:
                await response.write(b": ping\n\n")

    async def _comment_on(self, response: web.StreamResponse) -> None:
        """Until the client has had enough, which ends the write."""
        while True:
            await response.write(b": ping\n\n")
            await asyncio.sleep(self._desk.options.heartbeat_seconds)


async def troubled(
    desk: FalContext, request: web.Request, kind: str, found: QueueRequest, answer: web.Response
) -> web.StreamResponse:
    """The answer to a status or a result, or what the switches make of it."""
    strike = partial(desk.strike, endpoint=found.endpoint)
    if fault := strike(f"{kind}_slow"):
        await asyncio.sleep(fault.seconds if fault.seconds is not None else 1)
    if fault := strike(f"{kind}_error"):
        text, error_type = str(fault.body or "Internal Server Error"), fault.error_type or "internal_error"
        raise platform_failure(fault.status or 500, text, error_type)
    if strike(f"{kind}_html"):
        return page(200)
    if strike(f"{kind}_truncated"):
        return truncated(answer)
    if strike(f"{kind}_reset"):
        return await cut(request, answer)
    return answer


async def _hang(request: web.Request, seconds: float) -> web.StreamResponse:
    """Nothing at all, while the client waits."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(min(0.1, seconds))
    return await drop(request)
