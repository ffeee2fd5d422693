"""Bytes that cannot be fetched again are stored until the job ends, then deleted with tokens and signed links."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from bot.domain.clock import later
from bot.domain.content import IN_MEMORY, DiskFile
from bot.domain.jobs import JobState, Ticket
from bot.domain.requests import ImageRequest, ReplyAddress, Source
from bot.storage import jobs, spool, submits
from tests.support.ledger import (
    CHANNEL,
    DEFAULT_LIMIT,
    FAILED,
    NOW,
    accept,
    accept_and_claim,
    claim,
    new_job,
    open_database,
    query,
)
from tests.support.picture_files import on_disk

SECRETS = ("token", "source", "mask", "ticket", "upload", "result")


def everything_in(folder: Path) -> bytes:
    """All bytes of all files, free space and journals included."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_job_waits_for_its_uploads_which_are_stored_until_it_ends(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(jobs.accept(new_job(1, waits_for_uploads=True), DEFAULT_LIMIT, NOW))
        assert await claim(database, later(NOW, spool.UPLOAD_WAIT) - 1) == []
        await database.write(spool.store_uploads(1, {0: b"first", 2: b"mask"}, NOW + 50))
        await database.write(spool.store_uploads(1, {0: b"another"}, NOW + 60))
        [job] = await claim(database, NOW + 60)
        assert await database.read(spool.uploads(1)) == {0: b"first", 2: b"mask"}
        await database.write(jobs.finish(job, FAILED, NOW + 70))
        assert await database.read(spool.uploads(1)) == {}


async def test_large_uploads_are_on_disk_before_they_are_stored_and_once_they_are_read(tmp_path: Path) -> None:
    large = b"x" * (IN_MEMORY + 1)
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        await database.write(spool.store_uploads(1, {0: on_disk(large), 2: b"small"}, NOW))
        found = await database.read(spool.uploads(1))
    assert isinstance(found[0], DiskFile)
    assert (found[0].read(), found[2]) == (large, b"small")


async def test_a_second_upload_of_the_same_picture_adds_nothing_however_long_it_is(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        await database.write(spool.store_uploads(1, {0: on_disk(b"a" * 600_000)}, NOW))
        await database.write(spool.store_uploads(1, {0: on_disk(b"b" * 3_000_000), 1: b""}, NOW))
        found = await database.read(spool.uploads(1))
    assert isinstance(found[0], DiskFile)
    assert (found[0].read(), found[1]) == (b"a" * 600_000, b"")


async def test_a_large_picture_is_stored_and_read_with_little_memory(tmp_path: Path) -> None:
    large = on_disk(bytes(20_000_000))
    async with open_database(tmp_path / "easel.db") as database:
        await accept(database, 1)
        tracemalloc.start()
        try:
            await database.write(spool.store_uploads(1, {0: large}, NOW))
            found = await database.read(spool.uploads(1))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(found[0]) == 20_000_000
    assert most < 5_000_000


async def test_a_job_whose_uploads_are_never_stored_is_claimed_after_a_while(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(jobs.accept(new_job(1, waits_for_uploads=True), DEFAULT_LIMIT, NOW))
        assert len(await claim(database, later(NOW, spool.UPLOAD_WAIT))) == 1


async def test_uploads_do_not_make_a_rescheduled_job_due(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        job = await accept_and_claim(database)
        await database.write(jobs.reschedule(job, NOW + 30_000, forget_submit=True))
        await database.write(spool.store_uploads(1, {0: b"late"}, NOW + 1))
        assert (await database.read(jobs.get(1))).due_at == NOW + 30_000
        assert await database.read(spool.uploads(1)) == {0: b"late"}


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
async def test_no_byte_of_a_token_a_signed_link_or_an_upload_outlives_the_job(tmp_path: Path, state: str) -> None:
    secrets = [f"sentinel-{name}".encode() for name in SECRETS]
    path = tmp_path / "easel.db"
    reply = ReplyAddress(application_id=1, channel_id=CHANNEL, token="sentinel-token")
    source = Source(url="https://cdn.discordapp.com/a.png?hm=sentinel-source", filename="a.png")
    mask = Source(url="https://cdn.discordapp.com/m.png?hm=sentinel-mask", filename="m.png")
    request = ImageRequest(prompt="a fox", model="m", sources=(source,), mask=mask)
    async with open_database(path) as database:
        await database.write(jobs.accept(new_job(1, reply=reply, request=request), DEFAULT_LIMIT, NOW))
        await database.write(spool.store_uploads(1, {0: b"sentinel-upload" * 3000}, NOW))
        if state == "cancelled":
            await database.write(jobs.cancel(1, NOW))
        else:
            [job] = await claim(database)
            results = (b"sentinel-result" * 3000,)
            ticket = Ticket(provider="fal", data={"u": "sentinel-ticket"}, results=results)
            await database.write(submits.save_ticket(job, ticket))
            await database.write(jobs.finish(job, jobs.Outcome(state=JobState(state)), NOW))
        await database.read(query("SELECT 1"))
        ended = await database.read(jobs.get(1))
        assert (ended.reply.token, ended.tickets) == (None, ())
        assert ended.request.sources[0].url == "https://cdn.discordapp.com/a.png"
        assert ended.request.prompt == "a fox"
    stored = everything_in(tmp_path)
    assert b"https://cdn.discordapp.com/a.png" in stored
    assert [secret for secret in secrets if secret in stored] == []
