"""Lumenfall's memory: every request that had a good key, what became of it, and what it cost."""

import asyncio
import hashlib
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from bot.sandbox.lumenfall.schema import ImageParameters, shown
from bot.sandbox.lumenfall.wire import LumenfallError, RequestBody

_KEPT = 5_000
_REJECTED = ("INVALID_REQUEST", "CONTENT_POLICY_VIOLATION", "INSUFFICIENT_BALANCE", "RATE_LIMITED")
_FILTERS = ("created_after", "created_before", "key_id", "status", "summary")


@dataclass(slots=True, eq=False)
class GatewayRequest:
    """One request, and all that is known of it."""

    operation: str
    """generations or edits"""
    key_id: str
    created_at: float
    headers: dict[str, str]
    trace_id: str | None
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(13)}")
    order: ImageParameters | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    digest: str | None = None
    request_size: int = 0
    response_size: int | None = None
    accepted: bool = False
    route: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    status: str = "processing"
    estimate_micros: int = 0
    cost_micros: int = 0
    failure: LumenfallError | None = None
    finished_at: float | None = None
    lost: bool = False
    """Whether nobody got its answer: it was dropped, or the caller hung up."""
    pictures: list[bytes] = field(default_factory=list)
    """Until the answer is out."""
    paths: list[str] = field(default_factory=list)
    """Of its pictures at the media host."""
    painted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there are pictures, or never will be."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def model(self) -> str | None:
        """The bare model id; None: the request named none that could be read."""
        return self.order.bare_model if self.order else None

    def note(self, sent: RequestBody) -> None:
        """Remember what was sent, without pictures and secrets."""
        self.fields, self.request_size = shown(sent), sent.size
        self.files = [file.as_json() for file in sent.files]
        said = f"{sent.values.get('user')}|{sent.values.get('prompt')}"
        self.digest = hashlib.sha256(said.encode()).hexdigest()

    def finish(self, status: str, now: float, *, cost: int = 0, failure: LumenfallError | None = None) -> None:
        """It is over."""
        self.status, self.cost_micros, self.failure, self.finished_at = status, cost, failure, now
        if self.lost or status != "completed":
            self.pictures = []
        self.painted.set()
        self.finished.set()

    def fail(self, failure: LumenfallError, now: float, *, cost: int = 0) -> None:
        """Rejected when the caller is to blame, an upstream failure otherwise."""
        ours = failure.code in _REJECTED or failure.code.startswith("MODEL_")
        self.finish("rejected" if ours else "upstream_failure", now, cost=cost, failure=failure)

    def as_record(self, *, stale: bool = False) -> dict[str, Any]:
        """The object of the history (lumenfall: requests)."""
        done = self.finished_at is not None and not stale
        failure = self.failure if done else None
        user = self.order.user if self.order else None
        return {
            "id": self.request_id,
            "object": "request",
            "created_at": _iso(self.created_at),
            "model": self.model,
            "modality": "image",
            "endpoint": f"/openai/v1/images/{self.operation}",
            "status": "processing" if stale and self.accepted else self.status,
            "cost": self.cost_micros / 1_000_000 if done else 0,
            "currency": "usd",
            "duration_ms": round(((self.finished_at or 0) - self.created_at) * 1_000) if done else None,
            "key_id": self.key_id,
            "error_code": failure.code if failure else None,
            "error_message": failure.message if failure else None,
            "session_id": None,
            "trace_id": self.trace_id,
            "user": user,
            "request_size_bytes": self.request_size,
            "response_size_bytes": self.response_size if done else None,
        }

    def as_json(self) -> dict[str, Any]:
        """For GET /sandbox/state; no picture bytes, no key."""
        record = self.as_record()
        del record["key_id"]
        more = {
            "operation": self.operation,
            "accepted": self.accepted,
            "lost": self.lost,
            "route": self.route,
            "cost_micros": self.cost_micros,
            "estimate_micros": self.estimate_micros,
            "fields": self.fields,
            "files": self.files,
            "headers": self.headers,
            "finished_at": self.finished_at,
        }
        return {**record, **more}


