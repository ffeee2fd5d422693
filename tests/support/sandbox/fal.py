"""Calls to fal's stand-in, by plain HTTP and by fal's own client."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import trustme

from bot.sandbox.fal.options import PublicHosts
from bot.sandbox.fal.server import FalSandbox
from tests.support.sandbox.connect_proxy import ConnectProxy

KEY = "an-id:a-secret"

AUTH = {"Authorization": f"Key {KEY}"}

MODEL = "fal-ai/gpt-image-1.5"

EDIT = "fal-ai/gpt-image-1.5/edit"

FAST: dict[str, Any] = {"queue_seconds": 0.03, "run_seconds": 0.03, "one_picture": True}

REAL_HOSTS = ("queue.fal.run", "rest.fal.ai", "v3.fal.media")

RUN_HOST = "fal.run"


@dataclass
class Caller:
    """A small HTTP client of the stand-in."""

    sandbox: FalSandbox
    http: aiohttp.ClientSession

    async def call(self, method: str, url: str, **more: Any) -> tuple[int, Any, Any]:
        full = url if url.startswith("http") else self.sandbox.url + url
        async with self.http.request(method, full, **{"headers": AUTH, **more}) as response:
            raw = await response.read()
            kind = response.headers.get("Content-Type", "")
            return response.status, json.loads(raw) if "json" in kind and raw else raw, response.headers

    async def submit(self, endpoint: str = MODEL, **body: Any) -> dict[str, Any]:
        status, response, headers = await self.call("POST", f"/{endpoint}", json={"prompt": "a boat", **body})
        assert status == 200, response
        assert headers["x-fal-request-id"] == response["request_id"]
        assert isinstance(response, dict)
        return response

    async def finished(self, submitted: dict[str, Any]) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                status, response, _ = await self.call("GET", submitted["status_url"])
                assert (status == 200) == (response["status"] == "COMPLETED")
                if status == 200:
                    assert isinstance(response, dict)
                    return response
                await asyncio.sleep(0.01)

    async def outcome(self, endpoint: str = MODEL, **body: Any) -> tuple[int, Any, Any]:
        submitted = await self.submit(endpoint, **body)
        await self.finished(submitted)
        return await self.call("GET", submitted["response_url"])


@asynccontextmanager
async def open_fal(**options: Any) -> AsyncIterator[Caller]:
    async with FalSandbox(**{**FAST, **options}) as sandbox, aiohttp.ClientSession() as http:
        yield Caller(sandbox, http)


@dataclass
class FalClientProcess:
    """Runs fal_client, as installed, in a process whose proxy and certificates lead to the stand-in."""

    sandbox: FalSandbox
    proxy: ConnectProxy
    ca_file: Path

    def environment(self) -> dict[str, str]:
        """Environment variables that make httpx, and with it fal_client, use the stand-in."""
        return {"HTTPS_PROXY": self.proxy.url, "SSL_CERT_FILE": str(self.ca_file)}

    async def run(self, script: str, key: str = KEY) -> list[Any]:
        """The lines that the script prints, each parsed as JSON."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.ca_file.parent),
            "FAL_KEY": key,
            **self.environment(),
        }
        head = "import io, json, fal_client\nfrom PIL import Image\n"
        head += "show = lambda *values: print(json.dumps(values))\n"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", head + textwrap.dedent(script), env=environment, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def fal_client_process(folder: Path, **options: Any) -> AsyncIterator[FalClientProcess]:
    """A stand-in behind fal's own host names; its certificate is written to `folder`."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    names = (*REAL_HOSTS, RUN_HOST)
    authority.issue_cert(*names).configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    queue, rest, cdn, run = (f"https://{name}" for name in names)
    hosts = PublicHosts(queue=queue, rest=rest, cdn=cdn, run=run)
    async with (
        FalSandbox(ssl_context=context, hosts=hosts, key=KEY, **{**FAST, **options}) as sandbox,
        ConnectProxy(sandbox.port, names) as proxy,
    ):
        yield FalClientProcess(sandbox, proxy, ca_file)


async def events(caller: Caller, submitted: dict[str, Any], pings: int | None = None) -> tuple[list[Any], str]:
    """The stream's events until it ends or has sent `pings` comments, and the stream's whole text."""
    text = bytearray()
    url = submitted["status_url"] + "/stream?logs=1"
    async with asyncio.timeout(10), caller.http.get(url, headers=AUTH) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        async for block in response.content.iter_any():
            text += block
            if pings is not None and text.count(b": ping\n\n") >= pings:
                break
    lines = [line.removeprefix("data: ") for line in text.decode().splitlines() if line.startswith("data: ")]
    return lines, text.decode()


TWO, TWO_EDIT = "openai/gpt-image-2", "openai/gpt-image-2/edit"

ONE, ONE_EDIT = "fal-ai/gpt-image-1/text-to-image", "fal-ai/gpt-image-1/edit-image"

BYOK, BYOK_EDIT = f"{ONE}/byok", f"{ONE_EDIT}/byok"

TWO = "openai/gpt-image-2"

BYOK = "fal-ai/gpt-image-1/text-to-image/byok"
