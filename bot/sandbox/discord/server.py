"""A stand-in for Discord on a local socket: REST API, gateway and CDN.

In this process::

    async with DiscordSandbox() as discord:
        ...  # discord.api_url, discord.gateway_url, and the methods of `ControlMethods`

or in its own: ``python -m bot.sandbox.discord --port 0`` prints one line of JSON with its addresses and ends
on SIGTERM; `DiscordControl` has the same methods over HTTP.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from aiohttp import web

from bot.sandbox.discord.commands import ControlCommands
from bot.sandbox.discord.control import CONTROL, ControlError, ControlMethods, Upload
from bot.sandbox.discord.control_client import DiscordControl
from bot.sandbox.discord.files import Json
from bot.sandbox.discord.model import MIB, Settings
from bot.sandbox.discord.rest import API
from bot.sandbox.discord.traffic import ReceivedRequest, json_response

__all__ = ["ControlError", "DiscordControl", "DiscordSandbox", "Settings", "Upload"]

LARGEST_REQUEST = 512 * MIB


class DiscordSandbox(ControlMethods):
    """The stand-in in this process. Its addresses are known once it is entered."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        settings: Settings | None = None,
        application_name: str = "easel",
    ) -> None:
        self.host = host
        self.port = port
        self._commands = ControlCommands(settings or Settings(), application_name)
        self.world = self._commands.world
        self.gateway = self._commands.gateway
        self.traffic = self._commands.traffic
        self._rest = self._commands.rest
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """The address for `DiscordControl`, and the root of the CDN."""
        return f"http://{self.host}:{self.port}"

    @property
    def api_url(self) -> str:
        """For ``discord.http.Route.BASE``."""
        return self.base_url + API

    @property
    def gateway_url(self) -> str:
        """For ``discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY``."""
        return f"ws://{self.host}:{self.port}/gateway/"

    @property
    def cdn(self) -> str:
        """Host and port of attachment links."""
        return f"{self.host}:{self.port}"

    @property
    def bot_id(self) -> int:
        """The bot's user id, which is its application id."""
        return self.world.bot.id

    @property
    def violations(self) -> list[Json]:
        """The documented rules that the bot broke: ``route``, ``path``, ``problem``."""
        return self.traffic.violations

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_route("*", API + "/{tail:.*}", self._rest.handle)
        app.router.add_get("/gateway/", self.gateway.handle)
        app.router.add_get("/{folder:(?:ephemeral-)?attachments}/{place}/{file}/{name}", self._download)
        app.router.add_post(CONTROL + "/{command}", self._control)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        self.gateway.url = self.gateway_url
        self.world.cdn.base = self.base_url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.disconnect(0, resumable=False)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _call(self, command: str, /, **arguments: Any) -> Any:
        try:
            return await self._commands.run(command, arguments)
        except (LookupError, ValueError, TypeError) as error:
            raise ControlError(f"{command}: {error}") from error

    async def _control(self, request: web.Request) -> web.Response:
        try:
            result = await self._call(request.match_info["command"], **await request.json())
        except ControlError as error:
            return json_response(400, {"error": str(error)})
        except TimeoutError:
            return json_response(504, {"error": f"{request.match_info['command']}: timed out"})
        return json_response(200, {"result": result})

    async def _download(self, request: web.Request) -> web.Response:
        received = ReceivedRequest(
            method="GET",
            path=request.path,
            template=f"GET /{request.match_info['folder']}",
            major="",
            query={},
            headers={},
            payload=None,
            files={},
        )
        self.traffic.requests[received.template] += 1
        await self.traffic.pause(received, worked=False)
        if self.traffic.take(received, "lose"):
            return self._rest.drop_connection(request)
        if fault := self.traffic.take(received, "fail"):
            return json_response(fault.status, fault.body, fault.headers)
        file = self.world.cdn.find(request.raw_path.partition("?")[0], request.query)
        if file is None or file.blob.content is None:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(
            body=file.blob.content, content_type=file.blob.content_type or "application/octet-stream"
        )
