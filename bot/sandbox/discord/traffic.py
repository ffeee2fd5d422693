"""What surrounds each request of the small Discord: counters, remembered bodies, faults, rate limits."""

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
    """Something that goes wrong for the next ``times`` requests (None: all) whose route fits ``route``."""

    kind: str  # delay · fail · lose
    route: str
    times: int | None = 1
    seconds: float = 0.0
    status: int = 500
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    worked: bool = True  # delay, lose: whether the work is done before


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """So many requests per time on a route, for each channel or webhook."""

    route: str
    limit: int
    per: float
    hidden: bool = False
    buckets: dict[str, tuple[float, int]] = field(default_factory=dict)  # major parameter → reset, used


@dataclass(slots=True, kw_only=True)
class ReceivedRequest:
    """One request as it came in."""

    method: str
    path: str
    template: str
    major: str
    query: dict[str, str]
    headers: dict[str, str]
    payload: Any
    files: Json  # number → name, size, hash

    def fits(self, pattern: str) -> bool:
        """Whether a pattern names it: its template, or ``METHOD /path`` with ``*``."""
        return pattern == self.template or fnmatchcase(f"{self.method} {self.path}", pattern)


@dataclass(slots=True, kw_only=True)
class Call:
    """A request on its way to its route."""

    template: str
    path: dict[str, str]
    query: dict[str, str]
    payload: Any
    files: dict[int, Blob]

    def id(self, name: str) -> int:
        """A snowflake of the path."""
        return int(self.path[name])


Reply = tuple[int, Any]


def json_response(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    """An answer whose content type is bare ``application/json``, as Discord's is."""
    if body is None:
        return web.Response(status=status, headers=headers)
    content = json.dumps(body).encode()
    return web.Response(status=status, body=content, content_type="application/json", headers=headers)


class Traffic:
    """Faults to come, limits to keep, and what was seen."""

    def __init__(self, recent: int) -> None:
        self.faults: list[Fault] = []
        self.limits: list[RateLimit] = []
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.recent: deque[Json] = deque(maxlen=recent)
        self.violations: list[Json] = []

    def record(self, arrival: ReceivedRequest, at_ms: float) -> Json:
        """Remember a request; its status is filled in later. The bot's token is never kept."""
        self.requests[arrival.template] += 1
        headers = {k: "present" if k == "authorization" else v for k, v in arrival.headers.items()}
        entry: Json = {
            "at_ms": at_ms,
            "method": arrival.method,
            "path": arrival.path,
            "route": arrival.template,
            "query": arrival.query,
            "headers": headers,
            "body": arrival.payload,
            "files": arrival.files,
            "status": None,
        }
        self.recent.append(entry)
        agent = arrival.headers.get("user-agent", "")
        if "authorization" in headers and not agent.startswith("DiscordBot ("):
            self.violation(arrival.template, "user-agent", f"not a DiscordBot user agent: {agent}")
        return entry

    def violation(self, route: str, path: str, problem: str) -> None:
        """Note a broken rule."""
        self.violations.append({"route": route, "path": path, "problem": problem})

    def take(self, arrival: ReceivedRequest, kind: str, *, worked: bool | None = None) -> Fault | None:
        """The fault of a kind that is due for this request, counted down."""
        for fault in self.faults:
            fits = fault.kind == kind and (worked is None or fault.worked == worked)
            if fits and arrival.fits(fault.route):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                return fault
        return None

    async def pause(self, arrival: ReceivedRequest, *, worked: bool) -> None:
        """Wait as long as a delay says."""
        if fault := self.take(arrival, "delay", worked=worked):
            await asyncio.sleep(fault.seconds)

    def limited(self, arrival: ReceivedRequest) -> tuple[dict[str, str], web.Response | None]:
        """Headers for the answer, and a 429 when a limit is used up."""
        for limit in self.limits:
            if not arrival.fits(limit.route):
                continue
            now = time.time()
            reset, used = limit.buckets.get(arrival.major, (now + limit.per, 0))
            if reset <= now:
                reset, used = now + limit.per, 0
            used += 1
            limit.buckets[arrival.major] = (reset, used)
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
    """A 429 as Discord sends it; without ``Via`` it would be Cloudflare's."""
    body = {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": False}
    return json_response(429, body, {"Retry-After": f"{seconds:.3f}", "Via": "1.1 google"} | headers)
