"""HTTP routes of fal's queue: submit, status, result, cancel, and synchronous runs."""

import asyncio
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.execution import model_gone
from bot.sandbox.fal.models import ENDPOINTS
from bot.sandbox.fal.queue import Queue
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.status import Status, urls, with_faults
from bot.sandbox.fal.wire import (
    LOCKED,
    FalError,
    json_body,
    json_response,
    odd_response,
    platform_error,
    units_text,
)
from bot.sandbox.kit.broken_answers import drop, html_page, truncated

_RECORDED_HEADERS = ("user-agent", "content-type")
_REQUEST = "/{owner}/{app}/requests/{request_id}"
_NO_UNITS = {"x-fal-billable-units": "0"}


class QueueRoutes:
    """The calls to fal's queue."""

    def __init__(self, context: FalContext, queue: Queue) -> None:
        self.submits = 0
        """How many POSTs came to the queue, accepted or not."""
        self._context = context
        self._queue = queue
        self._status = Status(context)

    def add_to(self, app: web.Application) -> None:
        """Register the routes; the last of them match every path that is still free."""
        slash = "{slash:/?}"
        app.router.add_get(f"{_REQUEST}/status/stream{slash}", self.stream)
        app.router.add_get(f"{_REQUEST}/status{slash}", self.status)
        app.router.add_put(f"{_REQUEST}/cancel{slash}", self.cancel)
        app.router.add_get(f"{_REQUEST}/response{slash}", self.result)
        app.router.add_get(f"{_REQUEST}{slash}", self.result)
        app.router.add_post("/run/{endpoint:.+}", self.run)
        app.router.add_post("/{endpoint:.+}", self.submit)
        app.router.add_route("*", "/{path:.*}", self.no_path)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """POST to an endpoint: enqueue a request (fal: queue/submit)."""
        if request.host == urlsplit(self._context.hosts().run).netloc and request.host != self._queue_host():
            return await self.run(request)
        endpoint = request.match_info["endpoint"].rstrip("/")
        self.submits += 1
        self._context.check_key(request)
        body = await json_body(request)
        strike = partial(self._context.strike, model=endpoint)
        if strike("submit_refused"):
            return await drop(request)
        if strike("submit_ingress"):
            return html_page(502)
        if fault := strike("submit_bare"):
            return web.Response(
                text=str(fault.body or ""), status=fault.status or 500, headers=fault.retry_headers
            )
        self._check_may_submit(request, endpoint)
        if strike("submit_invalid"):
            self._context.parse(endpoint, body)
        headers = _recorded_headers(request)
        accepted = self._queue.accept(endpoint, body, request.host, headers, webhook=_webhook(request))
        response = self._accepted_response(accepted)
        if fault := strike("submit_slow"):
            await asyncio.sleep(fault.seconds_or(1))
        if strike("submit_lost"):
            return await drop(request)
        if fault := strike("submit_odd"):
            return odd_response(fault)
        return truncated(response) if strike("submit_truncated") else response

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Run and respond with the result, which cannot be fetched again (fal: synchronous requests)."""
        endpoint = request.match_info["endpoint"].rstrip("/")
        self.submits += 1
        self._context.check_key(request)
        body = await json_body(request)
        self._check_may_submit(request, endpoint)
        if self._queue.busy() or self._context.strike("run_refused", endpoint):
            raise FalError(429, {"detail": "Too many concurrent requests"})
        found = self._queue.accept(endpoint, body, request.host, _recorded_headers(request), direct=True)
        while found.state != "COMPLETED":
            await found.changed.wait()
        return await drop(request) if self._context.strike("run_lost", endpoint) else self._outcome(found)

    def _queue_host(self) -> str:
        return urlsplit(self._context.hosts().queue).netloc

    def _check_may_submit(self, request: web.Request, endpoint: str) -> None:
        strike = partial(self._context.strike, model=endpoint)
        if fault := strike("submit_error"):
            error_type = fault.error_type or "internal_error"
            text = str(fault.body or "Internal Server Error")
            raise platform_error(fault.status or 500, text, error_type, fault.retry_headers)
        limit = request.query.get("fal_max_queue_length", "")
        full = limit.isdigit() and self._queue.waiting() >= int(limit)  # this request would make it longer
        if (fault := strike("submit_rate_limited")) or full:
            headers = fault.retry_headers if fault else {}
            raise FalError(429, {"detail": "Too many requests in the queue"}, headers=headers)
        if fault := strike("locked"):
            raise FalError(403, {"detail": fault.body or LOCKED})
        if fault := strike("model_gone"):
            raise FalError(fault.status or 404, fault.body or {"detail": f"Application '{endpoint}' not found"})
        if endpoint not in ENDPOINTS or self._context.has_come(self._context.options.gone, endpoint):
            raise self._unknown_endpoint(endpoint)

    def _unknown_endpoint(self, endpoint: str) -> FalError:
        app = "/".join(endpoint.split("/")[:2])
        known = any(name.startswith(app) for name in ENDPOINTS) and endpoint not in ENDPOINTS
        path = endpoint.removeprefix(app) or "/"
        text = f"Path {path} not found" if known else f"Application '{endpoint}' not found"
        return FalError(404, {"detail": text}, headers=_NO_UNITS)

    def _accepted_response(self, found: QueueRequest) -> web.Response:
        foreign = self._context.strike("foreign_urls", found.endpoint)
        body: dict[str, Any] = {"status": "IN_QUEUE", "request_id": found.request_id}
        body |= urls(found, (foreign.url if foreign else None) or self._context.hosts().queue)
        if self._context.strike("submit_in_progress", found.endpoint):
            body["status"], body["logs"] = "IN_PROGRESS", None
        else:
            odd = self._context.strike("odd_place", found.endpoint)
            body["queue_position"] = odd.body if odd else found.position
        return json_response(body, request_id=found.request_id)

    def _find(self, request: web.Request) -> QueueRequest:
        self._context.check_key(request)
        found = self._queue.requests.get(request.match_info["request_id"])
        app = f"{request.match_info['owner']}/{request.match_info['app']}"
        if found is None or found.app != app:
            raise FalError(404, {"detail": "Request not found"})
        return found

    async def status(self, request: web.Request) -> web.StreamResponse:
        """The request's status (fal: queue/status)."""
        return await self._status.poll(request, self._find(request))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The request's status as an event stream (fal: queue/status-stream)."""
        return await self._status.stream(request, self._find(request))

    async def result(self, request: web.Request) -> web.StreamResponse:
        """The result: status, headers and body of the model's own response (fal: queue/result)."""
        found = self._find(request)
        found.counts["result"] += 1
        strike = partial(self._context.strike, model=found.endpoint)
        if found.state != "COMPLETED" or strike("result_early"):
            raise FalError(400, {"detail": "Request is still in progress"})
        if strike("result_expired") or found.expired(self._context.now()):
            raise FalError(404, {"detail": "Request not found or its result has expired"})
        if found.failure is None and (fault := strike("result_gone")):
            raise model_gone(found.endpoint, fault)
        return await with_faults(self._context, request, "result", found, self._outcome(found))

    def _outcome(self, found: QueueRequest) -> web.Response:
        if found.failure is not None:
            return found.failure.response(found.request_id)
        headers = {"x-fal-billable-units": units_text(found.units)}
        if fault := self._context.strike("result_units", found.endpoint):
            headers = {} if fault.body is None else {"x-fal-billable-units": str(fault.body)}
        return json_response(found.result, request_id=found.request_id, headers=headers)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Cancel the request (fal: queue/cancel)."""
        self._context.check_key(request)
        try:
            found = self._find(request)
        except FalError:
            return json_response({"status": "NOT_FOUND"}, 404)
        found.counts["cancel"] += 1
        status, text = self._queue.cancel(found)
        if fault := self._context.strike("cancel_answer", found.endpoint):
            return json_response(fault.body, fault.status or 200, request_id=found.request_id)
        return json_response({"status": text}, status, request_id=found.request_id)

    async def no_path(self, request: web.Request) -> web.StreamResponse:
        """404 for a path that fal does not have."""
        raise FalError(404, {"detail": f"Path {request.path} not found"}, headers=_NO_UNITS)


def _recorded_headers(request: web.Request) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower().startswith("x-fal") or name.lower() in _RECORDED_HEADERS
    }


def _webhook(request: web.Request) -> str | None:
    """`fal_webhook` of the query. fal demands https; the stand-in also takes http, for local receivers."""
    url = request.query.get("fal_webhook")
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise platform_error(400, "Invalid webhook URL", "bad_request")
    return url
