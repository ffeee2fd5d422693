"""A house around the stand-in for Oxen, and a server that answers byte for byte what it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image
from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer, Submit
from bot.domain.clock import Clock, real_time
from bot.domain.errors import SubmitUnknown
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.pictures import InputPicture, Picture
from bot.domain.providers import ModelStatus
from bot.domain.requests import ImageRequest, Source
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.providers.oxen.provider import OxenProvider
from bot.providers.shared.http import Timeouts, open_session
from bot.providers.shared.polling import PollPolicy
from bot.sandbox.oxen.server import OxenSandbox

KEY = "oxen-a-very-secret-key"
NOWHERE = AllowedHosts.parse("")
LOCAL = AllowedHosts.parse("127.0.0.1:*")
PACE = PollPolicy(first=0.01, longest=0.02, jitter=0, trouble=0.01, trouble_longest=0.02, failures=5)
CALM = replace(PACE, first=60, longest=60)
"""Who only polls would notice nothing within a test's time."""
QUICK = Timeouts(connect=2, silence=0.2, total=0.6)
MODEL = "gpt-image-1.5"
ASKED = ImageRequest(prompt="a fox in the snow", model=MODEL, quality="auto")
SOURCE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
EDIT = replace(ASKED, sources=(SOURCE,))
EXTRA = ("quality", "background", "input_fidelity")


def painted(size: tuple[int, int] = (64, 64)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, "red").save(buffer, "PNG")
    return buffer.getvalue()


def given(content: bytes, url: str | None = None) -> InputPicture:
    picture = Picture(content=content, content_type="image/png", filename="a.png", width=64, height=64)
    return InputPicture(picture=picture, url=url)


# A server that answers byte for byte what a test tells it to


@dataclass
class Wire:
    """`reply` is given the request line; `heard` are the heads that came."""

    reply: Callable[[str], bytes]
    url: str = ""
    heard: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [head.splitlines()[0].rpartition(" ")[0] for head in self.heard]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heard.append(head)
            lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
            if lengths:
                await reader.readexactly(int(lengths[0].partition(":")[2]))
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


def submits(answer: bytes) -> Callable[[str], bytes]:
    """A service that answers submits so, and nothing else."""
    return lambda line: answer if line.startswith("POST") else http(503)


@dataclass
class OxenFixture:
    """What a composition root would build, around one stand-in."""

    sandbox: OxenSandbox
    client: aiohttp.ClientSession
    pictures: Pictures
    offers: Mapping[str, Offer]
    stack: AsyncExitStack

    def oxen(self, **changes: Any) -> OxenProvider:
        options: dict[str, Any] = {
            "key": SecretStr(KEY),
            "base_url": f"{self.sandbox.base_url}/",
            "media_hosts": NOWHERE,
            "offers": self.offers,
            "pictures": self.pictures,
            "clock": Clock(),
            "pace": PACE,
        }
        made = OxenProvider(self.client, **{**options, **changes})
        self.stack.push_async_callback(made.aclose)
        return made

    def order(
        self, request: ImageRequest = ASKED, *inputs: InputPicture, known: ModelStatus | None = None, **more: Any
    ) -> Submit:
        fit = self.offers[request.model].fit(request, known)
        options: dict[str, Any] = {"job_id": 1, "count": request.count, "submitted_at": real_time(), **more}
        return Submit(fit=fit, inputs=inputs, **options)

    async def result(self, request: ImageRequest = ASKED, *inputs: InputPicture, **changes: Any) -> Finished:
        oxen = self.oxen(**changes)
        ticket = await oxen.submit(self.order(request, *inputs), quiet)
        return (await all_news(oxen, ticket, request))[1]

    @property
    def body(self) -> dict[str, Any]:
        """The parameters of the only submit that the stand-in accepted."""
        (params,) = {json.dumps(dict(row.params)) for row in self.sandbox.generations.values()}
        found: dict[str, Any] = json.loads(params)
        return found


def quiet(_: Progress) -> None:
    """Nobody listens."""


async def nothing_kept() -> tuple[bytes, ...]:
    return ()


async def all_news(
    oxen: OxenProvider, ticket: Ticket, request: ImageRequest = ASKED
) -> tuple[list[Progress], Finished]:
    async def kept() -> tuple[bytes, ...]:
        return ticket.kept

    async with asyncio.timeout(10):
        news = [item async for item in oxen.follow(ticket, request, kept)]
    last = news[-1]
    assert isinstance(last, Finished)
    return [item for item in news if isinstance(item, Progress)], last


async def until(oxen: OxenProvider, ticket: Ticket, note: str) -> None:
    """Follow until the service says so."""
    async with asyncio.timeout(10), aclosing(oxen.follow(ticket, ASKED, nothing_kept)) as news:
        async for item in news:
            if isinstance(item, Progress) and item.note == note:
                return


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what happens in a server has no event of ours
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_house() -> AsyncIterator[OxenFixture]:
    async with AsyncExitStack() as stack:
        pictures = Pictures()
        stack.callback(pictures.close)
        sandbox = OxenSandbox(key=KEY, queue_seconds=0.03, run_seconds=0.02, one_picture=True)
        await stack.enter_async_context(sandbox)
        # Closed before the stand-in, which otherwise waits for idle connections.
        client = await stack.enter_async_context(open_session(100, ssl=False))
        async with AsyncExitStack() as providers:
            yield OxenFixture(sandbox, client, pictures, Catalog.load().at("oxen"), providers)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def envelope(kind: str, title: str) -> dict[str, Any]:
    return {"error": {"type": kind, "title": title}, "status": "error", "status_message": kind}


def later(milliseconds: int = 15_000) -> Clock:
    return Clock(now=lambda: real_time() + milliseconds)


async def lose(house: OxenFixture, oxen: OxenProvider, order: Submit) -> None:
    house.sandbox.faults.set("submit_lost", times=1)
    with pytest.raises(SubmitUnknown):
        await oxen.submit(order, quiet)
