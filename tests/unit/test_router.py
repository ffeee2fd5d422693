"""Who is asked: orders, retired models and their successors, and services that are left alone for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import (
    BadPrompt,
    InvalidInput,
    ModelRetired,
    PriceExceeded,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    SubmitUnknown,
    UnsupportedRequest,
)
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth, ProviderOrder
from bot.domain.requests import ImageRequest, Source
from bot.routing.breaker import PROBE, BreakerSettings
from bot.routing.router import Router, parse_names

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
ASKED = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
ALL = ("fal", "lumenfall", "oxen")
OLD, MODEL, NEW = "gpt-image-1", "gpt-image-1.5", "gpt-image-2"
SHIPPED = Path(__file__).parents[2] / "bot" / "catalog" / "catalog.toml"
BUSY, LOCKED = ProviderBusy(), ProviderMisconfigured()
NOW = 1_767_268_800_000


@dataclass
class Hand:
    """The clock's hand, moved by the test."""

    now: int = NOW

    def later(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def routing(catalog: Catalog, hand: Hand, services: Sequence[str] = ALL, **more: Any) -> Router:
    return Router(catalog=catalog, services=services, clock=Clock(now=lambda: hand.now), **more)


def own(model: str, *services: str) -> ProviderOrder:
    """A server's own order."""
    return ProviderOrder(model=model, services=services, set_by=44)


def said(routes: Router, *served: ModelStatus, provider: str = "fal") -> list[tuple[str, str, bool]]:
    return routes.refresh(ProviderHealth(provider=provider, key_works=True, models=served))


# Who is asked for a model


def test_a_servers_order_holds_before_the_operators_and_that_before_the_catalogues(
    catalog: Catalog, hand: Hand
) -> None:
    model, other = catalog.model(MODEL), catalog.model(OLD)
    plain = routing(catalog, hand)
    assert plain.services(model) == ("fal", "lumenfall", "oxen")
    ordered = routing(catalog, hand, order={MODEL: ("oxen", "fal")})
    assert ordered.services(model) == ("oxen", "fal")
    assert ordered.services(other) == ("fal", "lumenfall")
    assert ordered.services(model, [own(MODEL, "lumenfall")]) == ("lumenfall",)
    assert ordered.services(model, [own(OLD, "lumenfall")]) == ("oxen", "fal")
    assert [fit.provider for fit in ordered.fits(ASKED, [own(MODEL, "lumenfall", "fal")])] == ["lumenfall", "fal"]


def test_a_model_that_a_server_switched_off_is_gone_there_only(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    off = [own(MODEL)]
    assert routes.services(catalog.model(MODEL), off) == ()
    assert [model.name for model in routes.offered(off)] == [NEW, OLD]
    assert [model.name for model in routes.offered()] == [MODEL, NEW, OLD]
    assert routes.resolve(MODEL, off) == MODEL
    with pytest.raises(UnsupportedRequest) as refusal:
        routes.fits(ASKED, off)
    assert refusal.value.sentence == "GPT Image 1.5 cannot be had here. Choose GPT Image 2 or GPT Image 1."


def test_only_configured_services_and_allowed_models_are_asked(catalog: Catalog, hand: Hand) -> None:
    alone = routing(catalog, hand, ("oxen",), order={MODEL: ("fal", "nobody")})
    assert alone.serving(catalog.model(MODEL)) == ("oxen",)
    assert alone.services(catalog.model(MODEL)) == ()
    assert alone.services(catalog.model(MODEL), [own(MODEL, "fal", "oxen")]) == ("oxen",)
    few = routing(catalog, hand, models=(NEW,))
    assert [model.name for model in few.offered([own(MODEL, "fal")])] == [NEW]


def test_what_a_moderator_types_is_an_order_or_refused_with_a_choice(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand, ("fal", "lumenfall"))
    assert parse_names(" Lumenfall,FAL , fal;") == ("lumenfall", "fal", "fal;")
    assert parse_names(" , ") == ()
    assert routes.check_order(MODEL, ("lumenfall", "fal", "lumenfall")) == ("lumenfall", "fal")
    with pytest.raises(InvalidInput) as refusal:
        routes.check_order(MODEL, ("fal", "oxen"))
    assert refusal.value.sentence == "No service “oxen” paints GPT Image 1.5 here. Choose among fal, lumenfall."
    routes.retired.add(("fal", NEW))
    with pytest.raises(InvalidInput, match=r"No service “fal” paints GPT Image 2 here\. No service here has it\."):
        routes.check_order(NEW, ("fal",))
    with pytest.raises(UnsupportedRequest, match="Easel has no model “crayons”"):
        routes.check_order("crayons", ("fal",))


def test_a_request_is_put_to_a_service_even_if_it_is_not_asked_any_more(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand, ("fal",), models=(NEW,))
    routes.retired.add(("lumenfall", MODEL))
    assert routes.fit(ASKED, "lumenfall").provider == "lumenfall"
    for request, provider in ((ASKED, "nobody"), (replace(ASKED, model="gone"), "fal")):
        with pytest.raises(Unsupported):
            routes.fit(request, provider)
    with pytest.raises(BadPrompt):
        routes.fits(replace(ASKED, prompt=" "))


# Models that are gone


def test_a_model_that_one_service_lost_is_painted_by_the_others(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    routes.retired.add(("fal", MODEL))
    assert routes.services(catalog.model(MODEL)) == ("lumenfall", "oxen")
    assert routes.services(catalog.model(MODEL), [own(MODEL, "fal", "oxen")]) == ("oxen",)
    assert routes.resolve(MODEL) == MODEL
    assert routes.resolve(NEW) == NEW


def test_a_model_that_every_service_lost_is_painted_by_its_successor(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    routes.retired |= {("fal", OLD), ("lumenfall", OLD)}
    assert routes.resolve(OLD) == NEW
    assert routes.succession(OLD, NEW) == "GPT Image 1 was switched off; GPT Image 2 paints in its place."
    # Where the successor is switched off or not allowed, nothing takes its place.
    assert routes.resolve(OLD, [own(NEW)]) == OLD
    few = routing(catalog, hand, models=(OLD, MODEL))
    few.retired |= routes.retired
    assert few.resolve(OLD) == OLD


def test_a_model_that_is_only_not_configured_has_no_successor(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand, ("oxen",))
    assert routes.resolve(OLD) == OLD
    # What a service that is not configured any more once said does not count.
    routes.retired |= {("fal", OLD), ("lumenfall", OLD)}
    assert routes.resolve(OLD) == OLD
    both = routing(catalog, hand, ("fal", "oxen"))
    both.retired.add(("fal", OLD))
    assert both.resolve(OLD) == NEW


def test_a_successor_that_is_gone_too_is_followed_on_and_a_circle_ends(tmp_path: Path, hand: Hand) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    # gpt-image-1 → gpt-image-1.5 → gpt-image-2 → gpt-image-1
    before, _, after = text.rpartition('successor = "gpt-image-2"')
    text = f'{before}successor = "{MODEL}"{after}'
    text = text.replace('label = "GPT Image 2"', f'label = "GPT Image 2"\nsuccessor = "{OLD}"')
    path = tmp_path / "circle.toml"
    path.write_text(text, encoding="utf-8")
    circle = Catalog.load(path)
    routes = routing(circle, hand, ("fal",))
    assert [model.successor for model in circle.models] == [NEW, OLD, MODEL]
    for gone, painted in ((OLD, MODEL), (MODEL, NEW), (NEW, OLD)):
        routes.retired.add(("fal", gone))
        assert routes.resolve(OLD) == painted


def test_what_services_say_is_news_once(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    routes.retired.add(("fal", OLD))
    here, gone, unsure = (ModelStatus(model=OLD, gone=gone) for gone in (False, True, None))
    assert said(routes, gone) == []
    assert said(routes, unsure) == []
    assert ("fal", OLD) in routes.retired
    assert said(routes, here, ModelStatus(model=MODEL, gone=True)) == [("fal", OLD, False), ("fal", MODEL, True)]
    assert said(routes, here, ModelStatus(model=MODEL, gone=True)) == []
    assert routes.retired == {("fal", MODEL)}
    # What one service says tells nothing of another.
    assert said(routes, gone, provider="lumenfall") == [("lumenfall", OLD, True)]
    assert routes.services(catalog.model(OLD)) == ("fal",)
    assert routes.known("fal", OLD) == here
    assert routes.known("oxen", OLD) is None


# What it costs


def test_a_price_holds_wherever_it_goes_and_a_guess_counts_only_where_it_is_asked_first(
    catalog: Catalog, hand: Hand
) -> None:
    routes = routing(catalog, hand)
    high = replace(ASKED, size="landscape", quality="high")
    fits = {fit.provider: fit for fit in routes.fits(high)}
    prices = {name: Money(fit.most()) for name, fit in fits.items()}
    assert prices["lumenfall"] == Money(220_000)
    assert routes.price(tuple(fits.values())) == max(prices["fal"], prices["lumenfall"])
    low = routes.fits(replace(ASKED, quality="low"))
    assert [fit.most() for fit in low] == [20_000, 30_000, 210_000]
    assert routes.price(low) == Money(30_000)
    first = routes.fits(replace(ASKED, quality="low"), [own(MODEL, "oxen", "fal")])
    assert routes.price(first) == Money(210_000)
    said(routes, ModelStatus(model=MODEL, dearest=Money(30_000)), provider="oxen")
    learned = routes.fits(replace(ASKED, quality="low"))
    assert routes.price(learned) == Money(40_000)


# Services that are left alone


def trip(routes: Router, provider: str = "fal", error: ProviderError = BUSY, times: int = 5) -> list[bool]:
    """Let a service fail so often; which of the failures were news."""
    return [routes.failed(provider, error) for _ in range(times)]


def first(routes: Router, *tried: str) -> str | None:
    """Who is asked next."""
    fit = routes.next(routes.fits(ASKED), tried)
    return fit.provider if fit else None


def test_the_first_that_was_not_tried_is_asked(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    assert [first(routes), first(routes, "fal"), first(routes, "lumenfall", "fal")] == ["fal", "lumenfall", "oxen"]
    assert first(routes, *ALL) is None
    assert routes.next((), ()) is None


def test_a_service_that_fails_five_times_in_a_row_is_left_alone_and_told_once(
    catalog: Catalog, hand: Hand
) -> None:
    routes = routing(catalog, hand)
    assert trip(routes, times=4) == [False] * 4
    assert (first(routes), routes.state("fal")) == ("fal", "well")
    assert trip(routes, times=1) == [True]
    assert (first(routes), routes.state("fal")) == ("lumenfall", "resting")
    hand.later(29.9)
    assert first(routes) == "lumenfall"
    assert routes.pause(routes.fits(ASKED)) == 0
    assert routes.pause(routes.fits(ASKED, [own(MODEL, "fal")])) == pytest.approx(0.1)


def test_a_success_in_between_starts_the_count_anew(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    for _ in range(3):
        assert trip(routes, times=4) == [False] * 4
        assert not routes.succeeded("fal")
    assert first(routes) == "fal"


def test_one_job_probes_a_service_that_has_rested(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    trip(routes)
    hand.later(30)
    assert [first(routes) for _ in range(4)] == ["fal", "lumenfall", "lumenfall", "lumenfall"]
    assert routes.succeeded("fal")
    assert [first(routes), first(routes), routes.state("fal")] == ["fal", "fal", "well"]


def test_a_probe_that_fails_rests_twice_as_long_up_to_a_limit_and_is_no_news(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    alone = [own(MODEL, "fal")]
    trip(routes)
    pauses = []
    for _ in range(7):
        pauses.append(routes.pause(routes.fits(ASKED, alone)))
        hand.later(pauses[-1] - 0.001)
        assert first(routes) == "lumenfall"
        hand.later(0.001)
        assert first(routes) == "fal"
        assert not routes.failed("fal", BUSY)
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    routes.succeeded("fal")
    trip(routes)
    assert routes.pause(routes.fits(ASKED, alone)) == 30


def test_many_jobs_that_fail_at_once_make_it_rest_no_longer_than_one(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    assert sum(trip(routes, times=200)) == 1
    hand.later(30)
    assert first(routes) == "fal"


def test_a_probe_that_never_came_back_is_forgotten(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    trip(routes)
    hand.later(30)
    assert first(routes) == "fal"
    hand.later(PROBE / 1000 - 0.001)
    assert first(routes) == "lumenfall"
    hand.later(0.001)
    assert first(routes) == "fal"


@pytest.mark.parametrize("error", [RateLimited(retry_after=5), PriceExceeded()])
def test_a_service_that_asks_to_wait_or_asks_too_much_is_well(
    catalog: Catalog, hand: Hand, error: ProviderError
) -> None:
    routes = routing(catalog, hand)
    assert trip(routes, error=error, times=50) == [False] * 50
    trip(routes, times=4)
    routes.failed("fal", error)
    assert trip(routes, times=4) == [False] * 4
    routes.failed("fal", BUSY)
    hand.later(30)
    assert first(routes) == "fal"
    routes.failed("fal", error)
    assert [first(routes), first(routes)] == ["fal", "fal"]


@pytest.mark.parametrize("error", [SubmitUnknown(), ModelRetired(), BUSY])
def test_every_other_failure_counts(catalog: Catalog, hand: Hand, error: ProviderError) -> None:
    assert trip(routing(catalog, hand), error=error) == [False] * 4 + [True]


def test_a_refused_key_is_told_once_and_its_service_rests_for_ten_minutes(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    assert trip(routes, error=LOCKED, times=3) == [True, False, False]
    assert (first(routes), routes.state("fal")) == ("lumenfall", "locked")
    for _ in range(3):
        hand.later(599.9)
        assert first(routes) == "lumenfall"
        hand.later(0.1)
        assert first(routes) == "fal"
        assert not routes.failed("fal", LOCKED)
    hand.later(600)
    assert first(routes) == "fal"
    assert routes.succeeded("fal")
    assert routes.state("fal") == "well"
    assert routes.failed("fal", LOCKED)


def test_a_refused_key_is_told_also_of_a_service_that_was_resting(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    trip(routes)
    assert trip(routes, error=LOCKED, times=2) == [True, False]
    assert routes.state("fal") == "locked"
    hand.later(599)
    assert first(routes) == "lumenfall"


def test_where_no_key_lets_anybody_in_one_is_asked_all_the_same(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    trip(routes, "fal")
    for name in ("lumenfall", "oxen"):
        trip(routes, name, LOCKED, 1)
    # Its answer says what is wrong; the one that only rests is left alone.
    assert [first(routes), first(routes)] == ["lumenfall", "lumenfall"]
    assert first(routes, "lumenfall") is None
    hand.later(30)
    assert first(routes) == "fal"


def test_where_all_rest_nobody_is_asked_and_the_wait_is_until_the_first(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    for name, later in pairwise((*ALL, "")):
        trip(routes, name)
        if later:
            hand.later(7)
    assert first(routes) is None
    assert routes.pause(routes.fits(ASKED)) == 30 - 14
    hand.later(100)
    assert routes.pause(routes.fits(ASKED)) == 0
    assert routes.pause(()) == 0


def test_each_service_is_left_alone_by_itself(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand, cooling=BreakerSettings(failures=1, first=2, longest=3, misconfigured=9))
    assert routes.failed("fal", BUSY)
    assert [routes.state(name) for name in ALL] == ["resting", "well", "well"]
    hand.later(2)
    assert first(routes) == "fal"
    routes.failed("fal", BUSY)
    assert routes.pause(routes.fits(ASKED, [own(MODEL, "fal")])) == 3
    routes.failed("oxen", LOCKED)
    assert routes.pause(routes.fits(ASKED, [own(MODEL, "oxen")])) == 9


def test_who_meets_a_probe_under_way_looks_again_in_a_moment(catalog: Catalog, hand: Hand) -> None:
    routes = routing(catalog, hand)
    alone = routes.fits(ASKED, [own(MODEL, "fal")])
    trip(routes)
    hand.later(30)
    assert first(routes) == "fal"
    assert routes.pause(alone) == 5
    routes.succeeded("fal")
    assert routes.pause(alone) == 0
