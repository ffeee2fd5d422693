"""What every stand-in for a service does alike: listen, be steered from outside its process, end in good order."""

import argparse
import asyncio
import contextlib
import signal
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web

from bot.sandbox.kit.faults import Faults

CALLS_KEPT = 5_000
_SCHEMES = ("Key", "Bearer", "Basic")


class StandIn(Protocol):
    """What is needed to run one as its own process."""

    url: str
    faults: Faults

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *_: object) -> None: ...


async def listen(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    """Serve until the stack is closed; the port, and the address: scheme, host and port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
    taken = int(runner.addresses[0][1])
    return taken, f"{'https' if ssl_context else 'http'}://{host}:{taken}"


def call_of(request: web.Request, now: float, status: int | None) -> dict[str, Any]:
    """A call as it is kept: never its key, only the scheme of it."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0] or None
    return {
        "at": now,
        "method": request.method,
        "path": request.path,
        "host": request.host,
        "authorization": scheme if scheme in (None, *_SCHEMES) else "other",
        "status": status,
    }


class Control:
    """State, switches and the clock, under /sandbox/."""

    def __init__(
        self,
        *,
        faults: Faults,
        state: Callable[[], dict[str, Any]],
        now: Callable[[], float],
        age: Callable[[float], None],
    ) -> None:
        self._faults = faults
        self._state = state
        self._now = now
        self._age = age

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/sandbox/state", self._show_state)
        app.router.add_get("/sandbox/faults", self._show_faults)
        app.router.add_post("/sandbox/faults", self._set_faults)
        app.router.add_post("/sandbox/clock", self._set_clock)

    async def _show_state(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._state())

    async def _show_faults(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._faults.as_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        """{"seed": 7, "clear": true | [names], "set": [{"name": …}]}"""
        try:
            self._faults.apply(await request.json())
        except (ValueError, TypeError) as error:
            return refused(error)
        return await self._show_faults(request)

    async def _set_clock(self, request: web.Request) -> web.StreamResponse:
        """{"advance": seconds}"""
        try:
            self._age(float((await request.json())["advance"]))
        except (KeyError, ValueError, TypeError) as error:
            return refused(error)
        return web.json_response({"now": self._now()})


def refused(error: Exception) -> web.Response:
    """What an order that makes no sense is answered with."""
    return web.json_response({"error": str(error)}, status=400)


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The command line that all share."""
    found = argparse.ArgumentParser(
        prog=f"python -m bot.sandbox.{name}", description=(description or "").splitlines()[0]
    )
    found.add_argument("--host", default="127.0.0.1")
    found.add_argument("--port", type=int, default=0, help="0 takes a free one; the URL is printed")
    found.add_argument("--key", help="the one key that is accepted (default: any that looks like one)")
    found.add_argument("--public-url", help="what the links that it hands out begin with")
    found.add_argument("--picture-bytes", type=int, help="fill PNGs and JPEGs up to this size")
    found.add_argument("--one-picture", action="store_true", help="always the same picture, painted once")
    found.add_argument("--seed", type=int, default=0, help="for switches with a probability")
    return found


async def serve_until_stopped(stand_in: StandIn, seed: int) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    stand_in.faults.reseed(seed)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with stand_in:
        print(stand_in.url, flush=True)
        await stop.wait()
