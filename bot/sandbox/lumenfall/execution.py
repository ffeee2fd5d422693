"""Lumenfall from the inside: carries accepted work on a task of its own, whatever becomes of the connection."""

import asyncio
import base64
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from PIL import Image

from bot.sandbox import painter
from bot.sandbox.fal.files import FileStore, StoredFile
from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.kit.faults import Fault
from bot.sandbox.lumenfall.options import LumenfallOptions, PublicHosts
from bot.sandbox.lumenfall.pictures import Inputs, PaintJob, encoded, opened
from bot.sandbox.lumenfall.prices import components, total, usage
from bot.sandbox.lumenfall.records import GatewayRequest, History
from bot.sandbox.lumenfall.schema import ROUTES, ImageParameters
from bot.sandbox.lumenfall.wire import LumenfallError

_MODERATED = (
    "All providers failed. Last error: 400 Your request was rejected by the safety system. "
    "safety_violations=[violence] (moderation_blocked)"
)


class Gateway:
    """Takes orders that were accepted, has them painted, and bills them."""

    def __init__(
        self,
        options: LumenfallOptions,
        history: History,
        store: FileStore,
        executor: Executor,
        hosts: Callable[[], PublicHosts],
        now: Callable[[], float],
    ) -> None:
        self.options = options
        self.history = history
        self.store = store
        self.executor = executor
        self.now = now
        self._hosts = hosts
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all that still runs."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def strike(self, name: str, model: str | None = None) -> Fault | None:
        """The fault if it strikes this time."""
        return self.options.faults.strike(name, now=self.now(), endpoint=model)

    def route_of(self, order: ImageParameters) -> str:
        """Who executes: the prefix's provider, else the next in turn."""
        prefix = order.model.rpartition("/")[0]
        if prefix:
            return prefix
        self._turn += 1
        return self.options.routes[(self._turn - 1) % len(self.options.routes)]

    def accept(self, record: GatewayRequest, order: ImageParameters, inputs: Inputs) -> None:
        """Begin the work."""
        record.accepted = True
        self.history.add(record)
        record.task = asyncio.create_task(self._carry(record, order, inputs))
        self._tasks.add(record.task)
        record.task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------------------------------- the work

    async def _carry(self, record: GatewayRequest, order: ImageParameters, inputs: Inputs) -> None:
        try:
            await self._maybe_stuck(record)
            await self._run(record, order, inputs)
        except LumenfallError as failure:
            fault = self.strike("failure_billed", record.model)
            cost = (fault.size or 5_000) if fault else 0
            self.history.spent_micros += cost
            record.fail(failure, self.now(), cost=cost)
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

    async def _run(self, record: GatewayRequest, order: ImageParameters, inputs: Inputs) -> None:
        begun = time.monotonic()
        self._attempt(record)
        if failure := self._refusal(record, order):
            await asyncio.sleep(self.options.run_seconds)
            raise failure
        job = PaintJob.of(order, self.options, inputs)
        count = order.n
        if fault := self.strike("fewer_pictures", record.model):
            count = max(1, count - (fault.count or 1))
        loop = asyncio.get_running_loop()
        pictures = [loop.run_in_executor(self.executor, job.picture, index) for index in range(count)]
        record.pictures = list(await asyncio.gather(*pictures))
        record.pictures[0] = self._spoilt(record, order, record.pictures[0])
        record.painted.set()
        await asyncio.sleep(max(0.0, self.options.run_seconds - (time.monotonic() - begun)))
        cost = total(components(order, job.size, len(inputs.sources), count))
        self.history.spent_micros += cost
        if order.response_format == "url" or self.options.stores_payloads:
            self._publish(record, order)
        record.finish("completed", self.now(), cost=cost)

    def _attempt(self, record: GatewayRequest) -> None:
        if self.strike("failover", record.model):
            record.attempts.append({"provider": record.route, "status": "failed", "error": "UPSTREAM_ERROR"})
            others = [route for route in ROUTES if route != record.route]
            record.route = others[0]
        record.attempts.append({"provider": record.route, "status": "success"})

    def _refusal(self, record: GatewayRequest, order: ImageParameters) -> LumenfallError | None:
        def struck(name: str) -> Fault | None:
            return self.strike(name, record.model)

        def text(fault: Fault) -> str | None:
            return None if fault.body is None else str(fault.body)

        if fault := struck("content_policy"):
            return LumenfallError("CONTENT_POLICY_VIOLATION", text(fault))
        if any(word.lower() in order.prompt.lower() for word in self.options.forbidden):
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

    def _spoilt(self, record: GatewayRequest, order: ImageParameters, picture: bytes) -> bytes:
        if self.strike("not_a_picture", record.model):
            return b"<html>The picture could not be found</html>"
        if self.strike("wrong_type", record.model):
            return painter.encode(opened(picture), "png" if order.output_format == "jpeg" else "jpeg")
        if fault := self.strike("bomb", record.model):
            return bomb(fault.count or 30_000)
        return picture

    def _publish(self, record: GatewayRequest, order: ImageParameters) -> None:
        kind = order.output_format
        for picture in record.pictures:
            name = f"{secrets.token_hex(6)}.{kind}"
            path = self.store.new_path(name)
            expires = self.now() + self.options.url_seconds
            self.store.put(path, StoredFile(picture, f"image/{kind}", name, expires))
            record.paths.append(path)

    # ----------------------------------------------------------------------------------------- the answer

    def body(self, record: GatewayRequest, order: ImageParameters, inputs: Inputs) -> dict[str, Any]:
        """The JSON of a completed request (lumenfall: images)."""
        size = order.pixels(inputs.size)
        data = self._data(record, order)
        if data and self.options.revises_prompts:
            data[0]["revised_prompt"] = f"{order.prompt}, in fine detail"
        body: dict[str, Any] = {
            "id": record.request_id,
            "created": int(record.created_at),
            "size": f"{size[0]}x{size[1]}",
            "output_format": order.output_format,
            "data": data,
            "metadata": self.metadata(record),
        }
        if self.options.tells_usage:
            body["usage"] = usage(order, size, len(inputs.sources), len(data))
        if self.strike("no_metadata", record.model):
            del body["metadata"]
        elif fault := self.strike("garbage_cost", record.model):
            body["metadata"]["cost"] = "a lot" if fault.body is None else fault.body
        if self.strike("no_pictures", record.model):
            body["data"] = []
        elif self.strike("empty_item", record.model):
            body["data"][0] = {}
        return body

    async def mock(self, record: GatewayRequest, order: ImageParameters) -> dict[str, Any]:
        """A well-formed answer with placeholder pictures, at once and free (lumenfall: recorder)."""
        record.route, record.accepted = "mock", False
        size, kind = order.pixels(None), order.output_format
        placeholder = partial(encoded, Image.new("RGB", size, "grey"), kind)
        picture = await asyncio.get_running_loop().run_in_executor(self.executor, placeholder)
        record.pictures = [picture] * order.n
        if order.response_format == "url":
            self._publish(record, order)
        return self.body(record, order, Inputs())

    def metadata(self, record: GatewayRequest) -> dict[str, Any]:
        """Who did it and for how much (lumenfall: billing)."""
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
        """Where its pictures lie."""
        return [self._hosts().media + path for path in record.paths]

    def _data(self, record: GatewayRequest, order: ImageParameters) -> list[dict[str, Any]]:
        if fault := self.strike("foreign_picture", record.model):
            return [{"url": fault.url} for _ in record.pictures]
        if order.response_format == "b64_json":
            spoilt = self.strike("not_base64", record.model)
            return [{"b64_json": "%%%" if spoilt else b64(picture)} for picture in record.pictures]
        if order.sync_mode and record.route == "fal":
            head = f"data:image/{order.output_format};base64,"
            return [{"url": head + b64(picture)} for picture in record.pictures]
        return [{"url": link} for link in self.links(record)]


def b64(content: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(content).decode()
