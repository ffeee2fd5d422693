"""One request in fal's queue: its state, its result, its calls."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.fal.wire import FalError

_SHORT_RESULT, _LONG_RESULT, _LONG_FROM = 3_600, 360, 10_240
"""Seconds that fal keeps a result whose payload is not stored: an hour; 6 minutes from 10 KB on (fal: result)."""


@dataclass(slots=True, eq=False)
class QueueRequest:
    """One accepted submit. `shown` is its redacted body, `hidden` keeps its error out of the status."""

    request_id: str
    endpoint: str
    body: Any
    shown: Any
    digest: str
    submitted_at: float
    host: str
    headers: dict[str, str]
    webhook: str | None = None
    direct: bool = False
    """A synchronous run, which does not wait in the queue."""
    state: str = "IN_QUEUE"
    position: int = 0
    logs: list[dict[str, str]] = field(default_factory=list)
    started_at: float | None = None
    finished_at: float | None = None
    cancelled: bool = False
    hidden: bool = False
    stored: bool = True
    failure: FalError | None = None
    result: dict[str, Any] | None = None
    result_size: int = 0
    units: float = 0
    """x-fal-billable-units."""
    cost: float = 0
    """US dollars billed."""
    counts: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def app(self) -> str:
        """`owner/app`: the endpoint without its sub-path."""
        return "/".join(self.endpoint.split("/")[:2])

    def touch(self) -> None:
        """Wake the tasks that wait for `changed`."""
        self.changed.set()
        self.changed = asyncio.Event()

    def log(self, message: str) -> None:
        """Add a log line."""
        stamp = datetime.now(UTC).isoformat()
        self.logs.append({"message": message, "level": "INFO", "source": "USER", "timestamp": stamp})
        self.touch()

    def start(self, now: float) -> None:
        """Enter IN_PROGRESS, `now` in seconds since 1970."""
        self.state, self.started_at = "IN_PROGRESS", now
        self.log("Running on the painter")

    def finish(self, now: float, *, result: dict[str, Any] | None = None, failure: FalError | None = None) -> None:
        """Enter COMPLETED, with a result or a failure, and drop the input."""
        self.result, self.failure, self.finished_at = result, failure, now
        self.result_size = len(json.dumps(result)) if result else 0
        self.state, self.body = "COMPLETED", None
        self.touch()

    def expired(self, now: float) -> bool:
        """Whether fal would have dropped the result by now."""
        if self.stored or self.finished_at is None:
            return False
        return now - self.finished_at > (_LONG_RESULT if self.result_size >= _LONG_FROM else _SHORT_RESULT)

    def as_json(self) -> dict[str, Any]:
        """For GET /sandbox/state, without pictures and keys."""
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
            "webhook": self.webhook,
            "direct": self.direct,
            "units": self.units,
            "cost": self.cost,
            "calls": dict(self.counts),
        }
