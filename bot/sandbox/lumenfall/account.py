"""Lumenfall's other endpoints: models, balance, and the history of requests."""

from typing import Any

from aiohttp import web

from bot.sandbox.lumenfall.execution import Gateway
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.routes import CheckKey, troubled
from bot.sandbox.lumenfall.schema import MODELS, parameters
from bot.sandbox.lumenfall.wire import LumenfallError


class AccountRoutes:
    """What an account may read. `check_key` raises a Failure for a request without a good key."""

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
        self._may_ask(request, "models_error")
        data = [_model(model) for model in MODELS if not self._disabled(model)]
        return web.json_response({"object": "list", "data": data})

    async def model(self, request: web.Request) -> web.StreamResponse:
        """One model in OpenAI's form."""
        return web.json_response(_model(self._known(request)))

    async def schema(self, request: web.Request) -> web.StreamResponse:
        """One model in Lumenfall's own form, with its parameters when `schema=true`."""
        model = self._known(request)
        body: dict[str, Any] = {"id": model, "object": "model", "modality": "image"}
        if request.query.get("schema") == "true":
            body["schema"] = parameters()
        return web.json_response(body)

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """What is left (lumenfall: balance)."""
        self._may_ask(request, "balance_error")
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
        body = self._gateway.history.page(request.query, until=self._late(), stale=stale)
        return await troubled(self._gateway, request, "history", web.json_response(body))

    async def request(self, request: web.Request) -> web.StreamResponse:
        """One request (lumenfall: requests/get)."""
        found = self._find(request)
        body = found.as_record(stale=self._gateway.strike("history_stale") is not None)
        if self._gateway.options.stores_payloads:
            links = [{"url": link} for link in self._gateway.links(found)]
            body["payloads"] = {"request": found.fields, "response": {"data": links}} if links else None
        return await troubled(self._gateway, request, "history", web.json_response(body))

    async def purge(self, request: web.Request) -> web.StreamResponse:
        """Forget the bodies and the pictures of one request."""
        found = self._find(request)
        for path in found.paths:
            self._gateway.store.remove(path)
        found.paths.clear()
        found.fields = {}
        return web.json_response({"id": found.request_id, "object": "request.payloads", "deleted": True})

    def _may_ask(self, request: web.Request, switch: str) -> None:
        self._check_key(request)
        if fault := self._gateway.strike(switch):
            raise LumenfallError("INTERNAL_ERROR", status=fault.status)

    def _late(self) -> float | None:
        fault = self._gateway.strike("history_late")
        if fault is None:
            return None
        return self._gateway.now() - (60 if fault.seconds is None else fault.seconds)

    def _find(self, request: web.Request) -> GatewayRequest:
        self._check_key(request)
        found = self._gateway.history.records.get(request.match_info["request_id"])
        until = self._late()
        if found is None or (until is not None and found.created_at > until):
            raise LumenfallError("NOT_FOUND", "Request not found")
        return found

    def _disabled(self, model: str) -> bool:
        return self._gateway.strike("model_disabled", model) is not None

    def _known(self, request: web.Request) -> str:
        self._may_ask(request, "models_error")
        model = request.match_info["model"]
        if model not in MODELS or self._disabled(model):
            raise LumenfallError("MODEL_NOT_FOUND", f"Model '{model}' not found")
        return model


def _model(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": MODELS[model], "owned_by": "openai"}
