"""What a request costs at most and most likely, and that nothing that anybody asks for breaks the sums."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer, ProviderRequest, Unsupported
from bot.domain.errors import Refused, UnsupportedRequest
from bot.domain.money import Money
from bot.domain.providers import ModelStatus
from bot.domain.requests import ImageRequest, OutputFormat, Quality, Source

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
ASKED = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
EDIT = replace(ASKED, sources=(PICTURE,))
SIZES = ("auto", "square", "landscape", "portrait")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def at(
    catalog: Catalog, request: ImageRequest, provider: str = "fal", known: ModelStatus | None = None
) -> ProviderRequest:
    return catalog.offer(request.model, provider).fit(request, known)


def most(catalog: Catalog, request: ImageRequest, provider: str = "fal") -> Money:
    return Money(at(catalog, request, provider).most())


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
    assert str(most(catalog, replace(ASKED, **change))) == dollars


@pytest.mark.parametrize(
    ("model", "provider", "change", "each"),
    [
        # Where the service chooses, the dearest counts: of a size's qualities, of a quality's sizes, of all.
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
def test_what_a_picture_costs_where_it_is_not_all_said(
    catalog: Catalog, model: str, provider: str, change: dict[str, Any], each: int
) -> None:
    request = replace(ASKED, model=model, prompt="a", **change)
    fit = at(catalog, request, provider)
    extras = fit.offer.prices.extras
    text = 4 * extras.text_token
    assert fit.likely(1) == each + text
    reasoning = extras.reasoning_tokens * extras.reasoning_token
    shown = 3 * extras.partial_picture
    assert fit.most() == -(-(each + text + reasoning + shown) // extras.rounded_up_to) * extras.rounded_up_to


def test_a_long_prompt_in_any_script_makes_it_dearer(catalog: Catalog) -> None:
    plain = most(catalog, ASKED)
    assert most(catalog, replace(ASKED, prompt="word " * 800)) > plain
    snow, letters = (most(catalog, replace(ASKED, prompt=letter * 4000)) for letter in "雪s")
    assert snow > letters


def test_an_edit_counts_every_picture_and_the_dearest_fidelity_unless_told(catalog: Catalog) -> None:
    low, high = (most(catalog, replace(EDIT, fidelity=fidelity)) for fidelity in ("low", "high"))
    assert low < high == most(catalog, EDIT)
    assert most(catalog, replace(EDIT, sources=(PICTURE,) * 4)) > most(catalog, replace(EDIT, mask=PICTURE)) > high


def test_an_edit_whose_size_the_service_chooses_counts_as_the_dearest(catalog: Catalog) -> None:
    prices = [most(catalog, replace(EDIT, quality="high", size=size)) for size in SIZES]
    assert prices[0] == max(prices)


def test_pictures_that_are_shown_while_they_are_painted_are_counted(catalog: Catalog) -> None:
    one, two = (at(catalog, replace(ASKED, count=count), "lumenfall") for count in (1, 2))
    # Only a request for one picture is streamed: $0.051 + $0.005 + three times $0.0032.
    assert one.most() == 70_000
    assert two.most() == 120_000


def test_an_assumed_price_holds_until_the_service_has_told_its_own(catalog: Catalog) -> None:
    assumed = at(catalog, ASKED, "oxen")
    learned = at(catalog, ASKED, "oxen", ModelStatus(model="gpt-image-1.5", dearest=Money(80_000)))
    assert (assumed.assumed_price, learned.assumed_price) == (True, False)
    assert (assumed.most(), learned.most()) == (210_000, 90_000)
    assert assumed.likely(1) - learned.likely(1) == 200_000 - 80_000
    # A service with a price list of its own in the catalogue is held to that.
    listed = at(catalog, ASKED, "fal", ModelStatus(model="gpt-image-1.5", dearest=Money(1)))
    assert (listed.assumed_price, listed.most()) == (False, 40_000)
    free = at(catalog, ASKED, "oxen", ModelStatus(model="gpt-image-1.5", dearest=Money(0)))
    assert (free.assumed_price, free.most()) == (False, 10_000)


def test_the_cost_never_exceeds_the_price_and_grows_with_what_was_delivered(catalog: Catalog) -> None:
    for request, quality, size, count, provider in product(
        (ASKED, EDIT), get_args(Quality), SIZES, (1, 2, 4, 10), ("fal", "lumenfall", "oxen")
    ):
        asked = replace(request, quality=quality, size=size, count=count)
        costs = [catalog.cost(asked, pictures, provider) for pictures in range(12)]
        assert costs[0] == Money(0)
        assert costs == sorted(costs)
        assert costs[-1] <= most(catalog, asked, provider)


def test_the_cost_of_one_medium_square_is_the_services_figure(catalog: Catalog) -> None:
    assert catalog.cost(ASKED, 1, "fal") == Money(34_000 + 5 * 4 * 5)


def test_the_cost_of_what_a_service_cannot_do_is_nothing(catalog: Catalog) -> None:
    assert catalog.cost(replace(EDIT, mask=PICTURE), 1, "oxen") == Money(0)
    with pytest.raises(UnsupportedRequest, match=r"GPT Image 2 is not offered by oxen\. Choose another model\."):
        catalog.cost(replace(ASKED, model="gpt-image-2"), 1, "oxen")


# Whatever is asked

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
    dearest=st.none() | st.builds(Money, st.integers(0, 10**6)),
    fields=st.none() | st.frozensets(st.sampled_from(["quality", "background", "input_fidelity"])),
)
SHIPPED_CATALOG = Catalog.load()
SERVICES = [offer for model in SHIPPED_CATALOG.models for offer in model.offers]


@given(st.sampled_from(SERVICES), requests, knowledge, st.integers(0, 12))
def test_whatever_is_asked_fits_within_its_price_or_is_a_misfit(
    offer: Offer, request: ImageRequest, known: ModelStatus | None, delivered: int
) -> None:
    try:
        fit = offer.fit(request, known)
    except Unsupported:
        return
    assert sum(fit.submits) == request.count
    assert all(0 < count <= fit.verb.count.most for count in fit.submits)
    assert 0 <= fit.likely(delivered) <= fit.most()
    # What is billed for each submit by itself is never more than what was reserved for all of them.
    pieces = [offer.fit(replace(request, count=count), known).most() for count in fit.submits]
    assert sum(pieces) <= fit.most()
    assert all("became" in change or "itself" in change for change in fit.changes)


@given(requests)
def test_whatever_is_asked_a_refusal_is_a_whole_sentence(request: ImageRequest) -> None:
    said = "Nothing was refused."
    try:
        assert SHIPPED_CATALOG.fits(request)
    except Refused as refusal:
        said = refusal.sentence
    assert said[:1].isupper()
    assert said.endswith(".")


def test_a_key_of_the_operators_own_counts_its_tokens_where_they_are_dearer(catalog: Catalog) -> None:
    edit = replace(EDIT, model="gpt-image-1")
    offer = catalog.offer("gpt-image-1", "fal")
    assert offer.on_own_key().fit(edit).most() > offer.fit(edit).most()
    other = catalog.offer("gpt-image-1.5", "fal")
    assert other.on_own_key() is other
