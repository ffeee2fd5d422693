"""fal's files: the CDN that anyone may read, and the two ways to upload (fal: CDN, storage)."""

import asyncio
import json
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from bot.sandbox.fal.wire import LOCKED, json_body, platform_failure, reply
from bot.sandbox.kit.broken_answers import cut, drop
from bot.sandbox.kit.faults import Faults

_TOKEN_SECONDS = 600
_MEBIBYTE = 1024 * 1024
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHosts:
    """The beginnings of the URLs that are handed out, without a slash at the end."""

    queue: str
    rest: str
    cdn: str
    run: str = ""
    """For synchronous runs; empty: nobody is sent there."""

    @classmethod
    def all_at(cls, url: str) -> "PublicHosts":
        """One base for all, synchronous runs below /run."""
        return cls(queue=url, rest=url, cdn=url, run=f"{url}/run")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file; `expires_at` in seconds since 1970, None: it stays."""

    content: bytes
    content_type: str
    file_name: str
    expires_at: float | None = None


class FileStore:
    """Files by their path. The oldest go when more than `limit` bytes are held; shared bytes count once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._users: Counter[int] = Counter()
        self.held = 0
        """Bytes held now."""

    def new_path(self, file_name: str) -> str:
        """A path that nobody can guess, as the CDN makes them."""
        return f"/files/{secrets.choice(('lion', 'panda', 'zebra'))}/{secrets.token_urlsafe(12)}_{file_name}"

    def put(self, path: str, file: StoredFile) -> None:
        """Keep the file, and drop the oldest beyond the limit."""
        self.remove(path)
        self._files[path] = file
        self._users[id(file.content)] += 1
        if self._users[id(file.content)] == 1:
            self.held += len(file.content)
        while self.held > self._limit and len(self._files) > 1:
            self.remove(next(iter(self._files)))

    def remove(self, path: str) -> None:
        """Forget the file, if it is there."""
        old = self._files.pop(path, None)
        if old is None:
            return
        self._users[id(old.content)] -= 1
        if not self._users[id(old.content)]:
            del self._users[id(old.content)]
            self.held -= len(old.content)

    def get(self, path: str, now: float) -> StoredFile | None:
        """The file, unless it is unknown or has expired."""
        file = self._files.get(path)
        if file is None or (file.expires_at is not None and file.expires_at <= now):
            return None
        return file

    def __len__(self) -> int:
        return len(self._files)


