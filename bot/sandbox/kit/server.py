"""The base of the stand-ins for image services: options, clock, recorded calls, faults, opening and closing."""

import asyncio
import contextlib
import ssl
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import aiohttp
from aiohttp import web

from bot.sandbox.kit.catalog import CatalogRoutes, ToldPrice
from bot.sandbox.kit.control import ControlRoutes
from bot.sandbox.kit.faults import Fault, Faults

CALLS_KEPT = 5_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_AUTHORIZATION_SCHEMES = ("Key", "Bearer", "Basic")


@dataclass(kw_only=True, eq=False)
class StandInOptions:
    """The options that all stand-ins for services have; they may be changed while one runs."""

    key: str | None = None
    """The one API key that is accepted; None: any well-formed one."""
    run_seconds: float = 0.4
    """How long the service takes to generate."""
    forbidden: tuple[str, ...] = ("forbidden",)
    """Words in a prompt that the service's moderation refuses."""
    picture_bytes: int | None = None
    """PNGs and JPEGs are filled up to this many bytes."""
    one_picture: bool = False
    """Every generation of one size and format returns the same picture: painted once, for benchmarks."""
    store_bytes: int = 256 * 1024 * 1024
    """The most bytes of files held in memory; the oldest are dropped first. Read once, at start."""
    price_factors: Mapping[str, float] = field(default_factory=dict)
    """Model or endpoint ids, and how many times dearer they have become: what is told and what is billed."""
    told_prices: Mapping[str, ToldPrice] = field(default_factory=dict)
    """Model or endpoint ids, and the price that is told in place of the one that is billed."""
    dropped_fields: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Model or endpoint ids, and the optional fields that they have lost: gone from the schema, and unknown."""
    faults: Faults


@dataclass(kw_only=True, eq=False)
class StandIn(StandInOptions, ABC):
    """A service's stand-in, served over a socket from `__aenter__` to `__aexit__`."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    ssl_context: ssl.SSLContext | None = None
    """Serve TLS, with a certificate for the hosts that clients will ask for."""

    service: ClassVar[str]
    """The service's name, for its threads."""
    largest_request: ClassVar[int] = 256 * 1024 * 1024
    """Bytes of a request body; beyond: 413."""

    def __post_init__(self) -> None:
        self.url = ""
        """The stand-in's own address, once it is open: scheme, host and port."""
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        """The latest HTTP calls: time, method, path, query, host, scheme of their Authorization, status.

        A status of None: the connection closed before the response was sent.
        """
        self._clock_ahead = 0.0
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            app = web.Application(client_max_size=self.largest_request, middlewares=[self._handle_call])
            ControlRoutes(faults=self.faults, state=self.state, now=self.now, age=self.age).add_to(app)
            CatalogRoutes(self).add_to(app)
            await self._build(app, stack)
            self.port, self.url = await listen(stack, app, self.host, self.port, self.ssl_context)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @abstractmethod
    async def _build(self, app: web.Application, stack: contextlib.AsyncExitStack) -> None:
        """Build the parts, each closed by the stack, and register their routes."""

    @abstractmethod
    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's response, or the service's error response for the error it raised."""

    @abstractmethod
    def _service_state(self) -> dict[str, Any]:
        """The part of GET /sandbox/state that only this service has."""

    def now(self) -> float:
        """Seconds since 1970 by the stand-in's clock: retention, expiring links and `since` follow it."""
        return time.time() + self._clock_ahead

    def age(self, seconds: float) -> None:
        """Put that clock forward, so that results and links expire without waiting."""
        self._clock_ahead += seconds

    def strike(self, name: str, model: str | None = None) -> Fault | None:
        """The fault when it strikes this time, for a request to this model or endpoint."""
        return self.faults.strike(name, now=self.now(), endpoint=model)

    def state(self) -> dict[str, Any]:
        """The JSON of GET /sandbox/state, without keys and without the bytes of pictures."""
        return {
            **self._service_state(),
            "calls": list(self.calls),
            "faults": {key: value for key, value in self.faults.as_json().items() if key != "known"},
            "now": self.now(),
        }

    def _painter_threads(self, stack: contextlib.AsyncExitStack) -> ThreadPoolExecutor:
        executor = ThreadPoolExecutor(2, f"{self.service}-painter")
        stack.push_async_callback(asyncio.to_thread, executor.shutdown)
        return executor

    @web.middleware
    async def _handle_call(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn errors into responses, and record the call, also when the client has closed the connection."""
        status: int | None = None
        try:
            response = await self._respond(request, handler)
            status = response.status
        finally:
            if not request.path.startswith("/sandbox/"):
                self.calls.append(self._recorded_call(request, status))
        return response

    def _recorded_call(self, request: web.Request, status: int | None) -> dict[str, Any]:
        """The call without its key: only the scheme of its Authorization."""
        scheme = request.headers.get("Authorization", "").partition(" ")[0] or None
        closed = request.transport is None or request.transport.is_closing()
        return {
            "at": self.now(),
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "host": request.host,
            "authorization": scheme if scheme in (None, *_AUTHORIZATION_SCHEMES) else "other",
            "status": None if closed else status,
        }


async def client_session(stack: contextlib.AsyncExitStack) -> aiohttp.ClientSession:
    """A session for the stand-in's own requests, closed by the stack."""
    return await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))


async def listen(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    """Serve until the stack is closed. The port, and the address: scheme, host and port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
    bound = int(runner.addresses[0][1])
    return bound, f"{'https' if ssl_context else 'http'}://{host}:{bound}"
