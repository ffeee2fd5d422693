"""What cannot be fetched again is kept until the job ends; then it goes, with every token and signed link."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.jobs import JobState, Ticket
from bot.domain.requests import ImageRequest, ReplyAddress, Source
from bot.storage import jobs, spool, submits
from tests.storage.test_jobs import claimed, one_claimed
from tests.support.ledger import CHANNEL, DEFAULT, FAILED, NOW, asked, opened, query

SECRETS = ("token", "source", "mask", "ticket", "upload", "kept")


def everything_in(folder: Path) -> bytes:
    """All the bytes of all the files, free space and journals included."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_job_waits_for_its_uploads_and_has_them_until_it_ends(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(jobs.accept(asked(1, waits_for_uploads=True), DEFAULT, NOW))
        assert await claimed(database, NOW + spool.UPLOAD_WAIT - 1) == []
        await database.write(spool.store_uploads(1, {0: b"first", 2: b"mask"}, NOW + 50))
        await database.write(spool.store_uploads(1, {0: b"another"}, NOW + 60))
        [job] = await claimed(database, NOW + 60)
        assert await database.read(spool.uploads(1)) == {0: b"first", 2: b"mask"}
        await database.write(jobs.finish(job, FAILED, NOW + 70))
        assert await database.read(spool.uploads(1)) == {}


async def test_a_job_whose_uploads_never_come_is_claimed_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        await database.write(jobs.accept(asked(1, waits_for_uploads=True), DEFAULT, NOW))
        assert len(await claimed(database, NOW + spool.UPLOAD_WAIT)) == 1


async def test_uploads_do_not_hurry_a_job_that_was_postponed(tmp_path: Path) -> None:
    async with opened(tmp_path / "easel.db") as database:
        job = await one_claimed(database)
        await database.write(jobs.reschedule(job, NOW + 30_000, NOW, not_submitted=True))
        await database.write(spool.store_uploads(1, {0: b"late"}, NOW + 1))
        assert (await database.read(jobs.get(1))).due_at == NOW + 30_000
        assert await database.read(spool.uploads(1)) == {0: b"late"}


@pytest.mark.parametrize("how", ["done", "failed", "cancelled"])
async def test_no_byte_of_a_token_a_signed_link_or_an_upload_outlives_the_job(tmp_path: Path, how: str) -> None:
    secrets = [f"sentinel-{name}".encode() for name in SECRETS]
    path = tmp_path / "easel.db"
    reply = ReplyAddress(application_id=1, channel_id=CHANNEL, token="sentinel-token")
    source = Source(url="https://cdn.discordapp.com/a.png?hm=sentinel-source", filename="a.png")
    mask = Source(url="https://cdn.discordapp.com/m.png?hm=sentinel-mask", filename="m.png")
    request = ImageRequest(prompt="a fox", model="m", sources=(source,), mask=mask)
    async with opened(path) as database:
        await database.write(jobs.accept(asked(1, reply=reply, request=request), DEFAULT, NOW))
        await database.write(spool.store_uploads(1, {0: b"sentinel-upload" * 3000}, NOW))
        if how == "cancelled":
            await database.write(jobs.cancel(1, NOW))
        else:
            [job] = await claimed(database)
            bytes_kept = (b"sentinel-kept" * 3000,)
            ticket = Ticket(provider="fal", data={"u": "sentinel-ticket"}, kept=bytes_kept)
            await database.write(submits.save_ticket(job, ticket, NOW))
            await database.write(jobs.finish(job, jobs.Outcome(state=JobState(how)), NOW))
        await database.read(query("SELECT 1"))
        ended = await database.read(jobs.get(1))
        assert (ended.reply.token, ended.tickets) == (None, ())
        assert ended.request.sources[0].url == "https://cdn.discordapp.com/a.png"
        assert ended.request.prompt == "a fox"
    kept = everything_in(tmp_path)
    assert b"https://cdn.discordapp.com/a.png" in kept
    assert [secret for secret in secrets if secret in kept] == []
