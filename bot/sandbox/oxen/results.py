"""Where the pictures are: the hub's own links, and the other host to which it may send the downloads."""

import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from bot.sandbox.fal.files import FileRoutes, FileStore, PublicHosts, StoredFile
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.records import Generation

_FILES = "/api/repos/{namespace}/{repo}/files/{path:.+}"
_CALLS_KEPT = 5_000


class Results:
    """The store of pictures and its downloads. `check_key` refuses a request without a good key."""

    def __init__(
        self,
        options: OxenOptions,
        base: Callable[[], str],
        now: Callable[[], float],
        check_key: Callable[[web.Request], object],
    ) -> None:
        self.store = FileStore(options.store_bytes)
        self.elsewhere_url = ""
        """The second listener's address, once it is open."""
        self.elsewhere_calls: deque[dict[str, Any]] = deque(maxlen=_CALLS_KEPT)
        """What was asked of it: path, and the scheme of the Authorization, if one came."""
        self._options = options
        self._base = base
        self._now = now
        self._check_key = check_key
        self._files = FileRoutes(self.store, options.faults, lambda: PublicHosts.all_at(base()), now, _nothing)

    def add_to(self, app: web.Application) -> None:
        """Register the hub's own downloads."""
        app.router.add_get(_FILES, self.download)

    def elsewhere(self) -> web.Application:
        """The application of the second listener."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._download_elsewhere)
        return app

    def publish(self, generation: Generation, content: bytes) -> str:
        """Keep the picture, and return its link."""
        kind = generation.params.get("output_format", "png")
        name = f"{generation.generation_id}.{kind}"
        repo = generation.params.get("target_repo") or "generations"
        path = f"/api/repos/{generation.user.username}/{repo}/files/{secrets.token_hex(12)}/{name}"
        lifetime = self._options.result_seconds
        expires = None if lifetime is None else self._now() + lifetime
        self.store.put(path, StoredFile(content, f"image/{kind}", name, expires))
        generation.path = path
        return self._base() + path

    def content(self, generation: Generation) -> bytes:
        """The picture of a row; nothing when it is no longer kept."""
        file = self.store.get(generation.path or "", self._now())
        return file.content if file is not None else b""

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The hub's link: with the key, unless results_need_key is off."""
        if self._options.results_need_key:
            self._check_key(request)
        if self._options.faults.strike("cdn_loop"):
            return web.Response(status=302, headers={"Location": request.path_qs})
        if self._options.results_elsewhere:
            return web.Response(status=302, headers={"Location": self.elsewhere_url + request.path_qs})
        return await self._files.download(request)

    async def _download_elsewhere(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        scheme = None if given is None else "Bearer" if given.startswith("Bearer ") else "other"
        self.elsewhere_calls.append({"at": self._now(), "path": request.path, "authorization": scheme})
        return await self._files.download(request)


def _nothing(_: web.Request) -> None:
    """Uploads are not served here, so no key is asked for."""
