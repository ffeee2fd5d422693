"""A stand-in for fal: its queue, storage, CDN, webhooks and platform API, spoken over a socket.

`async with FalSandbox() as sandbox:` serves at `sandbox.url`; `python -m bot.sandbox.fal` does the same as its
own process. What goes wrong is steered by `sandbox.faults` or by POST /sandbox/faults; what was asked of it is in
`sandbox.requests` and at GET /sandbox/state.
"""

import argparse
import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.control import ControlRoutes
from bot.sandbox.fal.execution import RequestRunner
from bot.sandbox.fal.files import FileRoutes, FileStore, PublicHosts
from bot.sandbox.fal.options import FalOptions
from bot.sandbox.fal.pictures import Inputs
from bot.sandbox.fal.platform import PlatformRoutes
from bot.sandbox.fal.queue import Queue
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.routes import QueueRoutes
from bot.sandbox.fal.webhooks import Delivery, SigningKeys, Webhooks
from bot.sandbox.fal.wire import FalError
from bot.sandbox.kit import server as serving

_BODY_LIMIT = 256 * 1024 * 1024


@dataclass(kw_only=True, eq=False)
class FalSandbox(FalOptions):
    """The server. All options may be given by name; `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    """Serve TLS, with a certificate for the hosts that clients will ask for."""
    hosts: PublicHosts | None = None
    """What the URLs that it hands out begin with; None: its own address."""

    def __post_init__(self) -> None:
        self.url = ""
        """Its own address, once it is open: scheme, host and port."""
        self.calls: deque[dict[str, Any]] = deque(maxlen=serving.CALLS_KEPT)
        """The latest HTTP calls: time, method, path, host, scheme of their Authorization, status."""
        self._desk = FalContext(self, lambda: self.hosts or PublicHosts.all_at(self.url))
        self._keys = SigningKeys()
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            app = await self._furnish(stack)
            self.port, self.url = await serving.listen(stack, app, self.host, self.port, self.ssl_context)
            self._open = stack.pop_all()
        return self

    async def _furnish(self, stack: contextlib.AsyncExitStack) -> web.Application:
        """Build the parts, each closed by the stack, and give them their routes; the queue's come last."""
        desk, store = self._desk, FileStore(self.store_bytes)
        files = FileRoutes(store, self.faults, desk.hosts, desk.now, desk.check_key)
        executor = ThreadPoolExecutor(2, "fal-painter")
        stack.push_async_callback(asyncio.to_thread, executor.shutdown)
        timeout = aiohttp.ClientTimeout(total=20)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        self._webhooks = Webhooks(desk, session, self._keys)
        stack.push_async_callback(self._webhooks.close)
        work = RequestRunner(desk, store, Inputs(self, session, executor, files.read), executor)
        self._queue = Queue(desk, store, work, self._webhooks)
        stack.push_async_callback(self._queue.close)
        self._routes = QueueRoutes(desk, self._queue)
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[self._around])
        files.add_to(app)
        serving.Control(faults=self.faults, state=self.state, now=self.now, age=self.age).add_to(app)
        ControlRoutes(desk, self._keys).add_to(app)
        app.router.add_get("/.well-known/jwks.json", self._webhooks.published)
        PlatformRoutes(desk).add_to(app)
        self._routes.add_to(app)
        return app

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def submits(self) -> int:
        """How often something was POSTed to the queue, accepted or not."""
        return self._routes.submits

    @property
    def requests(self) -> Mapping[str, QueueRequest]:
        """What the queue has accepted, oldest first, by request id."""
        return self._queue.requests

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The latest thousand attempts at webhooks, oldest first."""
        return tuple(self._webhooks.deliveries)

    def now(self) -> float:
        """Seconds since 1970 by the sandbox's clock: retention, expiry and `since` go by it."""
        return self._desk.now()

    def age(self, seconds: float) -> None:
        """Put that clock forward, so that results expire without waiting."""
        self._desk.age(seconds)

    def rotate_keys(self) -> None:
        """Webhooks are signed with a new key; the one before it stays published until the next rotation."""
        self._keys.rotate()

    def state(self) -> dict[str, Any]:
        """The JSON of GET /sandbox/state. Never a key, never a picture's bytes."""
        return {
            "requests": [request.as_json() for request in self.requests.values()],
            "submits": self.submits,
            "accepted": len(self.requests),
            "duplicates": self._queue.duplicates(),
            "deliveries": [delivery.as_json() for delivery in self.deliveries],
            "models": {"deprecated": dict(self.deprecated), "gone": dict(self.gone)},
            "files": {"count": len(self._queue.files), "bytes": self._queue.files.held},
            "calls": list(self.calls),
            "faults": {key: value for key, value in self.faults.as_json().items() if key != "known"},
            "now": self.now(),
        }

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Turn failures into answers, and note the call."""
        try:
            answer: web.StreamResponse = await handler(request)
        except FalError as failure:
            answer = failure.answer(request.match_info.get("request_id"))
        if not request.path.startswith("/sandbox/"):
            self.calls.append(serving.call_of(request, self.now(), answer.status))
        return answer


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = serving.parser("fal", __doc__)
    parser.add_argument("--queue-seconds", type=float, default=0.2)
    parser.add_argument("--run-seconds", type=float, default=0.4)
    parser.add_argument("--map", action="append", default=[], metavar="FROM=TO", help="where inputs really are")
    return parser.parse_args(given)


async def serve(given: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    asked = _arguments(given)
    sandbox = FalSandbox(
        host=asked.host,
        port=asked.port,
        key=asked.key,
        hosts=PublicHosts.all_at(asked.public_url.rstrip("/")) if asked.public_url else None,
        queue_seconds=asked.queue_seconds,
        run_seconds=asked.run_seconds,
        picture_bytes=asked.picture_bytes,
        one_picture=asked.one_picture,
        url_map=dict(pair.split("=", 1) for pair in asked.map),
    )
    await serving.serve_until_stopped(sandbox, asked.seed)
