"""fal's platform API: models, their prices and OpenAPI documents, and the balance (fal: platform APIs, v1)."""

import base64
import uuid
from collections.abc import Collection
from typing import Any

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.models import ENDPOINTS
from bot.sandbox.fal.models.base import ImageInput
from bot.sandbox.fal.wire import FalError, json_response
from bot.sandbox.kit.broken_answers import html_page

_DOCS = "https://docs.fal.ai/platform-apis/errors"
_MOST_IDS, _PAGE = 50, 50
_QUANTITY = {"unit_price": "unit_quantity", "historical_api_price": "call_quantity"}
_CURRENCY = {"currency": "USD"}

_REF = "#/components/schemas/{model}"
_FILE = {
    "title": "ImageFile",
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string"},
        "content_type": {"type": "string"},
        "file_name": {"type": "string"},
        "file_size": {"type": "integer"},
        "file_data": {"type": "string", "format": "binary"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
    },
}


class PlatformRoutes:
    """The calls under /v1 (in reality on api.fal.ai), and the rest host's balance."""

    def __init__(self, context: FalContext) -> None:
        self._context = context

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        slash = "{slash:/?}"
        app.router.add_get(f"/v1/models{slash}", self.models)
        app.router.add_get(f"/v1/models/pricing{slash}", self.pricing)
        app.router.add_post(f"/v1/models/pricing/estimate{slash}", self.estimate)
        app.router.add_get(f"/billing/user_balance{slash}", self.balance)

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The models of `endpoint_id`, or all that match `status`, `category` and `q`. Needs no key."""
        if refusal := self._refuse(request, key_needed=False):
            return refusal
        ids, query = _ids(request), request.query
        endpoints = [self._known(endpoint) for endpoint in ids] or [
            one for one in ENDPOINTS if not self._gone(one)
        ]
        found = [self._model(request, endpoint) for endpoint in endpoints]
        if status := query.get("status"):
            found = [model for model in found if model["metadata"]["status"] == status]
        if category := query.get("category"):
            found = [model for model in found if model["metadata"]["category"] == category]
        if words := query.get("q", "").lower():
            found = [model for model in found if words in model["endpoint_id"].lower()]
        return json_response(_page(request, "models", found))

    async def pricing(self, request: web.Request) -> web.StreamResponse:
        """The price of one unit at each endpoint of `endpoint_id`."""
        if refusal := self._refuse(request):
            return refusal
        ids = _ids(request)
        if not ids:
            raise api_error(400, "validation_error", "endpoint_id is required")
        return json_response(_page(request, "prices", [self._price(self._known(endpoint)) for endpoint in ids]))

    async def estimate(self, request: web.Request) -> web.StreamResponse:
        """The cost of a number of units, or of calls."""
        if refusal := self._refuse(request):
            return refusal
        try:
            body = await request.json()
            kind, endpoints = str(body["estimate_type"]), dict(body["endpoints"])
            counts = {endpoint: float(each[_QUANTITY[kind]]) for endpoint, each in endpoints.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise api_error(400, "validation_error", f"Invalid request body: {type(error).__name__}") from error
        if not counts or min(counts.values()) < 0:
            raise api_error(400, "validation_error", "endpoints needs at least one quantity, none below 0")
        # fal averages past calls; the stand-in takes a call for one unit of the model's own.
        in_dollars = self._context.options.dollar_units and kind == "unit_price"
        one = {endpoint: 1.0 if in_dollars else self._unit_price(self._known(endpoint)) for endpoint in counts}
        total = sum(count * one[endpoint] for endpoint, count in counts.items())
        return json_response({"estimate_type": kind, "total_cost": round(total, 6), **_CURRENCY})

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """The balance: a bare number of US dollars."""
        self._context.check_key(request)
        if fault := self._context.strike("balance"):
            return json_response(fault.body, fault.status or 200)
        return json_response(self._context.options.balance)

    def _refuse(self, request: web.Request, *, key_needed: bool = True) -> web.StreamResponse | None:
        """FalError for an invalid key or by a fault; the HTML page of platform_html; None: serve the request."""
        if key_needed or "Authorization" in request.headers:
            try:
                self._context.check_key(request)
            except FalError as wrong:
                raise api_error(401, "authorization_error", "Authentication is required") from wrong
        if fault := self._context.strike("platform_rate_limited"):
            headers = fault.retry_headers
            raise api_error(429, "rate_limited", "Too many requests", headers)
        if fault := self._context.strike("platform_error"):
            text = str(fault.body or "An unexpected error occurred")
            raise api_error(fault.status or 500, fault.error_type or "server_error", text)
        return html_page(200) if self._context.strike("platform_html") else None

    def _gone(self, endpoint: str) -> bool:
        listed = not self._context.has_come(self._context.options.gone, endpoint)
        return not listed or self._context.strike("platform_gone", endpoint) is not None

    def _known(self, endpoint: str) -> str:
        if endpoint not in ENDPOINTS or self._gone(endpoint):
            raise api_error(404, "not_found", f"Endpoint not found: {endpoint}")
        return endpoint

    def _model(self, request: web.Request, endpoint: str) -> dict[str, Any]:
        listing = ENDPOINTS[endpoint]
        deprecated = self._context.has_come(self._context.options.deprecated, endpoint)
        deprecated = deprecated or self._context.strike("platform_deprecated", endpoint) is not None
        metadata: dict[str, Any] = {
            "display_name": listing.title,
            "category": listing.category,
            "description": f"{listing.title}: pictures from words",
            "status": "deprecated" if deprecated else "active",
            "tags": [],
            "updated_at": "2026-10-01T12:00:00Z",
            "is_favorited": None,
            "thumbnail_url": f"{self._context.hosts().cdn}/files/thumbnail.jpg",
            "model_url": f"https://fal.run/{endpoint}",
            "date": "2025-12-16T00:00:00Z",
            "highlighted": False,
            "pinned": False,
        }
        model: dict[str, Any] = {"endpoint_id": endpoint, "metadata": metadata}
        if "openapi-3.0" in _listed(request, "expand"):
            dropped = self._context.options.dropped_fields.get(endpoint, ())
            model["openapi"] = openapi_document(endpoint, self._context.hosts().queue, dropped)
        return model

    def _price(self, endpoint: str) -> dict[str, Any]:
        price, unit = self._unit_price(endpoint), ENDPOINTS[endpoint].unit
        if self._context.options.dollar_units:
            price, unit = 1.0, "units"
        return {"endpoint_id": endpoint, "unit_price": price, "unit": unit, **_CURRENCY}

    def _unit_price(self, endpoint: str) -> float:
        """US dollars; a unit that is a dollar cannot become dearer."""
        options, listing = self._context.options, ENDPOINTS[endpoint]
        told = options.told_prices.get(endpoint)
        if isinstance(told, int | float):
            return told
        return listing.unit_price * (1.0 if listing.unit == "units" else options.price_factors.get(endpoint, 1.0))


def api_error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> FalError:
    """`{"error": {type, message, docs_url, request_id}}` (fal: platform errors)."""
    body = {
        "type": kind,
        "message": message,
        "docs_url": f"{_DOCS}#{kind}",
        "request_id": f"req_{uuid.uuid4().hex}",
    }
    return FalError(status, {"error": body}, error_type=kind, headers=headers)


def _listed(request: web.Request, name: str) -> list[str]:
    """A query parameter that may be repeated, or hold several values with commas."""
    return [part for value in request.query.getall(name, []) for part in value.split(",") if part]


def _ids(request: web.Request) -> list[str]:
    ids = _listed(request, "endpoint_id")
    if len(ids) > _MOST_IDS:
        raise api_error(400, "validation_error", f"At most {_MOST_IDS} endpoint ids")
    return ids


def _page(request: web.Request, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of the items; the cursor is the page's number in base64."""
    try:
        limit = int(request.query.get("limit", _PAGE))
        cursor = request.query.get("cursor")
        number = int(base64.b64decode(cursor, validate=True)) if cursor else 1
    except ValueError as error:
        raise api_error(400, "validation_error", "Invalid limit or cursor") from error
    if limit < 1 or number < 1:
        raise api_error(400, "validation_error", "limit is at least 1")
    more = number * limit < len(items)
    following = base64.b64encode(str(number + 1).encode()).decode() if more else None
    return {name: items[(number - 1) * limit : number * limit], "next_cursor": following, "has_more": more}


