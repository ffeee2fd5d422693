"""What cannot be painted: one clear sentence, for the asker alone, and not a cent."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.sandbox.discord.files import Blob
from bot.sandbox.discord.server import Upload
from tests.support.world.world import Quota, World, png

NOTHING = Quota(left=10, spent=0, reserved=0)
DOWNLOAD = "GET /ephemeral-attachments*"
MIB = 1024 * 1024


def blob(filename: str, content: bytes, *, size: int | None = None, kind: str | None = "image/png") -> Blob:
    """A file about which Discord's own figures say nothing, or something wrong."""
    return Blob(
        filename=filename,
        content=content,
        size=size or len(content),
        sha256="",
        content_type=kind,
        width=None,
        height=None,
    )


def huge_png(width: int = 10_000, height: int = 6_000) -> bytes:
    """Sixty megapixels, declared by a header of few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def assert_nothing_was_spent(house: World) -> None:
    assert await house.quota() == NOTHING
    assert house.fal.submits == 0
    moved = house.rows(
        "SELECT job_id, SUM(CASE entry WHEN 'reserve' THEN images ELSE -images END) AS open "
        "FROM ledger GROUP BY job_id"
    )
    assert all(row["open"] == 0 for row in moved)
    assert house.rows("SELECT 1 FROM ledger WHERE entry = 'settle' AND images > 0") == []


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, list[object]]]:
    """A port, and who connected to it."""
    came: list[object] = []

    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()


# Refused before anything begins: Discord's own figures are enough

BEFORE: dict[str, tuple[dict[str, Any], str]] = {
    "spaces only": ({"prompt": " \n  "}, "Your prompt is empty."),
    "4,001 characters": ({"prompt": "x" * 4001}, "Your prompt has 4,001 characters; the most is 4,000."),
    "an unknown model": ({"model": "crayons-2"}, "Easel has no model “crayons-2”. Choose gpt-image-1.5"),
    "an unknown size": ({"size": "huge"}, "has no size “huge”. Choose square, landscape"),
    "eleven pictures": ({"count": 11}, "paints 1 to 10 pictures at a time; you asked for 11."),
    "a see-through JPEG": (
        {"background": "transparent", "format": "jpeg"},
        "A JPEG cannot be transparent. Choose PNG or WebP",
    ),
}


async def test_requests_that_cannot_be_painted_are_refused_at_once_with_the_reason(house: World) -> None:
    async with house.bot():
        for name, (options, words) in BEFORE.items():
            said = await house.refusal(await house.imagine(**options))
            assert words in said, name
        await assert_nothing_was_spent(house)
    assert house.rows("SELECT 1 FROM jobs") == []


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "a text file": ({"image": Upload("notes.txt", b"no picture")}, "notes.txt is not a picture."),
    "60 megapixels": ({"image": Upload("big.png", huge_png())}, "big.png has 60 megapixels; the most is 50."),
    "30 MB": (
        {"image": blob("long.png", png(), size=30 * MIB)},
        "long.png has 30 MB; the most is 20 MB. Send a smaller one.",
    ),
    "a mask of another size": (
        {"mask": Upload("mask.png", png(32, 32, (0, 0, 0, 0), "RGBA"))},
        "The mask is 32×32 and the picture 64×64. Both must have the same size.",
    ),
    "an unknown fidelity": ({"fidelity": "total"}, "has no fidelity “total”. Choose low or high."),
}


async def test_pictures_that_cannot_be_used_are_refused_at_once_with_the_reason(house: World) -> None:
    async with house.bot():
        for name, (options, words) in EDITS.items():
            said = await house.refusal(await house.edit(**options))
            assert words in said, name
        await assert_nothing_was_spent(house)
    assert house.rows("SELECT 1 FROM jobs") == []


# Refused once the bytes are there: the card goes, the asker is told privately

BYTES: dict[str, tuple[dict[str, Any], str]] = {
    "a text named .png": ({"image": Upload("cat.png", b"I am a cat, honestly.")}, "not a picture Easel can read"),
    "60 megapixels in secret": ({"image": blob("cat.png", huge_png())}, "more than Easel takes (50 megapixels)"),
    "30 MB in secret": ({"image": blob("cat.png", b"\0" * (30 * MIB), size=100)}, "cat.png has more than 20 MB"),
    "a mask of another size in secret": (
        {"mask": blob("mask.png", png(32, 32, (0, 0, 0, 0), "RGBA"))},
        "The mask is 32 × 32 pixels and the picture 64 × 64.",
    ),
    "a mask that marks nothing": ({"mask": Upload("mask.png", png(64, 64, "black"))}, "The mask marks nothing."),
}


@pytest.mark.parametrize("name", BYTES)
async def test_what_only_the_bytes_show_is_told_privately_and_the_card_goes(house: World, name: str) -> None:
    options, words = BYTES[name]
    async with house.bot():
        asked = await house.edit(**options)
        assert words in await house.whisper(asked)
        await house.card_gone(asked)
        assert await house.ended(asked) == "failed"
        await assert_nothing_was_spent(house)
    assert house.rows("SELECT 1 FROM spool") == []


async def test_a_link_that_ran_out_before_it_was_read_is_told_privately(house: World) -> None:
    async with house.bot():
        await house.discord.fail(DOWNLOAD, 404, {"message": "This content is no longer available."}, times=None)
        asked = await house.edit()
        assert "boat.png could not be read. Send the picture again." in await house.whisper(asked)
        await assert_nothing_was_spent(house)


async def test_a_picture_on_another_host_is_refused_without_a_connection(house: World) -> None:
    async with listening() as (port, came), house.bot():
        cdn = house.discord.world.cdn
        real = cdn.base
        for base in (f"http://127.0.0.1:{port}", f"http://localhost:{port}", "http://169.254.169.254"):
            cdn.base = base
            asked = await house.edit()
            cdn.base = real
            assert "lives where Easel does not go" in await house.whisper(asked)
        await assert_nothing_was_spent(house)
        assert came == []


async def test_a_redirect_away_from_discord_is_not_followed(house: World) -> None:
    async with listening() as (port, came), house.bot():
        away = {"Location": f"http://127.0.0.1:{port}/secret.png"}
        await house.discord.fail(DOWNLOAD, 302, headers=away, times=None)
        assert "could not be read" in await house.whisper(await house.edit())
        await assert_nothing_was_spent(house)
        assert came == []


# The service's troubles: the member learns which of the four things it was

TROUBLES: dict[str, tuple[str, dict[str, Any], str]] = {
    "content policy": ("", {}, "will not paint this prompt"),
    "locked account": ("locked", {}, "is not available to this bot right now. Its operator has been told."),
    "wrong key": ("unauthorized", {}, "is not available to this bot right now. Its operator has been told."),
    "model gone": ("model_gone", {}, "no longer offers this model"),
    "down": ("submit_ingress", {}, "is busy or does not answer"),
    "refuses connections": ("submit_refused", {}, "did not confirm your request, twice"),
    "slow down": ("submit_rate_limited", {"retry_after": "0.2"}, "is busy or does not answer"),
    "a failed run": ("run_error", {}, "failed while painting"),
    "no picture": ("model_error", {}, "could not paint this. Try to say it differently."),
    "text for a picture": ("not_a_picture", {}, "not a usable picture"),
    "a bomb": ("bomb", {}, "not a usable picture"),
    "a link to another host": ("foreign_picture", {}, "not a usable picture"),
    "links to another service": ("foreign_urls", {}, "not a usable picture"),
}


@pytest.mark.parametrize("name", [name for name in TROUBLES if name not in ("down", "slow down")])
async def test_what_goes_wrong_at_the_service_is_told_privately_and_costs_nothing(house: World, name: str) -> None:
    fault, values, words = TROUBLES[name]
    async with listening() as (port, came), house.bot():
        if fault.startswith("foreign"):
            values = {"url": f"http://127.0.0.1:{port}"}
        if fault:
            house.fal.faults.set(fault, **values)
        asked = await house.imagine("forbidden things" if not fault else "a boat")
        assert words in await house.whisper(asked)
        await house.card_gone(asked)
        assert await house.ended(asked) == "failed"
        assert await house.quota() == NOTHING
        assert came == []
    assert await house.pictures() == []


@pytest.mark.parametrize("name", ["down", "slow down"])
async def test_a_service_that_stays_away_is_told_privately_when_patience_ends(house: World, name: str) -> None:
    fault, values, words = TROUBLES[name]
    house.fal.faults.set(fault, **values)
    async with house.bot():
        asked = await house.imagine()
        await house.discord.wait_for_message(
            house.channel, lambda message: "Trying again soon." in message["content"]
        )
        assert words in await house.whisper(asked)
        assert await house.quota() == NOTHING
    assert house.fal.requests == {}


async def test_a_service_that_answers_with_pages_keeps_the_reservation_until_the_picture_is_there(
    house: World,
) -> None:
    house.fal.faults.set("result_html")
    async with house.bot():
        asked = await house.imagine()
        await house.discord.wait_for_message(
            house.channel, lambda message: "Trying again soon." in message["content"]
        )
        assert await house.quota() == Quota(left=9, spent=0, reserved=1)
        house.fal.faults.clear()
        await house.picture(asked)
    assert house.fal.submits == 1


async def test_fewer_pictures_than_asked_are_charged_as_many_as_came(house: World) -> None:
    house.fal.faults.set("fewer_pictures", count=1)
    async with house.bot():
        message = await house.painted(count=4)
        assert len(message["attachments"]) == 3
        assert "The service painted 3 of 4 pictures." in message["content"]
        assert await house.quota() == Quota(left=7, spent=3, reserved=0)


async def test_a_slow_picture_arrives_all_the_same(house: World) -> None:
    house.fal.faults.set("result_slow", seconds=0.5)
    house.fal.faults.set("cdn_reset", times=1)
    async with house.bot():
        await house.painted()
