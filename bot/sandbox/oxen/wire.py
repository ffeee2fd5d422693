"""JSON responses and errors in Oxen's form."""

import json
from typing import Any

from aiohttp import web

from bot.sandbox.kit.broken_answers import break_response
from bot.sandbox.kit.faults import Fault, Strike
from bot.sandbox.oxen.options import ErrorShape

_ENVELOPES = ("resource_not_found", "unauthenticated")


class OxenError(Exception):
    """An error response; `kind` is its type, `text` a sentence for people (Oxen: errors)."""

    def __init__(self, status: int, kind: str, text: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.kind = kind
        self.text = text
        self.headers = headers or {}

    def response(self, shape: ErrorShape) -> web.Response:
        """The error as an HTTP response; the two known envelopes always have their own shape."""
        body = _body("title" if self.kind in _ENVELOPES else shape, self.kind, self.text)
        return json_response(body, self.status, self.headers)


def not_found(text: str = "The requested resource could not be found") -> OxenError:
    """404 (Oxen: async queue)."""
    return OxenError(404, "resource_not_found", text)


def bad_request(text: str) -> OxenError:
    """400 with a sentence."""
    return OxenError(400, "bad_request", text)


def fault_error(fault: Fault, status: int = 500) -> OxenError:
    """The error of a fault: its status, text and Retry-After."""
    headers = fault.retry_headers
    text = str(fault.body or "Internal Server Error")
    return OxenError(fault.status or status, fault.error_type or "internal_server_error", text, headers=headers)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Compact JSON."""
    return web.Response(
        status=status, text=compact(body), content_type="application/json", headers=dict(headers or {})
    )


def compact(body: Any) -> str:
    """JSON without spaces: the shell script on Oxen's page searches an event for "generation_id":"…"."""
    return json.dumps(body, separators=(",", ":"))


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; OxenError 400 for anything else."""
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise bad_request("Invalid JSON") from error
    if not isinstance(body, dict):
        raise bad_request("Expected a JSON object")
    return body


async def with_faults(
    request: web.Request, kind: str, strike: Strike, response: web.Response
) -> web.StreamResponse:
    """The response, or what the faults named `kind`_… turn it into."""
    return await break_response(request, response, kind=kind, strike=strike, error=fault_error, dumps=compact)


def _body(shape: ErrorShape, kind: str, text: str) -> dict[str, Any]:
    if shape == "text":
        return {"error": text}
    envelope: dict[str, Any] = {"status": "error", "status_message": kind}
    if shape == "error_message":
        return {**envelope, "error_message": text}
    error = {"type": kind, "title": text if shape == "title" else "The request failed"}
    return {"error": error if shape == "title" else {**error, shape: text}, **envelope}
