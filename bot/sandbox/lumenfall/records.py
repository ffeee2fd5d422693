"""Lumenfall's history: every request with a valid key, its outcome, and its cost."""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from bot.sandbox.kit.records import duplicate_ids
from bot.sandbox.lumenfall.schema import ImageParameters, redacted
from bot.sandbox.lumenfall.wire import LumenfallError, RequestBody

_RECORDS_KEPT = 5_000
_REJECTED = ("INVALID_REQUEST", "CONTENT_POLICY_VIOLATION", "INSUFFICIENT_BALANCE", "RATE_LIMITED")
_FILTERS = ("created_after", "created_before", "key_id", "status", "summary")


@dataclass(slots=True, eq=False)
class GatewayRequest:
    """One request: its parameters, attempts, status and cost."""

    operation: str
    """generations or edits"""
    key_id: str
    created_at: float
    headers: dict[str, str]
    trace_id: str | None
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(13)}")
    model: str | None = None
    """The bare model id; None: the request named none."""
    params: ImageParameters | None = None
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
    """Whether the client got no response: the stand-in dropped it, or the client disconnected."""
    pictures: list[bytes] = field(default_factory=list)
    """Kept until the response is sent."""
    paths: list[str] = field(default_factory=list)
    """Paths of its pictures at the media host."""
    painted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the pictures are painted, and when the request ends without any."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def record_body(self, body: RequestBody) -> None:
        """Record the request body, without pictures and secrets."""
        self.fields, self.request_size = redacted(body), body.size
        self.files = [file.as_json() for file in body.files]
        content = f"{body.values.get('user')}|{body.values.get('prompt')}"
        self.digest = hashlib.sha256(content.encode()).hexdigest()

    def finish(self, status: str, now: float, *, cost: int = 0, failure: LumenfallError | None = None) -> None:
        """End the request, `now` in seconds since 1970, `cost` in micro-dollars."""
        self.status, self.cost_micros, self.failure, self.finished_at = status, cost, failure, now
        if self.lost or status != "completed":
            self.pictures = []
        self.painted.set()
        self.finished.set()

    def fail(self, failure: LumenfallError, now: float, *, cost: int = 0) -> None:
        """End as rejected for an error of the client, as an upstream failure otherwise."""
        client_error = failure.code in _REJECTED or failure.code.startswith("MODEL_")
        self.finish("rejected" if client_error else "upstream_failure", now, cost=cost, failure=failure)

    def as_record(self, *, stale: bool = False) -> dict[str, Any]:
        """The request as the history shows it (lumenfall: requests)."""
        done = self.finished_at is not None and not stale
        failure = self.failure if done else None
        user = self.params.user if self.params else None
        return {
            "id": self.request_id,
            "object": "request",
            "created_at": _iso_time(self.created_at),
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
        """For GET /sandbox/state, without pictures and keys."""
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
    """The latest few thousand requests, oldest first."""

    def __init__(self) -> None:
        self.records: OrderedDict[str, GatewayRequest] = OrderedDict()
        self.spent_micros = 0
        """The sum of all costs, in micro-dollars."""

    @property
    def accepted(self) -> dict[str, GatewayRequest]:
        """The requests that were accepted, by id."""
        return {key: record for key, record in self.records.items() if record.accepted}

    def add(self, record: GatewayRequest) -> None:
        """Add the request, and drop the oldest ones that are finished."""
        self.records[record.request_id] = record
        while len(self.records) > _RECORDS_KEPT:
            oldest = next(iter(self.records.values()))
            if oldest.finished_at is None:
                return
            del self.records[oldest.request_id]

    def available_micros(self, paid_in: float) -> int:
        """Micro-dollars left of the US dollars paid in; running requests count at their estimate."""
        held = sum(item.estimate_micros for item in self.accepted.values() if item.finished_at is None)
        return round(paid_in * 1_000_000) - self.spent_micros - held

    def duplicates(self) -> list[list[str]]:
        """Ids of accepted requests of one user with one prompt, in groups."""
        return duplicate_ids((record.digest, record.request_id) for record in self.accepted.values())

    def page(self, query: Mapping[str, str], *, until: float | None = None, stale: bool = False) -> dict[str, Any]:
        """One page, newest first, of the requests up to `until`. LumenfallError INVALID_REQUEST."""
        found = [record for record in reversed(self.records.values()) if _matches(record, query, until)]
        limit = _limit(query.get("limit", "20"))
        data = _after_cursor(found, query, limit)[:limit]
        newer = bool(data) and found[0] is not data[0]
        older = bool(data) and found[-1] is not data[-1]
        body: dict[str, Any] = {
            "object": "list",
            "data": [record.as_record(stale=stale) for record in data],
            "next_page_url": _page_link(query, limit, "starting_after", data[-1]) if older else None,
            "previous_page_url": _page_link(query, limit, "ending_before", data[0]) if newer else None,
        }
        if query.get("summary") == "true":
            spent = sum(record.cost_micros for record in found)
            body["summary"] = {"total_cost": spent / 1_000_000, "currency": "usd", "count": len(found)}
        return body


def _matches(record: GatewayRequest, query: Mapping[str, str], until: float | None) -> bool:
    if until is not None and record.created_at > until:
        return False
    if (after := query.get("created_after")) and record.created_at < _parse_time("created_after", after):
        return False
    if (before := query.get("created_before")) and record.created_at > _parse_time("created_before", before):
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


def _parse_time(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LumenfallError("INVALID_REQUEST", f"{name}: expected an ISO 8601 datetime") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso_time(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _page_link(query: Mapping[str, str], limit: int, cursor: str, at: GatewayRequest) -> str:
    filters = {name: query[name] for name in _FILTERS if name in query}
    return f"/v1/requests?{urlencode({cursor: at.request_id, 'limit': limit, **filters})}"
