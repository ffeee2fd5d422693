"""The most memory that Easel takes, with all its processes, while members send it the heaviest pictures.

`python -m benchmarks.memory` prints this table alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import aiohttp
from PIL import Image

from benchmarks.processes import EASEL, RunningBot, StandInOptions, start_bot
from bot.sandbox.discord.server import Upload

SAMPLE_SECONDS = 0.02
SAMPLES = 25
"""Between two looks at what is posted."""
QUIET_SECONDS = 2.0
"""Between two loads."""
LONGEST_LOAD = 400.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One load, and the resident MiB of the bot and its processes before it and at its peak."""

    load: str
    before: float
    peak: float


def _gif() -> bytes:
    """49 megapixels in a few kB."""
    return _encoded(Image.new("P", (7000, 7000)), "GIF")


def _progressive() -> bytes:
    """42 megapixels in a few hundred kB."""
    return _encoded(Image.new("RGB", (7000, 6000), "teal"), "JPEG", progressive=True, subsampling=0)


def _webp() -> bytes:
    """4096 × 4096, as services paint at most."""
    return _encoded(Image.new("RGB", (4096, 4096), "teal"), "WEBP")


def _noise(side: int) -> bytes:
    """A PNG of three bytes a pixel."""
    noise = random.Random(7).randbytes(side * side * 3)
    return _encoded(Image.frombytes("RGB", (side, side), noise), "PNG", compress_level=0)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


async def measured(output: Path) -> list[Row]:
    """Every load, one after the other, at one bot for each kind of service."""
    return [*await _measured_links(output), *await _measured_inline(output)]


async def _measured_links(output: Path) -> list[Row]:
    """The loads of a service that links its pictures."""
    async with start_bot(replace(EASEL, name="memory"), StandInOptions(), output) as bot:
        await bot.discord.configure(discard_files=False)
        rows = [
            await _measure(bot, "32 edits of a GIF of 49 megapixels", await _edits(bot, 32, "a.gif", _gif())),
            await _measure(bot, "16 edits of a PNG of 20 MB", await _edits(bot, 16, "a.png", _noise(2580))),
        ]
        for name, content in (
            ("8 results of 42 megapixels, progressive", _progressive()),
            ("8 results of 17 megapixels, WebP", _webp()),
            ("8 results of 30 MB, PNG", _noise(3200)),
        ):
            async with _serving(content) as url:
                await _paint_with(bot, url)
                rows.append(await _measure(bot, name, await _imagines(bot, 8)))
        noise = _noise(2510)
        async with _serving(noise) as url:
            await _paint_with(bot, url)
            sending = [
                *await _edits(bot, 4, "a.png", noise, pictures=4),
                *await _imagines(bot, 8, count=4, formats=("avif", "webp", "jpeg", "gif")),
            ]
            rows.append(await _measure(bot, "4 edits of 4 × 19 MB, 8 results of 4 × 19 MB", sending))
        return rows


async def _measured_inline(output: Path) -> list[Row]:
    """The loads of a service that has pictures inside its responses."""
    options = StandInOptions(picture_bytes=9_400_000, lumenfall=True)
    async with start_bot(replace(EASEL, name="memory-inline"), options, output) as bot:
        await bot.discord.configure(discard_files=False)
        noise = _noise(2510)
        rows = [
            await _measure(bot, "16 streams with a picture of 9 MB", await _imagines(bot, 16)),
            await _measure(bot, "16 responses with 4 × 9 MB", await _imagines(bot, 16, count=4)),
        ]
        sending = [
            *await _edits(bot, 8, "a.png", noise, pictures=4),
            *await _imagines(bot, 8),
            *await _imagines(bot, 8, count=4, formats=("avif", "webp", "jpeg", "gif")),
        ]
        rows.append(await _measure(bot, "both, 8 edits of 4 × 19 MB, converted", sending))
        return rows


async def _edits(
    bot: RunningBot, count: int, name: str, content: bytes, *, pictures: int = 1
) -> Sequence[asyncio.Task[int]]:
    images = ("image", "image2", "image3", "image4")[:pictures]
    options = {"prompt": "make it snow", **{image: Upload(name, content) for image in images}}
    return [
        asyncio.create_task(bot.discord.slash(bot.members[number], bot.channels[0], "edit", options))
        for number in range(count)
    ]


async def _imagines(
    bot: RunningBot, requests: int, *, count: int = 1, formats: Sequence[str] = ("png",)
) -> Sequence[asyncio.Task[int]]:
    options = {"prompt": "a lighthouse", "count": count}
    return [
        asyncio.create_task(
            bot.discord.slash(
                bot.members[number],
                bot.channels[0],
                "imagine",
                {**options, "format": formats[number % len(formats)]},
            )
        )
        for number in range(requests)
    ]


async def _measure(bot: RunningBot, name: str, sending: Sequence[asyncio.Task[int]]) -> Row:
    """Sample the memory until every picture is posted, and a little longer.

    Raises:
        TimeoutError: it takes too long.
    """
    before = peak = bot.resident()
    posted = await _posted(bot)
    left = len(sending)
    async with asyncio.timeout(LONGEST_LOAD):
        while left:
            for _ in range(SAMPLES):
                await asyncio.sleep(SAMPLE_SECONDS)
                peak = max(peak, bot.resident())
            left = posted + len(sending) - await _posted(bot)
    await asyncio.gather(*sending)
    await asyncio.sleep(QUIET_SECONDS)
    return Row(name, before / MIB, peak / MIB)


async def _posted(bot: RunningBot) -> int:
    return sum(bool(message["attachments"]) for message in await bot.discord.messages(bot.channels[0]))


async def _paint_with(bot: RunningBot, url: str) -> None:
    """Have fal's stand-in link this file instead of what it paints."""
    faults = {"clear": True, "set": [{"name": "foreign_picture", "url": url}]}
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{bot.fal_url}/sandbox/faults", json=faults),
    ):
        pass


@asynccontextmanager
async def _serving(content: bytes) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
                writer.write(content)
                await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture"


def table(rows: Sequence[Row]) -> str:
    """The figures as lines of text."""
    lines = [f"{'memory with heavy pictures, all processes':<44}{'before':>12}{'peak':>12}"]
    lines += [f"{row.load:<44}{row.before:>8.0f} MiB{row.peak:>8.0f} MiB" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    output = Path("bench-output").absolute()
    output.mkdir(exist_ok=True)
    print(table(asyncio.run(measured(output))))


if __name__ == "__main__":
    main()
