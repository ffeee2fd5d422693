"""What Lumenfall's refusals mean, in all their forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.clock import real_time
from bot.domain.errors import (
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SetupError,
    SourceRejected,
    SubmitFailed,
    SubmitUnknown,
)
from tests.support.providers.deps import SOURCE, input_picture, painted
from tests.support.providers.lumenfall import (
    EDIT,
    REQUEST,
    LumenfallFixture,
    assert_discreet,
    open_fixture,
)


@pytest.fixture
async def fixture() -> AsyncIterator[LumenfallFixture]:
    async with open_fixture() as opened:
        yield opened


# Refusals


LONG = "prompt: Too big: expected string to have <=1000 characters"
EXHAUSTED = {"error": {"code": "ALL_PROVIDERS_EXHAUSTED", "message": "All providers failed", "type": "api_error"}}
REFUSALS: list[tuple[str, dict[str, Any], type[ProviderError]]] = [
    ("unauthorized", {}, ProviderMisconfigured),
    ("insufficient_balance", {}, ProviderMisconfigured),
    ("model_not_found", {}, ModelRetired),
    ("model_disabled", {}, ModelRetired),
    ("invalid_request", {}, RequestRejected),
    ("invalid_request", {"body": LONG}, RequestRejected),
    ("invalid_request", {"body": "moderation: expected low"}, RequestRejected),
    ("content_policy", {}, PromptRejected),
    ("hidden_moderation", {}, PromptRejected),
    ("hidden_moderation", {"body": "fal: content_policy_violation"}, PromptRejected),
    ("rate_limited", {}, RateLimited),
    ("exhausted", {}, ProviderBusy),
    ("exhausted", {"body": "timeout, quota"}, ProviderBusy),
    ("upstream_error", {}, ProviderBusy),
    ("upstream_error", {"status": 429}, RateLimited),
    ("upstream_error", {"status": 400}, RequestRejected),
    ("upstream_error", {"status": 400, "body": "blocked by our moderation"}, PromptRejected),
    ("upstream_error", {"status": 504}, SubmitUnknown),
    ("internal_error", {}, SubmitFailed),
    ("internal_error", {"status": 503}, SubmitFailed),
    ("ingress", {}, SubmitFailed),
    ("ingress", {"status": 504}, SubmitUnknown),
]


@pytest.mark.parametrize(("fault", "values", "error"), REFUSALS)
async def test_each_refusal_becomes_the_error_that_it_is(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any], error: type[ProviderError]
) -> None:
    fixture.fault(fault, **values)
    with pytest.raises(ProviderError) as caught:
        await fixture.submit()
    assert caught.type is error
    assert fixture.sandbox.submits == 1
    assert_discreet(caught.value)


@pytest.mark.parametrize("shape", ["flat", "nested"])
async def test_refusals_are_read_in_their_older_shapes_too(fixture: LumenfallFixture, shape: str) -> None:
    fixture.fault("flat_errors", body=shape)
    for fault, values, error in REFUSALS:
        fixture.fault(fault, **values, times=1)
        with pytest.raises(ProviderError) as caught:
            await fixture.submit()
        assert caught.type is error


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"code": "moderation_blocked", "message": "no", "type": "x"}}, PromptRejected),
        (400, {"error": {"message": "Your request was rejected by the safety system"}}, PromptRejected),
        (400, {"error": "bad"}, RequestRejected),
        (403, {"error": {"message": "forbidden"}}, ProviderMisconfigured),
        (404, {"error": {"code": "NOT_FOUND", "message": "no such path"}}, ProviderMisconfigured),
        (404, {"error": {"message": "the model does not exist"}}, ModelRetired),
        (410, {}, ModelRetired),
        (301, {}, ProviderMisconfigured),
        (408, {}, SubmitUnknown),
        (413, {}, SourceRejected),
        (422, {}, RequestRejected),
        (200, EXHAUSTED, ProviderBusy),
        (200, {"error": {"message": "?"}}, SubmitUnknown),
        (200, [], SubmitUnknown),
        (200, {"data": 7}, SubmitUnknown),
        (201, None, SubmitUnknown),
        (502, ["?"], SubmitFailed),
        (524, {}, SubmitUnknown),
    ],
)
async def test_an_odd_response_is_read_as_carefully(
    fixture: LumenfallFixture, status: int, body: Any, error: type[ProviderError]
) -> None:
    fixture.fault("answer_odd", status=status, body=body)
    with pytest.raises(ProviderError) as caught:
        await fixture.submit()
    assert caught.type is error
    assert_discreet(caught.value)


async def test_without_the_endpoint_for_edits_only_edits_are_gone(fixture: LumenfallFixture) -> None:
    fixture.fault("answer_odd", status=404, body={"error": {"code": "NOT_FOUND", "message": "no such path"}})
    with pytest.raises(ModelRetired) as retired:
        await fixture.submit(fixture.build_submit(EDIT, input_picture(painted())))
    assert retired.value.kind == "edit"


async def test_a_refusal_says_how_long_to_wait_and_how_long_a_prompt_may_be() -> None:
    async with open_fixture(prompt_cap=1_000) as fixture:
        fixture.fault("rate_limited", retry_after="7", times=1)
        with pytest.raises(RateLimited) as limited:
            await fixture.submit()
        assert limited.value.retry_after == 7
        with pytest.raises(RequestRejected) as refused:
            await fixture.submit(fixture.build_submit(replace(REQUEST, prompt="fox " * 300)))
        assert refused.value.sentence == (
            "The image service takes prompts of up to 1,000 characters; yours has 1,200. Shorten it a little."
        )


async def test_a_picture_that_the_service_cannot_use_is_not_the_prompts_fault(fixture: LumenfallFixture) -> None:
    with pytest.raises(SourceRejected):
        await fixture.submit(fixture.build_submit(EDIT, input_picture(b"no picture")))
    small = input_picture(painted((8, 8), mode="RGBA", colour=(0, 0, 0, 0)), filename="mask.png")
    with pytest.raises(SourceRejected):
        await fixture.submit(
            fixture.build_submit(replace(EDIT, mask=SOURCE), input_picture(painted()), mask=small)
        )


async def test_a_balance_that_is_used_up_is_the_operators_matter() -> None:
    async with open_fixture(balance=0.001) as fixture:
        with pytest.raises(ProviderMisconfigured) as caught:
            await fixture.submit()
        assert caught.value.detail == "402 INSUFFICIENT_BALANCE balance used up"


async def test_what_never_left_was_never_painted(fixture: LumenfallFixture) -> None:
    async with open_fixture() as gone:
        address = gone.sandbox.base_url
    with pytest.raises(ProviderBusy):
        await fixture.submit(base_url=address)


@pytest.mark.parametrize("changes", [{"api_key": "two words"}, {"api_key": ""}, {"base_url": "nowhere"}])
async def test_a_bad_setting_is_refused_at_start_without_showing_it(
    fixture: LumenfallFixture, changes: dict[str, Any]
) -> None:
    with pytest.raises(SetupError) as caught:
        fixture.lumenfall(**changes)
    assert not any(value and f"{value}" in str(caught.value) for value in changes.values())


async def test_no_more_are_painted_at_once_than_the_operator_allows() -> None:
    async with open_fixture(run_seconds=0.1) as fixture:
        lumenfall = fixture.lumenfall(at_once=2)
        began = real_time()
        submits = [fixture.build_submit(part=part) for part in range(4)]
        await asyncio.gather(*(lumenfall.submit(submit, fixture.reported.append) for submit in submits))
        begun = sorted(request.created_at for request in fixture.sandbox.requests.values())
        assert begun[2] - begun[0] >= 0.09
        assert real_time() - began < 5_000
