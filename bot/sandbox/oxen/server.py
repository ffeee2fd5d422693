"""A stand-in for Oxen.ai: its queue, events, synchronous calls and results, spoken over a socket.

`async with OxenSandbox() as sandbox:` serves at `sandbox.url` (the API at `sandbox.base_url`);
`python -m bot.sandbox.oxen` does the same as its own process. `sandbox.faults` or POST /sandbox/faults turns
faults on; `sandbox.generations` and GET /sandbox/state show what was submitted.
"""

import contextlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aiohttp import web

from bot.sandbox.kit.inputs import InputPictures
from bot.sandbox.kit.server import Handler, StandIn, client_session, listen
from bot.sandbox.oxen.events import Events
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.queue import Queue
from bot.sandbox.oxen.records import Generation, User
from bot.sandbox.oxen.results import Results
from bot.sandbox.oxen.routes import Routes
from bot.sandbox.oxen.submit import SubmitRoutes
from bot.sandbox.oxen.wire import OxenError, not_found


@dataclass(kw_only=True, eq=False)
class OxenSandbox(OxenOptions, StandIn):
    """The server. All options may be given by name; `port` and `elsewhere_port` 0 take a free one."""

    elsewhere_port: int = 0
    """The port of the second listener, to which results_elsewhere redirects the downloads."""
    public_url: str | None = None
    """Base of the links that the stand-in hands out; None: its own address."""

    service: ClassVar[str] = "oxen"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._users: dict[bytes, User] = {}
        self._secret = secrets.token_bytes(16)

    async def _build(self, app: web.Application, stack: contextlib.AsyncExitStack) -> None:
        executor, session = self._painter_threads(stack), await client_session(stack)
        inputs = InputPictures(session, executor, lambda: self.url_map)
        self._results = Results(self, lambda: self.public_url or self.url, self.now, self._user, self.strike)
        self._events = Events(self, self.strike)
        stack.push_async_callback(self._events.close)
        finished = self._events.send_completion
        self._queue = Queue(self, self._results, inputs, executor, finished, self.now, self.strike)
        stack.push_async_callback(self._queue.close)
        self._submits = SubmitRoutes(self, self._queue, self._user, self.strike)
        self._submits.add_to(app)
        Routes(self, self._queue, self._events, self._user, self.strike, self.now).add_to(app)
        self._results.add_to(app)
        app.router.add_route("*", "/{path:.*}", self._unknown_path)
        self.elsewhere_port, self._results.elsewhere_url = await listen(
            stack, self._results.elsewhere(), self.host, self.elsewhere_port
        )

    @property
    def base_url(self) -> str:
        """The base of the API; `https://hub.oxen.ai/api` at Oxen itself."""
        return f"{self.url}/api"

    @property
    def generations(self) -> Mapping[str, Generation]:
        """The rows, oldest first, by id."""
        return self._queue.generations

    @property
    def submits(self) -> int:
        """How many submits came, accepted or not."""
        return self._submits.count

    @property
    def listeners(self) -> int:
        """How many event streams are open."""
        return self._events.listeners

    @property
    def elsewhere_url(self) -> str:
        """The address of the second listener."""
        return self._results.elsewhere_url

    @property
    def elsewhere_calls(self) -> list[dict[str, Any]]:
        """The calls to the second listener: time, path, and the scheme of the Authorization, if there was one."""
        return list(self._results.elsewhere_calls)

    @property
    def leaked_keys(self) -> int:
        """How many calls to the second listener had an Authorization."""
        return sum(call["authorization"] is not None for call in self._results.elsewhere_calls)

    def broadcast(self, event: str, data: Any) -> None:
        """Send an event to all open streams; `data` that is text goes out unchanged, anything else as JSON."""
        for user in self._users.values():
            self._events.broadcast(user.user_id, event, data)

    def _service_state(self) -> dict[str, Any]:
        return {
            "generations": [generation.as_json() for generation in self.generations.values()],
            "submits": self.submits,
            "accepted": self._queue.batches,
            "duplicates": self._queue.duplicates(),
            "files": self._results.store.as_json(),
            "events": {"open": self.listeners, "opened": self._events.opened, "sent": self._events.sent},
            "elsewhere": {"calls": self.elsewhere_calls, "leaked_keys": self.leaked_keys},
            "credits": self.credits,
        }

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except OxenError as error:
            return error.response(self.error_shape)

    def _user(self, request: web.Request) -> User:
        """The owner of the request's key; OxenError 401. Keys are told apart by a keyed digest, never stored."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        valid = scheme == "Bearer" and token.strip() and self.key in (None, token)
        if not valid or self.strike("unauthorized"):
            raise OxenError(401, "unauthenticated", "You must be logged in to access this resource")
        digest = hmac.digest(self._secret, token.encode(), "sha256")
        if digest not in self._users:
            number = len(self._users) + 1
            self._users[digest] = User(str(uuid.uuid4()), "easel" if number == 1 else f"easel-{number}")
        return self._users[digest]

    async def _unknown_path(self, _: web.Request) -> web.StreamResponse:
        raise not_found()
