"""What fal's platform tells of its endpoints: their fields, and the price of a unit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.providers import NO_AMOUNT, KeyState, ModelStatus, PriceTable, ProviderHealth
from bot.providers.fal.models import input_fields
from tests.support.providers.deps import CATALOG
from tests.support.providers.fal import FalFixture, open_fixture
from tests.support.raw_server import Respond, http, responding

MODEL, ENDPOINT = "gpt-image-1.5", "fal-ai/gpt-image-1.5"


@pytest.fixture
async def fixture() -> AsyncIterator[FalFixture]:
    async with open_fixture() as opened:
        yield opened


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """The catalogue, which knows here what a unit of one model is."""
    path = tmp_path / "units.toml"
    path.write_text(
        f'[[models]]\nname = "{MODEL}"\n[[models.offers]]\nprovider = "fal"\n[models.offers.prices]\n'
        'unit = { name = "images", quality = "high", size = "1024x1024" }\n',
        encoding="utf-8",
    )
    return Catalog.load([path])


def told(health: ProviderHealth, model: str = MODEL) -> ModelStatus:
    return next(status for status in health.models if status.model == model)


async def test_the_price_of_a_unit_is_the_price_that_the_catalogue_names(
    fixture: FalFixture, catalog: Catalog
) -> None:
    fixture.sandbox.price_factors = {ENDPOINT: 1.5}
    health = await fixture.fal(catalog=catalog).check_health()
    assert told(health).prices == {"high": {"1024x1024": 199_500}}
    units = {name: offer.prices.unit for name, offer in catalog.at("fal").items()}
    assert {status.model for status in health.models if status.prices} == {name for name in units if units[name]}
    assert told(health, "nano-banana-2").prices == {"any": {"1k": 80_000}}
    assert told(health, "flux-2-pro").prices == {"megapixel": {"first": 30_000}}
    fixture.sandbox.price_factors = {}
    # Where its two endpoints differ, the dearer one counts.
    fixture.sandbox.told_prices = {f"{ENDPOINT}/edit": 0.2}
    assert told(await fixture.fal(catalog=catalog).check_health()).prices == {"high": {"1024x1024": 200_000}}


async def test_a_unit_that_is_a_dollar_tells_nothing(fixture: FalFixture, catalog: Catalog) -> None:
    fixture.sandbox.dollar_units = True
    assert told(await fixture.fal(catalog=catalog).check_health()).prices == {}


async def test_the_fields_of_both_endpoints_are_read(fixture: FalFixture) -> None:
    fixture.sandbox.dropped_fields = {f"{ENDPOINT}/edit": ["quality"]}
    fields = told(await fixture.fal().check_health()).fields
    assert "quality" in fields["imagine"]
    assert "quality" not in fields["edit"]
    assert {"prompt", "image_urls", "mask_image_url", "input_fidelity"} <= fields["edit"]


async def test_an_endpoint_for_edits_that_is_gone_leaves_the_others_readable(fixture: FalFixture) -> None:
    fixture.sandbox.faults.set("platform_gone", endpoint=f"{ENDPOINT}/edit")
    health = await fixture.fal().check_health()
    assert set(told(health).fields) == {"imagine"}
    assert all(set(status.fields) == {"imagine", "edit"} for status in health.models if status.model != MODEL)
    assert {status.gone for status in health.models} == {False}


def platform(models: Any, pricing: Any) -> Respond:
    """A platform that lists every model, and says this of schemas and prices."""
    listed = [
        {"endpoint_id": offer.model, "metadata": {"status": "active"}} for offer in CATALOG.at("fal").values()
    ]

    def respond(line: str) -> bytes:
        if "/pricing" in line:
            return http(200, pricing)
        return http(200, models if "openapi" in line else {"models": listed})

    return respond


@pytest.mark.parametrize(
    ("prices", "found"),
    [
        ([{"unit_price": -1, "unit": "images"}], {"high": {"1024x1024": NO_AMOUNT}}),
        ([{"unit_price": "1e9", "unit": "image"}], {"high": {"1024x1024": NO_AMOUNT}}),
        ([{"unit_price": "NaN", "unit": "images"}], {"high": {"1024x1024": NO_AMOUNT}}),
        ([{"unit_price": 0.2, "unit": "Images", "currency": "usd"}], {"high": {"1024x1024": 200_000}}),
        ([{"unit_price": 0.2, "unit": "images", "currency": "EUR"}], {}),
        ([{"unit_price": 0.2, "unit": "megapixels"}], {}),
        ([{"unit_price": None, "unit": "images"}], {}),
        ([{"unit_price": 0.2, "unit": 5}], {}),
        ([], {}),
    ],
)
async def test_a_platform_that_tells_nonsense_is_not_believed(
    fixture: FalFixture, catalog: Catalog, prices: list[dict[str, Any]], found: PriceTable
) -> None:
    body = {"prices": [{"endpoint_id": ENDPOINT, **price} for price in prices]}
    async with responding(platform({"models": [{"endpoint_id": ENDPOINT, "openapi": 5}]}, body)) as api:
        health = await fixture.fal(api_url=api.url, catalog=catalog).check_health()
    assert (health.key, told(health).gone, told(health).fields) == (KeyState.WORKS, False, {})
    assert told(health).prices == found


@pytest.mark.parametrize(
    "body", [b"", b"<html>", [1], {"models": 5, "prices": 5}, {"models": [], "prices": [], "has_more": True}]
)
async def test_garbled_lists_say_nothing_and_end(fixture: FalFixture, catalog: Catalog, body: Any) -> None:
    async with responding(platform(body, body)) as api:
        health = await fixture.fal(api_url=api.url, catalog=catalog).check_health()
    assert health.key is KeyState.WORKS
    assert not any(status.prices or status.fields for status in health.models)


async def test_pages_without_an_end_are_not_read_for_ever(fixture: FalFixture, catalog: Catalog) -> None:
    page = {"models": [], "prices": [], "has_more": True, "next_cursor": "again"}
    async with responding(platform(page, page)) as api:
        await fixture.fal(api_url=api.url, catalog=catalog).check_health()
        assert len(api.requests) < 60


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"paths": {f"/{ENDPOINT}": {"post": 5}}},
        {"paths": {f"/{ENDPOINT}": {"post": {"requestBody": {"content": {"application/json": {"schema": {}}}}}}}},
        {
            "paths": {
                f"/{ENDPOINT}": {
                    "post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/a/b"}}}}}
                }
            },
            "a": {"b": {"$ref": "#/a/b"}},
        },
    ],
)
def test_a_document_without_an_input_has_no_fields(document: Any) -> None:
    assert input_fields(document, ENDPOINT) is None
