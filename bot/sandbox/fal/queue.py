"""fal's queue from the inside: what a request goes through between submit and result."""

import asyncio
import hashlib
import json
import math
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.execution import RequestRunner
from bot.sandbox.fal.files import FileStore
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.schema import shortened
from bot.sandbox.fal.webhooks import Webhooks
from bot.sandbox.fal.wire import FalError, platform_failure
from bot.sandbox.kit.faults import Fault

_REQUESTS_KEPT = 5_000


class Queue:
    """Takes requests in, carries each on a task of its own, and remembers the last few thousand."""

    def __init__(self, desk: FalContext, files: FileStore, work: RequestRunner, webhooks: Webhooks) -> None:
        self.requests: OrderedDict[str, QueueRequest] = OrderedDict()
        self.files = files
        self._desk = desk
        self._work = work
        self._webhooks = webhooks
        self._slots = asyncio.Semaphore(desk.options.concurrency or 1_000_000)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all that still runs."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def busy(self) -> bool:
        """Whether as many run, or are about to run directly, as may."""
        most = self._desk.options.concurrency
        ready = [request for request in self.requests.values() if request.direct or request.state == "IN_PROGRESS"]
        running = sum(request.state != "COMPLETED" for request in ready)
        return most is not None and running >= most

    def waiting(self) -> int:
        """How many are IN_QUEUE."""
        return sum(request.state == "IN_QUEUE" for request in self.requests.values())

    def duplicates(self) -> list[list[str]]:
        """Ids of submits that say exactly the same to the same endpoint: what a blind resend leaves behind."""
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for request in self.requests.values():
            groups[request.endpoint, request.digest].append(request.request_id)
        return [ids for ids in groups.values() if len(ids) > 1]

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
        """A new request, on its way from now on; a `direct` one does not wait in the queue."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        now = self._desk.now()
        request = QueueRequest(
            str(uuid.uuid4()), endpoint, body, shortened(body), digest, now, host, headers, webhook, direct
        )
        wants_sync = isinstance(body, dict) and body.get("sync_mode") is True
        request.stored = not wants_sync and headers.get("x-fal-store-io") != "0"
        request.position = 0 if direct else self._desk.options.queue_ahead
        self.requests[request.request_id] = request
        self._forget_oldest()
        request.task = asyncio.create_task(self._carry(request))
        self._tasks.add(request.task)
        request.task.add_done_callback(self._tasks.discard)
        return request

    def cancel(self, request: QueueRequest) -> tuple[int, str]:
        """HTTP code and status of the answer; what runs is stopped, unless cancel_ignored (fal: cancel)."""
        if request.state == "COMPLETED":
            return 400, "ALREADY_COMPLETED"
        answer = (200, "OK") if request.state == "IN_QUEUE" else (202, "CANCELLATION_REQUESTED")
        if answer[0] == 202 and self._strike("cancel_ignored", request):
            return answer
        request.cancelled = True
        if request.task is not None:
            request.task.cancel()
        self._finish(request, failure=platform_failure(499, "Request was cancelled", "client_cancelled"))
        return answer

    def _forget_oldest(self) -> None:
        while len(self.requests) > _REQUESTS_KEPT:
            oldest = next(iter(self.requests.values()))
            if oldest.state != "COMPLETED":
                return
            del self.requests[oldest.request_id]

    def _strike(self, name: str, request: QueueRequest) -> Fault | None:
        return self._desk.strike(name, request.endpoint)

    def _finish(
        self, request: QueueRequest, *, result: dict[str, Any] | None = None, failure: FalError | None = None
    ) -> None:
        request.finish(self._desk.now(), result=result, failure=failure)
        self._webhooks.send(request)

    async def _carry(self, request: QueueRequest) -> None:
        result: dict[str, Any] | None = None
        failure: FalError | None = None
        try:
            result = await self._wait_and_run(request)
        except FalError as raised:
            request.hidden = bool(self._strike("hidden_error", request))
            failure = raised
        except Exception as error:
            text = f"Internal Server Error: {error}"
            self._finish(request, failure=platform_failure(500, text, "internal_server_error"))
            raise
        if request.webhook and (early := self._strike("webhook_early", request)):
            await self._webhooks.deliver(request, result, failure)
            await asyncio.sleep(early.seconds if early.seconds is not None else 0.1)
            request.finish(self._desk.now(), result=result, failure=failure)
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
            late = platform_failure(504, "Request timed out before it started", "request_timeout")
            late.headers["X-Fal-Request-Timeout-Type"] = "user"
            raise late from None
        if stuck is not None:
            request.start(self._desk.now())
            await asyncio.Event().wait()
        try:
            return await self._work.run(request)
        finally:
            self._slots.release()

    async def _wait_in_queue(self, request: QueueRequest, *, forever: bool) -> None:
        slow = self._strike("slow_queue", request)
        if forever:
            await asyncio.Event().wait()
        seconds = slow.seconds if slow and slow.seconds is not None else self._desk.options.queue_seconds
        if request.direct:
            return
        steps = self._desk.options.queue_ahead + 1
        for position in range(steps - 1, -1, -1):
            request.position = position
            request.touch()
            await asyncio.sleep(seconds / steps)


def _start_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds until it must have started; the new header wins over the deprecated one (fal: submit)."""
    for name in ("x-fal-request-start-timeout", "x-fal-request-timeout"):
        try:
            seconds = float(headers[name])
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None
