"""The routes under /sandbox/ by which tests in another process steer a stand-in and read its state."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from bot.sandbox.kit.faults import Faults


class ControlRoutes:
    """State, faults and the clock."""

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
            return invalid_control(error)
        return await self._show_faults(request)

    async def _set_clock(self, request: web.Request) -> web.StreamResponse:
        """{"advance": seconds}"""
        try:
            self._age(float((await request.json())["advance"]))
        except (KeyError, ValueError, TypeError) as error:
            return invalid_control(error)
        return web.json_response({"now": self._now()})


def invalid_control(error: Exception) -> web.Response:
    """The 400 for a control request that makes no sense."""
    return web.json_response({"error": str(error)}, status=400)
