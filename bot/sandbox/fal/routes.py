"""The HTTP side of fal's queue: submit, status, result, cancel."""

import asyncio
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.execution import gone
from bot.sandbox.fal.prices import units_text
from bot.sandbox.fal.queue import Queue
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.schema import ENDPOINTS, problems
from bot.sandbox.fal.status import Status, troubled, urls
from bot.sandbox.fal.wire import LOCKED, FalError, json_body, model_failure, platform_failure, reply
from bot.sandbox.kit.broken_answers import drop, huge, page, truncated

_KEPT_HEADERS = ("user-agent", "content-type")
_REQUEST = "/{owner}/{app}/requests/{request_id}"
_NO_UNITS = {"x-fal-billable-units": "0"}


class QueueRoutes:
    """One handler for each call."""

    def __init__(self, desk: FalContext, queue: Queue) -> None:
        self.submits = 0
        """How often something was POSTed to the queue, accepted or not."""
        self._desk = desk
        self._queue = queue
        self._status = Status(desk)

    def add_to(self, app: web.Application) -> None:
        """Register the routes; the last of them take every path that nobody took before."""
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
        """fal: queue/submit."""
        if request.host == urlsplit(self._desk.hosts().run).netloc and request.host != self._queue_host():
            return await self.run(request)
        endpoint = request.match_info["endpoint"].rstrip("/")
        self.submits += 1
        self._desk.check_key(request)
        body = await json_body(request)
        strike = partial(self._desk.strike, endpoint=endpoint)
        if strike("submit_refused"):
            return await drop(request)
        if strike("submit_ingress"):
            return page(502)
        self._may_submit(request, endpoint)
        if strike("submit_invalid") and (found := problems(endpoint, body)):
            raise model_failure(422, found)
        accepted = self._queue.accept(endpoint, body, request.host, _kept(request), webhook=_webhook(request))
        answer = self._accepted(accepted)
        if fault := strike("submit_slow"):
            await asyncio.sleep(fault.seconds if fault.seconds is not None else 1)
        if strike("submit_lost"):
            return await drop(request)
        return truncated(answer) if strike("submit_truncated") else answer

    async def run(self, request: web.Request) -> web.StreamResponse:
        """fal: synchronous requests. The result at once, and never again."""
        endpoint = request.match_info["endpoint"].rstrip("/")
        self.submits += 1
        self._desk.check_key(request)
        body = await json_body(request)
        self._may_submit(request, endpoint)
        if self._queue.busy() or self._desk.strike("run_refused", endpoint):
            raise FalError(429, {"detail": "Too many concurrent requests"})
        found = self._queue.accept(endpoint, body, request.host, _kept(request), direct=True)
        while found.state != "COMPLETED":
            await found.changed.wait()
        return await drop(request) if self._desk.strike("run_lost", endpoint) else self._outcome(found)

    def _queue_host(self) -> str:
        return urlsplit(self._desk.hosts().queue).netloc

    def _may_submit(self, request: web.Request, endpoint: str) -> None:
        strike = partial(self._desk.strike, endpoint=endpoint)
        if fault := strike("submit_error"):
            error_type = fault.error_type or "internal_error"
            raise platform_failure(fault.status or 500, str(fault.body or "Internal Server Error"), error_type)
        limit = request.query.get("fal_max_queue_length", "")
        full = limit.isdigit() and self._queue.waiting() >= int(limit)  # it would be longer with this one
        if (fault := strike("submit_rate_limited")) or full:
            headers = {"Retry-After": fault.retry_after} if fault and fault.retry_after else {}
            raise FalError(429, {"detail": "Too many requests in the queue"}, headers=headers)
        if fault := strike("locked"):
            raise FalError(403, {"detail": fault.body or LOCKED})
        if fault := strike("model_gone"):
            raise FalError(fault.status or 404, fault.body or {"detail": f"Application '{endpoint}' not found"})
        if endpoint not in ENDPOINTS or self._desk.has_come(self._desk.options.gone, endpoint):
            raise self._unknown(endpoint)

    def _unknown(self, endpoint: str) -> FalError:
        app = "/".join(endpoint.split("/")[:2])
        known = any(name.startswith(app) for name in ENDPOINTS) and endpoint not in ENDPOINTS
        path = endpoint.removeprefix(app) or "/"
        text = f"Path {path} not found" if known else f"Application '{endpoint}' not found"
        return FalError(404, {"detail": text}, headers=_NO_UNITS)

    def _accepted(self, found: QueueRequest) -> web.Response:
        foreign = self._desk.strike("foreign_urls", found.endpoint)
        body: dict[str, Any] = {"status": "IN_QUEUE", "request_id": found.request_id}
        body |= urls(found, (foreign.url if foreign else None) or self._desk.hosts().queue)
        if self._desk.strike("submit_in_progress", found.endpoint):
            body["status"], body["logs"] = "IN_PROGRESS", None
        else:
            body["queue_position"] = found.position
        return reply(body, request_id=found.request_id)

    def _find(self, request: web.Request) -> QueueRequest:
        self._desk.check_key(request)
        found = self._queue.requests.get(request.match_info["request_id"])
        app = f"{request.match_info['owner']}/{request.match_info['app']}"
        if found is None or found.app != app:
            raise FalError(404, {"detail": "Request not found"})
        return found

    async def status(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/status."""
        return await self._status.poll(request, self._find(request))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/status-stream."""
        return await self._status.stream(request, self._find(request))

    async def result(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/result. The model's own code, headers and body, once there is one."""
        found = self._find(request)
        found.counts["result"] += 1
        strike = partial(self._desk.strike, endpoint=found.endpoint)
        if found.state != "COMPLETED" or strike("result_early"):
            raise FalError(400, {"detail": "Request is still in progress"})
        if strike("result_expired") or found.expired(self._desk.now()):
            raise FalError(404, {"detail": "Request not found or its result has expired"})
        if found.failure is None and (fault := strike("result_gone")):
            raise gone(found.endpoint, fault)
        answer = self._outcome(found)
        if fault := strike("result_huge"):
            return huge(fault.size or 32 * 1024 * 1024)
        return await troubled(self._desk, request, "result", found, answer)

    def _outcome(self, found: QueueRequest) -> web.Response:
        if found.failure is not None:
            return found.failure.answer(found.request_id)
        headers = {"x-fal-billable-units": units_text(found.units)}
        if fault := self._desk.strike("result_units", found.endpoint):
            headers = {} if fault.body is None else {"x-fal-billable-units": str(fault.body)}
        return reply(found.result, request_id=found.request_id, headers=headers)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/cancel."""
        self._desk.check_key(request)
        try:
            found = self._find(request)
        except FalError:
            return reply({"status": "NOT_FOUND"}, 404)
        found.counts["cancel"] += 1
        status, text = self._queue.cancel(found)
        if fault := self._desk.strike("cancel_answer", found.endpoint):
            return reply(fault.body, fault.status or 200, request_id=found.request_id)
        return reply({"status": text}, status, request_id=found.request_id)

    async def no_path(self, request: web.Request) -> web.StreamResponse:
        """What nobody serves."""
        raise FalError(404, {"detail": f"Path {request.path} not found"}, headers=_NO_UNITS)


def _kept(request: web.Request) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower().startswith("x-fal") or name.lower() in _KEPT_HEADERS
    }


def _webhook(request: web.Request) -> str | None:
    """`fal_webhook`; fal itself wants https, which nobody has on this machine."""
    url = request.query.get("fal_webhook")
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise platform_failure(400, "Invalid webhook URL", "bad_request")
    return url
