"""A stand-in for Oxen.ai: its queue, events, synchronous calls and results, spoken over a socket.

`async with OxenSandbox() as sandbox:` serves at `sandbox.url` (the API at `sandbox.base_url`);
`python -m bot.sandbox.oxen` does the same as its own process. What goes wrong is steered by `sandbox.faults` or by
POST /sandbox/faults; what was asked of it is in `sandbox.generations` and at GET /sandbox/state.
"""

import argparse
import asyncio
import contextlib
import hmac
import secrets
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from aiohttp import web

from bot.sandbox.fal.options import FalOptions
from bot.sandbox.fal.pictures import Inputs
from bot.sandbox.kit import server as serving
from bot.sandbox.kit.faults import Fault
from bot.sandbox.oxen.events import Events
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.queue import Queue
from bot.sandbox.oxen.records import Generation, User
from bot.sandbox.oxen.results import Results
from bot.sandbox.oxen.routes import Routes
from bot.sandbox.oxen.submit import SubmitRoutes
from bot.sandbox.oxen.wire import OxenError, not_found

_BODY_LIMIT = 256 * 1024 * 1024
_GONE_AWAY = 499


@dataclass(kw_only=True, eq=False)
class OxenSandbox(OxenOptions):
    """The server. All options may be given by name; `port` and `elsewhere_port` 0 take a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    elsewhere_port: int = 0
    public_url: str | None = None
    """What the links that it hands out begin with; None: its own address."""

    def __post_init__(self) -> None:
        self.url = ""
        """Its own address, once it is open: scheme, host and port."""
        self.calls: deque[dict[str, Any]] = deque(maxlen=serving.CALLS_KEPT)
        """The latest HTTP calls: time, method, path, host, scheme of their Authorization, status."""
        self._ahead_of_time = 0.0
        self._users: dict[bytes, User] = {}
        self._secret = secrets.token_bytes(16)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            executor = ThreadPoolExecutor(2, "oxen-painter")
            stack.push_async_callback(asyncio.to_thread, executor.shutdown)
            timeout = aiohttp.ClientTimeout(total=20)
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            # Inputs wants no more of fal's options than the map; its own files cannot be had without a key.
            inputs = Inputs(FalOptions(url_map=self.url_map), session, executor, lambda _: None)
            self._results = Results(self, lambda: self.public_url or self.url, self.now, self._user)
            self._events = Events(self, self._strike)
            stack.push_async_callback(self._events.close)
            self._queue = Queue(self, self._results, inputs, executor, self._events.tell, self.now)
            stack.push_async_callback(self._queue.close)
            self._submits = SubmitRoutes(self, self._queue, self._user, self._strike)
            self._routes = Routes(self, self._queue, self._events, self._user, self._strike, self.now)
            self.elsewhere_port, self._results.elsewhere_url = await serving.listen(
                stack, self._results.elsewhere(), self.host, self.elsewhere_port
            )
            self.port, self.url = await serving.listen(stack, self._application(), self.host, self.port)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def base_url(self) -> str:
        """Where the API begins: `https://hub.oxen.ai/api` in real life."""
        return f"{self.url}/api"

    @property
    def generations(self) -> Mapping[str, Generation]:
        """The rows, oldest first, by id."""
        return self._queue.generations

    @property
    def submits(self) -> int:
        """How often something was POSTed to be painted, accepted or not."""
        return self._submits.count

    @property
    def listeners(self) -> int:
        """How many event streams are open."""
        return self._events.listeners

    @property
    def elsewhere_url(self) -> str:
        """The second listener, to which results_elsewhere sends the downloads."""
        return self._results.elsewhere_url

    @property
    def elsewhere_calls(self) -> list[dict[str, Any]]:
        """What was asked of the second listener: time, path, scheme of an Authorization that came."""
        return list(self._results.elsewhere_calls)

    @property
    def leaked_keys(self) -> int:
        """How often an Authorization came to the second listener."""
        return sum(call["authorization"] is not None for call in self._results.elsewhere_calls)

    def now(self) -> float:
        """Seconds since 1970 by the sandbox's clock: rows, links and `since` go by it."""
        return time.time() + self._ahead_of_time

    def age(self, seconds: float) -> None:
        """Put that clock forward, so that rows and links expire without waiting."""
        self._ahead_of_time += seconds

    def broadcast(self, event: str, data: Any) -> None:
        """Send an event to all who listen; `data` that is text goes out as it is, anything else as JSON."""
        for user in self._users.values():
            self._events.broadcast(user.user_id, event, data)

    def state(self) -> dict[str, Any]:
        """The JSON of GET /sandbox/state. Never a key, never a picture's bytes."""
        return {
            "generations": [generation.as_json() for generation in self.generations.values()],
            "submits": self.submits,
            "accepted": self._queue.batches,
            "duplicates": self._queue.duplicates(),
            "files": {"count": len(self._results.store), "bytes": self._results.store.held},
            "events": {"open": self.listeners, "opened": self._events.opened, "told": self._events.told},
            "elsewhere": {"calls": self.elsewhere_calls, "leaked_keys": self.leaked_keys},
            "calls": list(self.calls),
            "credits": self.credits,
            "faults": {key: value for key, value in self.faults.as_json().items() if key != "known"},
            "now": self.now(),
        }

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[self._around])
        self._submits.add_to(app)
        self._routes.add_to(app)
        self._results.add_to(app)
        serving.Control(faults=self.faults, state=self.state, now=self.now, age=self.age).add_to(app)
        app.router.add_route("*", "/{path:.*}", self._no_path)
        return app

    # ------------------------------------------------------------------------------------ around each call

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Turn refusals into answers, and note the call, also when the caller has gone away."""
        status = _GONE_AWAY
        try:
            try:
                answer: web.StreamResponse = await handler(request)
            except OxenError as refusal:
                answer = refusal.answer(self.error_shape)
            status = answer.status
        finally:
            if not request.path.startswith("/sandbox/"):
                self.calls.append(serving.call_of(request, self.now(), status))
        return answer

    def _user(self, request: web.Request) -> User:
        """Whose key it is; Refusal 401. Of the keys only a keyed digest is kept, to tell them apart."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        good = scheme == "Bearer" and token.strip() and self.key in (None, token)
        if not good or self._strike("unauthorized"):
            raise OxenError(401, "unauthenticated", "You must be logged in to access this resource")
        digest = hmac.digest(self._secret, token.encode(), "sha256")
        if digest not in self._users:
            number = len(self._users) + 1
            self._users[digest] = User(str(uuid.uuid4()), "easel" if number == 1 else f"easel-{number}")
        return self._users[digest]

    def _strike(self, name: str, model: str | None = None) -> Fault | None:
        return self.faults.strike(name, now=self.now(), endpoint=model)

    async def _no_path(self, _: web.Request) -> web.StreamResponse:
        raise not_found()


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = serving.parser("oxen", __doc__)
    parser.add_argument("--queue-seconds", type=float, default=0.2)
    parser.add_argument("--run-seconds", type=float, default=0.4)
    parser.add_argument("--credits", type=float, help="US dollars left (default: no end of them)")
    parser.add_argument("--results-elsewhere", action="store_true", help="send downloads to a second listener")
    parser.add_argument("--map", action="append", default=[], metavar="FROM=TO", help="where inputs really are")
    return parser.parse_args(given)


async def serve(given: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    asked = _arguments(given)
    sandbox = OxenSandbox(
        host=asked.host,
        port=asked.port,
        key=asked.key,
        public_url=asked.public_url.rstrip("/") if asked.public_url else None,
        queue_seconds=asked.queue_seconds,
        run_seconds=asked.run_seconds,
        credits=asked.credits,
        picture_bytes=asked.picture_bytes,
        one_picture=asked.one_picture,
        results_elsewhere=asked.results_elsewhere,
        url_map=dict(pair.split("=", 1) for pair in asked.map),
    )
    await serving.serve_until_stopped(sandbox, asked.seed)
