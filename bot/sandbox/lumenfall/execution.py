"""How Lumenfall runs accepted requests: as background tasks that outlive the client's connection."""

import asyncio
import base64
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from PIL import Image

from bot.sandbox.kit.broken_answers import break_picture
from bot.sandbox.kit.faults import Fault, ModelStrike
from bot.sandbox.kit.files import FileStore, StoredFile
from bot.sandbox.kit.pictures import encode
from bot.sandbox.kit.tasks import BackgroundTasks
from bot.sandbox.lumenfall.models import MODELS, ROUTES
from bot.sandbox.lumenfall.models.base import Model, Part, Work, part, total
from bot.sandbox.lumenfall.options import LumenfallOptions
from bot.sandbox.lumenfall.pictures import Inputs, paint_job
from bot.sandbox.lumenfall.records import GatewayRequest, History
from bot.sandbox.lumenfall.schema import ImageParameters
from bot.sandbox.lumenfall.wire import LumenfallError

_MODERATED = (
    "All providers failed. Last error: 400 Your request was rejected by the safety system. "
    "safety_violations=[violence] (moderation_blocked)"
)


class Gateway:
    """Runs accepted requests, bills them, and writes their responses. `media_url`: base of the pictures' links."""

    def __init__(
        self,
        options: LumenfallOptions,
        history: History,
        store: FileStore,
        executor: Executor,
        media_url: Callable[[], str],
        now: Callable[[], float],
        strike: ModelStrike,
    ) -> None:
        self.options = options
        self.history = history
        self.store = store
        self.executor = executor
        self.now = now
        self.strike = strike
        self._media_url = media_url
        self._turn = 0
        self._tasks = BackgroundTasks()

    async def close(self) -> None:
        """Cancel the requests that are not finished."""
        await self._tasks.close()

    def route_of(self, model: Model, prefix: str) -> str:
        """The provider that runs the request: the one in the model's prefix, else the next in turn."""
        if prefix:
            return prefix
        routes = [route for route in self.options.routes if route in model.routes] or model.routes[:1]
        self._turn += 1
        return routes[(self._turn - 1) % len(routes)]

    def bill(self, record: GatewayRequest, params: ImageParameters, inputs: Inputs, count: int) -> list[Part]:
        """What `count` pictures cost, at the prices of today."""
        model = MODELS[str(record.model)]
        size, sources = model.pixels(params, inputs.size), inputs.sizes
        work = Work(size=size, count=count, route=record.route, sources=sources)
        factor = self.options.price_factors.get(model.model_id, 1.0)
        return [
            part(one["type"], one["metric"], one["quantity"], round(one["unit_price"] * 1_000_000 * factor))
            for one in model.components(params, work)
        ]

    def estimate(self, record: GatewayRequest, params: ImageParameters, inputs: Inputs) -> list[Part]:
        """What a dry run tells: the bill, unless another price of a picture is to be told."""
        told = self.options.told_prices.get(str(record.model))
        if isinstance(told, int | float):
            return [part("output", "image", params.n, round(told * 1_000_000))]
        return self.bill(record, params, inputs, params.n)

    def accept(self, record: GatewayRequest, params: ImageParameters, inputs: Inputs) -> None:
        """Start to run the request."""
        record.accepted = True
        self.history.add(record)
        record.task = self._tasks.start(self._process(record, params, inputs))

    # --------------------------------------------------------------------------------------------- running

    async def _process(self, record: GatewayRequest, params: ImageParameters, inputs: Inputs) -> None:
        try:
            await self._maybe_stuck(record)
            await self._run(record, params, inputs)
        except LumenfallError as error:
            fault = self.strike("failure_billed", record.model)
            cost = (fault.size or 5_000) if fault else 0
            self.history.spent_micros += cost
            record.fail(error, self.now(), cost=cost)
        except asyncio.CancelledError:
            record.finish("cancelled", self.now())
            raise
        except Exception:
            record.fail(LumenfallError("INTERNAL_ERROR"), self.now())
            raise

    async def _maybe_stuck(self, record: GatewayRequest) -> None:
        if fault := self.strike("stuck", record.model):
            record.status = "pending" if fault.body == "pending" else "processing"
            await asyncio.Event().wait()

    async def _run(self, record: GatewayRequest, params: ImageParameters, inputs: Inputs) -> None:
        begun = time.monotonic()
        self._record_attempts(record)
        if failure := self._refusal(record, params):
            await asyncio.sleep(self.options.run_seconds)
            raise failure
        job = paint_job(MODELS[str(record.model)], params, self.options, inputs)
        count = params.n
        if fault := self.strike("fewer_pictures", record.model):
            count = max(1, count - (fault.count or 1))
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self.executor, job.paint, index) for index in range(count)]
        pictures = await asyncio.gather(*work)
        strike = partial(self.strike, model=record.model)
        pictures[0] = break_picture(pictures[0], params.output_format, strike)
        record.pictures = [picture.content for picture in pictures]
        record.painted.set()
        await asyncio.sleep(max(0.0, self.options.run_seconds - (time.monotonic() - begun)))
        cost = total(self.bill(record, params, inputs, count))
        self.history.spent_micros += cost
        if params.response_format == "url" or self.options.stores_payloads:
            self._publish(record, params)
        record.finish("completed", self.now(), cost=cost)

    def _record_attempts(self, record: GatewayRequest) -> None:
        if self.strike("failover", record.model):
            record.attempts.append({"provider": record.route, "status": "failed", "error": "UPSTREAM_ERROR"})
            others = [route for route in MODELS[str(record.model)].routes if route != record.route]
            record.route = others[0] if others else record.route
        record.attempts.append({"provider": record.route, "status": "success"})

    def _refusal(self, record: GatewayRequest, params: ImageParameters) -> LumenfallError | None:
        def struck(name: str) -> Fault | None:
            return self.strike(name, record.model)

        def text(fault: Fault) -> str | None:
            return None if fault.body is None else str(fault.body)

        if fault := struck("content_policy"):
            return LumenfallError("CONTENT_POLICY_VIOLATION", text(fault))
        if any(word.lower() in params.prompt.lower() for word in self.options.forbidden):
            return LumenfallError("CONTENT_POLICY_VIOLATION")
        if fault := struck("hidden_moderation"):
            return LumenfallError("ALL_PROVIDERS_EXHAUSTED", text(fault) or _MODERATED)
        if fault := struck("exhausted"):
            return LumenfallError("ALL_PROVIDERS_EXHAUSTED", text(fault))
        if fault := struck("upstream_error"):
            return LumenfallError("UPSTREAM_ERROR", text(fault), status=fault.status)
        if fault := struck("internal_error"):
            return LumenfallError("INTERNAL_ERROR", text(fault), status=fault.status)
        return None

    def _publish(self, record: GatewayRequest, params: ImageParameters) -> None:
        kind = params.output_format
        for picture in record.pictures:
            name = f"{secrets.token_hex(6)}.{kind}"
            path = self.store.new_path(name)
            expires = self.now() + self.options.url_seconds
            self.store.put(path, StoredFile(picture, f"image/{kind}", name, expires))
            record.paths.append(path)

    # ------------------------------------------------------------------------------------------- responses

    def body(self, record: GatewayRequest, params: ImageParameters, inputs: Inputs) -> dict[str, Any]:
        """The JSON of a completed request (lumenfall: images)."""
        model = MODELS[str(record.model)]
        size = model.pixels(params, inputs.size)
        data = self._data(record, params)
        if data and self.options.revises_prompts:
            data[0]["revised_prompt"] = f"{params.prompt}, in fine detail"
        body: dict[str, Any] = {
            "id": record.request_id,
            "created": int(record.created_at),
            "size": f"{size[0]}x{size[1]}",
            "output_format": params.output_format,
            "data": data,
            "metadata": self.metadata(record),
        }
        work = Work(size=size, count=len(data), route=record.route, sources=inputs.sizes)
        if self.options.includes_usage and (counts := model.usage(params, work)):
            body["usage"] = counts
        if self.strike("no_metadata", record.model):
            del body["metadata"]
        elif fault := self.strike("garbage_cost", record.model):
            body["metadata"]["cost"] = "a lot" if fault.body is None else fault.body
        if self.strike("no_pictures", record.model):
            body["data"] = []
        elif self.strike("empty_item", record.model):
            body["data"][0] = {}
        return body

    async def mock(self, record: GatewayRequest, params: ImageParameters) -> dict[str, Any]:
        """The response of a mocked request: grey pictures, at once and free (lumenfall: recorder)."""
        record.route, record.accepted = "mock", False
        size, kind = MODELS[str(record.model)].pixels(params, None), params.output_format
        placeholder = partial(encode, Image.new("RGB", size, "grey"), kind)
        picture = await asyncio.get_running_loop().run_in_executor(self.executor, placeholder)
        record.pictures = [picture] * params.n
        if params.response_format == "url":
            self._publish(record, params)
        return self.body(record, params, Inputs())

    def metadata(self, record: GatewayRequest) -> dict[str, Any]:
        """The provider that ran the request, and the cost (lumenfall: billing)."""
        return {
            "model": record.model,
            "executed_model": f"{record.route}/{record.model}",
            "provider": record.route,
            "provider_name": ROUTES.get(record.route, "Mock"),
            "cost": record.cost_micros / 1_000_000,
            "cost_currency": "USD",
            "attempts": record.attempts,
        }

    def links(self, record: GatewayRequest) -> list[str]:
        """The links of the request's pictures."""
        return [self._media_url() + path for path in record.paths]

    def _data(self, record: GatewayRequest, params: ImageParameters) -> list[dict[str, Any]]:
        if fault := self.strike("foreign_picture", record.model):
            return [{"url": fault.url} for _ in record.pictures]
        if params.response_format == "b64_json":
            broken = self.strike("not_base64", record.model)
            return [{"b64_json": "%%%" if broken else b64(picture)} for picture in record.pictures]
        if params.sync_mode and record.route == "fal":
            head = f"data:image/{params.output_format};base64,"
            return [{"url": head + b64(picture)} for picture in record.pictures]
        return [{"url": link} for link in self.links(record)]


def b64(content: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(content).decode()
