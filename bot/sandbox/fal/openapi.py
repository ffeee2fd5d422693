"""The OpenAPI document of one endpoint, as the platform adds it to a model (fal: expand=openapi-3.0)."""

from typing import Any

from bot.sandbox.fal.prices import LISTINGS
from bot.sandbox.fal.schema import ENDPOINTS

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


def document(endpoint: str, queue_url: str) -> dict[str, Any]:
    """OpenAPI 3.0: submit, status, cancel, result, and the schemas of input and output."""
    model = ENDPOINTS[endpoint]
    wanted = model.model_json_schema(ref_template=_REF)
    schemas: dict[str, Any] = dict(wanted.pop("$defs", {}))
    entered, left = f"{model.__name__}Input", f"{model.__name__}Output"
    schemas |= {entered: {**wanted, "title": entered}, left: _output(endpoint, left), "ImageFile": _FILE}
    app = "/".join(endpoint.split("/")[:2])
    request = f"/{app}/requests/{{request_id}}"
    order = {"required": True, "content": _json(entered)}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {endpoint}",
            "version": "1.0.0",
            "x-fal-metadata": {"endpointId": endpoint, "category": LISTINGS[endpoint].category},
        },
        "servers": [{"url": queue_url}],
        "security": [{"apiKeyAuth": []}],
        "paths": {
            f"/{endpoint}": {"post": {"requestBody": order, "responses": _answers("The request status.", None)}},
            f"{request}/status": {"get": {"responses": _answers("The request status.", None)}},
            f"{request}/cancel": {"put": {"responses": _answers("The request was cancelled.", None)}},
            request: {"get": {"responses": _answers("Result of the request.", left)}},
        },
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "schemas": schemas,
        },
    }


def _output(endpoint: str, title: str) -> dict[str, Any]:
    has: dict[str, Any] = {"images": {"type": "array", "items": {"$ref": _REF.format(model="ImageFile")}}}
    if endpoint.endswith("/byok"):
        has["usage"] = {"type": "object"}
    return {"title": title, "type": "object", "required": list(has), "properties": has}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}


def _answers(text: str, schema: str | None) -> dict[str, Any]:
    content = _json(schema) if schema else {"application/json": {"schema": {"type": "object"}}}
    return {"200": {"description": text, "content": content}}
