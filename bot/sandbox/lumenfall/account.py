"""Lumenfall's models, balance, and history of requests."""

from typing import Any

from aiohttp import web

from bot.sandbox.lumenfall.execution import Gateway
from bot.sandbox.lumenfall.models import MODELS, model_id
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.routes import CheckKey, with_faults
from bot.sandbox.lumenfall.wire import LumenfallError


class AccountRoutes:
    """The calls about an account. `check_key` raises LumenfallError for a request without a valid key."""

    def __init__(self, gateway: Gateway, check_key: CheckKey) -> None:
        self._gateway = gateway
        self._check_key = check_key

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/openai/v1/models", self.models)
        app.router.add_get("/openai/v1/models/{model:.+}", self.model)
        app.router.add_get("/v1/models/{model:.+}", self.schema)
        app.router.add_get("/v1/balance", self.balance)
        app.router.add_get("/v1/requests", self.requests)
        app.router.add_get("/v1/requests/{request_id}", self.request)
        app.router.add_delete("/v1/requests/{request_id}/payloads", self.purge)

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The catalogue in OpenAI's form."""
        self._check_access(request, "models_error")
        data = [_model(model) for model in MODELS if not self._disabled(model)]
        return web.json_response({"object": "list", "data": data})

    async def model(self, request: web.Request) -> web.StreamResponse:
        """One model in OpenAI's form."""
        return web.json_response(_model(self._find_model(request)))

    async def schema(self, request: web.Request) -> web.StreamResponse:
        """One model in Lumenfall's own form, with its parameters when `schema=true`."""
        model = self._find_model(request)
        body: dict[str, Any] = {"id": model, "object": "model", "modality": "image"}
        if request.query.get("schema") == "true":
            body["schema"] = MODELS[model].schema(self._gateway.options.dropped_fields.get(model, ()))
        return web.json_response(body)

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """The money that is left (lumenfall: balance)."""
        self._check_access(request, "balance_error")
        paid_in, amount = self._gateway.options.balance, None
        if paid_in is not None:
            amount = self._gateway.history.available_micros(paid_in) / 1_000_000
        kind = "postpaid" if paid_in is None else "prepaid"
        available = {"amount": amount, "currency": "usd"}
        return web.json_response({"object": "balance", "billing_type": kind, "available": available})

    async def requests(self, request: web.Request) -> web.StreamResponse:
        """The history, newest first (lumenfall: requests/list)."""
        self._check_key(request)
        stale = self._gateway.strike("history_stale") is not None
        body = self._gateway.history.page(request.query, until=self._visible_until(), stale=stale)
        return await with_faults(self._gateway, request, "history", web.json_response(body))

    async def request(self, request: web.Request) -> web.StreamResponse:
        """One request (lumenfall: requests/get)."""
        found = self._find(request)
        body = found.as_record(stale=self._gateway.strike("history_stale") is not None)
        if self._gateway.options.stores_payloads:
            links = [{"url": link} for link in self._gateway.links(found)]
            body["payloads"] = {"request": found.fields, "response": {"data": links}} if links else None
        return await with_faults(self._gateway, request, "history", web.json_response(body))

    async def purge(self, request: web.Request) -> web.StreamResponse:
        """Delete the stored body and pictures of one request."""
        found = self._find(request)
        for path in found.paths:
            self._gateway.store.remove(path)
        found.paths.clear()
        found.fields = {}
        return web.json_response({"id": found.request_id, "object": "request.payloads", "deleted": True})

    def _check_access(self, request: web.Request, fault_name: str) -> None:
        """Check the key, then fail when the fault strikes."""
        self._check_key(request)
        if fault := self._gateway.strike(fault_name):
            raise LumenfallError("INTERNAL_ERROR", status=fault.status)

    def _visible_until(self) -> float | None:
        """Requests after this time, in seconds since 1970, are not listed yet; None: all are."""
        fault = self._gateway.strike("history_late")
        return None if fault is None else self._gateway.now() - fault.seconds_or(60)

    def _find(self, request: web.Request) -> GatewayRequest:
        self._check_key(request)
        found = self._gateway.history.records.get(request.match_info["request_id"])
        until = self._visible_until()
        if found is None or (until is not None and found.created_at > until):
            raise LumenfallError("NOT_FOUND", "Request not found")
        return found

    def _disabled(self, model: str) -> bool:
        return self._gateway.strike("model_disabled", model) is not None

    def _find_model(self, request: web.Request) -> str:
        self._check_access(request, "models_error")
        model = model_id(request.match_info["model"])
        if model not in MODELS or self._disabled(model):
            raise LumenfallError("MODEL_NOT_FOUND", f"Model '{model}' not found")
        return model


def _model(model: str) -> dict[str, Any]:
    known = MODELS[model]
    return {"id": model, "object": "model", "created": known.created, "owned_by": known.owner}