class History:
    """The last few thousand requests, oldest first."""

    def __init__(self) -> None:
        self.records: OrderedDict[str, GatewayRequest] = OrderedDict()
        self.spent_micros = 0
        """All that was ever billed."""

    @property
    def accepted(self) -> dict[str, GatewayRequest]:
        """Those on which work began, by id."""
        return {key: record for key, record in self.records.items() if record.accepted}

    def add(self, record: GatewayRequest) -> None:
        """Remember it, and forget the oldest that is over."""
        self.records[record.request_id] = record
        while len(self.records) > _KEPT:
            oldest = next(iter(self.records.values()))
            if oldest.finished_at is None:
                return
            del self.records[oldest.request_id]

    def available_micros(self, paid_in: float) -> int:
        """What is left of so many dollars, work in hand counted at its estimate."""
        held = sum(item.estimate_micros for item in self.accepted.values() if item.finished_at is None)
        return round(paid_in * 1_000_000) - self.spent_micros - held

    def duplicates(self) -> list[list[str]]:
        """Ids of accepted requests of one user with one prompt: what a blind resend leaves behind."""
        groups: dict[str | None, list[str]] = defaultdict(list)
        for record in self.accepted.values():
            groups[record.digest].append(record.request_id)
        return [ids for ids in groups.values() if len(ids) > 1]

    def page(self, query: Mapping[str, str], *, until: float | None = None, stale: bool = False) -> dict[str, Any]:
        """One page, newest first; only what came in before `until`. Failure INVALID_REQUEST."""
        found = [record for record in reversed(self.records.values()) if _matches(record, query, until)]
        limit = _limit(query.get("limit", "20"))
        data = _after_cursor(found, query, limit)[:limit]
        newer = bool(data) and found[0] is not data[0]
        older = bool(data) and found[-1] is not data[-1]
        body: dict[str, Any] = {
            "object": "list",
            "data": [record.as_record(stale=stale) for record in data],
            "next_page_url": _link(query, limit, "starting_after", data[-1]) if older else None,
            "previous_page_url": _link(query, limit, "ending_before", data[0]) if newer else None,
        }
        if query.get("summary") == "true":
            spent = sum(record.cost_micros for record in found)
            body["summary"] = {"total_cost": spent / 1_000_000, "currency": "usd", "count": len(found)}
        return body


def _matches(record: GatewayRequest, query: Mapping[str, str], until: float | None) -> bool:
    if until is not None and record.created_at > until:
        return False
    if (after := query.get("created_after")) and record.created_at < _moment("created_after", after):
        return False
    if (before := query.get("created_before")) and record.created_at > _moment("created_before", before):
        return False
    if (status := query.get("status")) and record.status not in status.split(","):
        return False
    return query.get("key_id", record.key_id) == record.key_id


def _after_cursor(found: list[GatewayRequest], query: Mapping[str, str], limit: int) -> list[GatewayRequest]:
    after, before = query.get("starting_after"), query.get("ending_before")
    if after and before:
        raise LumenfallError("INVALID_REQUEST", "ending_before cannot be combined with starting_after")
    places = {record.request_id: place for place, record in enumerate(found)}
    cursor = after or before
    if cursor is None:
        return found
    if cursor not in places:
        raise LumenfallError("INVALID_REQUEST", "unknown cursor")
    if after:
        return found[places[after] + 1 :]
    return found[max(0, places[cursor] - limit) : places[cursor]]


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise LumenfallError("INVALID_REQUEST", "limit: expected 1 to 100")
    return int(text)


def _moment(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LumenfallError("INVALID_REQUEST", f"{name}: expected an ISO 8601 datetime") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _link(query: Mapping[str, str], limit: int, cursor: str, at: GatewayRequest) -> str:
    kept = {name: query[name] for name in _FILTERS if name in query}
    return f"/v1/requests?{urlencode({cursor: at.request_id, 'limit': limit, **kept})}"
