"""The status of a request in fal's queue: by polling, or as an event stream (fal: queue/status)."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.wire import FalError, json_response, platform_error
from bot.sandbox.kit.broken_answers import break_response, drop, html_page
from bot.sandbox.kit.faults import Fault

_AN_HOUR = 3_600


def urls(found: QueueRequest, base: str) -> dict[str, str]:
    """The three URLs of a request; they leave out the endpoint's sub-path."""
    url = f"{base}/{found.app}/requests/{found.request_id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def wants_logs(request: web.Request) -> bool:
    """Whether the query asks for logs; fal's official clients write `logs` in different ways."""
    return request.query.get("logs", "").lower() in ("1", "true")


class Status:
    """The status responses of the queue."""

    def __init__(self, context: FalContext) -> None:
        self._context = context

    def body(self, found: QueueRequest, logs: list[dict[str, str]] | None) -> dict[str, Any]:
        """The status as JSON; `logs` is None when the client did not ask for them."""
        body: dict[str, Any] = {"status": found.state, "request_id": found.request_id}
        body |= urls(found, self._context.hosts().queue)
        if found.state == "IN_QUEUE":
            odd = self._context.strike("odd_place", found.endpoint)
            return {**body, "queue_position": odd.body if odd else found.position}
        if logs and (odd := self._context.strike("odd_log", found.endpoint)):
            logs = [{**line, "message": str(odd.body)} for line in logs]
        body["logs"] = logs
        if found.state == "COMPLETED":
            ran = (found.finished_at or 0) - found.started_at if found.started_at else None
            body["metrics"] = {"inference_time": ran}
            if found.failure and not found.hidden:
                body["error"] = f"Invalid status code: {found.failure.status}"
                body["error_type"] = found.failure.error_type
        return body

    async def poll(self, request: web.Request, found: QueueRequest) -> web.StreamResponse:
        """202 until the request is COMPLETED, then 200; all log lines each time."""
        found.counts["status"] += 1
        logs = found.logs if wants_logs(request) else None
        status = 200 if found.state == "COMPLETED" else 202
        response = json_response(self.body(found, logs), status, request_id=found.request_id)
        return await with_faults(self._context, request, "status", found, response)

    async def stream(self, request: web.Request, found: QueueRequest) -> web.StreamResponse:
        """Server-sent events, each with the new log lines only; the stream ends after COMPLETED."""
        found.counts["stream"] += 1
        strike = partial(self._context.strike, model=found.endpoint)
        if fault := strike("stream_error"):
            raise platform_error(fault.status or 500, "Internal Server Error", "internal_error")
        if strike("stream_html"):
            return html_page(200)
        if fault := strike("stream_hang"):
            return await _hang(request, fault.seconds_or(_AN_HOUR))
        headers = {"Cache-Control": "no-cache", "x-fal-request-id": found.request_id}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        response.force_close()
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the client has closed the connection
            if strike("stream_silent"):
                await self._send_comments(response)
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
            if found.state == "COMPLETED" or self._context.strike("stream_cut", found.endpoint):
                return
            try:
                await asyncio.wait_for(changed.wait(), self._context.options.heartbeat_seconds)
            except TimeoutError:
                await response.write(b": ping\n\n")

    async def _send_comments(self, response: web.StreamResponse) -> None:
        """Send comment lines until the client closes the connection, which makes a write fail."""
        while True:
            await response.write(b": ping\n\n")
            await asyncio.sleep(self._context.options.heartbeat_seconds)


async def with_faults(
    context: FalContext, request: web.Request, kind: str, found: QueueRequest, response: web.Response
) -> web.StreamResponse:
    """The response to a status or result call (`kind`), or what the faults turn it into."""
    strike = partial(context.strike, model=found.endpoint)
    return await break_response(request, response, kind=kind, strike=strike, error=_fault_error)


def _fault_error(fault: Fault) -> FalError:
    text, error_type = str(fault.body or "Internal Server Error"), fault.error_type or "internal_error"
    return platform_error(fault.status or 500, text, error_type)


async def _hang(request: web.Request, seconds: float) -> web.StreamResponse:
    """Send nothing for `seconds` or until the client closes the connection, then drop the connection."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(min(0.1, seconds))
    return await drop(request)