# ------------------------------------------------------------------------------------------ OpenAPI


def openapi_document(endpoint: str, queue_url: str, dropped: Collection[str] = ()) -> dict[str, Any]:
    """OpenAPI 3.0: submit, status, cancel, result, and the schemas of input (without `dropped`) and output."""
    model = ENDPOINTS[endpoint].schema
    input_schema = model.model_json_schema(ref_template=_REF)
    input_schema["properties"] = {k: v for k, v in input_schema["properties"].items() if k not in dropped}
    schemas: dict[str, Any] = dict(input_schema.pop("$defs", {}))
    input_name, output_name = f"{model.__name__}Input", f"{model.__name__}Output"
    schemas |= {
        input_name: {**input_schema, "title": input_name},
        output_name: _output(model, output_name),
        "ImageFile": _FILE,
    }
    app = "/".join(endpoint.split("/")[:2])
    request = f"/{app}/requests/{{request_id}}"
    body = {"required": True, "content": _json(input_name)}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {endpoint}",
            "version": "1.0.0",
            "x-fal-metadata": {"endpointId": endpoint, "category": ENDPOINTS[endpoint].category},
        },
        "servers": [{"url": queue_url}],
        "security": [{"apiKeyAuth": []}],
        "paths": {
            f"/{endpoint}": {"post": {"requestBody": body, "responses": _responses("The request status.", None)}},
            f"{request}/status": {"get": {"responses": _responses("The request status.", None)}},
            f"{request}/cancel": {"put": {"responses": _responses("The request was cancelled.", None)}},
            request: {"get": {"responses": _responses("Result of the request.", output_name)}},
        },
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "schemas": schemas,
        },
    }


def _output(model: type[ImageInput], title: str) -> dict[str, Any]:
    has: dict[str, Any] = {"images": {"type": "array", "items": {"$ref": _REF.format(model="ImageFile")}}}
    has |= model.more_output
    return {"title": title, "type": "object", "required": list(has), "properties": has}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}


def _responses(text: str, schema: str | None) -> dict[str, Any]:
    content = _json(schema) if schema else {"application/json": {"schema": {"type": "object"}}}
    return {"200": {"description": text, "content": content}}
