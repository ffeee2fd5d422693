"""Prices and fields as the services tell them: they count, the operator is told once, and no request waits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from bot.app import App
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from bot.worker.provider_refresh import refresh
from tests.e2e.test_doctor import run_doctor
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import World

FLARE, FLARE_ID = "gpt-image-2.5-flare", "gpt-image-2-5-flare"
ORDER: dict[str, Any] = {"SERVICE_ORDER": f"{FLARE}=oxen"}
REQUEST = ImageRequest(prompt="a boat", model=FLARE, size="square")
LINE = (
    f"{FLARE} at oxen: one picture (low 1k) costs $0.0082 by the service's own price list and $0.0041 "
    "by the catalogue, and 14 more of its prices differ; the service's price counts"
)


async def look(app: App) -> None:
    await refresh(app.providers, app.router, app.database, app.clock)


def warnings(records: Sequence[logging.LogRecord]) -> list[str]:
    """What the operator reads of Oxen's own figures for the model."""
    return [each.getMessage() for each in records if each.getMessage().startswith(f"{FLARE} at oxen:")]


def price(app: App) -> Money:
    """What one square picture is held at."""
    return app.router.price(app.router.candidates(REQUEST))


async def test_a_dearer_price_is_reserved_and_billed_and_the_operator_is_told_once(
    full_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    full_world.oxen.price_factors = {FLARE_ID: 2.0}
    async with full_world.bot(**ORDER) as app:
        before = price(app)
        await look(app)
        await look(app)
        assert price(app) == before + Money(9_600)
        assert warnings(caplog.records) == [LINE]
        job = await full_world.imagine(model=FLARE, size="square", quality="medium")
        await full_world.result_message(job)
        assert await full_world.wait_finished(job) == "done"
        assert full_world.ledger_micros(job, "settle") == 19_200
        assert full_world.ledger_micros(job, "reserve") >= 19_200
    # After a restart that reaches no service the price is known, and nothing is said twice.
    full_world.oxen.faults.set("models_error")
    async with full_world.bot(**ORDER) as app:
        assert price(app) == before + Money(9_600)
        await look(app)
        assert price(app) == before + Money(9_600)
    full_world.oxen.faults.clear()
    async with full_world.bot(**ORDER) as app:
        await look(app)
        assert warnings(caplog.records) == [LINE]
        full_world.oxen.price_factors = {FLARE_ID: 3.0}
        await look(app)
        assert len(warnings(caplog.records)) == 2
        full_world.oxen.price_factors = {}
        await look(app)
        assert price(app) == before
        full_world.oxen.price_factors = {FLARE_ID: 2.0}
        await look(app)
        assert warnings(caplog.records)[2:] == [LINE]


async def test_the_doctor_shows_both_prices_and_how_old_a_told_one_is(full_world: World) -> None:
    full_world.oxen.price_factors = {FLARE_ID: 2.0}
    report = await run_doctor(full_world)
    [line] = [line for line in report.section("Oxen") if "2.5 Flare" in line]
    assert " ".join(line.split()) == "GPT Image 2.5 Flare $0.0192 (catalogue: $0.0096) served"
    async with full_world.bot() as app:
        await look(app)
    full_world.update("UPDATE model_statuses SET priced_at = priced_at - 7200000")
    full_world.oxen.faults.set("models_error", endpoint=FLARE_ID)
    report = await run_doctor(full_world)
    [line] = [line for line in report.section("Oxen") if "2.5 Flare" in line]
    assert " ".join(line.split()) == (
        "GPT Image 2.5 Flare $0.0192 (catalogue: $0.0096) served, price told 2 h ago"
    )


async def test_a_price_that_rises_after_the_reservation_is_not_paid_there(full_world: World) -> None:
    order: dict[str, Any] = {"SERVICE_ORDER": f"{FLARE}=oxen,fal"}
    for service in (full_world.oxen, full_world.fal):
        service.faults.set("submit_rate_limited", retry_after="0")
    async with full_world.bot(**order) as app:
        job = await full_world.imagine(model=FLARE, size="square", quality="medium")
        await full_world.card(job)
        reserved = full_world.ledger_micros(job, "reserve")
        full_world.oxen.price_factors = {FLARE_ID: 50.0}
        await look(app)
        for service in (full_world.oxen, full_world.fal):
            service.faults.clear()
        await full_world.result_message(job)
        assert await full_world.wait_finished(job) == "done"
    assert full_world.job(job)["provider"] == "fal"
    assert full_world.ledger_micros(job, "settle") <= reserved


async def test_an_estimate_is_within_what_was_reserved_whatever_the_price_is_by_now(full_world: World) -> None:
    for fault, values in {"cost_missing": {}, "slow_run": {"seconds": 0.5}}.items():
        full_world.oxen.faults.set(fault, **values)
    async with full_world.bot(**ORDER) as app:
        job = await full_world.imagine(model=FLARE, size="square", quality="medium")
        await full_world.wait_accepted(job)
        full_world.oxen.price_factors = {FLARE_ID: 3.0}
        await look(app)
        await full_world.result_message(job)
        assert await full_world.wait_finished(job) == "done"
    assert full_world.ledger_micros(job, "settle") == full_world.ledger_micros(job, "reserve") == 9_600


async def test_a_process_that_knows_a_higher_price_than_was_reserved_pays_nothing(full_world: World) -> None:
    async with full_world.bot(**ORDER) as app:
        held = price(app)
    full_world.oxen.price_factors = {FLARE_ID: 50.0}
    async with full_world.bot(**ORDER) as app:
        # This process has reserved by the old price, and learns the new one before it submits.
        full_world.oxen.faults.set("submit_rate_limited", retry_after="0")
        job = await full_world.imagine(model=FLARE, size="square", quality="medium")
        await full_world.card(job)
        await look(app)
        full_world.oxen.faults.clear()
        assert price(app) > held
        assert await full_world.wait_finished(job) == "failed"
    assert full_world.ledger_entries(job) == RELEASED
    assert full_world.oxen.generations == {}


async def test_a_field_that_is_gone_is_not_sent_and_said_once(
    full_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    full_world.oxen.dropped_fields = {FLARE_ID: ["quality"]}
    async with full_world.bot(**ORDER) as app:
        await look(app)
        await look(app)
        message = await full_world.paint(model=FLARE, quality="low")
    assert "The service chooses the quality itself." in message["content"]
    [row] = full_world.oxen.generations.values()
    assert "quality" not in row.params
    said = "gpt-image-2.5-flare at oxen: its schema has no quality any more, which Easel leaves out"
    assert warnings(caplog.records) == [said]
    async with full_world.bot(**ORDER) as app:
        assert app.router.candidates(REQUEST)[0].body(1).keys().isdisjoint({"quality"})
        await look(app)
    assert warnings(caplog.records) == [said]


async def test_prices_that_make_no_sense_do_not_count_and_are_said_once(
    full_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with full_world.bot(**ORDER) as app:
        before = price(app)
        full_world.oxen.told_prices = {FLARE_ID: {"medium": {"1K": -1.0, "2K": 0.0, "4K": 99.0}}}
        await look(app)
        await look(app)
        assert price(app) == before
    said = "the service tells prices that cannot be true (medium 1k, medium 2k, medium 4k); they do not count"
    assert warnings(caplog.records) == [f"gpt-image-2.5-flare at oxen: {said}"]


async def test_notes_and_rows_that_cannot_be_read_keep_no_bot_from_starting(
    full_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    full_world.oxen.price_factors = {FLARE_ID: 2.0}
    async with full_world.bot(**ORDER) as app:
        await look(app)
        dearer = price(app)
    full_world.update("UPDATE notes SET content = '{' WHERE name LIKE 'told %'")
    full_world.update("UPDATE model_statuses SET prices = '{'")
    async with full_world.bot(**ORDER) as app:
        assert price(app) < dearer
        await look(app)
        assert price(app) == dearer
        assert warnings(caplog.records) == [LINE, LINE]


async def test_the_dry_runs_of_one_service_that_are_refused_leave_what_was_known(full_world: World) -> None:
    async with full_world.bot() as app:
        await look(app)
        known = app.router.status("lumenfall", "gpt-image-2")
        assert known is not None
        assert known.prices["medium"]["1024x1024"]
        full_world.lumenfall.faults.set("dry_run_error", status=429)
        await look(app)
        later = app.router.status("lumenfall", "gpt-image-2")
        assert later is not None
        assert (later.prices, later.priced_at) == (known.prices, known.priced_at)
        await full_world.paint(model="gpt-image-2")


async def test_a_list_that_is_slow_to_come_delays_no_picture(full_world: World) -> None:
    full_world.oxen.faults.set("models_slow", seconds=20)
    full_world.lumenfall.faults.set("dry_run_slow", seconds=20)
    async with full_world.connected_process(**ORDER) as bot:
        job = await full_world.imagine(model=FLARE, size="square")
        await full_world.result_message(job, within=8)
        assert await full_world.wait_finished(job) == "done"
        await bot.stop()
    assert full_world.job(job)["provider"] == "oxen"
