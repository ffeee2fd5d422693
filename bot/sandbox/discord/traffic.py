"""Recorded requests, faults and rate limits of the REST API and the CDN."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from bot.sandbox.discord.files import Blob, Json


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault of the next ``times`` requests (None: all) that match ``route``."""

    kind: str  # delay · fail · lose
    route: str
    times: int | None = 1
    seconds: float = 0.0
    status: int = 500
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    worked: bool = True  # delay, lose: whether the request is carried out first


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """``limit`` requests in ``per`` seconds on a route, for each channel or webhook."""

    route: str
    limit: int
    per: float
    hidden: bool = False
    buckets: dict[str, tuple[float, int]] = field(default_factory=dict)  # major parameter → reset, used


@dataclass(slots=True, kw_only=True)
class ReceivedRequest:
    """One request, with its route and its parsed body."""

    method: str
    path: str
    template: str
    major: str
    query: dict[str, str]
    headers: dict[str, str]
    payload: Any
    files: Json  # number → name, size, hash

    def matches(self, pattern: str) -> bool:
        """Whether the pattern is its template, or matches it as ``METHOD /path`` with ``*``."""
        return pattern == self.template or fnmatchcase(f"{self.method} {self.path}", pattern)


@dataclass(slots=True, kw_only=True)
class Call:
    """The arguments of a route's handler."""

    template: str
    path: dict[str, str]
    query: dict[str, str]
    payload: Any
    files: dict[int, Blob]

    def id(self, name: str) -> int:
        """A snowflake of the path."""
        return int(self.path[name])


Reply = tuple[int, Any]
"""HTTP status and JSON body; None: no body."""


def json_response(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON response with the content type ``application/json`` without a charset, like Discord's."""
    if body is None:
        return web.Response(status=status, headers=headers)
    content = json.dumps(body).encode()
    return web.Response(status=status, body=content, content_type="application/json", headers=headers)


class Traffic:
    """Faults, rate limits, and the recorded requests."""

    def __init__(self, recent: int) -> None:
        self.faults: list[Fault] = []
        self.limits: list[RateLimit] = []
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.recent: deque[Json] = deque(maxlen=recent)
        self.violations: list[Json] = []

    def record(self, received: ReceivedRequest, at_ms: float) -> Json:
        """Record a request, without the bot's token; its status is filled in later."""
        self.requests[received.template] += 1
        headers = {k: "present" if k == "authorization" else v for k, v in received.headers.items()}
        entry: Json = {
            "at_ms": at_ms,
            "method": received.method,
            "path": received.path,
            "route": received.template,
            "query": received.query,
            "headers": headers,
            "body": received.payload,
            "files": received.files,
            "status": None,
        }
        self.recent.append(entry)
        agent = received.headers.get("user-agent", "")
        if "authorization" in headers and not agent.startswith("DiscordBot ("):
            self.violation(received.template, "user-agent", f"not a DiscordBot user agent: {agent}")
        return entry

    def violation(self, route: str, path: str, problem: str) -> None:
        """Record a broken rule."""
        self.violations.append({"route": route, "path": path, "problem": problem})

    def take(self, received: ReceivedRequest, kind: str, *, worked: bool | None = None) -> Fault | None:
        """The next fault of a kind for this request, which uses up one of its ``times``."""
        for fault in self.faults:
            fits = fault.kind == kind and (worked is None or fault.worked == worked)
            if fits and received.matches(fault.route):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                return fault
        return None

    async def pause(self, received: ReceivedRequest, *, worked: bool) -> None:
        """Wait for the seconds of a delay fault."""
        if fault := self.take(received, "delay", worked=worked):
            await asyncio.sleep(fault.seconds)

    def check_limits(self, received: ReceivedRequest) -> tuple[dict[str, str], web.Response | None]:
        """The rate limit headers, and a 429 when a limit is used up."""
        for limit in self.limits:
            if not received.matches(limit.route):
                continue
            now = time.time()
            reset, used = limit.buckets.get(received.major, (now + limit.per, 0))
            if reset <= now:
                reset, used = now + limit.per, 0
            used += 1
            limit.buckets[received.major] = (reset, used)
            headers = {} if limit.hidden else _limit_headers(limit, reset, used, now)
            if used <= limit.limit:
                return headers, None
            headers["X-RateLimit-Scope"] = "shared" if limit.hidden else "user"
            return headers, too_many(reset - now, headers)
        return {}, None


def _limit_headers(limit: RateLimit, reset: float, used: int, now: float) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit.limit),
        "X-RateLimit-Remaining": str(max(0, limit.limit - used)),
        "X-RateLimit-Reset": f"{reset:.3f}",
        "X-RateLimit-Reset-After": f"{max(0.0, reset - now):.3f}",
        "X-RateLimit-Bucket": f"{abs(hash(limit.route)):x}"[:16],
    }


def too_many(seconds: float, headers: dict[str, str]) -> web.Response:
    """Discord's 429; one without ``Via`` would be Cloudflare's."""
    body = {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": False}
    return json_response(429, body, {"Retry-After": f"{seconds:.3f}", "Via": "1.1 google"} | headers)
