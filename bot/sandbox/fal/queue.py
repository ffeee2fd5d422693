"""fal's queue: the states of a request between its submit and its result (fal: queue)."""

import asyncio
import hashlib
import json
import math
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.execution import RequestRunner
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.webhooks import Webhooks
from bot.sandbox.fal.wire import FalError, platform_error
from bot.sandbox.kit.faults import Fault
from bot.sandbox.kit.records import duplicate_ids, redact
from bot.sandbox.kit.tasks import BackgroundTasks

_REQUESTS_KEPT = 5_000


class Queue:
    """Accepts requests, runs each as a task, and remembers the latest few thousand."""

    def __init__(self, context: FalContext, runner: RequestRunner, webhooks: Webhooks) -> None:
        self.requests: OrderedDict[str, QueueRequest] = OrderedDict()
        self._context = context
        self._runner = runner
        self._webhooks = webhooks
        self._slots = asyncio.Semaphore(context.options.concurrency or 1_000_000)
        self._tasks = BackgroundTasks()

    async def close(self) -> None:
        """Stop the requests that are not finished."""
        await self._tasks.close()

    def busy(self) -> bool:
        """Whether as many requests run, synchronous ones included, as `concurrency` allows."""
        most = self._context.options.concurrency
        ready = [request for request in self.requests.values() if request.direct or request.state == "IN_PROGRESS"]
        running = sum(request.state != "COMPLETED" for request in ready)
        return most is not None and running >= most

    def waiting(self) -> int:
        """How many requests are IN_QUEUE."""
        return sum(request.state == "IN_QUEUE" for request in self.requests.values())

    def duplicates(self) -> list[list[str]]:
        """Ids of submits with the same body to the same endpoint, in groups."""
        requests = self.requests.values()
        return duplicate_ids(((request.endpoint, request.digest), request.request_id) for request in requests)

    def accept(
        self,
        endpoint: str,
        body: Any,
        host: str,
        headers: dict[str, str],
        *,
        webhook: str | None = None,
        direct: bool = False,
    ) -> QueueRequest:
        """Start a new request; a `direct` (synchronous) one does not wait in the queue."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        now = self._context.now()
        request = QueueRequest(
            str(uuid.uuid4()), endpoint, body, redact(body), digest, now, host, headers, webhook, direct
        )
        wants_sync = isinstance(body, dict) and body.get("sync_mode") is True
        request.stored = not wants_sync and headers.get("x-fal-store-io") != "0"
        request.position = 0 if direct else self._context.options.queue_ahead
        self.requests[request.request_id] = request
        self._forget_oldest()
        request.task = self._tasks.start(self._process(request))
        return request

    def cancel(self, request: QueueRequest) -> tuple[int, str]:
        """Stop the request, unless cancel_ignored strikes. Returns HTTP status and `status` (fal: cancel)."""
        if request.state == "COMPLETED":
            return 400, "ALREADY_COMPLETED"
        response = (200, "OK") if request.state == "IN_QUEUE" else (202, "CANCELLATION_REQUESTED")
        if response[0] == 202 and self._strike("cancel_ignored", request):
            return response
        request.cancelled = True
        if request.task is not None:
            request.task.cancel()
        self._finish(request, failure=platform_error(499, "Request was cancelled", "client_cancelled"))
        return response

    def _forget_oldest(self) -> None:
        while len(self.requests) > _REQUESTS_KEPT:
            oldest = next(iter(self.requests.values()))
            if oldest.state != "COMPLETED":
                return
            del self.requests[oldest.request_id]

    def _strike(self, name: str, request: QueueRequest) -> Fault | None:
        return self._context.strike(name, request.endpoint)

    def _finish(
        self, request: QueueRequest, *, result: dict[str, Any] | None = None, failure: FalError | None = None
    ) -> None:
        request.finish(self._context.now(), result=result, failure=failure)
        self._webhooks.send(request)

    async def _process(self, request: QueueRequest) -> None:
        result: dict[str, Any] | None = None
        failure: FalError | None = None
        try:
            result = await self._wait_and_run(request)
        except FalError as raised:
            request.hidden = bool(self._strike("hidden_error", request))
            failure = raised
        except Exception as error:
            text = f"Internal Server Error: {error}"
            self._finish(request, failure=platform_error(500, text, "internal_server_error"))
            raise
        if request.webhook and (early := self._strike("webhook_early", request)):
            await self._webhooks.deliver(request, result, failure)
            await asyncio.sleep(early.seconds_or(0.1))
            request.finish(self._context.now(), result=result, failure=failure)
        else:
            self._finish(request, result=result, failure=failure)

    async def _wait_and_run(self, request: QueueRequest) -> dict[str, Any]:
        stuck = self._strike("stuck", request)
        try:
            async with asyncio.timeout(_start_timeout(request.headers)):
                await self._wait_in_queue(request, forever=stuck is not None and stuck.body == "IN_QUEUE")
                if stuck is None:
                    await self._slots.acquire()
        except TimeoutError:
            late = platform_error(504, "Request timed out before it started", "request_timeout")
            late.headers["X-Fal-Request-Timeout-Type"] = "user"
            raise late from None
        if stuck is not None:
            request.start(self._context.now())
            await asyncio.Event().wait()
        try:
            return await self._runner.run(request)
        finally:
            self._slots.release()

    async def _wait_in_queue(self, request: QueueRequest, *, forever: bool) -> None:
        slow = self._strike("slow_queue", request)
        if forever:
            await asyncio.Event().wait()
        seconds = self._context.options.queue_seconds
        if slow:
            seconds = slow.seconds_or(seconds)
        if request.direct:
            return
        steps = self._context.options.queue_ahead + 1
        for position in range(steps - 1, -1, -1):
            request.position = position
            request.touch()
            await asyncio.sleep(seconds / steps)


def _start_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds within which the request must start; the new header wins over the deprecated one (fal: submit)."""
    for name in ("x-fal-request-start-timeout", "x-fal-request-timeout"):
        try:
            seconds = float(headers[name])
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None
