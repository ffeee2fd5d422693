"""A stand-in for fal: its queue, storage, CDN, webhooks and platform API, spoken over a socket.

`async with FalSandbox() as sandbox:` serves at `sandbox.url`; `python -m bot.sandbox.fal` does the same as its
own process. `sandbox.faults` or POST /sandbox/faults turns faults on; `sandbox.requests` and GET /sandbox/state
show which requests came in.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.execution import RequestRunner
from bot.sandbox.fal.files import FileRoutes
from bot.sandbox.fal.options import FalOptions, PublicHosts
from bot.sandbox.fal.platform import PlatformRoutes
from bot.sandbox.fal.queue import Queue
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.routes import QueueRoutes
from bot.sandbox.fal.webhooks import Delivery, SigningKeys, Webhooks
from bot.sandbox.fal.wire import FalError
from bot.sandbox.kit.control import invalid_control
from bot.sandbox.kit.files import FileStore
from bot.sandbox.kit.inputs import InputPictures
from bot.sandbox.kit.server import Handler, StandIn, client_session


@dataclass(kw_only=True, eq=False)
class FalSandbox(FalOptions, StandIn):
    """The server. All options may be given by name."""

    hosts: PublicHosts | None = None
    """The bases of the URLs that the stand-in hands out; None: its own address."""

    service: ClassVar[str] = "fal"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keys = SigningKeys()

    async def _build(self, app: web.Application, stack: contextlib.AsyncExitStack) -> None:
        """Build the parts and register their routes; the queue's match every path, so they come last."""
        context = FalContext(self, lambda: self.hosts or PublicHosts.all_at(self.url), self.now, self.strike)
        executor, session = self._painter_threads(stack), await client_session(stack)
        self.files = FileStore(self.store_bytes)
        files = FileRoutes(context, self.files)
        self._webhooks = Webhooks(context, session, self._keys)
        stack.push_async_callback(self._webhooks.close)
        inputs = InputPictures(session, executor, lambda: self.url_map, files.own_file)
        runner = RequestRunner(context, self.files, inputs, executor)
        self._queue = Queue(context, runner, self._webhooks)
        stack.push_async_callback(self._queue.close)
        self._routes = QueueRoutes(context, self._queue)
        files.add_to(app)
        app.router.add_post("/sandbox/models", self._set_models)
        app.router.add_post("/sandbox/keys/rotate", self._rotate_keys)
        app.router.add_get("/.well-known/jwks.json", self._webhooks.jwks)
        PlatformRoutes(context).add_to(app)
        self._routes.add_to(app)

    @property
    def submits(self) -> int:
        """How many POSTs came to the queue, accepted or not."""
        return self._routes.submits

    @property
    def requests(self) -> Mapping[str, QueueRequest]:
        """The requests that the queue has accepted, oldest first, by request id."""
        return self._queue.requests

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The latest thousand attempts at webhooks, oldest first."""
        return tuple(self._webhooks.deliveries)

    def rotate_keys(self) -> None:
        """Webhooks are signed with a new key; the one before it stays published until the next rotation."""
        self._keys.rotate()

    def _service_state(self) -> dict[str, Any]:
        return {
            "requests": [request.as_json() for request in self.requests.values()],
            "submits": self.submits,
            "accepted": len(self.requests),
            "duplicates": self._queue.duplicates(),
            "deliveries": [delivery.as_json() for delivery in self.deliveries],
            "models": {"deprecated": dict(self.deprecated), "gone": dict(self.gone)},
            "files": self.files.as_json(),
        }

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except FalError as error:
            return error.response(request.match_info.get("request_id"))

    # ---------------------------------------------------------------------------------- control by HTTP

    async def _set_models(self, request: web.Request) -> web.StreamResponse:
        """{"deprecated": {endpoint: ISO date}, "gone": {…}}; each replaces the whole list."""
        try:
            body = await request.json()
            deprecated, gone = (_dates(body.get(name)) for name in ("deprecated", "gone"))
        except (AttributeError, ValueError, TypeError) as error:
            return invalid_control(error)
        self.deprecated = self.deprecated if deprecated is None else deprecated
        self.gone = self.gone if gone is None else gone
        return web.json_response({"deprecated": dict(self.deprecated), "gone": dict(self.gone)})

    async def _rotate_keys(self, _: web.Request) -> web.StreamResponse:
        """A new key signs the webhooks; the response is the new key set."""
        self._keys.rotate()
        return web.json_response(self._keys.as_json())


def _dates(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    return {str(endpoint): date.fromisoformat(day).isoformat() for endpoint, day in dict(value).items()}
