"""fal's file hosts: the public CDN, and the two ways to upload (fal: CDN, storage)."""

import json
import secrets
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.wire import LOCKED, json_body, json_response, platform_error
from bot.sandbox.kit.broken_answers import drop
from bot.sandbox.kit.files import Downloads, FileStore, StoredFile

_TOKEN_SECONDS = 600
_MOST_OPEN_UPLOADS = 10_000
T = TypeVar("T")


class FileRoutes:
    """Uploads to the store, and downloads from it."""

    def __init__(self, context: FalContext, store: FileStore) -> None:
        self._context = context
        self._store = store
        self._downloads = Downloads(store, context.strike, context.now)
        self._tokens: OrderedDict[str, float] = OrderedDict()
        self._promised: OrderedDict[str, tuple[str, str, float | None]] = OrderedDict()

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/storage/auth/token", self.token)
        app.router.add_post("/storage/upload/initiate", self.initiate)
        app.router.add_put("/storage/upload/{path:.+}", self.put)
        app.router.add_post("/files/upload", self.upload)
        app.router.add_get("/files/{path:.+}", self._downloads.download)

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Route A, first step: a token for the CDN, valid for ten minutes."""
        self._context.check_key(request)
        self._check_may_upload()
        token = secrets.token_urlsafe(24)
        expires = self._context.now() + _TOKEN_SECONDS
        _remember(self._tokens, token, expires)
        body = {
            "token": token,
            "token_type": "Bearer",
            "base_url": self._context.hosts().cdn,
            "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(),
        }
        return json_response(body)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Route A, second step: the bytes, with the token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0) <= self._context.now():
            raise platform_error(401, "Invalid or expired token")
        self._check_may_upload()
        name = request.headers.get("X-Fal-File-Name", "upload.bin")
        path = self._store.new_path(_safe_name(name))
        expires = self._expiry(request.headers.get("X-Fal-Object-Lifecycle"))
        content_type = request.headers.get("Content-Type", "application/octet-stream")
        self._store.put(path, StoredFile(await request.read(), content_type, name, expires))
        if self._context.strike("upload_lost"):
            return await drop(request)
        return json_response({"access_url": self._context.hosts().cdn + path})

    async def initiate(self, request: web.Request) -> web.StreamResponse:
        """Route B, first step: the URL to PUT the bytes to, and the URL of the file afterwards."""
        self._context.check_key(request)
        self._check_may_upload()
        body = await json_body(request)
        if not isinstance(body, dict) or not isinstance(body.get("content_type"), str):
            raise platform_error(422, "content_type is required")
        path = self._store.new_path(_safe_name(str(body.get("file_name") or "upload.bin")))
        expires = self._expiry(request.headers.get("X-Fal-Object-Lifecycle-Preference"))
        _remember(self._promised, path, (body["content_type"], str(body.get("file_name")), expires))
        hosts = self._context.hosts()
        return json_response({"upload_url": f"{hosts.rest}/storage/upload{path}", "file_url": hosts.cdn + path})

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Route B, second step: needs no key and ignores one, but the content type must be the promised one."""
        path = "/" + request.match_info["path"]
        promised = self._promised.get(path)
        if promised is None or promised[0] != request.headers.get("Content-Type"):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        self._check_may_upload()
        self._store.put(path, StoredFile(await request.read(), *promised))
        if self._context.strike("upload_lost"):
            return await drop(request)
        return web.Response()

    def own_file(self, url: str) -> StoredFile | None:
        """The file behind one of the CDN's URLs; None when the URL is another host's, or the file has expired."""
        base = self._context.hosts().cdn
        if not url.startswith(f"{base}/files/"):
            return None
        return self._store.get(urlsplit(url).path, self._context.now())

    def _check_may_upload(self) -> None:
        if fault := self._context.strike("upload_error"):
            raise platform_error(fault.status or 500, "Upload failed", fault.error_type)
        if fault := self._context.strike("locked"):
            raise platform_error(403, str(fault.body or LOCKED))

    def _expiry(self, lifecycle: str | None) -> float | None:
        """When the file expires, in seconds since 1970, by the lifecycle header's JSON; None: never."""
        try:
            seconds = json.loads(lifecycle or "{}").get("expiration_duration_seconds")
        except (ValueError, AttributeError):
            return None
        return self._context.now() + float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def _remember(entries: OrderedDict[str, T], key: str, value: T) -> None:
    entries[key] = value
    while len(entries) > _MOST_OPEN_UPLOADS:
        entries.popitem(last=False)


def _safe_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)[-80:]
