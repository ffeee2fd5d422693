"""Serves SimCord's attachments over a socket, so that Easel and the providers can download them."""

from __future__ import annotations

import io
from types import TracebackType
from typing import Any, Self

import simcord
from aiohttp import web
from PIL import Image
from simcord.backend.cdn import CdnStore


class _Store(CdnStore):
    """Stores attachments as SimCord does, with a real URL and, as Discord does, their width and height."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self.files: dict[str, bytes] = {}

    def store_attachment(
        self, attachment_id: int, channel_id: int, filename: str, data: bytes, description: str | None
    ) -> dict[str, Any]:
        payload = super().store_attachment(attachment_id, channel_id, filename, data, description)
        path = f"/attachments/{channel_id}/{attachment_id}/{filename}"
        self.files[path] = data
        return {**payload, "url": self._base + path, "proxy_url": self._base + path, **_dimensions(data)}

    def get(self, url: str) -> bytes | None:
        path = url.removeprefix(self._base).partition("?")[0]
        return self.files.get(path) or super().get(url)


def _dimensions(data: bytes) -> dict[str, int]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return {"width": picture.width, "height": picture.height}
    except (OSError, ValueError, Image.DecompressionBombError):
        return {}


class LocalCdn:
    """An HTTP server at `host`, "127.0.0.1:port". Attach it to a simulated Discord before the first upload."""

    def __init__(self) -> None:
        self.host = ""
        self._store: _Store | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/attachments/{channel}/{attachment}/{name}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def attach(self, env: simcord.Env) -> None:
        """Store this Discord's attachments from now on."""
        env.backend.cdn = self._store = _Store(f"http://{self.host}")

    async def _serve(self, request: web.Request) -> web.Response:
        content = self._store.files.get(request.path) if self._store else None
        if content is None:
            raise web.HTTPNotFound
        response = web.Response(body=content, content_type="application/octet-stream")
        response.force_close()  # SimCord would wait for the timer of the bot's pooled connection
        return response
