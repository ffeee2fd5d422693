"""What Oxen says of the key and of its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.domain.providers import NO_AMOUNT, KeyState, ModelStatus, ProviderHealth
from tests.support.providers.deps import CATALOG
from tests.support.providers.oxen import (
    KEY,
    MODEL,
    OxenFixture,
    open_fixture,
)
from tests.support.raw_server import http, responding
from tests.support.routing import flat_prices


@pytest.fixture
async def fixture() -> AsyncIterator[OxenFixture]:
    async with open_fixture() as opened:
        yield opened


# Health


def served_of(health: ProviderHealth) -> ModelStatus:
    """What is said of the first model."""
    return next(served for served in health.models if served.model == MODEL)


async def test_checking_health_shows_key_fields_and_prices_and_costs_nothing(fixture: OxenFixture) -> None:
    fixture.sandbox.credits = 12.5
    health = await fixture.oxen().check_health()
    assert (health.provider, health.key, health.detail) == ("oxen", KeyState.WORKS, "12.5 credits left")
    assert not health.balance_used_up
    served = served_of(health)
    assert (served.model, served.gone, served.prices) == (MODEL, False, flat_prices(40_000))
    listed = {"prompt", "input_image", "output_format", "size"}
    assert served.fields == {"imagine": listed, "edit": listed}
    assert fixture.sandbox.submits == 0


async def test_a_grid_of_prices_is_read_in_the_catalogues_words(fixture: OxenFixture) -> None:
    grid: dict[str, dict[str, Any]] = {
        "low": {"Square": 0.01, "enormous": 5},
        "medium": {"1024x1024": "0.03", "landscape": 0.05, "portrait": None},
        "high": {"1024x1024": -1, "1536x1024": "a lot", "1024x1536": 1e9},
        "ultra": {"1024x1024": 0.7},
    }
    fixture.sandbox.told_prices = {"gpt-image-1-5": grid}
    health = await fixture.oxen().check_health()
    assert served_of(health).prices == {
        "low": {"1024x1024": 10_000},
        "medium": {"1024x1024": 30_000, "1536x1024": 50_000},
        "high": {"1024x1024": NO_AMOUNT, "1536x1024": NO_AMOUNT, "1024x1536": NO_AMOUNT},
    }
    prices = {status.model: status.prices for status in health.models}
    for name, offer in CATALOG.at("oxen").items():
        if name == "nano-banana-pro":  # its list has one price, and 4K is perhaps dearer
            assert prices[name] == {"any": {"1k": 150_000, "2k": 150_000}}
        elif name != MODEL:
            assert prices[name] == offer.prices.picture


async def test_checking_health_notices_a_bad_key_and_a_model_that_is_gone(fixture: OxenFixture) -> None:
    health = await fixture.oxen(api_key="another").check_health()
    assert (health.key, served_of(health).gone) == (KeyState.REFUSED, None)
    fixture.sandbox.faults.set("model_gone", endpoint=CATALOG.at("oxen")[MODEL].model)
    health = await fixture.oxen().check_health()
    assert (health.key, served_of(health).gone) == (KeyState.WORKS, True)
    assert [served.model for served in health.models if served.gone] == [MODEL]


async def test_a_service_that_knows_none_of_the_models_retires_none(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("model_gone")
    health = await fixture.oxen().check_health()
    assert {served.gone for served in health.models} == {None}


@pytest.mark.parametrize(
    "response",
    [
        b"",
        http(200, b"<html>"),
        http(500),
        http(200, [1]),
        http(200, {"pricing": 5, "request_schema": "{"}),
        http(200, {"pricing": {"cost_per_image_grid": {"a": 1}}, "request_schema": []}),
        http(200, {"pricing": {"method": "token", "cost_per_image": 1}, "request_schema": {"properties": [1]}}),
        http(200, {"request_schema": {"properties": {f"field{number}": {} for number in range(1_000)}}}),
        http(200, b"[" * 100_000),
        http(200, b'{"id": "' + b"x" * 2_000_000),
    ],
)
async def test_checking_health_never_raises_and_guesses_nothing(fixture: OxenFixture, response: bytes) -> None:
    async with responding(response) as service:
        health = await fixture.oxen(base_url=service.url).check_health()
    assert not health.key.is_refusal
    assert not any(served.prices or served.fields for served in health.models)
    assert KEY not in repr(health)


@pytest.mark.parametrize(("credit", "used_up"), [(0, True), (0.0, True), (0.01, False), (12.5, False)])
async def test_a_balance_that_is_used_up_is_reported(fixture: OxenFixture, credit: float, used_up: bool) -> None:
    fixture.sandbox.credits = credit
    assert (await fixture.oxen().check_health()).balance_used_up is used_up
