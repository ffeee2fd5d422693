"""What the tests of the fal provider share: a provider around the stand-in, and a wire that says anything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import aiohttp
from PIL import Image
from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer, Submit
from bot.domain.clock import Clock, real_time
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.pictures import InputPicture, Picture
from bot.domain.requests import ImageRequest, Source
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.providers.fal.provider import FalProvider
from bot.providers.shared.http import Timeouts, open_session
from bot.providers.shared.polling import PollPolicy
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.server import FalSandbox

KEY = "me:a-very-secret-key"
LOCAL = AllowedHosts.parse("127.0.0.1:*")
PACE = PollPolicy(first=0.01, longest=0.02, jitter=0, trouble=0.01, trouble_longest=0.02, failures=5)
QUICK = Timeouts(connect=2, silence=0.2, total=0.6)
OFFERS = Catalog.load().at("fal")
ASKED = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5", quality="low")
SOURCE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
EDIT = replace(ASKED, sources=(SOURCE,))
NGINX = b"<html><center>nginx</center></html>"


def painted(size: tuple[int, int] = (64, 64), mode: str = "RGB", colour: Any = "red", kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def given(content: bytes, url: str | None = None, filename: str = "a.png") -> InputPicture:
    picture = Picture(content=content, content_type="image/png", filename=filename, width=64, height=64)
    return InputPicture(picture=picture, url=url)


def order(
    request: ImageRequest = ASKED, *inputs: InputPicture, mask: InputPicture | None = None, job_id: int = 1
) -> Submit:
    fit = OFFERS[request.model].fit(request)
    return Submit(job_id=job_id, fit=fit, count=request.count, inputs=inputs, mask=mask)


def silent(_: Progress) -> None:
    """Nobody listens to what a submit tells."""


async def nothing_kept() -> tuple[bytes, ...]:
    return ()


@dataclass
class Wire:
    """A server that answers byte for byte what a test tells it to, and remembers what it was sent."""

    reply: Callable[[str], bytes]
    url: str = ""
    heard: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heard.append(head)
            lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
            if lengths:
                self.bodies.append(await reader.readexactly(int(lengths[0].partition(":")[2])))
            writer.write(self.reply(head.splitlines()[0]))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wire(reply: Callable[[str], bytes] | bytes) -> AsyncIterator[Wire]:
    made = Wire(reply if callable(reply) else lambda _: reply)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


def http(status: int, body: Any = b"", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content_length": str(len(content)), "connection": "close", **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def finished_queue(result: Any, status: Any = None, **headers: str) -> Callable[[str], bytes]:
    """A queue whose only request is over."""
    state = status or {"status": "COMPLETED"}
    return lambda line: http(200, state) if "status_url" in line else http(200, result, **headers)


def ticket_at(url: str, count: int = 1, **more: Any) -> Ticket:
    links = {name: f"{url}/{name}" for name in ("status_url", "response_url", "cancel_url")}
    data = {"request_id": "r1", "submitted_at": real_time(), **links, **more}
    return Ticket(provider="fal", data=data, count=count)


@dataclass
class FalFixture:
    """What a composition root would build, around one stand-in. Its provider polls, unless a test says else."""

    sandbox: FalSandbox
    client: aiohttp.ClientSession
    pictures: Pictures
    offers: dict[str, Offer]

    def fal(self, **changes: Any) -> FalProvider:
        options: dict[str, Any] = {
            "key": SecretStr(KEY),
            "queue_url": f"{self.sandbox.url}/",
            "rest_url": f"{self.sandbox.url}/",
            "api_url": f"{self.sandbox.url}/v1/",
            "media_hosts": LOCAL,
            "offers": self.offers,
            "pictures": self.pictures,
            "clock": Clock(),
            "pace": PACE,
            "streams": False,
        }
        return FalProvider(self.client, **{**options, **changes})

    async def submit(
        self,
        request: ImageRequest = ASKED,
        *inputs: InputPicture,
        mask: InputPicture | None = None,
        **changes: Any,
    ) -> Ticket:
        return await self.fal(**changes).submit(order(request, *inputs, mask=mask), silent)

    async def result(
        self,
        request: ImageRequest = ASKED,
        *inputs: InputPicture,
        mask: InputPicture | None = None,
        **changes: Any,
    ) -> Finished:
        fal = self.fal(**changes)
        ticket = await fal.submit(order(request, *inputs, mask=mask), silent)
        return (await all_news(fal, ticket, request))[1]

    @property
    def request(self) -> QueueRequest:
        """The only request that the stand-in accepted."""
        (request,) = self.sandbox.requests.values()
        return request

    @property
    def body(self) -> dict[str, Any]:
        """Its input."""
        assert isinstance(self.request.shown, dict)
        return self.request.shown

    def paths(self) -> list[str]:
        """What was called, oldest first: method and path, request ids left out."""
        calls = [f"{call['method']} {call['path']}" for call in self.sandbox.calls]
        for request_id in self.sandbox.requests:
            calls = [call.replace(request_id, "…") for call in calls]
        return calls


@asynccontextmanager
async def open_house(**options: Any) -> AsyncIterator[FalFixture]:
    async with AsyncExitStack() as stack:
        pictures = Pictures()
        stack.callback(pictures.close)
        client = await stack.enter_async_context(open_session(100, ssl=False))
        quick = {"key": KEY, "queue_seconds": 0.03, "run_seconds": 0.02, "one_picture": True}
        sandbox = FalSandbox(**{**quick, **options})
        await stack.enter_async_context(sandbox)
        yield FalFixture(sandbox, client, pictures, dict(OFFERS))


async def all_news(
    fal: FalProvider, ticket: Ticket, request: ImageRequest = ASKED
) -> tuple[list[Progress], Finished]:
    news = [item async for item in fal.follow(ticket, request, nothing_kept)]
    last = news[-1]
    assert isinstance(last, Finished)
    return [item for item in news if isinstance(item, Progress)], last


async def until(fal: FalProvider, ticket: Ticket, note: str) -> None:
    """Follow until the service says something that begins so."""
    async with aclosing(fal.follow(ticket, ASKED, nothing_kept)) as news:
        async for item in news:
            if isinstance(item, Progress) and item.note.startswith(note):
                return


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
