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
from bot.domain.requests import MAXIMUM_SEED, ImageRequest, OutputFormat, Quality, Source
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


# Prices of the offers that ship: by tier, by pixels, by megapixel, for pictures that are sent in

SHIPPED_CATALOG = Catalog.load()


def reserved(model: str, provider: str, *sources: tuple[int, int] | None, **options: Any) -> int:
    """Micro-dollars. None is a picture of unknown size."""
    pictures = tuple(replace(PICTURE, width=size[0], height=size[1]) if size else PICTURE for size in sources)
    request = replace(REQUEST, model=model, prompt="a", sources=pictures, **options)
    return highest_cost(SHIPPED_CATALOG, request, provider).micros


@pytest.mark.parametrize(
    ("model", "provider", "size", "micros"),
    [
        # By tier, the first where none is asked for.
        ("gpt-image-2.5-flare", "oxen", "auto", 9_600), ("gpt-image-2.5-flare", "oxen", "square", 9_600),
        ("gpt-image-2.5-flare", "oxen", "square 2k", 13_400), ("gpt-image-2.5-flare", "oxen", "16:9 4k", 33_700),
        ("gpt-image-2.5-flare", "oxen", "3840x2160", 33_700), ("seedream-5-lite", "oxen", "auto", 40_000),
        # By pixels: upright as wide, and above the last row as many times dearer as it is larger.
        ("seedream-5-pro", "fal", "square", 67_500), ("seedream-5-pro", "fal", "1536x1536", 67_500),
        ("seedream-5-pro", "fal", "1552x1536", 135_000), ("seedream-5-pro", "fal", "16:9 2k", 135_000),
        ("seedream-5-lite", "fal", "square 4k", 35_000),
        # By megapixel, each that is begun.
        ("flux-2-pro", "fal", "square", 30_000), ("flux-2-pro", "fal", "512x512", 30_000),
        ("flux-2-pro", "fal", "1040x1024", 45_000), ("flux-2-pro", "fal", "1536x1024", 45_000),
        ("flux-2-pro", "fal", "2048x2048", 75_000),
    ],
)  # fmt: skip
def test_a_picture_is_priced_by_its_tier_its_pixels_or_its_megapixels(
    model: str, provider: str, size: str, micros: int
) -> None:
    assert reserved(model, provider, size=size) == micros
    assert reserved(model, provider, size=size, count=2) == 2 * micros


def test_an_upright_picture_costs_what_a_wide_one_does() -> None:
    wide, upright = (reserved("gpt-image-2.5-flare", "fal", size=size) for size in ("landscape", "portrait"))
    # $0.01029 for the picture, 100 tokens of thought and 4 of text; rounded up to $0.0001.
    assert wide == upright == 11_400
    between, larger = (reserved("gpt-image-2.5-flare", "fal", size=size) for size in ("1680x944", "2560x1440"))
    # It costs no more than the next larger listed size, and the dearest of those that are smaller.
    assert (between, larger) == (14_200, 15_400)


@pytest.mark.parametrize(
    ("sources", "micros"),
    [
        ([(1024, 1024)], 30_000 + 15_000),
        ([(1536, 1024)], 30_000 + 2 * 15_000),
        ([(1024, 1024), (1536, 1024)], 30_000 + 3 * 15_000),
        # More than four megapixels count as four, and an unknown size as the most, also of what is painted.
        ([(4096, 4096)], 30_000 + 4 * 15_000),
        ([None], 30_000 + 3 * 15_000 + 4 * 15_000),
    ],
)
def test_each_megapixel_that_is_sent_along_costs_as_well(
    sources: list[tuple[int, int] | None], micros: int
) -> None:
    assert reserved("flux-2-pro", "fal", *sources) == micros
    # Each submit sends them again, and so does Lumenfall, which asks for one picture at a time.
    assert reserved("flux-2-pro", "fal", *sources, count=3) == 3 * micros
    assert reserved("flux-2-pro", "lumenfall", *sources, count=3) == 3 * micros


def test_pictures_beyond_the_first_cost_a_little_each() -> None:
    square = (1024, 1024)
    assert [reserved("seedream-5-pro", "fal", *[square] * number) for number in (1, 2, 4)] == [
        67_500,
        72_000,
        81_000,
    ]
    assert reserved("nano-banana-pro", "lumenfall", square, square, count=2) == 2 * (150_000 + 2 * 1_100)
    assert reserved("nano-banana-pro", "fal", square, square) == 150_000


def test_text_costs_by_the_token_where_the_service_counts_it() -> None:
    def of(provider: str, prompt: str) -> int:
        request = replace(REQUEST, model="gpt-image-2.5-flare", prompt=prompt, size="square")
        return highest_cost(SHIPPED_CATALOG, request, provider).micros

    # $0.01317 and 100 tokens of thought; 2,000 letters are 2,000 tokens of $0.000005 at most.
    assert of("fal", "x" * 2000) == 14_200 + 10_000
    assert of("oxen", "x" * 2000) == 9_600


def test_each_submit_is_rounded_up_by_itself() -> None:
    assert reserved("gpt-image-2", "fal", size="square", count=4) == 214_800  # 4 * 53,680 + 20
    assert reserved("gpt-image-2", "fal", size="square", count=5) == 268_600  # 5 * 53,680 + 2 * 20, in two submits
    # With a seed there is a submit for each picture.
    assert reserved("flux-2-pro", "oxen", seed=7, count=4) == 4 * 100_000


# Any request

words, sides = st.text(max_size=30), st.integers(1, 8192)
requests = st.builds(
    ImageRequest,
    prompt=st.text(max_size=60),
    model=st.sampled_from([model.name for model in SHIPPED_CATALOG.models]),
    size=words | st.sampled_from(SIZES) | st.from_regex(r"[0-9]{1,4}[x:×][0-9]{1,4}", fullmatch=True),
    quality=words | st.sampled_from(get_args(Quality)),
    background=words | st.sampled_from(["auto", "transparent", "opaque"]),
    output_format=words | st.sampled_from(get_args(OutputFormat)),
    count=st.integers(-3, 13),
    fidelity=st.none() | st.sampled_from(["low", "high"]) | words,
    compression=st.none() | st.integers(0, 100),
    seed=st.none() | st.integers(0, MAXIMUM_SEED),
    sources=st.lists(
        st.just(PICTURE) | st.builds(replace, st.just(PICTURE), width=sides, height=sides), max_size=20
    ).map(tuple),
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
