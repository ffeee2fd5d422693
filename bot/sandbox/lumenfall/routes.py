"""POST images/generations and images/edits: read the request, run it or estimate its cost, respond."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.kit.broken_answers import break_response, drop, html_page
from bot.sandbox.kit.faults import Fault
from bot.sandbox.lumenfall.execution import Gateway
from bot.sandbox.lumenfall.models import MODELS, model_id, requested_model
from bot.sandbox.lumenfall.models.base import total
from bot.sandbox.lumenfall.pictures import Inputs, load_inputs
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.schema import ImageParameters
from bot.sandbox.lumenfall.stream import EventStream
from bot.sandbox.lumenfall.wire import (
    LumenfallError,
    json_body,
    multipart_body,
    recorded_headers,
    trace_id,
)

_LIVE = ("", "off", "record", "replay-or-live", "replay-or-record")
_MOCKED = ("mock", "replay-or-mock")
CheckKey = Callable[[web.Request], str]


class ImageRoutes:
    """The two endpoints. `check_key` returns the key's id, or raises LumenfallError."""

    def __init__(self, gateway: Gateway, check_key: CheckKey) -> None:
        self.submits = 0
        self._gateway = gateway
        self._check_key = check_key

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/openai/v1/images/{operation:generations|edits}", self.post)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Check the key, then run the request or estimate its cost."""
        dry = request.query.get("dryRun", "").lower() in ("true", "1")
        self.submits += not dry
        record = GatewayRequest(
            operation=request.match_info["operation"],
            key_id=self._check_key(request),
            created_at=self._gateway.now(),
            headers=recorded_headers(request),
            trace_id=trace_id(request),
        )
        headers = {"X-Lumenfall-Request-Id": record.request_id}
        try:
            response = await (self._dry_run if dry else self._live)(request, record)
        except LumenfallError as error:
            error.headers.update(headers)
            if not dry and not record.accepted:
                record.fail(error, self._gateway.now())
                self._gateway.history.add(record)
            raise
        if not response.prepared and response.headers.get("Content-Type", "").startswith("application/json"):
            response.headers.update(headers)
        return response

    async def _read(self, request: web.Request, record: GatewayRequest) -> tuple[ImageParameters, Inputs]:
        """The parameters and inputs of the request. LumenfallError when Lumenfall would not run it."""
        multipart = record.operation == "edits"
        body = await (multipart_body if multipart else json_body)(request)
        record.record_body(body)
        options, name = self._gateway.options, requested_model(body)
        prefix, _, bare = name.rpartition("/")
        record.model = model_id(bare)
        model = MODELS.get(record.model)
        if self._strike("model_not_found", record) or model is None:
            raise LumenfallError("MODEL_NOT_FOUND", f"Model '{name}' not found")
        if prefix and (prefix not in model.routes or not options.accepts_prefix):
            raise LumenfallError("MODEL_NOT_FOUND", f"Model '{name}' not found")
        if self._strike("model_disabled", record):
            raise LumenfallError("MODEL_DISABLED", f"Model '{name}' is currently disabled")
        dropped = options.dropped_fields.get(record.model, ())
        params = record.params = model.parse(
            body, multipart=multipart, prompt_cap=options.prompt_cap, dropped=dropped
        )
        inputs = await load_inputs(body.files, model, self._gateway.executor) if multipart else Inputs()
        record.route = self._gateway.route_of(model, prefix)
        record.estimate_micros = total(self._gateway.bill(record, params, inputs, params.n))
        return params, inputs

    def _strike(self, name: str, record: GatewayRequest) -> Fault | None:
        return self._gateway.strike(name, record.model)

    # -------------------------------------------------------------------------------------------- dry run

    async def _dry_run(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        """The estimated cost (lumenfall: cost estimation)."""
        params, inputs = await self._read(request, record)
        parts = self._gateway.estimate(record, params, inputs)
        body: dict[str, Any] = {"estimated": True, "model": record.model, "provider": record.route}
        if self._gateway.options.dry_run_in_metadata:
            cost = total(parts) / 1_000_000
            body["metadata"] = {"cost": cost, "cost_currency": "USD", "provider": record.route}
        else:
            body |= {"total_cost_micros": total(parts), "currency": "USD", "components": parts}
        return await with_faults(self._gateway, request, "dry_run", web.json_response(body), record.model)

    # ----------------------------------------------------------------------------------------- real runs

    async def _live(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        params, inputs = await self._read(request, record)
        # The recorder does not replay streams (lumenfall: recorder).
        replay = "" if params.stream else request.headers.get("X-Lumenfall-Replay", "")
        if replay in _MOCKED:
            body = await self._gateway.mock(record, params)
            return web.json_response(body, headers=self._headers(record))
        if replay == "replay-or-error":
            raise LumenfallError("RECORDING_NOT_FOUND")
        if replay not in _LIVE:
            raise LumenfallError("INVALID_REQUEST", "X-Lumenfall-Replay: unknown activation")
        if self._strike("refused", record):
            return await drop(request)
        if fault := self._strike("ingress", record):
            return html_page(fault.status or 502)
        self._check_may_submit(record)
        self._gateway.accept(record, params, inputs)
        try:
            return await self._wait_and_respond(request, record, params, inputs)
        except asyncio.CancelledError:
            record.lost = True
            if self._gateway.options.cancels_on_disconnect and record.task is not None:
                record.task.cancel()
            raise
        finally:
            if record.finished.is_set():
                record.pictures = []

    def _check_may_submit(self, record: GatewayRequest) -> None:
        if fault := self._strike("invalid_request", record):
            raise LumenfallError("INVALID_REQUEST", None if fault.body is None else str(fault.body))
        if fault := self._strike("rate_limited", record):
            headers = fault.retry_headers
            raise LumenfallError("RATE_LIMITED", headers=headers)
        if fault := self._strike("insufficient_balance", record):
            raise LumenfallError("INSUFFICIENT_BALANCE", None if fault.body is None else str(fault.body))
        paid_in = self._gateway.options.balance
        if paid_in is None:
            return
        left, needed = self._gateway.history.available_micros(paid_in), record.estimate_micros
        if left < needed:
            text = f"${needed / 1e6:.2f} required, ${max(left, 0) / 1e6:.2f} available"
            raise LumenfallError("INSUFFICIENT_BALANCE", f"Insufficient balance: {text}")

    async def _wait_and_respond(
        self, request: web.Request, record: GatewayRequest, params: ImageParameters, inputs: Inputs
    ) -> web.StreamResponse:
        if fault := self._strike("lost", record):
            await _wait(record.finished, fault.seconds)
            record.lost = True
            return await drop(request)
        if params.stream and self._gateway.options.streams:
            return await EventStream(self._gateway, record, params, inputs).respond(request, self._headers(record))
        await record.finished.wait()
        if record.failure is not None:
            raise record.failure
        response = web.json_response(self._gateway.body(record, params, inputs), headers=self._headers(record))
        record.response_size = response.content_length
        return await with_faults(self._gateway, request, "answer", response, record.model)

    def _headers(self, record: GatewayRequest) -> dict[str, str]:
        return {
            "X-Lumenfall-Provider": record.route,
            "X-Lumenfall-Model": str(record.model),
            "X-Lumenfall-Request-Id": record.request_id,
        }


async def with_faults(
    gateway: Gateway, request: web.Request, kind: str, response: web.Response, model: str | None = None
) -> web.StreamResponse:
    """The response, or what the faults named `kind`_… turn it into."""
    strike = partial(gateway.strike, model=model)
    return await break_response(request, response, kind=kind, strike=strike, error=_internal_error)


def _internal_error(fault: Fault) -> LumenfallError:
    return LumenfallError("INTERNAL_ERROR", status=fault.status)


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    if seconds is None:
        await event.wait()
    else:
        await asyncio.sleep(seconds)
