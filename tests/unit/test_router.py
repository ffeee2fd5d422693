"""The router: provider orders, retired models and their successors, prices, and the next provider."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import InvalidInput, UnsupportedRequest
from bot.domain.money import Money
from bot.domain.providers import KeyState, ModelStatus, ProviderHealth, ProviderOrder
from bot.routing.router import Router, parse_names
from bot.routing.succession import resolve_model, succession_notice
from tests.support.catalogs import seed_catalog
from tests.support.clock import AdjustableClock
from tests.support.routing import MODEL, PROVIDERS, REQUEST, flat_prices, next_provider, open_router, server_order

OLD, NEW = "gpt-image-1", "gpt-image-2"


def refresh(router: Router, *statuses: ModelStatus, provider: str = "fal") -> list[tuple[str, str, bool]]:
    """Give the router a provider's health; the changes that it reports."""
    return router.refresh(ProviderHealth(provider=provider, key=KeyState.WORKS, models=statuses))


# The order of providers


def test_a_servers_order_precedes_the_operators_and_that_the_catalogues(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    model, other = catalog.model(MODEL), catalog.model(OLD)
    plain = open_router(catalog, clock)
    assert plain.providers(model) == ("fal", "lumenfall", "oxen")
    ordered = open_router(catalog, clock, provider_orders={MODEL: ("oxen", "fal")})
    assert ordered.providers(model) == ("oxen", "fal")
    assert ordered.providers(other) == ("fal", "lumenfall")
    assert ordered.providers(model, [server_order(MODEL, "lumenfall")]) == ("lumenfall",)
    assert ordered.providers(model, [server_order(OLD, "lumenfall")]) == ("oxen", "fal")
    assert [
        candidate.provider for candidate in ordered.candidates(REQUEST, [server_order(MODEL, "lumenfall", "fal")])
    ] == [
        "lumenfall",
        "fal",
    ]


def test_a_model_that_a_server_switched_off_is_gone_there_only(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    off = [server_order(MODEL)]
    assert router.providers(catalog.model(MODEL), off) == ()
    assert [model.name for model in router.offered_models(off)] == [NEW, OLD]
    assert [model.name for model in router.offered_models()] == [MODEL, NEW, OLD]
    assert resolve_model(router, MODEL, off) == MODEL
    with pytest.raises(UnsupportedRequest) as refusal:
        router.candidates(REQUEST, off)
    assert refusal.value.sentence == "GPT Image 1.5 cannot be had here. Choose GPT Image 2 or GPT Image 1."


def test_only_configured_providers_and_allowed_models_are_used(catalog: Catalog, clock: AdjustableClock) -> None:
    alone = open_router(catalog, clock, ("oxen",), provider_orders={MODEL: ("fal", "unknown")})
    assert alone.serving(catalog.model(MODEL)) == ("oxen",)
    assert alone.providers(catalog.model(MODEL)) == ()
    assert alone.providers(catalog.model(MODEL), [server_order(MODEL, "fal", "oxen")]) == ("oxen",)
    few = open_router(catalog, clock, allowed_models=(NEW,))
    assert [model.name for model in few.offered_models([server_order(MODEL, "fal")])] == [NEW]


def test_typed_names_are_an_order_or_refused_with_the_choices(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock, ("fal", "lumenfall"))
    assert parse_names(" Lumenfall,FAL , fal;") == ("lumenfall", "fal", "fal;")
    assert parse_names(" , ") == ()
    assert router.check_provider_order(MODEL, ("lumenfall", "fal", "lumenfall")) == ("lumenfall", "fal")
    with pytest.raises(InvalidInput) as refusal:
        router.check_provider_order(MODEL, ("fal", "oxen"))
    assert refusal.value.sentence == "No service “oxen” paints GPT Image 1.5 here. Choose among fal, lumenfall."
    router.retired.add(("fal", NEW))
    with pytest.raises(InvalidInput, match=r"No service “fal” paints GPT Image 2 here\. No service here has it\."):
        router.check_provider_order(NEW, ("fal",))
    with pytest.raises(UnsupportedRequest, match="Easel has no model “crayons”"):
        router.check_provider_order("crayons", ("fal",))


def test_a_request_can_be_translated_for_a_provider_no_longer_in_the_order(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock, ("fal",), allowed_models=(NEW,))
    router.retired.add(("lumenfall", MODEL))
    found = router.provider_request(REQUEST, "lumenfall")
    assert found is not None
    assert found.provider == "lumenfall"
    for request, provider in ((REQUEST, "unknown"), (replace(REQUEST, model="gone"), "fal")):
        assert router.provider_request(request, provider) is None


def test_what_was_accepted_is_known_after_the_schema_has_lost_a_field(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock, ("fal",))
    accepted = router.candidates(replace(REQUEST, background="transparent"))[0]
    refresh(router, ModelStatus(model=MODEL, fields={"imagine": frozenset({"prompt", "image_size"})}))
    with pytest.raises(UnsupportedRequest):
        router.candidates(accepted.request)
    found = router.provider_request(accepted.request, "fal")
    assert found is not None
    assert found.price_each == accepted.price_each


def test_what_was_known_before_the_start_counts(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    router.load(
        {
            ("oxen", MODEL): ModelStatus(model=MODEL, gone=False, prices=flat_prices(60_000)),
            ("fal", MODEL): ModelStatus(model=MODEL, gone=True),
            ("acme", "removed"): ModelStatus(model="removed", gone=True),
        }
    )
    candidates = {candidate.provider: candidate for candidate in router.candidates(REQUEST)}
    assert set(candidates) == {"lumenfall", "oxen"}
    assert (candidates["oxen"].price_each, candidates["oxen"].assumed_price) == (Money(60_000), False)
    assert refresh(router, ModelStatus(model=MODEL), provider="oxen") == []
    status = router.status("oxen", MODEL)
    assert status is not None
    assert status.prices == flat_prices(60_000)


# Retired models


def test_a_model_that_one_provider_lost_is_painted_by_the_others(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    router.retired.add(("fal", MODEL))
    assert router.providers(catalog.model(MODEL)) == ("lumenfall", "oxen")
    assert router.providers(catalog.model(MODEL), [server_order(MODEL, "fal", "oxen")]) == ("oxen",)
    assert resolve_model(router, MODEL) == MODEL
    assert resolve_model(router, NEW) == NEW


def test_a_model_that_every_provider_lost_is_painted_by_its_successor(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    router.retired |= {("fal", OLD), ("lumenfall", OLD)}
    assert resolve_model(router, OLD) == NEW
    assert succession_notice(router, OLD, NEW) == "GPT Image 1 was switched off; GPT Image 2 paints in its place."
    # Where the successor is switched off or not allowed, the model has none.
    assert resolve_model(router, OLD, [server_order(NEW)]) == OLD
    few = open_router(catalog, clock, allowed_models=(OLD, MODEL))
    few.retired |= router.retired
    assert resolve_model(few, OLD) == OLD


def test_a_model_that_is_only_not_configured_has_no_successor(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock, ("oxen",))
    assert resolve_model(router, OLD) == OLD
    # Notes of a provider that is no longer configured do not count.
    router.retired |= {("fal", OLD), ("lumenfall", OLD)}
    assert resolve_model(router, OLD) == OLD
    both = open_router(catalog, clock, ("fal", "oxen"))
    both.retired.add(("fal", OLD))
    assert resolve_model(both, OLD) == NEW


def test_a_chain_of_successors_is_followed_and_a_circle_ends(tmp_path: Path, clock: AdjustableClock) -> None:
    # gpt-image-1 → gpt-image-1.5 → gpt-image-2 → gpt-image-1
    successors = {OLD: MODEL, MODEL: NEW, NEW: OLD}
    path = tmp_path / "circle.toml"
    path.write_text(
        "".join(
            f'[[models]]\nname = "{name}"\nsuccessors = ["{next_one}"]\n' for name, next_one in successors.items()
        ),
        encoding="utf-8",
    )
    circle = seed_catalog(path)
    router = open_router(circle, clock, ("fal",))
    assert [model.successors for model in circle.models] == [(NEW,), (OLD,), (MODEL,)]
    for gone, painted in ((OLD, MODEL), (MODEL, NEW), (NEW, OLD)):
        router.retired.add(("fal", gone))
        assert resolve_model(router, OLD) == painted


def test_a_chain_of_successors_may_be_as_long_as_an_operator_writes_it(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    first, length = catalog.models[0], 1_500
    models = [
        first.model_copy(update={"name": f"sketch-{number}", "successors": (f"sketch-{number + 1}",)})
        for number in range(length)
    ]
    router = open_router(catalog.model_copy(update={"models": tuple(models)}), clock, ["fal"])
    for model in models[:-1]:
        router.retire("fal", model.name)
    assert resolve_model(router, "sketch-0") == f"sketch-{length - 1}"


def test_the_first_successor_that_can_do_the_request_takes_the_place(
    tmp_path: Path, clock: AdjustableClock
) -> None:
    path = tmp_path / "successors.toml"
    path.write_text(f'[[models]]\nname = "{OLD}"\nsuccessors = ["{NEW}", "{MODEL}"]\n', encoding="utf-8")
    router = open_router(seed_catalog(path), clock, ("fal",))
    router.retired.add(("fal", OLD))
    old = replace(REQUEST, model=OLD)
    assert resolve_model(router, OLD, (), old) == NEW
    transparent = replace(old, background="transparent")
    assert resolve_model(router, OLD, (), transparent) == MODEL
    assert resolve_model(router, OLD, [server_order(MODEL)], transparent) == NEW
    # Where none can, the first one's refusal says so.
    assert resolve_model(router, OLD, (), replace(transparent, output_format="jpeg")) == NEW
    router.retired_kinds.add(("fal", NEW, "imagine"))
    assert resolve_model(router, OLD, (), old) == MODEL


def test_a_misspelt_model_is_refused_with_the_nearest_and_a_few_that_the_server_has(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)

    def sentence(name: str, *orders: ProviderOrder) -> str:
        with pytest.raises(UnsupportedRequest) as refusal:
            router.candidates(replace(REQUEST, model=name), orders)
        return refusal.value.sentence

    unknown = "Easel has no model “gpt-imag-2”. "
    assert sentence("gpt-imag-2") == f"{unknown}Did you mean GPT Image 2? Or choose GPT Image 1.5 or GPT Image 1."
    assert sentence("GPT Imag 2").endswith("Did you mean GPT Image 2? Or choose GPT Image 1.5 or GPT Image 1.")
    off = [server_order(NEW), server_order(OLD)]
    assert sentence("gpt-imag-2", *off) == f"{unknown}Did you mean GPT Image 1.5?"
    assert sentence("gpt-imag-2", *off, server_order(MODEL)) == f"{unknown}Ask a moderator to switch a model on."


def test_a_providers_health_is_reported_as_a_change_once(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    router.retired.add(("fal", OLD))
    here, gone, unsure = (ModelStatus(model=OLD, gone=gone) for gone in (False, True, None))
    assert refresh(router, gone) == []
    assert refresh(router, unsure) == []
    assert ("fal", OLD) in router.retired
    assert refresh(router, here, ModelStatus(model=MODEL, gone=True)) == [
        ("fal", OLD, False),
        ("fal", MODEL, True),
    ]
    assert refresh(router, here, ModelStatus(model=MODEL, gone=True)) == []
    assert router.retired == {("fal", MODEL)}
    # A provider's health says nothing about another's.
    assert refresh(router, gone, provider="lumenfall") == [("lumenfall", OLD, True)]
    assert router.providers(catalog.model(OLD)) == ("fal",)
    assert (router.status("fal", OLD) or gone).gone is False
    assert router.status("oxen", OLD) is None


# Prices


def test_the_price_is_the_highest_of_all_providers_and_an_assumed_one_counts_only_first(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    high = replace(REQUEST, size="landscape", quality="high")
    candidates = {candidate.provider: candidate for candidate in router.candidates(high)}
    prices = {name: candidate.highest_cost() for name, candidate in candidates.items()}
    assert prices["lumenfall"] == Money(220_000)
    assert router.price(tuple(candidates.values())) == max(prices["fal"], prices["lumenfall"])
    low = router.candidates(replace(REQUEST, quality="low"))
    assert [candidate.highest_cost() for candidate in low] == [Money(20_000), Money(30_000), Money(210_000)]
    assert router.price(low) == Money(30_000)
    first = router.candidates(replace(REQUEST, quality="low"), [server_order(MODEL, "oxen", "fal")])
    assert router.price(first) == Money(210_000)
    refresh(router, ModelStatus(model=MODEL, prices=flat_prices(30_000)), provider="oxen")
    learned = router.candidates(replace(REQUEST, quality="low"))
    assert router.price(learned) == Money(40_000)


# The next provider


def test_the_first_untried_provider_is_next(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    assert [next_provider(router), next_provider(router, "fal"), next_provider(router, "lumenfall", "fal")] == [
        "fal",
        "lumenfall",
        "oxen",
    ]
    assert next_provider(router, *PROVIDERS) is None
    assert router.next_provider((), ()) is None