class FileRoutes:
    """The HTTP side of the store. `check_key` raises a Failure for a request without a good key."""

    def __init__(
        self,
        store: FileStore,
        faults: Faults,
        hosts: Callable[[], PublicHosts],
        now: Callable[[], float],
        check_key: Callable[[web.Request], None],
    ) -> None:
        self._store = store
        self._faults = faults
        self._hosts = hosts
        self._now = now
        self._check_key = check_key
        self._tokens: OrderedDict[str, float] = OrderedDict()
        self._promised: OrderedDict[str, tuple[str, str, float | None]] = OrderedDict()

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/storage/auth/token", self.token)
        app.router.add_post("/storage/upload/initiate", self.initiate)
        app.router.add_put("/storage/upload/{path:.+}", self.put)
        app.router.add_post("/files/upload", self.upload)
        app.router.add_get("/files/{path:.+}", self.download)

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Route A, first step: a token for the CDN, good for ten minutes."""
        self._check_key(request)
        self._may_upload()
        token = secrets.token_urlsafe(24)
        expires = self._now() + _TOKEN_SECONDS
        _remember(self._tokens, token, expires)
        body = {
            "token": token,
            "token_type": "Bearer",
            "base_url": self._hosts().cdn,
            "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(),
        }
        return reply(body)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Route A, second step: the bytes, with the token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0) <= self._now():
            raise platform_failure(401, "Invalid or expired token")
        self._may_upload()
        name = request.headers.get("X-Fal-File-Name", "upload.bin")
        path = self._store.new_path(_safe(name))
        expires = self._lifetime(request.headers.get("X-Fal-Object-Lifecycle"))
        kind = request.headers.get("Content-Type", "application/octet-stream")
        self._store.put(path, StoredFile(await request.read(), kind, name, expires))
        if self._faults.strike("upload_lost"):
            return await drop(request)
        return reply({"access_url": self._hosts().cdn + path})

    async def initiate(self, request: web.Request) -> web.StreamResponse:
        """Route B, first step: where to put the bytes and where they will be found."""
        self._check_key(request)
        self._may_upload()
        order = await json_body(request)
        if not isinstance(order, dict) or not isinstance(order.get("content_type"), str):
            raise platform_failure(422, "content_type is required")
        path = self._store.new_path(_safe(str(order.get("file_name") or "upload.bin")))
        expires = self._lifetime(request.headers.get("X-Fal-Object-Lifecycle-Preference"))
        _remember(self._promised, path, (order["content_type"], str(order.get("file_name")), expires))
        hosts = self._hosts()
        return reply({"upload_url": f"{hosts.rest}/storage/upload{path}", "file_url": hosts.cdn + path})

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Route B, second step: no key (one that comes is not looked at), but the promised content type."""
        path = "/" + request.match_info["path"]
        promised = self._promised.get(path)
        if promised is None or promised[0] != request.headers.get("Content-Type"):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        self._may_upload()
        self._store.put(path, StoredFile(await request.read(), *promised))
        if self._faults.strike("upload_lost"):
            return await drop(request)
        return web.Response()

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The CDN: no key."""
        strike = self._faults.strike
        if fault := strike("cdn_error"):
            return web.Response(status=fault.status or 404, text="error")
        if fault := strike("cdn_redirect"):
            return web.Response(status=302, headers={"Location": fault.url or "/"})
        if fault := strike("cdn_huge"):
            return await _endless(request, fault.size or 64 * _MEBIBYTE)
        file = self._store.get(request.path, self._now())
        if file is None:
            return web.Response(status=404, text="Not found")
        kind = file.content_type
        if fault := strike("cdn_type"):
            kind = str(fault.body or "text/html")
        headers = {"Content-Type": kind, "Cache-Control": "public, max-age=604800"}
        answer = web.Response(body=file.content, headers=headers)
        if strike("cdn_reset"):
            return await cut(request, answer)
        if fault := strike("cdn_slow"):
            return await _loris(request, answer, file.content, fault.size or 64, fault.seconds or 0.2)
        return answer

    def read(self, url: str) -> StoredFile | None:
        """The file behind one of the CDN's own URLs, without a request; None: not the CDN's, or gone."""
        base = self._hosts().cdn
        if not url.startswith(f"{base}/files/"):
            return None
        return self._store.get(urlsplit(url).path, self._now())

    def _may_upload(self) -> None:
        if fault := self._faults.strike("upload_error"):
            raise platform_failure(fault.status or 500, "Upload failed", fault.error_type)
        if fault := self._faults.strike("locked"):
            raise platform_failure(403, str(fault.body or LOCKED))

    def _lifetime(self, preference: str | None) -> float | None:
        try:
            seconds = json.loads(preference or "{}").get("expiration_duration_seconds")
        except (ValueError, AttributeError):
            return None
        return self._now() + float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def _remember(shelf: OrderedDict[str, T], key: str, value: T) -> None:
    shelf[key] = value
    while len(shelf) > 10_000:
        shelf.popitem(last=False)


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)[-80:]


async def _endless(request: web.Request, size: int) -> web.StreamResponse:
    """`size` bytes that begin like a PNG, their number not announced."""
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    await response.prepare(request)
    block = b"\x89PNG\r\n\x1a\n".ljust(65_536, b"\0")
    for start in range(0, size, len(block)):
        await response.write(block[: min(len(block), size - start)])
    return response


async def _loris(
    request: web.Request, answer: web.Response, content: bytes, step: int, pause: float
) -> web.StreamResponse:
    """The whole picture in the end, `step` bytes every `pause` seconds."""
    headers = {"Content-Type": answer.headers["Content-Type"], "Content-Length": str(len(content))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for start in range(0, len(content), step):
        await response.write(content[start : start + step])
        await asyncio.sleep(pause)
    return response
