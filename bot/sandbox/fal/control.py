"""How the fal stand-in is steered from outside its process, beside what all stand-ins share."""

from datetime import date
from typing import Any

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.webhooks import SigningKeys
from bot.sandbox.kit.server import refused


class ControlRoutes:
    """The models' last days, and the webhooks' keys."""

    def __init__(self, desk: FalContext, keys: SigningKeys) -> None:
        self._desk = desk
        self._keys = keys

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/sandbox/models", self.set_models)
        app.router.add_post("/sandbox/keys/rotate", self.rotate_keys)

    async def set_models(self, request: web.Request) -> web.StreamResponse:
        """{"deprecated": {endpoint: ISO date}, "gone": {…}}; each replaces all that was said before."""
        options = self._desk.options
        try:
            order = await request.json()
            deprecated, gone = (_dates(order.get(name)) for name in ("deprecated", "gone"))
        except (AttributeError, ValueError, TypeError) as error:
            return refused(error)
        options.deprecated = options.deprecated if deprecated is None else deprecated
        options.gone = options.gone if gone is None else gone
        return web.json_response({"deprecated": dict(options.deprecated), "gone": dict(options.gone)})

    async def rotate_keys(self, _: web.Request) -> web.StreamResponse:
        """A new key signs the webhooks; the answer is the new key set."""
        self._keys.rotate()
        return web.json_response(self._keys.as_json())


def _dates(given: Any) -> dict[str, str] | None:
    if given is None:
        return None
    return {str(endpoint): date.fromisoformat(day).isoformat() for endpoint, day in dict(given).items()}
