"""Following a request at fal: temporary failures, how a run may end, and how it is cancelled."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.clock import Clock, real_time
from bot.domain.content import Content, DiskFile
from bot.domain.errors import (
    GenerationFailed,
    GenerationTimeout,
    InvalidResponse,
    JobCancelled,
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RequestRejected,
    SourceRejected,
    TicketLost,
)
from bot.domain.jobs import Ticket
from bot.domain.providers import CancelResult
from bot.net.large_json import json_in
from tests.support.providers.deps import (
    HURRIED,
    POLL_POLICY,
    REQUEST,
    ignore_progress,
    painted,
)
from tests.support.providers.fal import (
    NGINX,
    FalFixture,
    build_submit,
    finished_queue,
    follow,
    follow_until,
    open_fixture,
    ticket_at,
)
from tests.support.raw_server import closed_port, http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


# Following through temporary failures


@pytest.mark.parametrize("kind", ["status", "result"])
@pytest.mark.parametrize("what", ["error", "html", "truncated", "reset", "slow"])
async def test_a_bad_moment_while_polling_is_waited_out(fixture: FalFixture, kind: str, what: str) -> None:
    fixture.sandbox.faults.set(f"{kind}_{what}", times=2, seconds=0.5)
    finished = await fixture.result(timeouts=HURRIED)
    assert len(finished.pictures) == 1
    assert fixture.sandbox.submits == 1


@pytest.mark.parametrize(
    "name", ["status_error", "status_html", "status_reset", "result_html", "result_truncated"]
)
async def test_a_bad_moment_that_does_not_end_is_left_for_later_with_the_ticket_good(
    fixture: FalFixture, name: str
) -> None:
    fal = fixture.fal()
    ticket = await fal.submit(build_submit(), ignore_progress)
    fixture.sandbox.faults.set(name)
    with pytest.raises(ProviderBusy):
        await follow(fal, ticket)
    fixture.sandbox.faults.clear()
    assert len((await follow(fal, ticket))[1].pictures) == 1


async def test_a_result_that_is_not_ready_yet_is_requested_again(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("result_early", times=3)
    assert len((await fixture.result()).pictures) == 1


async def test_a_poll_waits_as_long_as_the_service_asks(fixture: FalFixture) -> None:
    responses = iter([http(429, b"", retry_after="0.15"), http(404, {"detail": "Request not found"})])
    async with responding(lambda _: next(responses)) as queue:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(TicketLost):
            await follow(fixture.fal(queue_url=queue.url), ticket_at(queue.url))
        assert asyncio.get_running_loop().time() - begun >= 0.15


async def test_a_request_that_never_ends_is_given_up(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("stuck")
    ticket = await fixture.submit()
    with pytest.raises(GenerationTimeout):
        await follow(fixture.fal(poll_policy=replace(POLL_POLICY, give_up_after=0.1)), ticket)


async def test_a_clock_that_jumps_ahead_gives_up_nothing(fixture: FalFixture) -> None:
    fixture.sandbox.run_seconds = 0.2
    ticket = await fixture.submit()
    late = Clock(now=lambda: real_time() + 7_200_000)
    assert len((await follow(fixture.fal(clock=late), ticket))[1].pictures) == 1


async def test_what_was_finished_long_ago_is_still_fetched(fixture: FalFixture) -> None:
    ticket = await fixture.submit()
    await follow(fixture.fal(), ticket)
    late = Clock(now=lambda: real_time() + 7_200_000)
    assert len((await follow(fixture.fal(clock=late), ticket))[1].pictures) == 1


# How a run may end


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("name", "status", "kind", "error"),
    [
        ("model_error", 422, "content_policy_violation", PromptRejected),
        ("model_error", 422, "no_media_generated", GenerationFailed),
        ("model_error", 422, "image_too_large", SourceRejected),
        ("model_error", 422, "file_download_error", SourceRejected),
        ("model_error", 422, "unsupported_image_format", SourceRejected),
        ("model_error", 422, "face_detection_error", SourceRejected),
        ("model_error", 422, "literal_error", RequestRejected),
        ("model_error", 400, "downstream_service_error", GenerationFailed),
        ("model_error", 500, "downstream_service_unavailable", GenerationFailed),
        ("model_error", 504, "generation_timeout", GenerationFailed),
        ("run_error", 500, "internal_error", GenerationFailed),
        ("run_error", 503, "runner_disconnected", GenerationFailed),
        ("run_error", 504, "request_timeout", GenerationFailed),
        ("run_error", 400, "bad_request", RequestRejected),
        ("run_error", 499, "client_cancelled", JobCancelled),
    ],
)
async def test_a_failed_run_ends_with_the_right_error_shown_by_its_status_or_not(
    fixture: FalFixture, name: str, status: int, kind: str, error: type[ProviderError], hidden: bool
) -> None:
    fixture.sandbox.faults.set(name, status=status, error_type=kind)
    if hidden:
        fixture.sandbox.faults.set("hidden_error")
    with pytest.raises(ProviderError) as refusal:
        await fixture.result()
    assert type(refusal.value) is error
    assert kind in refusal.value.detail


async def test_a_forbidden_prompt_is_refused_by_the_result(fixture: FalFixture) -> None:
    with pytest.raises(PromptRejected):
        await fixture.result(replace(REQUEST, prompt="something forbidden"))


async def test_bad_input_that_only_shows_in_the_result_is_the_requests_fault(fixture: FalFixture) -> None:
    image_request = build_submit(replace(REQUEST, background="transparent"))
    bent = replace(
        image_request,
        provider_request=replace(
            image_request.provider_request,
            fields={**image_request.provider_request.fields, "output_format": "jpeg"},
        ),
    )
    fal = fixture.fal()
    ticket = await fal.submit(bent, ignore_progress)
    with pytest.raises(RequestRejected):
        await follow(fal, ticket)


async def test_a_model_that_is_retired_while_the_job_waits_is_retired(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set(
        "run_error", status=400, error_type="bad_request", body="gpt-image-1.5 is deprecated"
    )
    with pytest.raises(ModelRetired):
        await fixture.result()


async def test_a_request_that_the_service_forgot_is_lost(fixture: FalFixture) -> None:
    ticket = await fixture.submit()
    missing = "00000000-0000-4000-8000-000000000000"
    data = {
        key: value.replace(ticket.data["request_id"], missing) if isinstance(value, str) else value
        for key, value in ticket.data.items()
    }
    with pytest.raises(TicketLost):
        await follow(fixture.fal(), Ticket(provider="fal", data=data))


async def test_a_result_that_is_no_longer_stored_is_lost(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("result_expired")
    with pytest.raises(TicketLost):
        await fixture.result()


async def test_a_key_that_is_withdrawn_meanwhile_is_for_the_operator(fixture: FalFixture) -> None:
    ticket = await fixture.submit()
    fixture.sandbox.faults.set("unauthorized")
    with pytest.raises(ProviderMisconfigured):
        await follow(fixture.fal(), ticket)


async def test_a_locked_account_still_gets_what_it_paid_for(fixture: FalFixture) -> None:
    ticket = await fixture.submit()
    fixture.sandbox.faults.set("locked")
    assert len((await follow(fixture.fal(), ticket))[1].pictures) == 1


async def test_a_huge_result_is_not_read(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("result_huge", size=70 * 1024 * 1024)
    with pytest.raises(InvalidResponse, match="not a usable picture"):
        await fixture.result()


@pytest.mark.parametrize(
    "result", [{}, {"images": []}, {"images": None}, {"images": [{"url": ""}]}, {"text": "hello"}]
)
async def test_a_result_without_a_picture_is_an_invalid_response(fixture: FalFixture, result: Any) -> None:
    async with responding(finished_queue(result)) as queue:
        with pytest.raises(InvalidResponse, match="without a picture"):
            await follow(fixture.fal(queue_url=queue.url), ticket_at(queue.url))


@pytest.mark.parametrize("status", [200, 422])
async def test_a_long_result_without_a_picture_is_parsed_once_and_off_the_event_loop(
    fixture: FalFixture, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noting(content: Content) -> Any:
        if isinstance(content, DiskFile):
            threads.append(threading.get_ident())
        return json_in(content)

    monkeypatch.setattr("bot.net.http.json_in", noting)
    state, result = http(200, {"status": "COMPLETED"}), http(status, {"detail": "x" * 2_000_000})
    async with responding(lambda line: state if "status_url" in line else result) as queue:
        with pytest.raises(ProviderError):
            await follow(fixture.fal(queue_url=queue.url), ticket_at(queue.url))
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "SOMETHING_NEW"])
async def test_the_result_decides_whatever_the_status_says(fixture: FalFixture, state: str) -> None:
    link = "data:image/png;base64," + base64.b64encode(painted()).decode()
    status = {"status": state, "error": "it says", "error_type": "internal_error"}
    async with responding(finished_queue({"images": [{"url": link}]}, status)) as queue:
        _, finished = await follow(fixture.fal(queue_url=queue.url), ticket_at(queue.url))
    assert finished.pictures[0].width == 64


# Cancelling


async def test_a_cancel_in_the_queue_removes_it(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=5)
    fal = fixture.fal()
    ticket = await fal.submit(build_submit(), ignore_progress)
    assert await fal.cancel(ticket) is CancelResult.REMOVED
    with pytest.raises(JobCancelled):
        await follow(fal, ticket)


async def test_a_cancel_while_painting_is_requested_and_then_seen(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("slow_run", seconds=5)
    fal = fixture.fal()
    ticket = await fal.submit(build_submit(), ignore_progress)
    await follow_until(fal, ticket, "painting")
    assert await fal.cancel(ticket) is CancelResult.REQUESTED
    with pytest.raises(JobCancelled):
        await follow(fal, ticket)


async def test_a_cancel_that_comes_too_late_still_brings_the_picture(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("cancel_ignored")
    fixture.sandbox.faults.set("slow_run", seconds=0.5)
    fal = fixture.fal()
    ticket = await fal.submit(build_submit(), ignore_progress)
    await follow_until(fal, ticket, "painting")
    assert await fal.cancel(ticket) is CancelResult.REQUESTED
    assert len((await follow(fal, ticket))[1].pictures) == 1
    assert await fal.cancel(ticket) is CancelResult.TOO_LATE


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, {"status": "OK"}, CancelResult.REMOVED),
        (202, {"status": "CANCELLATION_REQUESTED"}, CancelResult.REQUESTED),
        (202, {"status": "OK"}, CancelResult.REQUESTED),
        (400, {"status": "ALREADY_COMPLETED"}, CancelResult.TOO_LATE),
        (404, {"status": "NOT_FOUND"}, CancelResult.TOO_LATE),
        (200, {"status": "ALREADY_COMPLETED"}, CancelResult.TOO_LATE),
        (200, {"success": True}, CancelResult.REQUESTED),
        (200, {"success": False}, CancelResult.TOO_LATE),
        (400, {"detail": "completed"}, CancelResult.TOO_LATE),
        (200, None, CancelResult.REQUESTED),
        (200, [1], CancelResult.REQUESTED),
        (200, {"status": 5}, CancelResult.REQUESTED),
        (500, {"detail": "oops"}, CancelResult.REQUESTED),
        (401, {"detail": "who"}, CancelResult.REQUESTED),
        (302, {}, CancelResult.REQUESTED),
    ],
)
async def test_every_odd_response_to_a_cancel_has_a_meaning(
    fixture: FalFixture, status: int, body: Any, meaning: CancelResult
) -> None:
    async with responding(http(status, body)) as queue:
        assert await fixture.fal(queue_url=queue.url).cancel(ticket_at(queue.url)) is meaning
        assert queue.heads[0].startswith("PUT /cancel_url ")


@pytest.mark.parametrize("response", [b"", NGINX, http(200, NGINX), http(200, b"{", content_length="9")])
async def test_a_cancel_never_raises(fixture: FalFixture, response: bytes) -> None:
    async with responding(response) as queue:
        assert await fixture.fal(queue_url=queue.url).cancel(ticket_at(queue.url)) is CancelResult.REQUESTED
    gone = f"http://127.0.0.1:{closed_port()}"
    assert await fixture.fal(queue_url=gone).cancel(ticket_at(gone)) is CancelResult.REQUESTED
