"""The calls that cost money: the queue's submit, and the two that paint while one waits (Oxen: images)."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.kit.broken_answers import cut, drop, page, truncated
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.queue import NO_CREDIT, Queue
from bot.sandbox.oxen.records import User
from bot.sandbox.oxen.schema import MODELS, Model, problem
from bot.sandbox.oxen.wire import ModelStrike, OxenError, bad_request, fault_refusal, json_object, not_found, reply


class SubmitRoutes:
    """The HTTP side of what is to be painted. `user` tells whose key a request has, or refuses it."""

    def __init__(
        self, options: OxenOptions, queue: Queue, user: Callable[[web.Request], User], strike: ModelStrike
    ) -> None:
        self.count = 0
        """How often something was POSTed to be painted, accepted or not."""
        self._options = options
        self._queue = queue
        self._user = user
        self._strike = strike

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/api/ai/queue", self.enqueue)
        for prefix in ("/api/ai", "/api"):  # one of Oxen's pages has the edit call without /ai
            app.router.add_post(f"{prefix}/images/{{via:generate|edit}}", self.generate)

    async def enqueue(self, request: web.Request) -> web.StreamResponse:
        """POST /ai/queue: so many ids as pictures are wanted, the parameters not looked at yet."""
        self.count += 1
        user, body = self._user(request), await json_object(request)
        name = str(body.get("model"))
        if (refused := await self._refused(request, name)) is not None:
            return refused
        model = self._painting(body)
        count = body.get("num_generations", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 4:
            raise bad_request("num_generations must be an integer between 1 and 4")
        self._must_afford(model, body, count)
        rows = self._queue.accept(user, name, _own(body), count=count)
        status = "processing" if self._strike("submit_processing", name) else "queued"
        told = [{"generation_id": row.generation_id, "status": status} for row in rows]
        return await self._delivered(request, name, {"generations": told})

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """POST /ai/images/generate and /edit: one picture, while the caller waits; bad input is told at once."""
        self.count += 1
        via = request.match_info["via"]
        user, body = self._user(request), await json_object(request)
        name = str(body.get("model"))
        if (refused := await self._refused(request, name)) is not None:
            return refused
        model = self._painting(body)
        if (wrong := problem(model, _own(body), self._options)) is not None:
            raise bad_request(wrong)
        if via == "edit" and not body.get("input_image"):
            raise bad_request("input_image is required")
        self._must_afford(model, body, 1)
        (row,) = self._queue.accept(user, name, _own(body), via=via)
        await row.ended()
        if row.status != "succeeded":
            raise OxenError(row.error_status, "bad_request", row.error_message or "The generation was cancelled")
        image = {"url": row.result_url}
        if body.get("response_format") == "b64_json":
            image = {"b64_json": self._queue.picture(row)}
        answer = {"model": name, "created": int(row.completed_at or 0), "images": [image]}
        return await self._delivered(request, name, answer)

    async def _refused(self, request: web.Request, name: str) -> web.StreamResponse | None:
        """The answer of a switch that lets nothing in; None when none of them is on."""
        strike = partial(self._strike, model=name)
        if strike("submit_refused"):
            return await drop(request)
        if strike("submit_html"):
            return page(502)
        if fault := strike("submit_error"):
            raise fault_refusal(fault)
        if fault := strike("submit_rate_limited"):
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            raise OxenError(429, "too_many_requests", "Too many requests", headers=headers)
        if fault := strike("submit_empty"):
            return reply({"generations": [], "error": fault.body or "The generation could not be queued"})
        if fault := strike("no_credit"):
            raise OxenError(fault.status or 402, "insufficient_credits", NO_CREDIT)
        if fault := strike("no_credit_text"):
            return reply({"error": NO_CREDIT}, fault.status or 400)
        return None

    def _painting(self, body: dict[str, Any]) -> Model:
        """The model that is asked for; Refusal when there is none, or when it makes no pictures."""
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise bad_request("model is required")
        model = known_model(name, self._strike)
        if model.fields is None:
            raise OxenError(415, "unsupported_media_type", ":unsupported_media_type")
        return model

    def _must_afford(self, model: Model, body: dict[str, Any], count: int) -> None:
        left = self._options.credits
        if left is None:
            return
        # The parameters are not looked at yet, so the price may be that of a picture that cannot be.
        price = model.cost(_own(body), self._options) if problem(model, _own(body), self._options) is None else 0
        if left <= 0 or price * count > Decimal(str(left)):
            raise OxenError(402, "insufficient_credits", NO_CREDIT)

    async def _delivered(self, request: web.Request, name: str, body: dict[str, Any]) -> web.StreamResponse:
        """The answer to a submit that was accepted, or what becomes of it on its way."""
        strike = partial(self._strike, model=name)
        answer = reply(body)
        if fault := strike("submit_slow"):
            await asyncio.sleep(fault.seconds if fault.seconds is not None else 1)
        if strike("submit_lost"):
            return await drop(request)
        if fault := strike("submit_error_late"):
            raise fault_refusal(fault)
        if fault := strike("submit_odd"):
            return reply(fault.body, fault.status or 200)
        if strike("submit_reset"):
            return await cut(request, answer)
        return truncated(answer) if strike("submit_truncated") else answer


def known_model(name: str, strike: ModelStrike) -> Model:
    """The model of this id; Refusal when there is none, or no longer."""
    model = MODELS.get(name)
    if model is None or strike("model_gone", name):
        raise not_found(f"Model not found: {name}")
    return model


def _own(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "model"}
