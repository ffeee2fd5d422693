"""A stand-in for Lumenfall: its OpenAI-like image endpoints, its own API and its media host, over a socket.

`async with LumenfallSandbox() as sandbox:` serves at `sandbox.url`; `python -m bot.sandbox.lumenfall` does the
same as its own process. What goes wrong is steered by `sandbox.faults` or by POST /sandbox/faults; what was asked
of it is in `sandbox.requests` and at GET /sandbox/state.
"""

import argparse
import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from bot.sandbox.fal import files as fal_files
from bot.sandbox.kit import server as serving
from bot.sandbox.lumenfall.account import AccountRoutes
from bot.sandbox.lumenfall.execution import Gateway
from bot.sandbox.lumenfall.options import LumenfallOptions, PublicHosts
from bot.sandbox.lumenfall.records import GatewayRequest, History
from bot.sandbox.lumenfall.routes import ImageRoutes
from bot.sandbox.lumenfall.schema import ROUTES
from bot.sandbox.lumenfall.wire import LumenfallError, key_id

_BODY_LIMIT = 1024 * 1024 * 1024


@dataclass(kw_only=True, eq=False)
class LumenfallSandbox(LumenfallOptions):
    """The server. All options may be given by name; `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    """Serve TLS, with a certificate for the hosts that clients will ask for."""
    hosts: PublicHosts | None = None
    """What the pictures' links begin with; None: its own address."""

    def __post_init__(self) -> None:
        self.url = ""
        """Its own address, once it is open: scheme, host and port."""
        self.calls: deque[dict[str, Any]] = deque(maxlen=serving.CALLS_KEPT)
        """The latest HTTP calls: time, method, path, query, host, scheme of their Authorization, and status.

        A status of None: the connection was gone before the answer was.
        """
        self.history = History()
        self._ahead_of_time = 0.0
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            store = self._store = fal_files.FileStore(self.store_bytes)
            executor = ThreadPoolExecutor(2, "lumenfall-painter")
            stack.push_async_callback(asyncio.to_thread, executor.shutdown)
            gateway = Gateway(self, self.history, store, executor, self._public, self.now)
            stack.push_async_callback(gateway.close)
            self._images = ImageRoutes(gateway, self._check_key)
            application = self._application(gateway)
            self.port, self.url = await serving.listen(stack, application, self.host, self.port, self.ssl_context)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base_url."""
        return f"{self.url}/openai/v1"

    @property
    def native_url(self) -> str:
        """Where Lumenfall's own API begins."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> Mapping[str, GatewayRequest]:
        """What was accepted, oldest first, by request id. The refused ones are in `history.records` only."""
        return self.history.accepted

    @property
    def submits(self) -> int:
        """How often pictures were asked for, accepted or not; dry runs do not count."""
        return self._images.submits

    def now(self) -> float:
        """Seconds since 1970 by the sandbox's clock: links, history and `since` go by it."""
        return time.time() + self._ahead_of_time

    def age(self, seconds: float) -> None:
        """Put that clock forward, so that links expire without waiting."""
        self._ahead_of_time += seconds

    def state(self) -> dict[str, Any]:
        """The JSON of GET /sandbox/state. Never a key, never a picture's bytes."""
        return {
            "requests": [record.as_json() for record in self.history.records.values()],
            "submits": self.submits,
            "accepted": len(self.requests),
            "billed_micros": self.history.spent_micros,
            "duplicates": self.history.duplicates(),
            "files": {"count": len(self._store), "bytes": self._store.held},
            "calls": list(self.calls),
            "faults": {key: value for key, value in self.faults.as_json().items() if key != "known"},
            "now": self.now(),
        }

    def _public(self) -> PublicHosts:
        return self.hosts or PublicHosts.all_at(self.url)

    def _application(self, gateway: Gateway) -> web.Application:
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[self._around])
        serving.Control(faults=self.faults, state=self.state, now=self.now, age=self.age).add_to(app)
        self._images.add_to(app)
        AccountRoutes(gateway, self._check_key).add_to(app)
        # Of fal's file routes only the download is Lumenfall's; the other arguments serve uploads.
        media = fal_files.FileRoutes(
            gateway.store,
            self.faults,
            lambda: fal_files.PublicHosts.all_at(self.url),
            self.now,
            lambda _: None,
        )
        app.router.add_get("/files/{path:.+}", media.download)
        app.router.add_route("*", "/{path:.*}", self._no_path)
        return app

    # ------------------------------------------------------------------------------------ around each call

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Turn failures into answers, and note the call."""
        status: int | None = None
        try:
            answer: web.StreamResponse = await handler(request)
            status = answer.status
        except LumenfallError as failure:
            fault = self.faults.strike("flat_errors", now=self.now())
            shape = "" if fault is None else str(fault.body or "flat")
            answer = failure.answer(shape)
            status = answer.status
        finally:
            if not request.path.startswith("/sandbox/"):
                gone = request.transport is None or request.transport.is_closing()
                call = serving.call_of(request, self.now(), None if gone else status)
                self.calls.append({**call, "query": dict(request.query)})
        return answer

    def _check_key(self, request: web.Request) -> str:
        found = key_id(request, self.key)
        if found is None or self.faults.strike("unauthorized", now=self.now()):
            raise LumenfallError("AUTHENTICATION_FAILED")
        return found

    async def _no_path(self, request: web.Request) -> web.StreamResponse:
        raise LumenfallError("NOT_FOUND", f"{request.method} {request.path} not found")


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = serving.parser("lumenfall", __doc__)
    parser.add_argument("--run-seconds", type=float, default=0.3)
    parser.add_argument("--balance", type=float, default=25.0, help="dollars that were paid in")
    parser.add_argument("--route", action="append", choices=ROUTES, help="who executes; in turn when repeated")
    parser.add_argument("--no-streams", action="store_true", help="ignore `stream: true`")
    return parser.parse_args(given)


async def serve(given: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    asked = _arguments(given)
    sandbox = LumenfallSandbox(
        host=asked.host,
        port=asked.port,
        key=asked.key,
        hosts=PublicHosts.all_at(asked.public_url.rstrip("/")) if asked.public_url else None,
        run_seconds=asked.run_seconds,
        balance=asked.balance,
        routes=tuple(asked.route or ("openai",)),
        picture_bytes=asked.picture_bytes,
        one_picture=asked.one_picture,
        streams=not asked.no_streams,
    )
    await serving.serve_until_stopped(sandbox, asked.seed)
