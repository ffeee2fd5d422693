"""A stand-in for Lumenfall: its OpenAI-like image endpoints, its own API and its media host, over a socket.

`async with LumenfallSandbox() as sandbox:` serves at `sandbox.url`; `python -m bot.sandbox.lumenfall` does the
same as its own process. `sandbox.faults` or POST /sandbox/faults turns faults on; `sandbox.requests` and
GET /sandbox/state show which requests came in.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aiohttp import web

from bot.sandbox.kit.files import Downloads, FileStore
from bot.sandbox.kit.server import Handler, StandIn
from bot.sandbox.lumenfall.account import AccountRoutes
from bot.sandbox.lumenfall.execution import Gateway
from bot.sandbox.lumenfall.options import LumenfallOptions
from bot.sandbox.lumenfall.records import GatewayRequest, History
from bot.sandbox.lumenfall.routes import ImageRoutes
from bot.sandbox.lumenfall.wire import LumenfallError, key_id


@dataclass(kw_only=True, eq=False)
class LumenfallSandbox(LumenfallOptions, StandIn):
    """The server. All options may be given by name."""

    public_url: str | None = None
    """Base of the pictures' links; None: the stand-in's own address."""

    service: ClassVar[str] = "lumenfall"
    largest_request: ClassVar[int] = 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        self.history = History()

    async def _build(self, app: web.Application, stack: contextlib.AsyncExitStack) -> None:
        self._store = FileStore(self.store_bytes)
        executor = self._painter_threads(stack)
        gateway = Gateway(self, self.history, self._store, executor, self._media_url, self.now, self.strike)
        stack.push_async_callback(gateway.close)
        self._images = ImageRoutes(gateway, self._check_key)
        self._images.add_to(app)
        AccountRoutes(gateway, self._check_key).add_to(app)
        app.router.add_get("/files/{path:.+}", Downloads(self._store, self.strike, self.now).download)
        app.router.add_route("*", "/{path:.*}", self._unknown_path)

    @property
    def base_url(self) -> str:
        """The base_url for an OpenAI client."""
        return f"{self.url}/openai/v1"

    @property
    def native_url(self) -> str:
        """The base of Lumenfall's own API."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> Mapping[str, GatewayRequest]:
        """The accepted requests, oldest first, by request id; `history.records` has the refused ones too."""
        return self.history.accepted

    @property
    def submits(self) -> int:
        """How many requests for pictures came, accepted or not; dry runs do not count."""
        return self._images.submits

    def _service_state(self) -> dict[str, Any]:
        return {
            "requests": [record.as_json() for record in self.history.records.values()],
            "submits": self.submits,
            "accepted": len(self.requests),
            "billed_micros": self.history.spent_micros,
            "duplicates": self.history.duplicates(),
            "files": self._store.as_json(),
        }

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except LumenfallError as error:
            fault = self.strike("flat_errors")
            return error.response("" if fault is None else str(fault.body or "flat"))

    def _media_url(self) -> str:
        return self.public_url or self.url

    def _check_key(self, request: web.Request) -> str:
        """The key's id; LumenfallError for a request without a valid key."""
        found = key_id(request, self.key)
        if found is None or self.strike("unauthorized"):
            raise LumenfallError("AUTHENTICATION_FAILED")
        return found

    async def _unknown_path(self, request: web.Request) -> web.StreamResponse:
        raise LumenfallError("NOT_FOUND", f"{request.method} {request.path} not found")
