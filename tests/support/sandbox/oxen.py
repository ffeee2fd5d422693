"""Calls to Oxen's stand-in, in the four ways of Oxen's own pages."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from bot.sandbox.oxen.records import Generation
from bot.sandbox.oxen.server import OxenSandbox
from tests.support.sandbox.pictures import data_uri

KEY = "an-oxen-key"

AUTH = {"Authorization": f"Bearer {KEY}"}

MODEL, NEXT = "gpt-image-1-5", "gpt-image-2"

REQUEST: dict[str, Any] = {"model": MODEL, "prompt": "a boat"}

FAST: dict[str, Any] = {"queue_seconds": 0.02, "run_seconds": 0.02, "one_picture": True}

PLAIN: dict[str, Any] = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""For httpx: no proxies, and no loading of certificates, which plain http does not need."""

NOT_FOUND = {
    "error": {"type": "resource_not_found", "title": "The requested resource could not be found"},
    "status": "error",
    "status_message": "resource_not_found",
}


async def enqueue(http: httpx.AsyncClient, api: str, payload: dict[str, Any]) -> str:
    """Async, first half: the id of the first generation."""
    response = await http.post(f"{api}/ai/queue", json=payload)
    response.raise_for_status()
    return str(response.json()["generations"][0]["generation_id"])


async def poll(http: httpx.AsyncClient, api: str, generation_id: str) -> dict[str, Any]:
    """Async, second half: poll until the row's status is final."""
    async with asyncio.timeout(20):
        while True:
            row: dict[str, Any] = (await http.get(f"{api}/ai/queue/{generation_id}")).json()
            if row["status"] in {"succeeded", "failed", "cancelled"}:
                return row
            await asyncio.sleep(0.01)


@asynccontextmanager
async def event_lines(http: httpx.AsyncClient, api: str) -> AsyncIterator[AsyncIterator[str]]:
    """Async with events: the stream's lines; no event is missed once its headers are received."""
    async with http.stream("GET", f"{api}/events", timeout=20) as response:
        response.raise_for_status()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield response.aiter_lines()


async def wait_for_completion(lines: AsyncIterator[str], generation_id: str) -> dict[str, Any]:
    """Read the stream until this generation's completion."""
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: ") and name == "media_generation_completed":
            event: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if event.get("generation_id") == generation_id:
                return event
    raise EOFError("the stream has ended")


@dataclass
class Caller:
    """A small HTTP client of the stand-in."""

    sandbox: OxenSandbox
    http: httpx.AsyncClient

    @property
    def api(self) -> str:
        return self.sandbox.base_url

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        response = await self.http.request(method, path if path.startswith("http") else self.api + path, **more)
        return response.status_code, response.json()

    async def submit(self, **more: Any) -> str:
        return await enqueue(self.http, self.api, {**REQUEST, **more})

    async def outcome(self, **more: Any) -> dict[str, Any]:
        return await poll(self.http, self.api, await self.submit(**more))

    async def picture(self, row: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.http.get(row["result_url"], **more)

    async def reaches(self, generation_id: str, status: str) -> Generation:
        """Wait until the row has this status."""
        row = self.sandbox.generations[generation_id]
        async with asyncio.timeout(20):
            while row.status != status:
                await row.changed.wait()
        return row


@asynccontextmanager
async def open_oxen(**options: Any) -> AsyncIterator[Caller]:
    async with (
        OxenSandbox(**{**FAST, **options}) as sandbox,
        httpx.AsyncClient(headers=AUTH, **PLAIN, timeout=20) as http,
    ):
        yield Caller(sandbox, http)


RED = data_uri(Image.new("RGB", (64, 48), "red"))
