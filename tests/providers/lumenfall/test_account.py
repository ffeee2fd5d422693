"""Lumenfall's dry runs and what it says of the account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    ModelRetired,
    PriceExceeded,
    ProviderError,
    ProviderMisconfigured,
    RequestRejected,
)
from bot.domain.money import Money
from bot.domain.providers import KeyState
from bot.providers.lumenfall.prices import AT_ONCE as AT_ONCE_DRY
from bot.providers.lumenfall.prices import MOST_FAILURES
from tests.support.providers.deps import CATALOG, input_picture, painted
from tests.support.providers.lumenfall import (
    EDIT,
    HURRIED,
    KEY,
    REQUEST,
    LumenfallFixture,
    assert_discreet,
    open_fixture,
)
from tests.support.raw_server import http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[LumenfallFixture]:
    async with open_fixture() as opened:
        yield opened


# The dry run


def dry_runs(fixture: LumenfallFixture) -> list[dict[str, Any]]:
    return [call for call in fixture.sandbox.calls if call["query"].get("dryRun") == "true"]


@pytest.mark.parametrize("in_metadata", [False, True])
async def test_a_price_above_the_orders_is_refused_before_anything_is_painted(in_metadata: bool) -> None:
    async with open_fixture(dry_run_in_metadata=in_metadata) as fixture:
        with pytest.raises(PriceExceeded) as caught:
            await fixture.submit(
                fixture.build_submit(replace(REQUEST, count=2), price_limit=Money(18_000)), partials=2
            )
        assert_discreet(caught.value)
        assert (len(dry_runs(fixture)), fixture.sandbox.submits, fixture.reported) == (1, 0, [])
        await fixture.submit(fixture.build_submit(replace(REQUEST, count=2), price_limit=Money(20_000)))
        assert (len(dry_runs(fixture)), fixture.sandbox.submits) == (2, 1)


@pytest.mark.parametrize(
    ("edit", "price_limit", "dry_run"), [(False, None, True), (False, Money(1), False), (True, Money(1), True)]
)
async def test_no_dry_run_where_it_would_change_nothing(
    fixture: LumenfallFixture, edit: bool, price_limit: Money | None, dry_run: bool
) -> None:
    submit = (
        fixture.build_submit(EDIT, input_picture(painted()), price_limit=price_limit)
        if edit
        else fixture.build_submit(price_limit=price_limit)
    )
    await fixture.submit(submit, dry_run=dry_run)
    assert (dry_runs(fixture), fixture.sandbox.submits) == ([], 1)


@pytest.mark.parametrize(
    ("fault", "values", "error"),
    [
        ("unauthorized", {}, ProviderMisconfigured),
        ("model_not_found", {}, ModelRetired),
        ("model_disabled", {}, ModelRetired),
    ],
)
async def test_a_refused_dry_run_costs_nothing(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any], error: type[ProviderError]
) -> None:
    fixture.fault(fault, **values, times=1)
    with pytest.raises(error):
        await fixture.submit(fixture.build_submit(price_limit=Money(1_000_000)))
    assert fixture.sandbox.submits == 0


async def test_a_dry_run_that_finds_the_prompt_too_long_costs_nothing() -> None:
    async with open_fixture(prompt_cap=1_000) as fixture:
        with pytest.raises(RequestRejected) as caught:
            await fixture.submit(
                fixture.build_submit(replace(REQUEST, prompt="fox " * 300), price_limit=Money(1_000_000))
            )
        assert "1,000 characters" in caught.value.sentence
        assert fixture.sandbox.submits == 0


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("dry_run_error", {}),
        ("dry_run_error", {"status": 404}),
        ("dry_run_slow", {"seconds": 5}),
        ("dry_run_html", {}),
        ("dry_run_truncated", {}),
        ("dry_run_reset", {}),
    ],
)
async def test_a_dry_run_in_trouble_stops_no_submit(
    fixture: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    fixture.fault(fault, **values)
    await fixture.submit(fixture.build_submit(price_limit=Money(1)), timeouts=replace(HURRIED, read=1, total=2))
    assert (len(dry_runs(fixture)), fixture.sandbox.submits) == (1, 1)


async def test_a_dry_run_cannot_be_taken_for_a_painting(fixture: LumenfallFixture) -> None:
    await fixture.submit(
        fixture.build_submit(price_limit=Money(1_000_000)), partials=2, extra={"moderation": "low"}
    )
    options = fixture.lumenfall(partials=2, extra={"moderation": "low"})._client.options
    submit = fixture.build_submit()
    live = options.fields(submit)
    dry = options.dry_run_fields(submit.provider_request, submit.count)
    assert set(live) - set(dry) == {"stream", "partial_images", "user"}
    assert dry.items() <= live.items()


# Health


async def test_a_health_check_shows_what_is_served_for_how_much_and_the_balance(
    fixture: LumenfallFixture,
) -> None:
    health = await fixture.lumenfall().check_health()
    assert (health.provider, health.key, health.detail) == ("lumenfall", KeyState.WORKS, "$25.00 left")
    assert not health.balance_used_up
    models = {served.model: served for served in health.models}
    assert set(models) == set(CATALOG.at("lumenfall"))
    served = models["gpt-image-1.5"]
    assert served.gone is False
    assert served.fields["imagine"] == served.fields["edit"] > {"prompt", "n", "size", "quality", "output_format"}
    ours = CATALOG.at("lumenfall")["gpt-image-1.5"].prices.table
    for quality, row in ours.items():
        for size, price in row.items():
            # The prompt of a dry run costs next to nothing; one size is a little cheaper than the catalogue says.
            assert price - 1_000 <= served.prices[quality][size] <= price + 50
    assert (fixture.sandbox.submits, fixture.sandbox.history.spent_micros) == (0, 0)


async def test_a_health_check_misses_a_model_that_is_gone(fixture: LumenfallFixture) -> None:
    fixture.fault("model_disabled", endpoint="gpt-image-1")
    models = {served.model: served for served in (await fixture.lumenfall().check_health()).models}
    assert (models["gpt-image-1"].gone, models["gpt-image-1"].prices) == (True, {})
    assert models["gpt-image-1.5"].gone is False
    fixture.fault("models_error")
    models = {served.model: served for served in (await fixture.lumenfall().check_health()).models}
    assert (models["gpt-image-1"].gone, models["gpt-image-1.5"].gone) == (True, None)


async def test_a_list_with_none_of_the_models_retires_none(fixture: LumenfallFixture) -> None:
    body = {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}
    async with responding(lambda line: http(200, body) if "/models" in line else http(404)) as service:
        health = await fixture.lumenfall(base_url=f"{service.url}/openai/v1").check_health()
    assert health.key is KeyState.WORKS
    assert {served.gone for served in health.models} == {None}


async def test_a_health_check_requests_no_price_where_dry_runs_are_off(fixture: LumenfallFixture) -> None:
    health = await fixture.lumenfall(dry_run=False).check_health()
    assert not any(served.prices for served in health.models)
    assert dry_runs(fixture) == []


@pytest.mark.parametrize(
    ("faults", "key", "detail"),
    [
        (["unauthorized"], KeyState.REFUSED, "the list of models: 401"),
        (["models_error"], KeyState.WORKS, "$25.00 left"),
        (["balance_error"], KeyState.WORKS, ""),
        (["models_error", "balance_error"], KeyState.UNKNOWN, "the list of models: 500"),
        (["dry_run_error"], KeyState.WORKS, "$25.00 left"),
    ],
)
async def test_a_health_check_never_fails(
    fixture: LumenfallFixture, faults: list[str], key: KeyState, detail: str
) -> None:
    for fault in faults:
        fixture.fault(fault)
    health = await fixture.lumenfall(timeouts=HURRIED).check_health()
    assert (health.key, health.detail) == (key, detail)
    assert len(health.models) == len(CATALOG.at("lumenfall"))
    assert KEY not in repr(health)


async def test_a_health_check_of_a_service_that_is_away_says_so(fixture: LumenfallFixture) -> None:
    async with open_fixture() as gone:
        address = gone.sandbox.base_url
    health = await fixture.lumenfall(base_url=address).check_health()
    assert (health.key, health.detail) == (KeyState.UNKNOWN, "no answer")
    health = await fixture.lumenfall(api_key="lmnfl_other.key").check_health()
    assert health.key is KeyState.REFUSED


async def test_an_account_that_pays_afterwards_has_no_balance() -> None:
    async with open_fixture(balance=None) as fixture:
        assert (await fixture.lumenfall().check_health()).detail == "billed afterwards"


# Prices by dry runs


async def test_a_service_that_is_asked_too_often_is_not_asked_on(fixture: LumenfallFixture) -> None:
    fixture.fault("dry_run_error", status=429)
    health = await fixture.lumenfall().check_health()
    assert health.key is KeyState.WORKS
    assert not any(served.prices for served in health.models)
    assert 1 <= len(dry_runs(fixture)) <= AT_ONCE_DRY + MOST_FAILURES


async def test_a_slow_dry_run_costs_no_more_than_its_own_price(fixture: LumenfallFixture) -> None:
    fixture.fault("dry_run_slow", seconds=5, times=1)
    hurried = await fixture.lumenfall(timeouts=HURRIED).check_health()
    plain = await fixture.lumenfall().check_health()
    told, all_prices = (
        sum(len(row) for served in health.models for row in served.prices.values()) for health in (hurried, plain)
    )
    assert told == all_prices - 1
    assert all(served.fields for served in hurried.models)


async def test_a_size_that_is_refused_by_now_has_no_price_of_its_own(fixture: LumenfallFixture) -> None:
    fixture.fault("dry_run_error", status=400, times=1)
    one_refused, plain = [await fixture.lumenfall().check_health() for _ in range(2)]
    refused, all_prices = (
        sum(len(row) for served in health.models for row in served.prices.values())
        for health in (one_refused, plain)
    )
    assert refused == all_prices - 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b'{"schema": 5}', b'{"schema": {}}', b'{"schema": {"properties": []}}', b"{" * 9_999],
)
async def test_a_schema_that_is_none_says_nothing(fixture: LumenfallFixture, body: bytes) -> None:
    def respond(line: str) -> bytes:
        if "/balance" in line:
            return http(200, {"billing_type": "postpaid"})
        return http(200, body) if line.startswith("GET") else http(200, {"total_cost_micros": "7"})

    async with responding(respond) as service:
        health = await fixture.lumenfall(base_url=f"{service.url}/openai/v1").check_health()
    assert health.key is KeyState.WORKS
    assert not any(served.fields or served.prices for served in health.models)
