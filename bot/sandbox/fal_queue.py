"""fal's queue from the inside: what a request goes through between submit and result."""

import asyncio
import base64
import hashlib
import io
import json
import time
import uuid
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from bot.sandbox import painter
from bot.sandbox.fal_files import FileStore, PublicHosts, StoredFile
from bot.sandbox.fal_options import FalOptions
from bot.sandbox.fal_pictures import Inputs, PaintJob, Picture
from bot.sandbox.fal_schema import ENDPOINTS, ImageInput, problem, problems, shortened
from bot.sandbox.fal_wire import Failure, model_failure, platform_failure
from bot.sandbox.faults import Fault
from bot.sandbox.spoil import bomb

_REQUESTS_KEPT = 5_000
_SHORT_RESULT, _LONG_RESULT, _LONG_FROM = 3_600, 360, 10_240
"""Seconds a result is kept when its payload is not stored: an hour, 6 minutes from 10 KB on (fal: result)."""


@dataclass(slots=True, eq=False)
class QueueRequest:
    """One accepted submit, and all that is known of it."""

    request_id: str
    endpoint: str
    body: Any
    shown: Any
    digest: str
    submitted_at: float
    host: str
    headers: dict[str, str]
    state: str = "IN_QUEUE"
    position: int = 0
    logs: list[dict[str, str]] = field(default_factory=list)
    started_at: float | None = None
    finished_at: float | None = None
    cancelled: bool = False
    hidden: bool = False
    stored: bool = True
    failure: Failure | None = None
    result: dict[str, Any] | None = None
    result_size: int = 0
    units: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def app(self) -> str:
        """owner/app: the endpoint without its sub-path."""
        return "/".join(self.endpoint.split("/")[:2])

    def touch(self) -> None:
        """Wake those who watch."""
        self.changed.set()
        self.changed = asyncio.Event()

    def log(self, message: str) -> None:
        """One more log line."""
        stamp = datetime.now(UTC).isoformat()
        self.logs.append({"message": message, "level": "INFO", "source": "USER", "timestamp": stamp})
        self.touch()

    def finish(self, now: float, *, result: dict[str, Any] | None = None, failure: Failure | None = None) -> None:
        """COMPLETED, which is not success. The input is forgotten."""
        self.result, self.failure, self.finished_at = result, failure, now
        self.result_size = len(json.dumps(result)) if result else 0
        self.state, self.body = "COMPLETED", None
        self.touch()

    def expired(self, now: float) -> bool:
        """Whether the result is no longer kept."""
        if self.stored or self.finished_at is None:
            return False
        return now - self.finished_at > (_LONG_RESULT if self.result_size >= _LONG_FROM else _SHORT_RESULT)

    def as_json(self) -> dict[str, Any]:
        """For GET /sandbox/state; no picture bytes, no key."""
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "body": self.shown,
            "state": self.state,
            "cancelled": self.cancelled,
            "error": self.failure.status if self.failure else None,
            "error_type": self.failure.error_type if self.failure else None,
            "submitted_at": self.submitted_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "host": self.host,
            "headers": self.headers,
            "units": self.units,
            "calls": dict(self.counts),
        }


