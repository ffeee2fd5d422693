"""fal's platform API: which models there are and what they cost, and the balance (fal: platform APIs, v1)."""

import base64
import uuid
from typing import Any

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.openapi import document
from bot.sandbox.fal.prices import LISTINGS
from bot.sandbox.fal.wire import FalError, reply
from bot.sandbox.kit.broken_answers import page

_DOCS = "https://docs.fal.ai/platform-apis/errors"
_MOST_IDS, _PAGE = 50, 50
_QUANTITY = {"unit_price": "unit_quantity", "historical_api_price": "call_quantity"}
_CURRENCY = {"currency": "USD"}


class PlatformRoutes:
    """The calls under /v1 (in reality on api.fal.ai), and the rest host's balance."""

    def __init__(self, desk: FalContext) -> None:
        self._desk = desk

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        slash = "{slash:/?}"
        app.router.add_get(f"/v1/models{slash}", self.models)
        app.router.add_get(f"/v1/models/pricing{slash}", self.pricing)
        app.router.add_post(f"/v1/models/pricing/estimate{slash}", self.estimate)
        app.router.add_get(f"/billing/user_balance{slash}", self.balance)

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The models asked for by `endpoint_id`, or all that fit `status`, `category` and `q`. Needs no key."""
        if trouble := self._trouble(request, key_needed=False):
            return trouble
        asked, query = _ids(request), request.query
        wanted = [self._known(endpoint) for endpoint in asked] or [one for one in LISTINGS if not self._gone(one)]
        found = [self._model(request, endpoint) for endpoint in wanted]
        if status := query.get("status"):
            found = [model for model in found if model["metadata"]["status"] == status]
        if category := query.get("category"):
            found = [model for model in found if model["metadata"]["category"] == category]
        if words := query.get("q", "").lower():
            found = [model for model in found if words in model["endpoint_id"].lower()]
        return reply(_page(request, "models", found))

    async def pricing(self, request: web.Request) -> web.StreamResponse:
        """The price of one unit of each endpoint asked for."""
        if trouble := self._trouble(request):
            return trouble
        asked = _ids(request)
        if not asked:
            raise failure(400, "validation_error", "endpoint_id is required")
        return reply(_page(request, "prices", [self._price(self._known(endpoint)) for endpoint in asked]))

    async def estimate(self, request: web.Request) -> web.StreamResponse:
        """What a number of units, or of calls, would cost."""
        if trouble := self._trouble(request):
            return trouble
        try:
            order = await request.json()
            kind, endpoints = str(order["estimate_type"]), dict(order["endpoints"])
            counts = {endpoint: float(each[_QUANTITY[kind]]) for endpoint, each in endpoints.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise failure(400, "validation_error", f"Invalid request body: {type(error).__name__}") from error
        if not counts or min(counts.values()) < 0:
            raise failure(400, "validation_error", "endpoints needs at least one quantity, none below 0")
        # There is no history here: a call is taken as one picture of default quality.
        one = {endpoint: LISTINGS[self._known(endpoint)].unit_price for endpoint in counts}
        if kind == "unit_price":
            one = {endpoint: float(self._price(endpoint)["unit_price"]) for endpoint in counts}
        total = sum(count * one[endpoint] for endpoint, count in counts.items())
        return reply({"estimate_type": kind, "total_cost": round(total, 6), **_CURRENCY})

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """A bare number of US dollars."""
        self._desk.check_key(request)
        if fault := self._desk.strike("balance"):
            return reply(fault.body, fault.status or 200)
        return reply(self._desk.options.balance)

    def _trouble(self, request: web.Request, *, key_needed: bool = True) -> web.StreamResponse | None:
        """Refuse a bad key; then what the switches say."""
        if key_needed or "Authorization" in request.headers:
            try:
                self._desk.check_key(request)
            except FalError as wrong:
                raise failure(401, "authorization_error", "Authentication is required") from wrong
        if fault := self._desk.strike("platform_rate_limited"):
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            raise failure(429, "rate_limited", "Too many requests", headers)
        if fault := self._desk.strike("platform_error"):
            text = str(fault.body or "An unexpected error occurred")
            raise failure(fault.status or 500, fault.error_type or "server_error", text)
        return page(200) if self._desk.strike("platform_html") else None

    def _gone(self, endpoint: str) -> bool:
        listed = not self._desk.has_come(self._desk.options.gone, endpoint)
        return not listed or self._desk.strike("platform_gone", endpoint) is not None

    def _known(self, endpoint: str) -> str:
        if endpoint not in LISTINGS or self._gone(endpoint):
            raise failure(404, "not_found", f"Endpoint not found: {endpoint}")
        return endpoint

    def _model(self, request: web.Request, endpoint: str) -> dict[str, Any]:
        listing = LISTINGS[endpoint]
        deprecated = self._desk.has_come(self._desk.options.deprecated, endpoint)
        deprecated = deprecated or self._desk.strike("platform_deprecated", endpoint) is not None
        metadata: dict[str, Any] = {
            "display_name": listing.title,
            "category": listing.category,
            "description": f"{listing.title}: pictures from words",
            "status": "deprecated" if deprecated else "active",
            "tags": [],
            "updated_at": "2026-10-01T12:00:00Z",
            "is_favorited": None,
            "thumbnail_url": f"{self._desk.hosts().cdn}/files/thumbnail.jpg",
            "model_url": f"https://fal.run/{endpoint}",
            "date": "2025-12-16T00:00:00Z",
            "highlighted": False,
            "pinned": False,
        }
        model: dict[str, Any] = {"endpoint_id": endpoint, "metadata": metadata}
        if "openapi-3.0" in _listed(request, "expand"):
            model["openapi"] = document(endpoint, self._desk.hosts().queue)
        return model

    def _price(self, endpoint: str) -> dict[str, Any]:
        if self._desk.options.dollar_units:
            return {"endpoint_id": endpoint, "unit_price": 1.0, "unit": "units", **_CURRENCY}
        return {
            "endpoint_id": endpoint,
            "unit_price": LISTINGS[endpoint].unit_price,
            "unit": "images",
            **_CURRENCY,
        }


def failure(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> FalError:
    """`{"error": {type, message, docs_url, request_id}}` (fal: platform errors)."""
    body = {
        "type": kind,
        "message": message,
        "docs_url": f"{_DOCS}#{kind}",
        "request_id": f"req_{uuid.uuid4().hex}",
    }
    return FalError(status, {"error": body}, error_type=kind, headers=headers)


def _listed(request: web.Request, name: str) -> list[str]:
    """A parameter that may come several times, or once with commas."""
    return [part for value in request.query.getall(name, []) for part in value.split(",") if part]


def _ids(request: web.Request) -> list[str]:
    asked = _listed(request, "endpoint_id")
    if len(asked) > _MOST_IDS:
        raise failure(400, "validation_error", f"At most {_MOST_IDS} endpoint ids")
    return asked


def _page(request: web.Request, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of them; the cursor is the page's number in base64."""
    try:
        limit = int(request.query.get("limit", _PAGE))
        cursor = request.query.get("cursor")
        number = int(base64.b64decode(cursor, validate=True)) if cursor else 1
    except ValueError as error:
        raise failure(400, "validation_error", "Invalid limit or cursor") from error
    if limit < 1 or number < 1:
        raise failure(400, "validation_error", "limit is at least 1")
    more = number * limit < len(items)
    following = base64.b64encode(str(number + 1).encode()).decode() if more else None
    return {name: items[(number - 1) * limit : number * limit], "next_cursor": following, "has_more": more}
