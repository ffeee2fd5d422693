"""The circuit breaker of each provider, by itself and as the router uses it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import (
    ModelRetired,
    PriceExceeded,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    SubmitUnknown,
)
from bot.domain.providers import ProviderState
from bot.routing.breaker import LONGEST_PROBE, Breaker, BreakerSettings
from tests.support.clock import AdjustableClock
from tests.support.routing import MODEL, PROVIDERS, REQUEST, fail, next_provider, open_router, server_order

BUSY, MISCONFIGURED = ProviderBusy(), ProviderMisconfigured()


def test_five_failures_in_a_row_pause_a_provider_and_are_reported_once(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    assert fail(router, times=4) == [False] * 4
    assert (next_provider(router), router.state("fal", MODEL)) == ("fal", ProviderState.AVAILABLE)
    assert fail(router, times=1) == [True]
    assert (next_provider(router), router.state("fal", MODEL)) == ("lumenfall", ProviderState.PAUSED)
    clock.advance(29.9)
    assert next_provider(router) == "lumenfall"
    assert router.pause(router.candidates(REQUEST)) == 0
    assert router.pause(router.candidates(REQUEST, [server_order(MODEL, "fal")])) == pytest.approx(0.1)


def test_a_success_in_between_starts_the_count_anew(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    for _ in range(3):
        assert fail(router, times=4) == [False] * 4
        assert not router.succeeded("fal", MODEL)
    assert next_provider(router) == "fal"


def test_one_job_probes_a_provider_after_its_pause(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    fail(router)
    clock.advance(30)
    assert [next_provider(router) for _ in range(4)] == ["fal", "lumenfall", "lumenfall", "lumenfall"]
    assert router.succeeded("fal", MODEL)
    assert [next_provider(router), next_provider(router), router.state("fal", MODEL)] == [
        "fal",
        "fal",
        ProviderState.AVAILABLE,
    ]


def test_a_failed_probe_doubles_the_pause_up_to_a_limit_without_a_report(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    alone = [server_order(MODEL, "fal")]
    fail(router)
    pauses = []
    for _ in range(7):
        pauses.append(router.pause(router.candidates(REQUEST, alone)))
        clock.advance(pauses[-1] - 0.001)
        assert next_provider(router) == "lumenfall"
        clock.advance(0.001)
        assert next_provider(router) == "fal"
        assert not router.failed("fal", MODEL, BUSY)
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    router.succeeded("fal", MODEL)
    fail(router)
    assert router.pause(router.candidates(REQUEST, alone)) == 30


def test_many_failures_at_once_pause_no_longer_than_five(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    assert sum(fail(router, times=200)) == 1
    clock.advance(30)
    assert next_provider(router) == "fal"


def test_a_probe_without_an_outcome_expires(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    fail(router)
    clock.advance(30)
    assert next_provider(router) == "fal"
    clock.advance(LONGEST_PROBE - 0.001)
    assert next_provider(router) == "lumenfall"
    clock.advance(0.001)
    assert next_provider(router) == "fal"


@pytest.mark.parametrize("error", [RateLimited(retry_after=5), PriceExceeded()])
def test_a_rate_limit_or_a_higher_price_counts_as_a_success(
    catalog: Catalog, clock: AdjustableClock, error: ProviderError
) -> None:
    router = open_router(catalog, clock)
    assert fail(router, error=error, times=50) == [False] * 50
    fail(router, times=4)
    router.failed("fal", MODEL, error)
    assert fail(router, times=4) == [False] * 4
    router.failed("fal", MODEL, BUSY)
    clock.advance(30)
    assert next_provider(router) == "fal"
    router.failed("fal", MODEL, error)
    assert [next_provider(router), next_provider(router)] == ["fal", "fal"]


@pytest.mark.parametrize("error", [SubmitUnknown(), ModelRetired(), BUSY])
def test_every_other_failure_counts(catalog: Catalog, clock: AdjustableClock, error: ProviderError) -> None:
    assert fail(open_router(catalog, clock), error=error) == [False] * 4 + [True]


def test_a_refused_key_is_reported_once_and_pauses_the_provider_for_ten_minutes(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    assert fail(router, error=MISCONFIGURED, times=3) == [True, False, False]
    assert (next_provider(router), router.state("fal", MODEL)) == ("lumenfall", ProviderState.MISCONFIGURED)
    for _ in range(3):
        clock.advance(599.9)
        assert next_provider(router) == "lumenfall"
        clock.advance(0.1)
        assert next_provider(router) == "fal"
        assert not router.failed("fal", MODEL, MISCONFIGURED)
    clock.advance(600)
    assert next_provider(router) == "fal"
    assert router.succeeded("fal", MODEL)
    assert router.state("fal", MODEL) == ProviderState.AVAILABLE
    assert router.failed("fal", MODEL, MISCONFIGURED)


def test_a_refused_key_is_reported_also_for_a_paused_provider(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    fail(router)
    assert fail(router, error=MISCONFIGURED, times=2) == [True, False]
    assert router.state("fal", MODEL) == ProviderState.MISCONFIGURED
    clock.advance(599)
    assert next_provider(router) == "lumenfall"


def test_with_every_key_refused_one_provider_is_used_all_the_same(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    fail(router, "fal")
    for name in ("lumenfall", "oxen"):
        fail(router, name, MISCONFIGURED, 1)
    # Its response says what is wrong; the provider that is only paused gets no job.
    assert [next_provider(router), next_provider(router)] == ["lumenfall", "lumenfall"]
    assert next_provider(router, "lumenfall") is None
    clock.advance(30)
    assert next_provider(router) == "fal"


def test_with_all_providers_paused_the_job_waits_for_the_first_to_be_probed(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    for name, later in pairwise((*PROVIDERS, "")):
        fail(router, name)
        if later:
            clock.advance(7)
    assert next_provider(router) is None
    assert router.pause(router.candidates(REQUEST)) == 30 - 14
    clock.advance(100)
    assert router.pause(router.candidates(REQUEST)) == 0
    assert router.pause(()) == 0


def test_each_provider_has_a_breaker_of_its_own(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(
        catalog, clock, breaker_settings=BreakerSettings(failures=1, first=2, longest=3, misconfigured=9)
    )
    assert router.failed("fal", MODEL, BUSY)
    assert [router.state(name, MODEL) for name in PROVIDERS] == [
        ProviderState.PAUSED,
        ProviderState.AVAILABLE,
        ProviderState.AVAILABLE,
    ]
    clock.advance(2)
    assert next_provider(router) == "fal"
    router.failed("fal", MODEL, BUSY)
    assert router.pause(router.candidates(REQUEST, [server_order(MODEL, "fal")])) == 3
    router.failed("oxen", MODEL, MISCONFIGURED)
    assert router.pause(router.candidates(REQUEST, [server_order(MODEL, "oxen")])) == 9


def test_one_companys_outage_pauses_a_provider_for_its_models_alone(clock: AdjustableClock) -> None:
    router = open_router(Catalog.load(), clock)
    fail(router)
    openais, googles = (
        ("gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare"),
        ("nano-banana-2", "nano-banana-pro"),
    )
    assert {router.state("fal", model) for model in openais} == {ProviderState.PAUSED}
    assert {router.state("fal", model) for model in googles} == {ProviderState.AVAILABLE}
    assert {router.state("oxen", model) for model in openais} == {ProviderState.AVAILABLE}


def test_a_refused_key_pauses_a_provider_for_every_model_until_it_works(clock: AdjustableClock) -> None:
    router = open_router(Catalog.load(), clock)
    assert router.failed("fal", MODEL, MISCONFIGURED)
    assert not router.failed("fal", "nano-banana-2", MISCONFIGURED)
    every = [model.name for model in Catalog.load().models]
    assert {router.state("fal", model) for model in every} == {ProviderState.MISCONFIGURED}
    assert router.succeeded("fal", "nano-banana-2")
    assert {router.state("fal", model) for model in every} == {ProviderState.AVAILABLE}


def test_a_job_that_meets_a_running_probe_waits_a_moment(catalog: Catalog, clock: AdjustableClock) -> None:
    router = open_router(catalog, clock)
    alone = router.candidates(REQUEST, [server_order(MODEL, "fal")])
    fail(router)
    clock.advance(30)
    assert next_provider(router) == "fal"
    assert router.pause(alone) == 5
    router.succeeded("fal", MODEL)
    assert router.pause(alone) == 0


@pytest.fixture
def paused() -> Breaker:
    """A breaker that two failures opened at instant 0, for ten seconds."""
    breaker = Breaker(BreakerSettings(failures=2, first=10, longest=40, misconfigured=60))
    assert [breaker.failed(0, misconfigured=False) for _ in range(2)] == [False, True]
    return breaker


def test_an_inconclusive_probe_lets_the_next_job_probe(paused: Breaker) -> None:
    assert [paused.allow(now) for now in (9_999, 10_000, 10_000)] == [False, True, False]
    paused.probe_inconclusive(11_000)
    assert [paused.allow(11_000), paused.allow(11_000)] == [True, False]
    assert paused.succeeded()
    assert paused.allow(11_000)


def test_an_inconclusive_job_that_was_no_probe_ends_no_pause(paused: Breaker) -> None:
    paused.probe_inconclusive(5_000)
    assert not paused.allow(9_999)
    closed = Breaker(BreakerSettings())
    closed.probe_inconclusive(5_000)
    assert (closed.open_until, closed.allow(5_000)) == (0, True)


def test_failures_of_jobs_from_before_the_pause_do_not_prolong_it(paused: Breaker) -> None:
    assert [paused.failed(9_000, misconfigured=False) for _ in range(10)] == [False] * 10
    assert paused.open_until == 10_000


def test_a_misconfigured_provider_needs_no_second_failure() -> None:
    breaker = Breaker(BreakerSettings(failures=5, misconfigured=60))
    assert breaker.failed(0, misconfigured=True)
    assert (breaker.misconfigured, breaker.open_until) == (True, 60_000)
    assert not breaker.failed(1_000, misconfigured=True)
    assert breaker.open_until == 60_000
    assert breaker.succeeded()
    assert (breaker.misconfigured, breaker.open_until) == (False, 0)


def test_a_probe_that_fails_otherwise_leaves_the_provider_misconfigured() -> None:
    breaker = Breaker(BreakerSettings(first=10, misconfigured=60))
    breaker.failed(0, misconfigured=True)
    assert breaker.allow(60_000)
    assert not breaker.failed(60_000, misconfigured=False)
    assert breaker.misconfigured
    assert not breaker.allow(60_001)


def test_only_a_breaker_that_was_open_reports_its_success(paused: Breaker) -> None:
    assert not Breaker(BreakerSettings()).succeeded()
    assert paused.succeeded()
    assert not paused.succeeded()
