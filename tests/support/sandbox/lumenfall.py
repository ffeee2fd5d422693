"""Calls to Lumenfall's stand-in, by OpenAI's client and by plain HTTP."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import openai
from PIL import Image

from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.server import LumenfallSandbox

KEY = "lmnfl_an-id.a-secret"

AUTH = {"Authorization": f"Bearer {KEY}"}

MODEL = "gpt-image-1.5"

FAST: dict[str, Any] = {"run_seconds": 0.02, "partial_seconds": 0.01, "one_picture": True, "key": KEY}

REQUEST: dict[str, Any] = {"model": MODEL, "prompt": "a boat", "size": "1024x1024", "quality": "low"}

LOW = 9_000 + 2 * 5
"""The cost of REQUEST in micro-dollars: a picture, and two tokens of text."""


@dataclass
class Caller:
    """OpenAI's client and a small HTTP client of the stand-in."""

    sandbox: LumenfallSandbox
    http: aiohttp.ClientSession
    openai: openai.AsyncOpenAI

    async def call(self, method: str, url: str, **more: Any) -> tuple[int, Any, Any]:
        full = url if url.startswith("http") else self.sandbox.url + url
        async with self.http.request(method, full, **{"headers": AUTH, **more}) as response:
            raw = await response.read()
            kind = response.headers.get("Content-Type", "")
            return response.status, json.loads(raw) if "json" in kind and raw else raw, response.headers

    async def generate(self, *, headers: dict[str, str] | None = None, **body: Any) -> tuple[int, Any, Any]:
        more = {"json": {**REQUEST, **body}, "headers": {**AUTH, **(headers or {})}}
        return await self.call("POST", "/openai/v1/images/generations", **more)

    async def edit(self, *files: tuple[str, bytes], **body: Any) -> tuple[int, Any, Any]:
        form = aiohttp.FormData()
        for name, value in {**REQUEST, **body}.items():
            form.add_field(name, str(value))
        for name, content in files:
            form.add_field(name, content, filename=f"{name}.png", content_type="image/png")
        return await self.call("POST", "/openai/v1/images/edits", data=form)

    async def history(self, **query: str) -> Any:
        status, response, _ = await self.call("GET", "/v1/requests", params=query)
        assert status == 200, response
        return response["data"]

    async def accepted(self) -> GatewayRequest:
        """Wait for the first accepted request."""
        async with asyncio.timeout(10):
            while not self.sandbox.requests:  # noqa: ASYNC110 - the stand-in has no event for an accepted request
                await asyncio.sleep(0.005)
        return next(iter(self.sandbox.requests.values()))

    def set(self, name: str, **values: Any) -> None:
        self.sandbox.faults.set(name, **{"times": 1, **values})


@asynccontextmanager
async def open_lumenfall(*, retries: int = 0, **options: Any) -> AsyncIterator[Caller]:
    async with (
        LumenfallSandbox(**{**FAST, **options}) as sandbox,
        aiohttp.ClientSession() as http,
        openai.AsyncOpenAI(api_key=KEY, base_url=sandbox.base_url, max_retries=retries, timeout=10) as client,
    ):
        yield Caller(sandbox, http, client)


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PHOTO = file_of(Image.radial_gradient("L").convert("RGB"))
