"""Which model is offered in place of one that no provider could be asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import ProviderMisconfigured
from bot.domain.money import Money
from bot.routing.alternatives import alternative_model
from bot.routing.router import Router
from tests.support.catalogs import seed_catalog
from tests.support.clock import AdjustableClock
from tests.support.routing import MODEL, PROVIDERS, REQUEST, fail, open_router, server_order

SECOND, THIRD = "gpt-image-2", "gpt-image-1"


@pytest.fixture
def two_companies(tmp_path: Path) -> Catalog:
    """The last of three models is of another company."""
    path = tmp_path / "companies.toml"
    companies = {MODEL: "Acme", SECOND: "Acme", THIRD: "Brush & Co"}
    path.write_text("".join(f'[[models]]\nname = "{name}"\nupstream = "{by}"\n' for name, by in companies.items()))
    return seed_catalog(path)


def offered(router: Router, *failed: str, **options: object) -> str | None:
    """The name of the model that is offered."""
    found = alternative_model(router, replace(REQUEST, **options), (), failed)  # type: ignore[arg-type]
    return found.name if found else None


def test_the_first_that_can_do_the_request_is_offered_at_its_highest_price(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    found = alternative_model(router, replace(REQUEST, quality="low", instead_of="gone"), (), ())
    assert found is not None
    assert (found.name, found.label, found.price) == (SECOND, "GPT Image 2", Money(20_000))
    assert offered(router, background="transparent") == THIRD
    assert offered(router, background="transparent", output_format="jpeg") is None
    assert alternative_model(router, REQUEST, [server_order(SECOND), server_order(THIRD)], ()) is None


def test_one_that_a_provider_has_which_did_not_fail_goes_before(catalog: Catalog, clock: AdjustableClock) -> None:
    # The second model is at fal alone, the third at Lumenfall as well.
    router = open_router(catalog, clock)
    assert offered(router, "fal") == THIRD
    assert offered(router, *PROVIDERS) == SECOND
    fail(router, "fal")
    assert offered(router) == THIRD


def test_after_a_failure_another_companys_model_goes_before(
    two_companies: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(two_companies, clock)
    assert offered(router) == SECOND
    assert offered(router, *PROVIDERS) == THIRD
    for name in PROVIDERS:
        fail(router, name)
    assert offered(router) == THIRD


def test_one_whose_every_provider_lets_nothing_in_is_not_offered(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    fail(router, "fal", ProviderMisconfigured(), times=1)
    assert offered(router) == THIRD
    fail(router, "lumenfall", ProviderMisconfigured(), times=1)
    assert offered(router) is None


def test_a_model_that_is_in_no_catalogue_any_more_has_an_alternative(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    assert offered(open_router(catalog, clock), model="taken-out") == MODEL
