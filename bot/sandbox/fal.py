"""A stand-in for fal: its queue, storage and CDN, spoken over a socket (fal: queue API, storage).

`async with FalSandbox() as sandbox:` serves at `sandbox.url`; `python -m bot.sandbox.fal` does the same as its
own process. What goes wrong is steered by `sandbox.faults` or by POST /sandbox/faults; what was asked of it is in
`sandbox.requests` and at GET /sandbox/state.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import aiohttp
from aiohttp import web

from bot.sandbox.fal_files import FileRoutes, FileStore, PublicHosts
from bot.sandbox.fal_options import FalOptions
from bot.sandbox.fal_pictures import Inputs
from bot.sandbox.fal_queue import Queue, QueueRequest
from bot.sandbox.fal_schema import ENDPOINTS, problems
from bot.sandbox.fal_wire import (
    LOCKED,
    Failure,
    json_body,
    model_failure,
    platform_failure,
    reply,
)
from bot.sandbox.faults import Fault
from bot.sandbox.spoil import cut, drop, huge, page, truncated

_KEY = re.compile(r"Key [^\s:]+:[^\s:]+")
_BODY_LIMIT = 256 * 1024 * 1024
_CALLS_KEPT = 5_000
_KEPT_HEADERS = ("user-agent", "content-type")
_REQUEST = "/{owner}/{app}/requests/{request_id}"


@dataclass(kw_only=True, eq=False)
class FalSandbox(FalOptions):
    """The server. All options may be given by name; `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    """Serve TLS, with a certificate for the hosts that clients will ask for."""
    hosts: PublicHosts | None = None
    """What the URLs that it hands out begin with; None: its own address."""

    def __post_init__(self) -> None:
        self.url = ""
        """Its own address, once it is open: scheme, host and port."""
        self.submits = 0
        """How often something was POSTed to the queue, accepted or not."""
        self.calls: deque[dict[str, Any]] = deque(maxlen=_CALLS_KEPT)
        """The latest HTTP calls: time, method, path, host, scheme of their Authorization, status."""
        self._ahead_of_time = 0.0
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            store = FileStore(self.store_bytes)
            files = FileRoutes(store, self.faults, self._public, self.now, self._check_key)
            executor = ThreadPoolExecutor(2, "fal-painter")
            stack.push_async_callback(asyncio.to_thread, executor.shutdown)
            timeout = aiohttp.ClientTimeout(total=20)
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            inputs = Inputs(self, session, executor, files.read)
            self._queue = Queue(self, store, inputs, executor, self._public, self.now)
            stack.push_async_callback(self._queue.close)
            runner = web.AppRunner(self._application(files), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, self.host, self.port, ssl_context=self.ssl_context)
            await site.start()
            self.port = int(runner.addresses[0][1])
            self.url = f"{'https' if self.ssl_context else 'http'}://{self.host}:{self.port}"
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def requests(self) -> Mapping[str, QueueRequest]:
        """What the queue has accepted, oldest first, by request id."""
        return self._queue.requests

    def now(self) -> float:
        """Seconds since 1970 by the sandbox's clock: retention, expiry and `since` go by it."""
        return time.time() + self._ahead_of_time

    def age(self, seconds: float) -> None:
        """Put that clock forward, so that results expire without waiting."""
        self._ahead_of_time += seconds

    def state(self) -> dict[str, Any]:
        """The JSON of GET /sandbox/state. Never a key, never a picture's bytes."""
        return {
            "requests": [request.as_json() for request in self.requests.values()],
            "submits": self.submits,
            "accepted": len(self.requests),
            "duplicates": self._queue.duplicates(),
            "files": {"count": len(self._queue.files), "bytes": self._queue.files.held},
            "calls": list(self.calls),
            "faults": {key: value for key, value in self.faults.as_json().items() if key != "known"},
            "now": self.now(),
        }

    def _public(self) -> PublicHosts:
        return self.hosts or PublicHosts.all_at(self.url)

    def _application(self, files: FileRoutes) -> web.Application:
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[self._around])
        files.add_to(app)
        app.router.add_get("/sandbox/state", self._show_state)
        app.router.add_get("/sandbox/faults", self._show_faults)
        app.router.add_post("/sandbox/faults", self._set_faults)
        app.router.add_post("/sandbox/clock", self._set_clock)
        slash = "{slash:/?}"
        app.router.add_get(f"{_REQUEST}/status/stream{slash}", self._stream)
        app.router.add_get(f"{_REQUEST}/status{slash}", self._status)
        app.router.add_put(f"{_REQUEST}/cancel{slash}", self._cancel)
        app.router.add_get(f"{_REQUEST}/response{slash}", self._result)
        app.router.add_get(f"{_REQUEST}{slash}", self._result)
        app.router.add_post("/{endpoint:.+}", self._submit)
        app.router.add_route("*", "/{path:.*}", self._no_path)
        return app

    # ------------------------------------------------------------------------------------ around each call

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Turn failures into answers, and note the call."""
        try:
            answer: web.StreamResponse = await handler(request)
        except Failure as failure:
            answer = failure.answer(request.match_info.get("request_id"))
        if not request.path.startswith("/sandbox/"):
            scheme = request.headers.get("Authorization", "").partition(" ")[0] or None
            if scheme not in (None, "Key", "Bearer", "Basic"):
                scheme = "other"  # a key without its scheme must not be kept
            call = {"at": self.now(), "method": request.method, "path": request.path, "host": request.host}
            self.calls.append({**call, "authorization": scheme, "status": answer.status})
        return answer

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        good = given == f"Key {self.key}" if self.key is not None else _KEY.fullmatch(given)
        if not good or self.faults.strike("unauthorized"):
            raise Failure(401, {"detail": "No user found for Key ID and Secret"})

    def _strike(self, name: str, endpoint: str | None = None) -> Fault | None:
        return self.faults.strike(name, now=self.now(), endpoint=endpoint)

    def _find(self, request: web.Request) -> QueueRequest:
        self._check_key(request)
        found = self.requests.get(request.match_info["request_id"])
        app = f"{request.match_info['owner']}/{request.match_info['app']}"
        if found is None or found.app != app:
            raise Failure(404, {"detail": "Request not found"})
        return found

    async def _no_path(self, request: web.Request) -> web.StreamResponse:
        raise Failure(404, {"detail": f"Path {request.path} not found"}, headers={"x-fal-billable-units": "0"})

    # ---------------------------------------------------------------------------------------------- submit

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/submit."""
        endpoint = request.match_info["endpoint"].rstrip("/")
        self.submits += 1
        self._check_key(request)
        body = await json_body(request)
        strike = partial(self._strike, endpoint=endpoint)
        if strike("submit_refused"):
            return await drop(request)
        if strike("submit_ingress"):
            return page(502)
        self._may_submit(request, endpoint)
        if strike("submit_invalid") and (found := problems(endpoint, body)):
            raise model_failure(422, found)
        kept = {
            name.lower(): value
            for name, value in request.headers.items()
            if name.lower().startswith("x-fal") or name.lower() in _KEPT_HEADERS
        }
        accepted = self._queue.accept(endpoint, body, request.host, kept)
        answer = self._accepted(accepted)
        if fault := strike("submit_slow"):
            await asyncio.sleep(fault.seconds if fault.seconds is not None else 1)
        if strike("submit_lost"):
            return await drop(request)
        return truncated(answer) if strike("submit_truncated") else answer

    def _may_submit(self, request: web.Request, endpoint: str) -> None:
        strike = partial(self._strike, endpoint=endpoint)
        if fault := strike("submit_error"):
            error_type = fault.error_type or "internal_error"
            raise platform_failure(fault.status or 500, str(fault.body or "Internal Server Error"), error_type)
        limit = request.query.get("fal_max_queue_length", "")
        full = limit.isdigit() and self._queue.waiting() >= int(limit)
        if (fault := strike("submit_rate_limited")) or full:
            headers = {"Retry-After": fault.retry_after} if fault and fault.retry_after else {}
            raise Failure(429, {"detail": "Too many requests in the queue"}, headers=headers)
        if fault := strike("locked"):
            raise Failure(403, {"detail": fault.body or LOCKED})
        if fault := strike("model_gone"):
            raise Failure(fault.status or 404, fault.body or {"detail": f"Application '{endpoint}' not found"})
        if endpoint not in ENDPOINTS:
            owner_and_app = "/".join(endpoint.split("/")[:2])
            known = any(name.startswith(owner_and_app) for name in ENDPOINTS)
            path = endpoint.removeprefix(owner_and_app) or "/"
            text = f"Path {path} not found" if known else f"Application '{endpoint}' not found"
            raise Failure(404, {"detail": text}, headers={"x-fal-billable-units": "0"})

    def _urls(self, found: QueueRequest, base: str | None = None) -> dict[str, str]:
        url = f"{base or self._public().queue}/{found.app}/requests/{found.request_id}"
        return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}

    def _accepted(self, found: QueueRequest) -> web.Response:
        foreign = self._strike("foreign_urls", found.endpoint)
        body: dict[str, Any] = {"status": "IN_QUEUE", "request_id": found.request_id}
        body |= self._urls(found, foreign.url if foreign else None)
        if self._strike("submit_in_progress", found.endpoint):
            body["status"], body["logs"] = "IN_PROGRESS", None
        else:
            body["queue_position"] = found.position
        return reply(body, request_id=found.request_id)

    # ------------------------------------------------------------------------------------- status, stream

    def _status_body(self, found: QueueRequest, logs: list[dict[str, str]] | None) -> dict[str, Any]:
        body: dict[str, Any] = {"status": found.state, "request_id": found.request_id, **self._urls(found)}
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

    async def _status(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/status. 202 until it is complete, then 200."""
        found = self._find(request)
        found.counts["status"] += 1
        logs = found.logs if _wants_logs(request) else None
        status = 200 if found.state == "COMPLETED" else 202
        answer = reply(self._status_body(found, logs), status, request_id=found.request_id)
        return await self._troubled(request, "status", found, answer)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/status-stream. Each event has only the log lines that are new."""
        found = self._find(request)
        found.counts["stream"] += 1
        if fault := self._strike("stream_error", found.endpoint):
            raise platform_failure(fault.status or 500, "Internal Server Error", "internal_error")
        headers = {"Cache-Control": "no-cache", "x-fal-request-id": found.request_id}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        response.force_close()
        await response.prepare(request)
        seen, last = 0, ""
        while True:
            changed = found.changed
            fresh, seen = found.logs[seen:], len(found.logs)
            text = json.dumps(self._status_body(found, fresh if _wants_logs(request) else None))
            if text != last:
                await response.write(f"data: {text}\n\n".encode())
                last = text
            if found.state == "COMPLETED" or self._strike("stream_cut", found.endpoint):
                return response
            try:
                await asyncio.wait_for(changed.wait(), self.heartbeat_seconds)
            except TimeoutError:
                await response.write(b": ping\n\n")

    # ------------------------------------------------------------------------------------- result, cancel

    async def _result(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/result. The model's own code, headers and body, once there is one."""
        found = self._find(request)
        found.counts["result"] += 1
        if found.state != "COMPLETED" or self._strike("result_early", found.endpoint):
            raise Failure(400, {"detail": "Request is still in progress"})
        if self._strike("result_expired", found.endpoint) or found.expired(self.now()):
            raise Failure(404, {"detail": "Request not found or its result has expired"})
        if found.failure is not None:
            answer = found.failure.answer(found.request_id)
        else:
            units = {"x-fal-billable-units": str(found.units)}
            answer = reply(found.result, request_id=found.request_id, headers=units)
        if fault := self._strike("result_huge", found.endpoint):
            return huge(fault.size or 32 * 1024 * 1024)
        return await self._troubled(request, "result", found, answer)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        """fal: queue/cancel."""
        self._check_key(request)
        try:
            found = self._find(request)
        except Failure:
            return reply({"status": "NOT_FOUND"}, 404)
        found.counts["cancel"] += 1
        status, text = self._queue.cancel(found)
        if fault := self._strike("cancel_answer", found.endpoint):
            return reply(fault.body, fault.status or 200, request_id=found.request_id)
        return reply({"status": text}, status, request_id=found.request_id)

    async def _troubled(
        self, request: web.Request, kind: str, found: QueueRequest, answer: web.Response
    ) -> web.StreamResponse:
        """The answer, or what the switches make of it."""
        strike = partial(self._strike, endpoint=found.endpoint)
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

    # -------------------------------------------------------------------------------------------- control

    async def _show_state(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.state())

    async def _show_faults(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.faults.as_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults.apply(await request.json())
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.faults.as_json())

    async def _set_clock(self, request: web.Request) -> web.StreamResponse:
        try:
            self.age(float((await request.json())["advance"]))
        except (KeyError, ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"now": self.now()})


def _wants_logs(request: web.Request) -> bool:
    return request.query.get("logs", "").lower() in ("1", "true")


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox.fal", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the URL is printed")
    parser.add_argument("--key", help="the one key that is accepted (default: any id:secret)")
    parser.add_argument("--public-url", help="what the URLs that it hands out begin with")
    parser.add_argument("--queue-seconds", type=float, default=0.2)
    parser.add_argument("--run-seconds", type=float, default=0.4)
    parser.add_argument("--picture-bytes", type=int, help="fill PNGs and JPEGs up to this size")
    parser.add_argument("--one-picture", action="store_true", help="always the same picture, painted once")
    parser.add_argument("--map", action="append", default=[], metavar="FROM=TO", help="where inputs really are")
    parser.add_argument("--seed", type=int, default=0, help="for switches with a probability")
    return parser.parse_args(given)


async def serve(given: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    asked = _arguments(given)
    sandbox = FalSandbox(
        host=asked.host,
        port=asked.port,
        key=asked.key,
        hosts=PublicHosts.all_at(asked.public_url.rstrip("/")) if asked.public_url else None,
        queue_seconds=asked.queue_seconds,
        run_seconds=asked.run_seconds,
        picture_bytes=asked.picture_bytes,
        one_picture=asked.one_picture,
        url_map=dict(pair.split("=", 1) for pair in asked.map),
    )
    sandbox.faults.reseed(asked.seed)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with sandbox:
        print(sandbox.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve())
