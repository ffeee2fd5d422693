"""POST images/generations and images/edits: from the wire to accepted work and back."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from bot.sandbox.kit.broken_answers import cut, drop, huge, page, truncated
from bot.sandbox.kit.faults import Fault
from bot.sandbox.lumenfall.execution import Gateway
from bot.sandbox.lumenfall.pictures import Inputs, inputs_of
from bot.sandbox.lumenfall.prices import components, total
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.schema import MODELS, ROUTES, ImageParameters, order_of
from bot.sandbox.lumenfall.stream import EventStream
from bot.sandbox.lumenfall.wire import (
    LumenfallError,
    json_body,
    kept_headers,
    multipart_body,
    trace_id,
    trickle,
)

_MEBIBYTE = 1024 * 1024
_LIVE = ("", "off", "record", "replay-or-live", "replay-or-record")
_MOCKED = ("mock", "replay-or-mock")
CheckKey = Callable[[web.Request], str]


class ImageRoutes:
    """The two endpoints. `check_key` gives the key's id, or raises a Failure."""

    def __init__(self, gateway: Gateway, check_key: CheckKey) -> None:
        self.submits = 0
        self._gateway = gateway
        self._check_key = check_key

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/openai/v1/images/{operation:generations|edits}", self.post)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """One request, from its key to its answer."""
        dry = request.query.get("dryRun", "").lower() in ("true", "1")
        self.submits += not dry
        record = GatewayRequest(
            operation=request.match_info["operation"],
            key_id=self._check_key(request),
            created_at=self._gateway.now(),
            headers=kept_headers(request),
            trace_id=trace_id(request),
        )
        headers = {"X-Lumenfall-Request-Id": record.request_id}
        try:
            answer = await (self._dry_run if dry else self._live)(request, record)
        except LumenfallError as failure:
            failure.headers.update(headers)
            if not dry and not record.accepted:
                record.fail(failure, self._gateway.now())
                self._gateway.history.add(record)
            raise
        if not answer.prepared and answer.headers.get("Content-Type", "").startswith("application/json"):
            answer.headers.update(headers)
        return answer

    async def _read(self, request: web.Request, record: GatewayRequest) -> tuple[ImageParameters, Inputs]:
        """What was asked for, and whether it can be had at all."""
        multipart = record.operation == "edits"
        sent = await (multipart_body if multipart else json_body)(request)
        record.note(sent)
        options = self._gateway.options
        order = record.order = order_of(sent, multipart=multipart, prompt_cap=options.prompt_cap)
        prefix, _, model = order.model.rpartition("/")
        if self._strike("model_not_found", record):
            raise LumenfallError("MODEL_NOT_FOUND", f"Model '{order.model}' not found")
        if model not in MODELS or (prefix and (prefix not in ROUTES or not options.accepts_prefix)):
            raise LumenfallError("MODEL_NOT_FOUND", f"Model '{order.model}' not found")
        if self._strike("model_disabled", record):
            raise LumenfallError("MODEL_DISABLED", f"Model '{order.model}' is currently disabled")
        inputs = await inputs_of(sent.files, self._gateway.executor) if multipart else Inputs()
        parts = components(order, order.pixels(inputs.size), len(inputs.sources), order.n)
        record.estimate_micros = total(parts)
        record.route = self._gateway.route_of(order)
        return order, inputs

    def _strike(self, name: str, record: GatewayRequest) -> Fault | None:
        return self._gateway.strike(name, record.model)

    # -------------------------------------------------------------------------------------------- dry run

    async def _dry_run(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        """What it would cost (lumenfall: cost estimation)."""
        order, inputs = await self._read(request, record)
        micros = record.estimate_micros
        body: dict[str, Any] = {"estimated": True, "model": record.model, "provider": record.route}
        if self._gateway.options.dry_run_in_metadata:
            body["metadata"] = {"cost": micros / 1_000_000, "cost_currency": "USD", "provider": record.route}
        else:
            parts = components(order, order.pixels(inputs.size), len(inputs.sources), order.n)
            body |= {"total_cost_micros": micros, "currency": "USD", "components": parts}
        return await troubled(self._gateway, request, "dry_run", web.json_response(body), record.model)

    # ----------------------------------------------------------------------------------------- real runs

    async def _live(self, request: web.Request, record: GatewayRequest) -> web.StreamResponse:
        order, inputs = await self._read(request, record)
        # Replay is not for streams (lumenfall: recorder).
        replay = "" if order.stream else request.headers.get("X-Lumenfall-Replay", "")
        if replay in _MOCKED:
            body = await self._gateway.mock(record, order)
            return web.json_response(body, headers=self._headers(record))
        if replay == "replay-or-error":
            raise LumenfallError("RECORDING_NOT_FOUND")
        if replay not in _LIVE:
            raise LumenfallError("INVALID_REQUEST", "X-Lumenfall-Replay: unknown activation")
        if self._strike("refused", record):
            return await drop(request)
        if fault := self._strike("ingress", record):
            return page(fault.status or 502)
        self._may_submit(record)
        self._gateway.accept(record, order, inputs)
        try:
            return await self._answer(request, record, order, inputs)
        except asyncio.CancelledError:
            record.lost = True
            if self._gateway.options.cancels_on_disconnect and record.task is not None:
                record.task.cancel()
            raise
        finally:
            if record.finished.is_set():
                record.pictures = []

    def _may_submit(self, record: GatewayRequest) -> None:
        if fault := self._strike("invalid_request", record):
            raise LumenfallError("INVALID_REQUEST", None if fault.body is None else str(fault.body))
        if fault := self._strike("rate_limited", record):
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
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

    async def _answer(
        self, request: web.Request, record: GatewayRequest, order: ImageParameters, inputs: Inputs
    ) -> web.StreamResponse:
        if fault := self._strike("lost", record):
            await _wait(record.finished, fault.seconds)
            record.lost = True
            return await drop(request)
        if order.stream and self._gateway.options.streams:
            return await EventStream(self._gateway, record, order, inputs).answer(request, self._headers(record))
        await record.finished.wait()
        if record.failure is not None:
            raise record.failure
        answer = web.json_response(self._gateway.body(record, order, inputs), headers=self._headers(record))
        record.response_size = answer.content_length
        return await troubled(self._gateway, request, "answer", answer, record.model)

    def _headers(self, record: GatewayRequest) -> dict[str, str]:
        return {
            "X-Lumenfall-Provider": record.route,
            "X-Lumenfall-Model": str(record.model),
            "X-Lumenfall-Request-Id": record.request_id,
        }


async def troubled(
    gateway: Gateway, request: web.Request, kind: str, answer: web.Response, model: str | None = None
) -> web.StreamResponse:
    """The answer, or what the switches named `kind`_… make of it."""

    def struck(name: str) -> Fault | None:
        return gateway.strike(f"{kind}_{name}", model)

    if fault := struck("slow"):
        await asyncio.sleep(1 if fault.seconds is None else fault.seconds)
    if fault := struck("error"):
        raise LumenfallError("INTERNAL_ERROR", status=fault.status)
    if fault := struck("html"):
        return page(fault.status or 200)
    if fault := struck("odd"):
        return web.json_response(fault.body, status=fault.status or 200, headers=_lumenfalls(answer))
    if fault := struck("huge"):
        return huge(fault.size or 32 * _MEBIBYTE)
    if struck("truncated"):
        return truncated(answer)
    if struck("reset"):
        return await cut(request, answer)
    if fault := struck("trickle"):
        return await trickle(request, answer, fault.size or 64, fault.seconds or 0.2)
    if fault := struck("type"):
        answer.content_type = str(fault.body or "text/html")
    return answer


def _lumenfalls(answer: web.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("x-")}


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    if seconds is None:
        await event.wait()
    else:
        await asyncio.sleep(seconds)
