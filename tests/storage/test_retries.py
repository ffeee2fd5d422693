"""Offers to ask again: accepted once, with the failed job's uploads, which are kept for a while."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.choices import AlternativeModel, RetryOffer
from bot.domain.clock import Instant, later
from bot.domain.errors import QuotaExceeded
from bot.domain.money import Money
from bot.ports import Unit
from bot.storage import jobs, notes, retries, spool
from bot.storage.sqlite import Sqlite
from tests.support.ledger import DEFAULT_LIMIT, FAILED, NOW, accept_and_claim, new_job, open_database

OFFERED = replace(FAILED, alternative=AlternativeModel(name="brush", label="Brush", price=Money(50)))


async def fail_with_offer(database: Sqlite) -> RetryOffer:
    """Fail job 1, which has two uploads and a result in the spool; the offer to ask for it again."""
    job = await accept_and_claim(database)
    await database.write(spool.store_uploads(1, {0: b"picture", 1: b"mask"}, NOW))
    await database.write(spool.store_results(1, 0, [b"result"]))
    assert await database.write(jobs.finish(job, OFFERED, NOW)) is not None
    offer = await database.read(retries.get(1, NOW))
    assert offer is not None
    assert (offer.job_id, offer.model, offer.retried_by) == (1, "brush", None)
    return offer


def ask_again(offer: RetryOffer, job_id: int, images: int = 1, now: Instant = NOW) -> Unit[None]:
    """Accept the offer and the job in one transaction."""
    yield from retries.accept(offer, job_id, Money(50), {0, 1}, now)
    yield from jobs.accept(new_job(job_id, images), DEFAULT_LIMIT, now)


async def test_an_offer_is_accepted_once_and_its_job_has_the_uploads(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        offer = await fail_with_offer(database)
        assert await database.read(spool.stored_results(1, 0)) == ()
        with pytest.raises(QuotaExceeded):
            await database.write(ask_again(offer, 2, images=11))
        await database.write(ask_again(offer, 3))
        await database.write(ask_again(offer, 3))  # delivered twice
        with pytest.raises(retries.RetriedBefore) as before:
            await database.write(ask_again(offer, 4))
        assert before.value.job_id == 3
        assert await database.read(spool.uploads(1)) == {}
        assert await database.read(spool.uploads(3)) == {0: b"picture", 1: b"mask"}
        assert await database.read(retries.expired_uploads(later(NOW, 10**6))) == []


async def test_uploads_and_offers_are_kept_for_a_while(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        offer = await fail_with_offer(database)
        end = later(NOW, retries.UPLOADS_KEPT)
        assert await database.read(retries.expired_uploads(end - 1)) == []
        assert await database.read(retries.expired_uploads(end)) == [1]
        await database.write(spool.forget([1]))
        with pytest.raises(retries.UploadsGone):
            await database.write(ask_again(offer, 2, now=end))
        last = later(NOW, retries.OFFERED_FOR)
        assert await database.read(retries.get(1, last - 1)) == offer
        assert await database.read(retries.get(1, last)) is None


async def test_the_newest_notes_of_a_kind_are_kept(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        for name in ("retrx:9", "retry:1", "retry:2", "retry:3", "retrz:0"):
            await database.write(notes.write(name, ""))
        await database.write(notes.keep_newest("retry:", 2))
        kept = [
            name
            for name in ("retrx:9", "retry:1", "retry:2", "retry:3", "retrz:0")
            if await database.read(notes.read(name)) is not None
        ]
        assert kept == ["retrx:9", "retry:2", "retry:3", "retrz:0"]


@pytest.mark.parametrize("content", ["", "{", "null", '{"job_id": 1}', '{"job_id": "one"}'])
async def test_an_offer_that_cannot_be_read_is_none_and_its_uploads_go(tmp_path: Path, content: str) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await fail_with_offer(database)
        await database.write(notes.write(f"retry:{1:020d}", content))
        assert await database.read(retries.get(1, NOW)) is None
        assert await database.read(retries.expired_uploads(NOW)) == [1]


async def test_a_price_that_rose_is_accepted_only_once_it_was_offered(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        offer = await fail_with_offer(database)
        with pytest.raises(retries.Dearer) as dearer:
            await database.write(retries.accept(offer, 2, Money(51), {0, 1}, NOW))
        assert await database.read(spool.uploads(2)) == {}
        await database.write(retries.reprice(offer, dearer.value.price, NOW))
        await database.write(retries.accept(offer, 2, Money(51), {0, 1}, NOW))
        await database.write(retries.reprice(offer, Money(99), NOW))
        accepted = await database.read(retries.get(1, NOW))
        assert accepted is not None
        assert (accepted.price, accepted.retried_by) == (Money(51), 2)


async def test_an_offer_of_an_earlier_version_has_no_price_to_hold_to(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        offer = await fail_with_offer(database)
        content = await database.read(notes.read(f"retry:{1:020d}"))
        assert content is not None
        earlier = json.loads(content)
        del earlier["price"]
        await database.write(notes.write(f"retry:{1:020d}", json.dumps(earlier)))
        await database.write(retries.accept(offer, 2, Money(10**6), {0, 1}, NOW))
        assert await database.read(retries.get(1, NOW)) == replace(offer, price=None, retried_by=2)
