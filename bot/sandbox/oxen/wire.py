"""Answers as Oxen writes them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web

from bot.sandbox.kit.broken_answers import cut, page, truncated
from bot.sandbox.kit.faults import Fault
from bot.sandbox.oxen.options import ErrorShape

Strike = Callable[[str], Fault | None]


class ModelStrike(Protocol):
    """Asks the board whether a switch strikes now, for this model."""

    def __call__(self, name: str, model: str | None = None) -> Fault | None:
        """The fault, or None."""


_ENVELOPES = ("resource_not_found", "unauthenticated")


class OxenError(Exception):
    """An answer that is an error; `kind` is its type, `text` what a person may read (Oxen: errors)."""

    def __init__(self, status: int, kind: str, text: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.kind = kind
        self.text = text
        self.headers = headers or {}

    def answer(self, shape: ErrorShape) -> web.Response:
        """The refusal as an HTTP answer; the two envelopes that are known have their own shape always."""
        body = _body("title" if self.kind in _ENVELOPES else shape, self.kind, self.text)
        return reply(body, self.status, self.headers)


def not_found(text: str = "The requested resource could not be found") -> OxenError:
    """404, as seen (Oxen: async queue)."""
    return OxenError(404, "resource_not_found", text)


def bad_request(text: str) -> OxenError:
    """400 with a sentence."""
    return OxenError(400, "bad_request", text)


def fault_refusal(fault: Fault, status: int = 500) -> OxenError:
    """What a switch that refuses says: its status, text and Retry-After."""
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    text = str(fault.body or "Internal Server Error")
    return OxenError(fault.status or status, fault.error_type or "internal_server_error", text, headers=headers)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Compact JSON."""
    return web.Response(
        status=status, text=compact(body), content_type="application/json", headers=dict(headers or {})
    )


def compact(body: Any) -> str:
    """JSON without blanks: the page's own shell script looks for "generation_id":"…" in an event."""
    return json.dumps(body, separators=(",", ":"))


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; Refusal 400."""
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise bad_request("Invalid JSON") from error
    if not isinstance(body, dict):
        raise bad_request("Expected a JSON object")
    return body


async def spoilt(request: web.Request, kind: str, strike: Strike, answer: web.Response) -> web.StreamResponse:
    """The answer, or what the switches of its kind make of it."""
    if fault := strike(f"{kind}_slow"):
        await asyncio.sleep(fault.seconds if fault.seconds is not None else 1)
    if fault := strike(f"{kind}_error"):
        raise fault_refusal(fault)
    if fault := strike(f"{kind}_html"):
        return page(fault.status or 200)
    if fault := strike(f"{kind}_odd"):
        return reply(fault.body)
    if strike(f"{kind}_truncated"):
        return truncated(answer)
    if strike(f"{kind}_reset"):
        return await cut(request, answer)
    return answer


def _body(shape: ErrorShape, kind: str, text: str) -> dict[str, Any]:
    if shape == "text":
        return {"error": text}
    envelope: dict[str, Any] = {"status": "error", "status_message": kind}
    if shape == "error_message":
        return {**envelope, "error_message": text}
    error = {"type": kind, "title": text if shape == "title" else "The request failed"}
    return {"error": error if shape == "title" else {**error, shape: text}, **envelope}
