"""Oxen's finished pictures: the hub's own links, and the second host to which it may redirect downloads."""

import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from bot.sandbox.kit.faults import ModelStrike
from bot.sandbox.kit.files import Downloads, FileStore, StoredFile
from bot.sandbox.kit.server import CALLS_KEPT
from bot.sandbox.oxen.models import MODELS
from bot.sandbox.oxen.models.base import picture_format
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.records import Generation

_FILES = "/api/repos/{namespace}/{repo}/files/{path:.+}"


class Results:
    """The store of pictures and its downloads. `check_key` raises OxenError for a request without a valid key."""

    def __init__(
        self,
        options: OxenOptions,
        base: Callable[[], str],
        now: Callable[[], float],
        check_key: Callable[[web.Request], object],
        strike: ModelStrike,
    ) -> None:
        self.store = FileStore(options.store_bytes)
        self.elsewhere_url = ""
        """The second listener's address, once it is open."""
        self.elsewhere_calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        """Its latest calls: time, path, and the scheme of the Authorization, if there was one."""
        self._options = options
        self._base = base
        self._now = now
        self._check_key = check_key
        self._strike = strike
        self._downloads = Downloads(self.store, strike, now)

    def add_to(self, app: web.Application) -> None:
        """Register the hub's own downloads."""
        app.router.add_get(_FILES, self.download)

    def elsewhere(self) -> web.Application:
        """The application of the second listener."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._download_elsewhere)
        return app

    def publish(self, generation: Generation, content: bytes) -> str:
        """Store the picture, and return its link."""
        kind = picture_format(MODELS[generation.model].effective(generation.params, self._options))
        name = f"{generation.generation_id}.{kind}"
        repo = generation.params.get("target_repo") or "generations"
        path = f"/api/repos/{generation.user.username}/{repo}/files/{secrets.token_hex(12)}/{name}"
        lifetime = self._options.result_seconds
        expires = None if lifetime is None else self._now() + lifetime
        self.store.put(path, StoredFile(content, f"image/{kind}", name, expires))
        generation.path = path
        return self._base() + path

    def content(self, generation: Generation) -> bytes:
        """The picture of a row; no bytes when the store has dropped it."""
        file = self.store.get(generation.path or "", self._now())
        return file.content if file is not None else b""

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The hub's own link; needs the key, unless results_need_key is off."""
        if self._options.results_need_key:
            self._check_key(request)
        if self._strike("cdn_loop"):
            return web.Response(status=302, headers={"Location": request.path_qs})
        if self._options.results_elsewhere:
            return web.Response(status=302, headers={"Location": self.elsewhere_url + request.path_qs})
        return await self._downloads.download(request)

    async def _download_elsewhere(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        scheme = None if given is None else "Bearer" if given.startswith("Bearer ") else "other"
        self.elsewhere_calls.append({"at": self._now(), "path": request.path, "authorization": scheme})
        return await self._downloads.download(request)
