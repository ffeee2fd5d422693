"""Responses and errors in Lumenfall's form, and the parsing of request bodies."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ERRORS: Mapping[str, tuple[int, str, str]] = {
    "INVALID_REQUEST": (400, "invalid_request_error", "Invalid request"),
    "CONTENT_POLICY_VIOLATION": (
        400,
        "invalid_request_error",
        "The request was rejected by the provider's safety system. safety_violations=[violence]",
    ),
    "AUTHENTICATION_FAILED": (401, "authentication_error", "Invalid API key"),
    "INSUFFICIENT_BALANCE": (402, "insufficient_quota", "Insufficient balance"),
    "MODEL_NOT_FOUND": (404, "invalid_request_error", "Model not found"),
    "MODEL_DISABLED": (404, "invalid_request_error", "Model is currently disabled"),
    "NOT_FOUND": (404, "invalid_request_error", "Not found"),
    "RECORDING_NOT_FOUND": (404, "invalid_request_error", "No recording matches this request"),
    "RATE_LIMITED": (429, "rate_limit_error", "Too many requests"),
    "ALL_PROVIDERS_EXHAUSTED": (502, "api_error", "All providers failed to handle the request"),
    "UPSTREAM_ERROR": (502, "api_error", "The provider returned an error"),
    "INTERNAL_ERROR": (500, "api_error", "Internal server error"),
}
"""Code: HTTP status, type, message (lumenfall: errors). Lumenfall's pages disagree on the types but the first."""

_KEY = re.compile(r"lmnfl_([^\s.]+)\.[^\s.]+")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_RECORDED_HEADERS = ("user-agent", "content-type", "traceparent", "x-stainless-retry-count")


class LumenfallError(Exception):
    """An error response: `code` is a key of ERRORS."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known, self.type, text = ERRORS[code]
        super().__init__(code)
        self.code = code
        self.status = status or known
        self.message = message or text
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """`{"error": {message, type, code}}`"""
        return {"error": {"message": self.message, "type": self.type, "code": self.code}}

    def response(self, shape: str = "") -> web.Response:
        """The error as an HTTP response; `shape` "flat" or "nested": Lumenfall's older forms."""
        body = self.body
        if shape:
            flat = {"error_code": self.code, "message": self.message}
            body = {"error": flat} if shape == "nested" else flat
        return web.json_response(body, status=self.status, headers=self.headers)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of a multipart body."""

    field: str
    name: str
    content_type: str
    content: bytes

    def as_json(self) -> dict[str, Any]:
        """The file without its content, for the record."""
        return {
            "field": self.field,
            "name": self.name,
            "type": self.content_type,
            "bytes": len(self.content),
        }


@dataclass(slots=True)
class RequestBody:
    """A parsed body: values by name, files in the order sent, the size in bytes."""

    values: dict[str, Any]
    files: list[UploadedFile] = field(default_factory=list)
    size: int = 0


def key_id(request: web.Request, key: str | None) -> str | None:
    """The id part of a valid key; None: no valid key. With `key` None, any well-formed key is valid."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    match = _KEY.fullmatch(given)
    if scheme != "Bearer" or match is None or (key is not None and given != key):
        return None
    return match[1]


def trace_id(request: web.Request) -> str | None:
    """The trace id of a W3C `traceparent`; None: none, or a malformed one."""
    match = _TRACE.fullmatch(request.headers.get("traceparent", ""))
    return match[1] if match else None


def recorded_headers(request: web.Request) -> dict[str, str]:
    """The headers for the record, by lower-case name; never the key."""
    return {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower() in _RECORDED_HEADERS or name.lower().startswith("x-lumenfall-")
    }


async def json_body(request: web.Request) -> RequestBody:
    """A JSON object with the JSON content type; LumenfallError INVALID_REQUEST."""
    if request.content_type != "application/json":
        raise LumenfallError("INVALID_REQUEST", "Content-Type must be application/json")
    raw = await request.read()
    try:
        values = json.loads(raw)
    except ValueError as error:
        raise LumenfallError("INVALID_REQUEST", "Malformed JSON in request body") from error
    if not isinstance(values, dict):
        raise LumenfallError("INVALID_REQUEST", "Invalid input: expected object")
    return RequestBody(values, size=len(raw))


async def multipart_body(request: web.Request) -> RequestBody:
    """Texts and files of a multipart/form-data body; LumenfallError INVALID_REQUEST, also for JSON."""
    if request.content_type != "multipart/form-data":
        raise LumenfallError("INVALID_REQUEST", "Content-Type must be multipart/form-data")
    body = RequestBody({}, size=request.content_length or 0)
    try:
        form = await request.post()
    except ValueError as error:
        raise LumenfallError("INVALID_REQUEST", "Malformed multipart body") from error
    for name, part in form.items():
        if isinstance(part, web.FileField):
            with part.file:
                body.files.append(UploadedFile(name, part.filename, part.content_type, part.file.read()))
        elif isinstance(part, str) and name not in body.values:
            body.values[name] = part
        else:
            raise LumenfallError("INVALID_REQUEST", f"{name}: sent twice, or a file without a file name")
    return body
