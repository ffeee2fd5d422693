"""The highest and the likely cost of a request, and invariants of both for any request."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.catalog.catalog import Catalog
from bot.catalog.live import live_offer
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import Refused
from bot.domain.money import Money
from bot.domain.providers import ModelStatus
from bot.domain.requests import ImageRequest, OutputFormat, Quality, Source
from bot.routing.router import Router
from tests.support.routing import PROVIDERS, flat_prices

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
REQUEST = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
EDIT = replace(REQUEST, sources=(PICTURE,))
SIZES = ("auto", "square", "landscape", "portrait")
QUALITIES: tuple[Quality, ...] = ("auto", "low", "medium", "high")


def translate(
    catalog: Catalog, request: ImageRequest, provider: str = "fal", known: ModelStatus | None = None
) -> ProviderRequest:
    offer = catalog.model(request.model).offer(provider)
    return (live_offer(offer, known) if known else offer).translate(request)


def highest_cost(catalog: Catalog, request: ImageRequest, provider: str = "fal") -> Money:
    return translate(catalog, request, provider).highest_cost()


@pytest.mark.parametrize(
    ("change", "dollars"),
    [
        ({}, "$0.04"),
        ({"quality": "low"}, "$0.02"),
        ({"quality": "high"}, "$0.14"),
        ({"quality": "auto"}, "$0.14"),
        ({"quality": "high", "size": "portrait", "count": 4}, "$0.83"),
        # In three submits, each rounded up by itself: 4 + 4 + 2.
        ({"quality": "high", "size": "portrait", "count": 10}, "$2.08"),
    ],
)
def test_the_highest_price_is_whole_cents(catalog: Catalog, change: dict[str, Any], dollars: str) -> None:
    assert str(highest_cost(catalog, replace(REQUEST, **change))) == dollars


@pytest.mark.parametrize(
    ("model", "provider", "change", "each"),
    [
        # Where the provider chooses, the dearest counts: of a size's qualities, of a quality's sizes, of all.
        ("gpt-image-1", "fal", {"quality": "auto", "size": "square"}, 167_000),
        ("gpt-image-1", "fal", {"quality": "low", "size": "auto"}, 16_000),
        ("gpt-image-1", "fal", {"quality": "auto", "size": "auto"}, 250_000),
        ("gpt-image-1.5", "lumenfall", {"quality": "auto", "size": "auto"}, 200_000),
        ("gpt-image-1.5", "oxen", {"quality": "low", "size": "square"}, 133_000),
        ("gpt-image-1.5", "oxen", {"quality": "low", "size": "auto"}, 200_000),
        # A size that is not listed counts as the dearest up to the next larger one, or grows with its area.
        ("gpt-image-2", "fal", {"quality": "high", "size": "1024x768"}, 150_000),
        ("gpt-image-2", "fal", {"quality": "high", "size": "16:9"}, 220_000),
        ("gpt-image-2", "fal", {"quality": "high", "size": "2000x2000"}, 410_000),
        ("gpt-image-2", "fal", {"quality": "low", "size": "3840x2160"}, 20_000),
        ("gpt-image-1.5", "lumenfall", {"size": "4:3"}, 51_000),
        ("gpt-image-1.5", "lumenfall", {"size": "1536x1536"}, 76_500),
    ],
)
def test_an_option_that_the_provider_chooses_counts_at_its_dearest(
    catalog: Catalog, model: str, provider: str, change: dict[str, Any], each: int
) -> None:
    request = replace(REQUEST, model=model, prompt="a", **change)
    provider_request = translate(catalog, request, provider)
    extras = provider_request.offer.prices.extras
    text = 4 * extras.text_token
    assert provider_request.likely_cost(1) == Money(each + text)
    reasoning = extras.reasoning_tokens * extras.reasoning_token
    shown = 3 * extras.partial_picture
    step = extras.rounded_up_to
    assert provider_request.highest_cost() == Money(-(-(each + text + reasoning + shown) // step) * step)


def test_a_long_prompt_in_any_script_makes_it_dearer(catalog: Catalog) -> None:
    plain = highest_cost(catalog, REQUEST)
    assert highest_cost(catalog, replace(REQUEST, prompt="word " * 800)) > plain
    snow, letters = (highest_cost(catalog, replace(REQUEST, prompt=letter * 4000)) for letter in "雪s")
    assert snow > letters


def test_an_edit_counts_every_picture_and_the_dearest_fidelity_by_default(catalog: Catalog) -> None:
    low, high = (highest_cost(catalog, replace(EDIT, fidelity=fidelity)) for fidelity in ("low", "high"))
    assert low < high == highest_cost(catalog, EDIT)
    assert (
        highest_cost(catalog, replace(EDIT, sources=(PICTURE,) * 4))
        > highest_cost(catalog, replace(EDIT, mask=PICTURE))
        > high
    )


def test_an_edit_whose_size_the_provider_chooses_counts_as_the_dearest(catalog: Catalog) -> None:
    prices = [highest_cost(catalog, replace(EDIT, quality="high", size=size)) for size in SIZES]
    assert prices[0] == max(prices)


def test_partial_pictures_are_counted(catalog: Catalog) -> None:
    one, two = (translate(catalog, replace(REQUEST, count=count), "lumenfall") for count in (1, 2))
    # Only a request for one picture is streamed: $0.051 + $0.005 + three times $0.0032.
    assert one.highest_cost() == Money(70_000)
    assert two.highest_cost() == Money(120_000)


def test_an_assumed_price_holds_until_the_provider_tells_its_own(catalog: Catalog) -> None:
    assumed = translate(catalog, REQUEST, "oxen")
    stated = translate(catalog, REQUEST, "oxen", ModelStatus(model="gpt-image-1.5", prices=flat_prices(80_000)))
    assert (assumed.assumed_price, stated.assumed_price) == (True, False)
    assert (assumed.highest_cost(), stated.highest_cost()) == (Money(210_000), Money(90_000))
    assert assumed.likely_cost(1) == stated.likely_cost(1) + Money(200_000 - 80_000)


def test_the_cost_never_exceeds_the_price_and_grows_with_the_delivered_pictures(catalog: Catalog) -> None:
    for request, quality, size, count, provider in product(
        (REQUEST, EDIT), QUALITIES, SIZES, (1, 2, 4, 10), ("fal", "lumenfall", "oxen")
    ):
        request = replace(request, quality=quality, size=size, count=count)
        provider_request = translate(catalog, request, provider)
        costs = [provider_request.likely_cost(pictures) for pictures in range(12)]
        assert costs[0] == Money(0)
        assert costs == sorted(costs)
        assert costs[-1] <= highest_cost(catalog, request, provider)


def test_the_cost_of_one_medium_square_is_the_providers_price(catalog: Catalog) -> None:
    assert translate(catalog, REQUEST).likely_cost(1) == Money(34_000 + 5 * 4 * 5)


# Any request

words = st.text(max_size=30)
requests = st.builds(
    ImageRequest,
    prompt=st.text(max_size=60),
    model=st.sampled_from(["gpt-image-1.5", "gpt-image-1", "gpt-image-2"]),
    size=words | st.sampled_from(SIZES) | st.from_regex(r"[0-9]{1,4}[x:×][0-9]{1,4}", fullmatch=True),
    quality=words | st.sampled_from(get_args(Quality)),
    background=words | st.sampled_from(["auto", "transparent", "opaque"]),
    output_format=words | st.sampled_from(get_args(OutputFormat)),
    count=st.integers(-3, 13),
    fidelity=st.none() | st.sampled_from(["low", "high"]) | words,
    compression=st.none() | st.integers(0, 100),
    sources=st.lists(st.just(PICTURE), max_size=20).map(tuple),
    mask=st.none() | st.just(PICTURE),
)
knowledge = st.none() | st.builds(
    ModelStatus,
    model=st.just("m"),
    prices=st.dictionaries(
        st.sampled_from(["low", "medium", "high", "xhigh", "any"]),
        st.dictionaries(
            st.sampled_from(["1024x1024", "1536x1024", "3840x2160", "1k", "4k"]), st.integers(-1, 10**7)
        ),
    ),
    fields=st.dictionaries(
        st.sampled_from(["imagine", "edit"]),
        st.frozensets(
            st.sampled_from(
                ["prompt", "quality", "background", "input_fidelity", "size", "image_size", "resolution"]
            )
        ),
    ),
)
SHIPPED_CATALOG = Catalog.load()
ROUTER = Router(catalog=SHIPPED_CATALOG, providers=PROVIDERS, clock=Clock())
SERVICES = [offer for model in SHIPPED_CATALOG.models for offer in model.offers]


@given(st.sampled_from(SERVICES), requests, knowledge, st.integers(0, 12))
def test_any_request_stays_within_its_highest_cost_or_is_unsupported(
    offer: Offer, request: ImageRequest, known: ModelStatus | None, delivered: int
) -> None:
    try:
        live = live_offer(offer, known) if known else offer
        provider_request = live.translate(request)
    except Unsupported:
        return
    assert sum(provider_request.counts) == request.count
    assert all(0 < count <= provider_request.operation.count.most for count in provider_request.counts)
    assert Money() <= provider_request.likely_cost(delivered) <= provider_request.highest_cost()
    # The submits billed one by one never cost more than the reservation for all of them.
    pieces = [live.translate(replace(request, count=count)).highest_cost() for count in provider_request.counts]
    assert sum(pieces, Money()) <= provider_request.highest_cost()
    assert all("became" in change or "itself" in change for change in provider_request.changes)


@given(requests)
def test_any_refusal_is_a_whole_sentence(request: ImageRequest) -> None:
    sentence = "Nothing was refused."
    try:
        assert ROUTER.candidates(request)
    except Refused as refusal:
        sentence = refusal.sentence
    assert sentence[:1].isupper()
    assert sentence.endswith(".")


def test_a_key_of_the_operators_own_counts_its_tokens_where_they_are_dearer(catalog: Catalog) -> None:
    edit = replace(EDIT, model="gpt-image-1")
    offer = catalog.model("gpt-image-1").offer("fal")
    assert offer.on_own_key().translate(edit).highest_cost() > offer.translate(edit).highest_cost()
    other = catalog.model("gpt-image-1.5").offer("fal")
    assert other.on_own_key() is other
