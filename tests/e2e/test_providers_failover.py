"""A service does not take the work: the next one paints it, once; and when none may be asked."""

from __future__ import annotations

import pytest

from bot.providers.health import refresh
from tests.support.world.providers import PATIENT, asked, errors, first, notes
from tests.support.world.world import World, assert_one_picture, moved

GIVEN_BACK = {"reserve": 1, "refund": 1}
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "trouble", ["submit_ingress", "unauthorized", "locked", "model_gone", "submit_rate_limited"]
)
async def test_what_one_service_certainly_did_not_take_the_next_one_paints_once(
    three: World, trouble: str
) -> None:
    three.fal.faults.set(trouble)
    async with three.bot():
        job = await three.imagine()
        card = await three.card(job)
        message = await assert_one_picture(three, job)
    assert "GPT Image 1.5" in card["content"]
    assert "GPT Image 1.5" in message["content"]
    row = three.job(job)
    assert (row["provider"], row["charged_images"], row["resubmits"]) == ("lumenfall", 1, 0)
    assert row["charged_micros"] == three.lumenfall.history.spent_micros > 0
    assert asked(three) == (1, 1, 0)
    assert (len(three.fal.requests), len(three.lumenfall.requests), notes(three, job)) == (0, 1, [])


async def test_a_service_that_is_not_there_and_one_that_is_out_of_money_leave_it_to_the_third(
    three: World,
) -> None:
    three.lumenfall.faults.set("insufficient_balance")
    async with three.bot(FAL_QUEUE_URL=NOWHERE) as app:
        await refresh(app.services, app.routes, app.database, app.clock)
        job = await three.imagine(quality="high")
        message = await assert_one_picture(three, job)
    assert three.job(job)["provider"] == "oxen"
    assert "The service chooses the quality itself." in message["content"]
    assert asked(three) == (0, 1, 1)
    assert notes(three, job) == []


@pytest.mark.parametrize("trouble", ["unauthorized", "locked"])
async def test_the_operator_is_told_once_that_a_service_needs_them_however_many_jobs_meet_it(
    three: World, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    three.fal.faults.set(trouble)
    async with three.bot():
        for _ in range(2):
            await three.painted()
        at_once = [await three.imagine(f"boat {number}") for number in range(3)]
        for job in at_once:
            await three.picture(job)
            await three.ended(job)
    [told] = errors(caplog.records)
    assert "fal" in told
    assert three.lumenfall.submits == 5


async def test_a_lone_service_without_money_refunds_each_job_and_tells_the_operator_once(
    house: World, caplog: pytest.LogCaptureFixture
) -> None:
    house.fal.faults.set("locked")
    async with house.bot():
        for _ in range(2):
            job = await house.imagine()
            assert "operator has been told" in await house.whisper(job)
            assert await house.ended(job) == "failed"
            assert moved(house, job) == GIVEN_BACK
        assert len(errors(caplog.records)) == 1


async def test_a_refused_prompt_or_option_is_refused_and_no_other_service_is_asked(three: World) -> None:
    async with three.bot(SERVICE_ORDER=first("lumenfall", "oxen", "fal")):
        refused = await three.imagine("forbidden things")
        assert "will not paint this prompt" in await three.whisper(refused)
        three.lumenfall.faults.set("invalid_request", body="quality: not one of them")
        wrong = await three.imagine()
        assert "does not accept this combination" in await three.whisper(wrong)
        for job in (refused, wrong):
            assert await three.ended(job) == "failed"
            assert moved(three, job) == GIVEN_BACK
            await three.card_gone(job)
    assert asked(three) == (0, 2, 0)


@pytest.mark.parametrize("service", ["fal", "oxen"])
async def test_a_prompt_that_is_refused_while_it_is_painted_goes_nowhere_else(three: World, service: str) -> None:
    async with three.bot(SERVICE_ORDER=first(service, "lumenfall")):
        job = await three.imagine("forbidden things")
        assert "will not paint this prompt" in await three.whisper(job)
        assert await three.ended(job) == "failed"
    assert moved(three, job) == GIVEN_BACK
    assert sum(asked(three)) == 1


async def test_a_service_that_is_only_busy_is_waited_for_also_where_the_next_one_needs_its_operator(
    three: World,
) -> None:
    three.fal.faults.set("submit_ingress", times=1)
    three.lumenfall.faults.set("unauthorized")
    async with three.bot(patience=PATIENT, SERVICE_ORDER=first("fal", "lumenfall")):
        job = await three.imagine()
        await assert_one_picture(three, job)
    assert three.job(job)["provider"] == "fal"
    assert asked(three) == (2, 0, 0)  # the dry run was enough for Lumenfall to say no


async def test_a_service_that_is_only_busy_is_waited_for_also_where_the_next_one_no_longer_has_the_model(
    three: World,
) -> None:
    three.fal.faults.set("submit_ingress", times=1)
    three.lumenfall.faults.set("model_not_found")
    async with three.bot(patience=PATIENT, SERVICE_ORDER=first("fal", "lumenfall")):
        job = await three.imagine()
        message = await assert_one_picture(three, job)
    assert three.job(job)["provider"] == "fal"
    assert "switched off" not in message["content"]


@pytest.mark.parametrize("trouble", ["locked", "unauthorized"])
async def test_a_picture_that_one_service_does_not_take_in_is_edited_by_the_next(
    three: World, trouble: str
) -> None:
    three.fal.faults.set(trouble)
    async with three.bot():
        job = await three.edit("make it snow", size="square")
        await assert_one_picture(three, job)
    assert three.job(job)["provider"] == "lumenfall"
    [request] = three.lumenfall.requests.values()
    assert (request.operation, len(request.files), len(three.fal.requests)) == ("edits", 1, 0)


async def test_a_key_that_is_taken_back_while_the_service_paints_is_refunded_and_the_operator_is_told(
    three: World, caplog: pytest.LogCaptureFixture
) -> None:
    three.fal.faults.set("slow_run", seconds=1.2)
    async with three.bot():
        jobs = [await three.imagine(f"boat {number}") for number in range(2)]
        for job in jobs:
            await three.accepted(job)
        three.fal.faults.set("unauthorized")
        for job in jobs:
            assert "operator has been told" in await three.whisper(job)
            assert await three.ended(job) == "failed"
            assert moved(three, job) == GIVEN_BACK
    assert len(errors(caplog.records)) == 1
    assert asked(three) == (2, 0, 0)
