"""A provider does not accept a job: the next one paints it, once, or the job waits or fails."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from bot.worker.provider_refresh import refresh
from tests.support.world.providers import PERSISTENT_RETRIES, logged_errors, provider_order, submits
from tests.support.world.stored_jobs import RELEASED
from tests.support.world.world import World

UNREACHABLE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "trouble", ["submit_ingress", "unauthorized", "locked", "model_gone", "submit_rate_limited"]
)
async def test_work_that_one_provider_did_not_accept_is_painted_once_by_the_next(
    full_world: World, trouble: str
) -> None:
    full_world.fal.faults.set(trouble)
    async with full_world.bot():
        job = await full_world.imagine()
        card = await full_world.card(job)
        message = await full_world.assert_one_picture(job)
    assert "GPT Image 1.5" in card["content"]
    assert "GPT Image 1.5" in message["content"]
    row = full_world.job(job)
    assert (row["provider"], row["charged_images"], row["resubmits"]) == ("lumenfall", 1, 0)
    assert row["charged_micros"] == full_world.lumenfall.history.spent_micros > 0
    assert submits(full_world) == (1, 1, 0)
    assert (len(full_world.fal.requests), len(full_world.lumenfall.requests), full_world.operator_notes(job)) == (
        0,
        1,
        [],
    )


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize(
    ("service", "fault", "notes"),
    [("fal", "submit_error", 0), ("lumenfall", "internal_error", 0), ("oxen", "submit_error", 1)],
)
async def test_a_5xx_to_a_submit_sends_the_work_to_the_next_provider_at_once(
    full_world: World, service: str, fault: str, notes: int, status: int
) -> None:
    others = [name for name in ("fal", "lumenfall", "oxen") if name != service]
    getattr(full_world, service).faults.set(fault, status=status)
    async with full_world.bot(SERVICE_ORDER=provider_order(service, *others)):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    row = full_world.job(job)
    assert (row["provider"], row["attempts"], row["resubmits"]) == (others[0], 1, 0)
    assert sum(submits(full_world)) == 2
    # Oxen says neither in its body nor in its lists that it has not taken the work.
    assert [note.partition(":")[0] for note in full_world.operator_notes(job)] == [
        f"oxen answered {status}"
    ] * notes


async def test_a_5xx_that_does_not_say_what_it_cost_is_noted_for_the_operator(full_world: World) -> None:
    full_world.fal.faults.set("submit_bare", body="Internal Server Error")
    async with full_world.bot():
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert (submits(full_world), full_world.job(job)["provider"]) == ((1, 1, 0), "lumenfall")
    [note] = full_world.operator_notes(job)
    assert (note.startswith("fal answered 500: $"), note.endswith(" may have been billed")) == (True, True)


async def test_a_lone_provider_is_asked_again_when_its_5xx_says_so(world: World) -> None:
    world.fal.faults.set("submit_error", status=503, retry_after="1", times=1)
    async with world.bot(retry_policy=PERSISTENT_RETRIES):
        job = await world.imagine()
        await world.assert_one_picture(job)
    refused, accepted = [call for call in world.fal.calls if call["method"] == "POST"]
    assert (refused["status"], accepted["status"]) == (503, 200)
    assert accepted["at"] - refused["at"] >= 0.9
    assert world.job(job)["resubmits"] == 0
    assert world.operator_notes(job) == []


@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        ("submit_rate_limited", "0"),
        ("submit_rate_limited", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("submit_error", "0"),
    ],
)
async def test_a_provider_that_says_again_at_once_is_asked_at_a_growing_distance(
    world: World, fault: str, retry_after: str
) -> None:
    world.fal.faults.set(fault, retry_after=retry_after, times=3)
    async with world.bot(retry_policy=replace(PERSISTENT_RETRIES, first_retry=0.3, longest_retry=5)):
        job = await world.imagine()
        await world.assert_one_picture(job)
    times = [call["at"] for call in world.fal.calls if call["method"] == "POST"]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert [wait >= least for wait, least in zip(waits, (0.15, 0.225, 0.33), strict=True)] == [True] * 3


async def test_with_one_provider_unreachable_and_one_out_of_money_the_third_paints(
    full_world: World,
) -> None:
    full_world.lumenfall.faults.set("insufficient_balance")
    async with full_world.bot(FAL_QUEUE_URL=UNREACHABLE) as app:
        await refresh(app.providers, app.router, app.database, app.clock)
        job = await full_world.imagine(quality="high")
        message = await full_world.assert_one_picture(job)
    assert full_world.job(job)["provider"] == "oxen"
    assert "The service chooses the quality itself." in message["content"]
    assert submits(full_world) == (0, 1, 1)
    assert full_world.operator_notes(job) == []


@pytest.mark.parametrize("trouble", ["unauthorized", "locked"])
async def test_a_misconfigured_provider_is_logged_once_for_any_number_of_jobs(
    full_world: World, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    full_world.fal.faults.set(trouble)
    async with full_world.bot():
        for _ in range(2):
            await full_world.paint()
        at_once = [await full_world.imagine(f"boat {number}") for number in range(3)]
        for job in at_once:
            await full_world.result_message(job)
            await full_world.wait_finished(job)
    [error] = logged_errors(caplog.records)
    assert "fal" in error
    assert full_world.lumenfall.submits == 5


async def test_a_lone_provider_without_money_releases_each_job_and_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.fal.faults.set("locked")
    async with world.bot():
        for _ in range(2):
            job = await world.imagine()
            assert "operator has been told" in await world.private_failure(job)
            assert await world.wait_finished(job) == "failed"
            assert world.ledger_images(job) == RELEASED
        assert len(logged_errors(caplog.records)) == 1


async def test_a_refused_prompt_or_option_goes_to_no_other_provider(full_world: World) -> None:
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall", "oxen", "fal")):
        refused = await full_world.imagine("forbidden things")
        assert "will not paint this prompt" in await full_world.private_failure(refused)
        full_world.lumenfall.faults.set("invalid_request", body="quality: not one of them")
        wrong = await full_world.imagine()
        assert "does not accept this combination" in await full_world.private_failure(wrong)
        for job in (refused, wrong):
            assert await full_world.wait_finished(job) == "failed"
            assert full_world.ledger_images(job) == RELEASED
            await full_world.wait_card_deleted(job)
    assert submits(full_world) == (0, 2, 0)


@pytest.mark.parametrize("service", ["fal", "oxen"])
async def test_a_prompt_refused_during_the_run_goes_to_no_other_provider(full_world: World, service: str) -> None:
    async with full_world.bot(SERVICE_ORDER=provider_order(service, "lumenfall")):
        job = await full_world.imagine("forbidden things")
        assert "will not paint this prompt" in await full_world.private_failure(job)
        assert await full_world.wait_finished(job) == "failed"
    assert full_world.ledger_images(job) == RELEASED
    assert sum(submits(full_world)) == 1


async def test_a_busy_provider_is_waited_for_where_the_next_one_is_misconfigured(
    full_world: World,
) -> None:
    full_world.fal.faults.set("submit_ingress", times=1)
    full_world.lumenfall.faults.set("unauthorized")
    async with full_world.bot(retry_policy=PERSISTENT_RETRIES, SERVICE_ORDER=provider_order("fal", "lumenfall")):
        job = await full_world.imagine()
        await full_world.assert_one_picture(job)
    assert full_world.job(job)["provider"] == "fal"
    assert submits(full_world) == (2, 0, 0)  # Lumenfall refused the dry run already


async def test_a_busy_provider_is_waited_for_where_the_next_one_no_longer_has_the_model(
    full_world: World,
) -> None:
    full_world.fal.faults.set("submit_ingress", times=1)
    full_world.lumenfall.faults.set("model_not_found")
    async with full_world.bot(retry_policy=PERSISTENT_RETRIES, SERVICE_ORDER=provider_order("fal", "lumenfall")):
        job = await full_world.imagine()
        message = await full_world.assert_one_picture(job)
    assert full_world.job(job)["provider"] == "fal"
    assert "switched off" not in message["content"]


@pytest.mark.parametrize("trouble", ["locked", "unauthorized"])
async def test_an_edit_whose_upload_one_provider_refuses_is_painted_by_the_next(
    full_world: World, trouble: str
) -> None:
    full_world.fal.faults.set(trouble)
    async with full_world.bot():
        job = await full_world.edit("make it snow", size="square")
        await full_world.assert_one_picture(job)
    assert full_world.job(job)["provider"] == "lumenfall"
    [request] = full_world.lumenfall.requests.values()
    assert (request.operation, len(request.files), len(full_world.fal.requests)) == ("edits", 1, 0)


async def test_a_key_revoked_during_the_run_releases_the_job_and_is_logged(
    full_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    full_world.fal.faults.set("slow_run", seconds=1.2)
    async with full_world.bot():
        jobs = [await full_world.imagine(f"boat {number}") for number in range(2)]
        for job in jobs:
            await full_world.wait_accepted(job)
        full_world.fal.faults.set("unauthorized")
        for job in jobs:
            assert "operator has been told" in await full_world.private_failure(job)
            assert await full_world.wait_finished(job) == "failed"
            assert full_world.ledger_images(job) == RELEASED
    assert len(logged_errors(caplog.records)) == 1
    assert submits(full_world) == (2, 0, 0)
