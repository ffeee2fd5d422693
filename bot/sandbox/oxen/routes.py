"""Oxen's API except the submits: rows, cancel, costs, models, events (Oxen: inference API reference)."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from aiohttp import web

from bot.sandbox.kit.faults import ModelStrike
from bot.sandbox.oxen.events import Events
from bot.sandbox.oxen.models import model_objects
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.queue import Queue
from bot.sandbox.oxen.records import TERMINAL, Generation, User
from bot.sandbox.oxen.submit import check_known
from bot.sandbox.oxen.wire import bad_request, json_response, not_found, with_faults

_FILTERS = {
    "model": "model_name",
    "status": "status",
    "media_type": "media_type",
    "namespace": "target_namespace",
    "repo": "target_repo",
    "folder": "target_directory",
}
_PAGE_SIZE, _MOST_PER_PAGE = 50, 1_000


class Routes:
    """The calls that cost nothing. `user` returns the owner of a request's key, or raises OxenError 401."""

    def __init__(
        self,
        options: OxenOptions,
        queue: Queue,
        events: Events,
        user: Callable[[web.Request], User],
        strike: ModelStrike,
        now: Callable[[], float],
    ) -> None:
        self._options = options
        self._queue = queue
        self._events = events
        self._user = user
        self._strike = strike
        self._now = now

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        router = app.router
        router.add_get("/api/ai/queue", self.list_rows)
        router.add_get("/api/ai/queue/{generation_id}", self.show)
        router.add_delete("/api/ai/queue/{generation_id}", self.cancel)
        router.add_post("/api/ai/queue/{generation_id}/retry", self.retry)
        router.add_get("/api/ai/generations", self.history)
        router.add_get("/api/ai/generations/{generation_id}", self.details)
        router.add_get("/api/ai/models", self.list_models)
        router.add_get("/api/ai/models/search", self.list_models)
        router.add_get("/api/ai/models/{model}", self.show_model)
        router.add_get("/api/users/me", self.me)
        router.add_get("/api/events", self.listen)

    # ------------------------------------------------------------------------------------------------ rows

    async def list_rows(self, request: web.Request) -> web.StreamResponse:
        """GET /ai/queue: the active rows, or those of the status in the query."""
        user = self._user(request)
        rows = [row for row in self._matching(user, request) if row.via == "queue" and not self._gone(row)]
        if "status" not in request.query:
            rows = [row for row in rows if row.status not in TERMINAL]
        shown = [row.row(whole=self._options.whole_echo) for row in rows]
        return await with_faults(
            request, "list", self._strike, json_response({"count": len(shown), "generations": shown})
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /ai/queue/{id}."""
        row = self._find(request)
        row.counts["status"] += 1
        strike = partial(self._strike, model=row.model)
        row.gone = bool(strike("row_gone_done" if row.done else "row_gone_running"))
        if row.gone:
            raise not_found()
        return await with_faults(request, "status", strike, json_response(row.row(whole=self._options.whole_echo)))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """DELETE /ai/queue/{id}: 200 whatever the row's state, and a finished row stays as it is."""
        row = self._find(request)
        row.counts["cancel"] += 1
        self._queue.cancel(row)
        strike = partial(self._strike, model=row.model)
        if fault := strike("cancel_answer"):
            return json_response(fault.body, fault.status or 200)
        body = {"status": "success", "generation_id": row.generation_id}
        if strike("cancel_other"):
            body = {"generation_id": row.generation_id, "status": row.status}
        return await with_faults(request, "cancel", strike, json_response(body))

    async def retry(self, request: web.Request) -> web.StreamResponse:
        """POST /ai/queue/{id}/retry: cancel the row and queue a copy; not for a succeeded row."""
        row = self._find(request)
        if row.status == "succeeded":
            raise bad_request("Cannot retry a succeeded generation")
        fresh = self._queue.retry(row)
        old = {"retried_from_id": row.generation_id}
        return json_response({"generation_id": fresh.generation_id, "status": fresh.status, **old})

    def _find(self, request: web.Request) -> Generation:
        user = self._user(request)
        row = self._queue.generations.get(request.match_info["generation_id"])
        if row is None or row.user != user or self._gone(row):
            raise not_found()
        return row

    def _gone(self, row: Generation) -> bool:
        lifetime = self._options.row_ttl_seconds
        return row.gone or (lifetime is not None and self._now() - row.enqueued_at > lifetime)

    def _matching(self, user: User, request: web.Request) -> Iterable[Generation]:
        """The user's rows that match the query's filters, oldest first."""
        wanted = {field: request.query[name] for name, field in _FILTERS.items() if name in request.query}
        for row in self._queue.generations.values():
            shown = row.details() if row.user == user else {}
            if shown and all(shown[field] == value for field, value in wanted.items()):
                yield row

    # ------------------------------------------------------------------------------------- costs, account

    async def details(self, request: web.Request) -> web.StreamResponse:
        """GET /ai/generations/{id}: the row with its cost, also when the queue no longer lists the row."""
        user = self._user(request)
        row = self._queue.generations.get(request.match_info["generation_id"])
        if row is None or row.user != user:
            raise not_found()
        row.counts["details"] += 1
        envelope = {"status": "success", "status_message": "resource_found"}
        strike = partial(self._strike, model=row.model)
        return await with_faults(
            request, "cost", strike, json_response({"generation": self._priced(row), **envelope})
        )

    async def history(self, request: web.Request) -> web.StreamResponse:
        """GET /ai/generations: all rows, newest first, page by page."""
        user = self._user(request)
        rows = list(self._matching(user, request))[::-1]
        number = _number(request, "page", 1, 1_000_000)
        size = _number(request, "page_size", _PAGE_SIZE, _MOST_PER_PAGE)
        shown = [self._priced(row) for row in rows[(number - 1) * size : number * size]]
        costs = [row.cost for row in rows if row.cost is not None]
        body = {
            "count": len(shown),
            "generations": shown,
            "page_number": number,
            "page_size": size,
            "total_cost": str(sum(costs, Decimal(0))) if costs else None,
            "total_entries": len(rows),
            "total_pages": max(1, -(-len(rows) // size)),
        }
        return await with_faults(request, "cost", self._strike, json_response(body))

    def _priced(self, row: Generation) -> dict[str, Any]:
        shown = row.details(whole=self._options.whole_echo)
        if row.cost is not None and self._strike("cost_missing", row.model):
            shown["cost"] = None
        elif fault := self._strike("cost_garbage", row.model):
            shown["cost"] = "about four cents" if fault.body is None else fault.body
        return shown

    async def me(self, request: web.Request) -> web.StreamResponse:
        """GET /users/me: the owner of the key, and the credits left."""
        user = self._user(request)
        left = self._options.credits
        shown = {"id": user.user_id, "username": user.username, "credits": None if left is None else str(left)}
        body = {"user": shown, "status": "success", "status_message": "resource_found"}
        return await with_faults(request, "me", self._strike, json_response(body))

    # -------------------------------------------------------------------------------------- models, events

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        """GET /ai/models and /ai/models/search; needs no key."""
        self._check_key_if_given(request)
        wanted = request.query.get("search", "").lower()
        shown = [
            model
            for name, model in model_objects(self._options).items()
            if wanted in f"{name} {model['display_name']}".lower() and not self._strike("model_gone", name)
        ]
        return await with_faults(request, "models", self._strike, json_response({"object": "list", "data": shown}))

    async def show_model(self, request: web.Request) -> web.StreamResponse:
        """GET /ai/models/{id}, with the schema of its parameters; needs no key."""
        self._check_key_if_given(request)
        name = request.match_info["model"]
        check_known(name, self._strike)
        strike = partial(self._strike, model=name)
        return await with_faults(request, "models", strike, json_response(model_objects(self._options)[name]))

    def _check_key_if_given(self, request: web.Request) -> None:
        """OxenError 401 for a wrong key."""
        if "Authorization" in request.headers:
            self._user(request)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """GET /events."""
        return await self._events.stream(request, self._user(request))


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise bad_request(f"{name} must be an integer between 1 and {most}")
    return int(text)
