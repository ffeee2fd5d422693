"""A small Discord on a local socket: REST, gateway and CDN, for races, kills, lost answers and benchmarks.

In this process::

    async with DiscordSandbox() as discord:
        ...  # discord.api_url, discord.gateway_url, and the verbs of `ControlMethods`

or in its own: ``python -m bot.sandbox.discord --port 0`` prints one line of JSON with its addresses and ends
on SIGTERM; `DiscordControl` has the same verbs over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from bot.sandbox.discord.commands import ControlCommands
from bot.sandbox.discord.control import CONTROL, ControlError, ControlMethods, DiscordControl, Upload
from bot.sandbox.discord.files import Json
from bot.sandbox.discord.model import MIB, Settings
from bot.sandbox.discord.rest import API
from bot.sandbox.discord.traffic import ReceivedRequest, json_response

__all__ = ["ControlError", "DiscordControl", "DiscordSandbox", "Settings", "Upload"]

LARGEST_REQUEST = 512 * MIB


class DiscordSandbox(ControlMethods):
    """The stand-in in this process. Addresses are known once it is entered."""

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
        self.desk = ControlCommands(settings or Settings(), application_name)
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """Where `DiscordControl` finds it, and the CDN's root."""
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
        return self.desk.world.bot.id

    @property
    def violations(self) -> list[Json]:
        """Rules the bot broke: ``route``, ``path``, ``problem``."""
        return self.desk.traffic.violations

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_route("*", API + "/{tail:.*}", self.desk.rest.handle)
        app.router.add_get("/gateway/", self.desk.gateway.handle)
        app.router.add_get("/{folder:(?:ephemeral-)?attachments}/{place}/{file}/{name}", self._download)
        app.router.add_post(CONTROL + "/{verb}", self._control)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        self.desk.gateway.url = self.gateway_url
        self.desk.world.cdn.base = self.base_url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.desk.gateway.disconnect(0, resumable=False)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _call(self, verb: str, **arguments: Any) -> Any:
        try:
            return await self.desk.run(verb, arguments)
        except (LookupError, ValueError, TypeError) as error:
            raise ControlError(f"{verb}: {error}") from error

    async def _control(self, request: web.Request) -> web.Response:
        try:
            result = await self._call(request.match_info["verb"], **await request.json())
        except ControlError as error:
            return json_response(400, {"error": str(error)})
        except TimeoutError:
            return json_response(504, {"error": f"{request.match_info['verb']}: nothing came in time"})
        return json_response(200, {"result": result})

    async def _download(self, request: web.Request) -> web.Response:
        traffic = self.desk.traffic
        arrival = ReceivedRequest(
            method="GET",
            path=request.path,
            template=f"GET /{request.match_info['folder']}",
            major="",
            query={},
            headers={},
            payload=None,
            files={},
        )
        traffic.requests[arrival.template] += 1
        await traffic.pause(arrival, worked=False)
        if traffic.take(arrival, "lose"):
            return self.desk.rest.cut(request)
        if fault := traffic.take(arrival, "fail"):
            return json_response(fault.status, fault.body, fault.headers)
        file = self.desk.world.cdn.find(request.raw_path.partition("?")[0], request.query)
        if file is None or file.blob.content is None:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(
            body=file.blob.content, content_type=file.blob.content_type or "application/octet-stream"
        )


async def serve(host: str, port: int) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with DiscordSandbox(host, port) as sandbox:
        addresses = {
            "base_url": sandbox.base_url,
            "api_url": sandbox.api_url,
            "gateway_url": sandbox.gateway_url,
            "application_id": sandbox.bot_id,
        }
        print(json.dumps(addresses), flush=True)
        await stop.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A small Discord on a local socket.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port))
