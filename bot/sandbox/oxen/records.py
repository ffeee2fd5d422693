"""Oxen's users and generations, and how its API shows them."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bot.sandbox.kit.records import redact

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class User:
    """The owner of a key, who sees only their own rows and events."""

    user_id: str
    username: str


@dataclass(slots=True, eq=False)
class Generation:
    """One row of the queue: one picture. `batch` numbers the submits, `index` the rows of one submit.

    `path` is the result's place in the store; `doom` the error with which a fault is going to fail the row;
    `error_status` the HTTP status of its failure in a synchronous call.
    """

    user: User
    model: str
    params: Mapping[str, Any]
    batch: int
    index: int
    digest: str
    enqueued_at: float
    via: str = "queue"
    generation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    retried_from_id: str | None = None
    status: str = "queued"
    result_url: str | None = None
    error_message: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    cost: Decimal | None = None
    path: str | None = None
    gone: bool = False
    doom: str | None = None
    error_status: int = 400
    counts: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL

    def set_status(self, status: str) -> None:
        """Set the status, and wake the tasks that wait for `changed`."""
        self.status = status
        self.changed.set()
        self.changed = asyncio.Event()

    async def ended(self) -> None:
        """Wait until the status is final."""
        while not self.done:
            await self.changed.wait()

    def row(self, *, whole: bool = True) -> dict[str, Any]:
        """The row of GET /ai/queue, with the submitted parameters at the top level (Oxen: async queue)."""
        params = {name: value for name, value in self.params.items() if name != "num_generations"}
        return {
            **(params if whole else redact(params)),
            "generation_id": self.generation_id,
            "model_name": self.model,
            "prompt": self.params.get("prompt"),
            "media_type": "image",
            "status": self.status,
            "result_url": self.result_url,
            "error_message": self.error_message,
            "enqueued_at": int(self.enqueued_at),
            "started_at": _seconds(self.started_at),
            "completed_at": _seconds(self.completed_at),
            **({"retried_from_id": self.retried_from_id} if self.retried_from_id else {}),
        }

    def details(self, *, whole: bool = True) -> dict[str, Any]:
        """The row of GET /ai/generations, with its cost and its user (Oxen: get generation details)."""
        return {
            **self.row(whole=whole),
            "cost": None if self.cost is None else str(self.cost),
            "target_namespace": self.params.get("target_namespace") or self.user.username,
            "target_repo": self.params.get("target_repo"),
            "target_directory": self.params.get("target_directory"),
            "user_id": self.user.user_id,
            "username": self.user.username,
            "user_image": None,
        }

    def as_json(self) -> dict[str, Any]:
        """For GET /sandbox/state, without pictures and keys."""
        return {
            **redact(self.details(whole=False)),
            "params": redact(dict(self.params)),
            "batch": self.batch,
            "via": self.via,
            "gone": self.gone,
            "calls": dict(self.counts),
        }


def _seconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