class Queue:
    """Takes requests in, carries each on a task of its own, and remembers the last few thousand."""

    def __init__(
        self,
        options: FalOptions,
        files: FileStore,
        inputs: Inputs,
        executor: Executor,
        hosts: Callable[[], PublicHosts],
        now: Callable[[], float],
    ) -> None:
        self.options = options
        self.requests: OrderedDict[str, QueueRequest] = OrderedDict()
        self.files = files
        self._inputs = inputs
        self._executor = executor
        self._hosts = hosts
        self._now = now
        self._slots = asyncio.Semaphore(options.concurrency or 1_000_000)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all that still runs."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def waiting(self) -> int:
        """How many are IN_QUEUE."""
        return sum(request.state == "IN_QUEUE" for request in self.requests.values())

    def duplicates(self) -> list[list[str]]:
        """Ids of submits that say exactly the same to the same endpoint: what a blind resend leaves behind."""
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for request in self.requests.values():
            groups[request.endpoint, request.digest].append(request.request_id)
        return [ids for ids in groups.values() if len(ids) > 1]

    def accept(self, endpoint: str, body: Any, host: str, headers: dict[str, str]) -> QueueRequest:
        """A new request, on its way from now on."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        request = QueueRequest(
            str(uuid.uuid4()), endpoint, body, shortened(body), digest, self._now(), host, headers
        )
        wants_sync = isinstance(body, dict) and body.get("sync_mode") is True
        request.stored = not wants_sync and headers.get("x-fal-store-io") != "0"
        request.position = self.options.queue_ahead
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
        if answer[0] == 202 and self.options.faults.strike("cancel_ignored", endpoint=request.endpoint):
            return answer
        request.cancelled = True
        if request.task is not None:
            request.task.cancel()
        request.finish(self._now(), failure=platform_failure(499, "Request was cancelled", "client_cancelled"))
        return answer

    def _forget_oldest(self) -> None:
        while len(self.requests) > _REQUESTS_KEPT:
            oldest = next(iter(self.requests.values()))
            if oldest.state != "COMPLETED":
                return
            del self.requests[oldest.request_id]

    def _strike(self, name: str, request: QueueRequest) -> Fault | None:
        return self.options.faults.strike(name, now=self._now(), endpoint=request.endpoint)

    async def _carry(self, request: QueueRequest) -> None:
        try:
            await self._wait_in_queue(request)
            async with self._slots:
                result = await self._run(request)
            request.finish(self._now(), result=result)
        except Failure as failure:
            request.hidden = bool(self._strike("hidden_error", request))
            request.finish(self._now(), failure=failure)
        except Exception as error:
            text = f"Internal Server Error: {error}"
            request.finish(self._now(), failure=platform_failure(500, text, "internal_server_error"))
            raise

    async def _wait_in_queue(self, request: QueueRequest) -> None:
        stuck = self._strike("stuck", request)
        slow = self._strike("slow_queue", request)
        seconds = slow.seconds if slow and slow.seconds is not None else self.options.queue_seconds
        limit = _start_timeout(request.headers)
        if limit is not None and (seconds > limit or (stuck and stuck.body == "IN_QUEUE")):
            await asyncio.sleep(limit)
            late = platform_failure(504, "Request timed out before it started", "request_timeout")
            late.headers["X-Fal-Request-Timeout-Type"] = "user"
            raise late
        if stuck and stuck.body == "IN_QUEUE":
            await asyncio.Event().wait()
        steps = self.options.queue_ahead + 1
        for position in range(steps - 1, -1, -1):
            request.position = position
            request.touch()
            await asyncio.sleep(seconds / steps)
        if stuck:
            self._start(request)
            await asyncio.Event().wait()

    def _start(self, request: QueueRequest) -> None:
        request.state, request.started_at = "IN_PROGRESS", self._now()
        request.log("Running on the painter")

    async def _run(self, request: QueueRequest) -> dict[str, Any]:
        self._start(request)
        slow = self._strike("slow_run", request)
        seconds = slow.seconds if slow and slow.seconds is not None else self.options.run_seconds
        begun = time.monotonic()
        await asyncio.sleep(seconds / 2)
        if found := problems(request.endpoint, request.body):
            raise model_failure(422, found)
        order = ENDPOINTS[request.endpoint].model_validate(request.body)
        request.log(f"Painting {order.num_images} of {order.num_images}")
        result: dict[str, Any] | Failure
        try:
            result = await self._paint(request, order)
        except Failure as failure:
            result = failure
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        if isinstance(result, Failure):
            raise result
        request.log("Done")
        return result

    async def _paint(self, request: QueueRequest, order: ImageInput) -> dict[str, Any]:
        self._refuse(request, order)
        sources, mask = await self._inputs.of(order)
        count = order.num_images
        if fault := self._strike("fewer_pictures", request):
            count = max(1, count - (fault.count or 1))
        job = PaintJob.of(order, self.options, sources, mask)
        loop = asyncio.get_running_loop()
        pictures = await asyncio.gather(
            *(loop.run_in_executor(self._executor, job.picture, index) for index in range(count))
        )
        spoilt = [self._spoil(request, order, picture) for picture in pictures[:1]]
        request.units = count
        fault = self._strike("foreign_picture", request)
        foreign = fault.url if fault else None
        return {"images": [self._publish(order, picture, foreign) for picture in [*spoilt, *pictures[1:]]]}

    def _refuse(self, request: QueueRequest, order: ImageInput) -> None:
        if fault := self._strike("run_error", request):
            text = str(fault.body or "Internal Server Error")
            raise platform_failure(fault.status or 500, text, fault.error_type or "internal_error")
        if fault := self._strike("model_error", request):
            kind, text = fault.error_type or "no_media_generated", str(fault.body or "No media was generated")
            raise model_failure(fault.status or 422, [problem(["prompt"], text, kind, input=order.prompt)])
        if any(word.lower() in order.prompt.lower() for word in self.options.forbidden):
            text = "The content could not be processed because it was flagged by a content checker."
            kind = "content_policy_violation"
            raise model_failure(422, [problem(["prompt"], text, kind, input=order.prompt)])
        if order.background == "transparent" and order.output_format == "jpeg":
            text = "Value error, a transparent background needs png or webp"
            raise model_failure(422, [problem(["output_format"], text, "value_error", input="jpeg")])

    def _spoil(self, request: QueueRequest, order: ImageInput, picture: Picture) -> Picture:
        if self._strike("not_a_picture", request):
            return Picture(b"<html>The picture could not be found</html>", picture.width, picture.height)
        if self._strike("wrong_type", request):
            kind = "png" if order.output_format == "jpeg" else "jpeg"
            image = Image.open(io.BytesIO(picture.content))
            return Picture(painter.encode(image, kind), picture.width, picture.height)
        if fault := self._strike("bomb", request):
            side = fault.count or 30_000
            return Picture(bomb(side), side, side)
        return picture

    def _publish(self, order: ImageInput, picture: Picture, foreign: str | None) -> dict[str, Any]:
        kind = f"image/{order.output_format}"
        name = f"{uuid.uuid4().hex[:20]}.{order.output_format}"
        if order.sync_mode:
            url = f"data:{kind};base64,{base64.b64encode(picture.content).decode()}"
        elif foreign:
            url = foreign
        else:
            path = self.files.new_path(name)
            self.files.put(path, StoredFile(picture.content, kind, name))
            url = self._hosts().cdn + path
        return {
            "url": url,
            "content_type": kind,
            "file_name": name,
            "file_size": len(picture.content),
            "width": picture.width,
            "height": picture.height,
        }


def _start_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds; the new header wins over the deprecated one (fal: submit)."""
    for name in ("x-fal-request-start-timeout", "x-fal-request-timeout"):
        try:
            return float(headers[name])
        except (KeyError, ValueError):
            continue
    return None
