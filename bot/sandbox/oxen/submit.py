"""The calls that cost money: the queue's submit, and the two synchronous ones (Oxen: images)."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.kit.broken_answers import drop, html_page, reset_midway, truncated
from bot.sandbox.kit.faults import ModelStrike
from bot.sandbox.oxen.models import MODELS, TALKS
from bot.sandbox.oxen.models.base import Model, problem
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.queue import NO_CREDIT, Queue
from bot.sandbox.oxen.records import User
from bot.sandbox.oxen.wire import OxenError, bad_request, fault_error, json_object, json_response, not_found


class SubmitRoutes:
    """Submits. `user` returns the owner of a request's key, or raises OxenError 401."""

    def __init__(
        self, options: OxenOptions, queue: Queue, user: Callable[[web.Request], User], strike: ModelStrike
    ) -> None:
        self.count = 0
        """How many submits came, accepted or not."""
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
        """POST /ai/queue: one id for each picture; the parameters are checked when the row runs."""
        self.count += 1
        user, body = self._user(request), await json_object(request)
        name = str(body.get("model"))
        if (refusal := await self._refuse(request, name)) is not None:
            return refusal
        model = self._image_model(body)
        count = body.get("num_generations", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 4:
            raise bad_request("num_generations must be an integer between 1 and 4")
        self._check_credits(model, body, count)
        rows = self._queue.accept(user, name, _parameters(body), count=count)
        status = "processing" if self._strike("submit_processing", name) else "queued"
        shown = [{"generation_id": row.generation_id, "status": status} for row in rows]
        return await self._respond(request, name, {"generations": shown})

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """POST /ai/images/generate and /edit: one picture, in the response; the parameters are checked at once."""
        self.count += 1
        via = request.match_info["via"]
        user, body = self._user(request), await json_object(request)
        name = str(body.get("model"))
        if (refusal := await self._refuse(request, name)) is not None:
            return refusal
        model = self._image_model(body)
        if (wrong := problem(model, _parameters(body), self._options)) is not None:
            raise bad_request(wrong)
        if via == "edit" and not body.get("input_image"):
            raise bad_request("input_image is required")
        self._check_credits(model, body, 1)
        (row,) = self._queue.accept(user, name, _parameters(body), via=via)
        await row.ended()
        if row.status != "succeeded":
            raise OxenError(row.error_status, "bad_request", row.error_message or "The generation was cancelled")
        image = {"url": row.result_url}
        if body.get("response_format") == "b64_json":
            image = {"b64_json": self._queue.picture(row)}
        content = {"model": name, "created": int(row.completed_at or 0), "images": [image]}
        return await self._respond(request, name, content)

    async def _refuse(self, request: web.Request, name: str) -> web.StreamResponse | None:
        """The response of a fault that accepts nothing; None: no such fault strikes."""
        strike = partial(self._strike, model=name)
        if strike("submit_refused"):
            return await drop(request)
        if strike("submit_html"):
            return html_page(502)
        if fault := strike("submit_error"):
            raise fault_error(fault)
        if fault := strike("submit_rate_limited"):
            headers = fault.retry_headers
            raise OxenError(429, "too_many_requests", "Too many requests", headers=headers)
        if fault := strike("submit_empty"):
            return json_response({"generations": [], "error": fault.body or "The generation could not be queued"})
        if fault := strike("no_credit"):
            raise OxenError(fault.status or 402, "insufficient_credits", NO_CREDIT)
        if fault := strike("no_credit_text"):
            return json_response({"error": NO_CREDIT}, fault.status or 400)
        return None

    def _image_model(self, body: dict[str, Any]) -> Model:
        """The model in the request; OxenError when it is unknown or makes no pictures."""
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise bad_request("model is required")
        check_known(name, self._strike)
        if name in TALKS:
            raise OxenError(415, "unsupported_media_type", ":unsupported_media_type")
        return MODELS[name]

    def _check_credits(self, model: Model, body: dict[str, Any], count: int) -> None:
        left = self._options.credits
        if left is None:
            return
        # Invalid parameters have no price; the row will fail with them later.
        price = (
            model.cost(_parameters(body), self._options)
            if problem(model, _parameters(body), self._options) is None
            else 0
        )
        if left <= 0 or price * count > Decimal(str(left)):
            raise OxenError(402, "insufficient_credits", NO_CREDIT)

    async def _respond(self, request: web.Request, name: str, body: dict[str, Any]) -> web.StreamResponse:
        """The response to an accepted submit, or what the faults turn it into."""
        strike = partial(self._strike, model=name)
        response = json_response(body)
        if fault := strike("submit_slow"):
            await asyncio.sleep(fault.seconds_or(1))
        if strike("submit_lost"):
            return await drop(request)
        if fault := strike("submit_error_late"):
            raise fault_error(fault)
        if fault := strike("submit_odd"):
            return json_response(fault.body, fault.status or 200)
        if strike("submit_reset"):
            return await reset_midway(request, response)
        return truncated(response) if strike("submit_truncated") else response


def check_known(name: str, strike: ModelStrike) -> None:
    """OxenError 404 when the model is unknown or withdrawn."""
    if (name not in MODELS and name not in TALKS) or strike("model_gone", name):
        raise not_found(f"Model not found: {name}")


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "model"}
