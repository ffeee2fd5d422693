"""Answers as fal writes them, and the ways in which an answer can be spoilt on the wire."""

import json
from typing import Any

from aiohttp import web

INGRESS_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


class Failure(Exception):
    """An answer that is an error: `body` is the JSON, `status` its HTTP code (fal: errors)."""

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

    def answer(self, request_id: str | None = None) -> web.Response:
        """The failure as an HTTP answer."""
        return reply(self.body, self.status, request_id=request_id, headers=self.headers)


def platform_failure(status: int, detail: str, error_type: str | None = None) -> Failure:
    """`{"detail": text, "error_type": …}` with X-Fal-Error-Type (fal: request errors)."""
    if error_type is None:
        return Failure(status, {"detail": detail})
    body = {"detail": detail, "error_type": error_type}
    return Failure(status, body, error_type=error_type, headers={"X-Fal-Error-Type": error_type})


def model_failure(status: int, detail: list[dict[str, Any]], *, units: int = 0) -> Failure:
    """`{"detail": [{loc, msg, type}]}` with X-Fal-Retryable (fal: model errors)."""
    headers = {
        "X-Fal-Retryable": "true" if status >= 500 else "false",
        "x-fal-billable-units": str(units),
    }
    return Failure(status, {"detail": detail}, error_type=str(detail[0]["type"]), headers=headers)


def reply(
    body: Any, status: int = 200, *, request_id: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """JSON, with x-fal-request-id when there is a request."""
    more = dict(headers or {})
    if request_id is not None:
        more["x-fal-request-id"] = request_id
    return web.json_response(body, status=status, headers=more)


def page(status: int) -> web.Response:
    """An HTML page where JSON was expected, without x-fal-request-id."""
    return web.Response(status=status, text=INGRESS_PAGE, content_type="text/html")


def truncated(answer: web.Response) -> web.Response:
    """The first half of a JSON answer, as if it were all of it."""
    body = _bytes(answer)
    return web.Response(
        status=answer.status, body=body[: len(body) // 2], content_type=answer.content_type, headers=_more(answer)
    )


def huge(size: int) -> web.Response:
    """A JSON answer of a little more than `size` bytes."""
    return reply({"images": [], "padding": "x" * size})


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without a byte of answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def cut(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Promise the whole body, send half of it, and reset the connection."""
    body = _bytes(answer)
    headers = {**_more(answer), "Content-Length": str(len(body))}
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_type = answer.content_type
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response


async def json_body(request: web.Request) -> Any:
    """The request's JSON; Failure 422 `json_invalid` as FastAPI answers it."""
    try:
        return json.loads(await request.read())
    except ValueError as error:
        detail = {
            "loc": ["body", 0],
            "msg": "JSON decode error",
            "type": "json_invalid",
            "ctx": {"error": str(error)},
        }
        raise model_failure(422, [detail]) from error


def _bytes(answer: web.Response) -> bytes:
    body = answer.body
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    raise TypeError("only plain bodies can be spoilt")


def _more(answer: web.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("x-fal")}
