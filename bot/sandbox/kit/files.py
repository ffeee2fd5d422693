"""Files that a stand-in holds in memory, and their downloads."""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from bot.sandbox.kit.broken_answers import reset_midway, trickle
from bot.sandbox.kit.faults import Strike

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file; `expires_at` in seconds since 1970, None: never."""

    content: bytes
    content_type: str
    file_name: str
    expires_at: float | None = None


class FileStore:
    """Files by path. Beyond `limit` bytes the oldest are dropped; bytes that two files share count once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._uses: Counter[int] = Counter()
        self.held = 0
        """Bytes held now."""

    def new_path(self, file_name: str) -> str:
        """A new, unguessable path below /files, in the style of fal's CDN."""
        return f"/files/{secrets.choice(('lion', 'panda', 'zebra'))}/{secrets.token_urlsafe(12)}_{file_name}"

    def put(self, path: str, file: StoredFile) -> None:
        """Store the file, and drop the oldest ones beyond the limit."""
        self.remove(path)
        self._files[path] = file
        self._uses[id(file.content)] += 1
        if self._uses[id(file.content)] == 1:
            self.held += len(file.content)
        while self.held > self._limit and len(self._files) > 1:
            self.remove(next(iter(self._files)))

    def remove(self, path: str) -> None:
        """Drop the file, if it is there."""
        old = self._files.pop(path, None)
        if old is None:
            return
        self._uses[id(old.content)] -= 1
        if not self._uses[id(old.content)]:
            del self._uses[id(old.content)]
            self.held -= len(old.content)

    def get(self, path: str, now: float) -> StoredFile | None:
        """The file; None when it is unknown or has expired."""
        file = self._files.get(path)
        if file is None or (file.expires_at is not None and file.expires_at <= now):
            return None
        return file

    def as_json(self) -> dict[str, int]:
        """Number and bytes, for GET /sandbox/state."""
        return {"count": len(self), "bytes": self.held}

    def __len__(self) -> int:
        return len(self._files)


class Downloads:
    """GET for the files of a store, without a key, and the faults named cdn_…"""

    def __init__(self, store: FileStore, strike: Strike, now: Callable[[], float]) -> None:
        self._store = store
        self._strike = strike
        self._now = now

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The file at the request's path; 404 when there is none."""
        strike = self._strike
        if fault := strike("cdn_error"):
            return web.Response(status=fault.status or 404, text="error")
        if fault := strike("cdn_redirect"):
            return web.Response(status=302, headers={"Location": fault.url or "/"})
        if fault := strike("cdn_huge"):
            return await _huge_png(request, fault.size or 64 * _MEBIBYTE)
        file = self._store.get(request.path, self._now())
        if file is None:
            return web.Response(status=404, text="Not found")
        content_type = file.content_type
        if fault := strike("cdn_type"):
            content_type = str(fault.body or "text/html")
        headers = {"Content-Type": content_type, "Cache-Control": "public, max-age=604800"}
        response = web.Response(body=file.content, headers=headers)
        if strike("cdn_reset"):
            return await reset_midway(request, response)
        if fault := strike("cdn_slow"):
            return await trickle(request, response, fault)
        return response


async def _huge_png(request: web.Request, size: int) -> web.StreamResponse:
    """`size` bytes that begin like a PNG, without a Content-Length."""
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    await response.prepare(request)
    block = b"\x89PNG\r\n\x1a\n".ljust(65_536, b"\0")
    for start in range(0, size, len(block)):
        await response.write(block[: min(len(block), size - start)])
    return response
