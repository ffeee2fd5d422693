"""JSON responses and errors in fal's form."""

import json
from typing import Any

from aiohttp import web

from bot.sandbox.kit.faults import Fault

LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


class FalError(Exception):
    """An error response: `body` is the JSON, `status` the HTTP status (fal: errors)."""

    def __init__(
        self,
        status: int,
        body: Any,
        *,
        error_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {error_type or ''}".strip())
        self.status = status
        self.body = body
        self.error_type = error_type
        self.headers = headers or {}

    def response(self, request_id: str | None = None) -> web.Response:
        """The error as an HTTP response."""
        return json_response(self.body, self.status, request_id=request_id, headers=self.headers)


def platform_error(
    status: int, detail: str, error_type: str | None = None, headers: dict[str, str] | None = None
) -> FalError:
    """`{"detail": text, "error_type": …}` with X-Fal-Error-Type (fal: request errors), and more `headers`."""
    if error_type is None:
        return FalError(status, {"detail": detail}, headers=headers)
    body = {"detail": detail, "error_type": error_type}
    more = {"X-Fal-Error-Type": error_type, **(headers or {})}
    return FalError(status, body, error_type=error_type, headers=more)


def model_error(status: int, detail: list[dict[str, Any]], *, units: int = 0) -> FalError:
    """`{"detail": [{loc, msg, type}]}` with X-Fal-Retryable (fal: model errors)."""
    headers = {
        "X-Fal-Retryable": "true" if status >= 500 else "false",
        "x-fal-billable-units": str(units),
    }
    return FalError(status, {"detail": detail}, error_type=str(detail[0]["type"]), headers=headers)


def problem(loc: list[str | int], message: str, kind: str, **more: Any) -> dict[str, Any]:
    """One entry of a `detail` list as the models themselves write it (fal: errors)."""
    url = f"https://docs.fal.ai/errors#{kind}"
    return {"loc": ["body", *loc], "msg": message, "type": kind, "url": url, **more}


def units_text(units: float) -> str:
    """x-fal-billable-units: whole numbers bare, others with 8 decimals (fal: billable units)."""
    return str(int(units)) if float(units).is_integer() else f"{units:.8f}"


def json_response(
    body: Any, status: int = 200, *, request_id: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """JSON, with x-fal-request-id when `request_id` is given."""
    more = dict(headers or {})
    if request_id is not None:
        more["x-fal-request-id"] = request_id
    return web.json_response(body, status=status, headers=more)


def odd_response(fault: Fault) -> web.Response:
    """What a fault says in place of a good response: a text as it is, else JSON."""
    status = fault.status or 200
    if isinstance(fault.body, str):
        return web.Response(text=fault.body, status=status, content_type="application/json")
    return json_response(fault.body, status)


async def json_body(request: web.Request) -> Any:
    """The request's JSON; FalError 422 `json_invalid` in FastAPI's form."""
    try:
        return json.loads(await request.read())
    except ValueError as error:
        detail = {
            "loc": ["body", 0],
            "msg": "JSON decode error",
            "type": "json_invalid",
            "ctx": {"error": str(error)},
        }
        raise model_error(422, [detail]) from error
