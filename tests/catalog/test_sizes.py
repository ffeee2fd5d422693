"""Parsing of sizes, and the nearest one that a provider paints."""

from __future__ import annotations

import re
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.catalog import sizes
from bot.catalog.sizes import Shape, nearest, same_ratio
from bot.catalog.sizing import CustomSizes

FAL_BOUNDS = CustomSizes(
    style="text",
    step=16,
    least_side=16,
    most_side=3840,
    widest=3,
    least_area=655_360,
    most_area=8_294_400,
    usual_area=1_572_864,
)
"""The bounds of GPT Image 2 at fal."""
LUMENFALL_BOUNDS = CustomSizes(
    style="text",
    step=1,
    least_side=1024,
    most_side=1536,
    widest=1.5,
    least_area=1_048_576,
    most_area=2_359_296,
    usual_area=1_572_864,
)
"""The bounds of Lumenfall."""
sides = st.integers(1, sizes.LONGEST_SIDE)
anything = st.builds(Shape, sides, sides, st.booleans())


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("auto", None),
        (" AUTO ", None),
        ("square", Shape(1, 1)),
        ("Landscape", Shape(3, 2)),
        ("portrait", Shape(2, 3)),
        ("16:9", Shape(16, 9)),
        ("16 : 9", Shape(16, 9)),
        ("1:20", Shape(1, 20)),
        ("1536x1024", Shape(1536, 1024, exact=True)),
        ("1536X1024", Shape(1536, 1024, exact=True)),
        ("1536 × 1024", Shape(1536, 1024, exact=True)),
        ("8192x8192", Shape(8192, 8192, exact=True)),
        ("0016:9", Shape(16, 9)),
    ],
)
def test_a_size_may_be_a_word_a_ratio_or_pixels(text: str, shape: Shape | None) -> None:
    assert sizes.parse(text) == shape


@pytest.mark.parametrize(
    "text",
    [
        "",
        "round",
        "16",
        "16:",
        "16:9:4",
        "16/9",
        "-16:9",
        "1.5:1",
        "0:1",
        "1024x0",
        "0x0",
        "21:1",
        "1:21",
        "8193x8193",
        "10000x10000",
        "99999999999999999999:1",
        "16:9\n16:9",
        "auto auto",
        "²:1",
    ],
)
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(text)):
        sizes.parse(text)


@given(st.text() | st.from_regex(r"\d{0,6} *[:x×X/] *\d{0,6}"))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        shape = sizes.parse(text)
    except ValueError:
        return
    assert shape is None or (0 < shape.width <= sizes.LONGEST_SIDE and 0 < shape.height <= sizes.LONGEST_SIDE)


def test_a_shape_is_shown_as_it_was_written() -> None:
    assert [str(sizes.parse(text)) for text in ("1536x1024", "21:9", "square", "landscape")] == [
        "1536×1024",
        "21:9",
        "1:1",
        "3:2",
    ]
    assert Shape(21, 9).ratio == "21:9"


@pytest.mark.parametrize(
    ("pixels", "ratio"),
    [
        ("1536x1024", "3:2"), ("1365x768", "16:9"), ("768x1365", "9:16"), ("1183x887", "4:3"), ("887x1182", "3:4"),
        ("1563x670", "7:3"), ("1145x916", "5:4"), ("1024x1024", "1:1"), ("8192x512", "16:1"), ("512x8192", "1:16"),
        ("1x1", "1:1"),
    ],
)  # fmt: skip
def test_pixels_are_shown_by_a_ratio_that_members_know(pixels: str, ratio: str) -> None:
    assert sizes.parse_pixels(pixels).ratio == ratio


@given(st.builds(Shape, sides, sides, st.just(value=True)))
def test_the_ratio_that_is_shown_is_within_a_hundredth(shape: Shape) -> None:
    width, height = map(int, shape.ratio.split(":"))
    assert abs(log(width / height / shape.aspect)) < 0.01


@pytest.mark.parametrize("text", ["auto", "16:9", "square", "big", ""])
def test_a_size_of_the_catalogue_is_in_pixels(text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(text)):
        sizes.parse_pixels(text)


@given(anything, st.lists(anything, min_size=1))
def test_no_other_shape_is_nearer_than_the_nearest_one(wanted: Shape, known: list[Shape]) -> None:
    found = nearest(wanted, known)
    distances = {shape: abs(log(shape.aspect / wanted.aspect)) for shape in known}
    assert found in known
    assert distances[found] <= min(distances.values()) + 0.001
    if wanted.exact:
        # Of the shapes with a ratio as near, none is nearer in area.
        alike = [shape for shape in known if round(distances[shape], 3) == round(distances[found], 3)]
        gaps = [abs(log(shape.area / wanted.area)) for shape in alike]
        assert abs(log(found.area / wanted.area)) <= min(gaps)


@given(st.sampled_from([FAL_BOUNDS, LUMENFALL_BOUNDS]), anything)
def test_a_fitted_size_is_within_the_bounds_and_has_the_wanted_ratio(bounds: CustomSizes, wanted: Shape) -> None:
    found = bounds.nearest_allowed(wanted)
    assert found is not None
    assert found.exact
    assert found.width % bounds.step == found.height % bounds.step == 0
    assert bounds.least_side <= min(found.width, found.height)
    assert max(found.width, found.height) <= bounds.most_side
    assert bounds.least_area <= found.area <= bounds.most_area
    assert max(found.aspect, 1 / found.aspect) <= bounds.widest
    # What is wider or taller than the provider paints becomes the widest or tallest.
    aspect = min(max(wanted.aspect, 1 / bounds.widest), bounds.widest)
    assert same_ratio(found, Shape(round(aspect * 1_000_000), 1_000_000))


@pytest.mark.parametrize(
    ("bounds", "text", "pixels"),
    [
        (FAL_BOUNDS, "3:2", "1536x1024"),
        (FAL_BOUNDS, "16:9", "1680x944"),
        (FAL_BOUNDS, "1920x1080", "1920x1088"),
        (FAL_BOUNDS, "3840x2160", "3840x2160"),
        (FAL_BOUNDS, "8192x8192", "2880x2880"),
        (FAL_BOUNDS, "16x16", "816x816"),
        # To the nearest step these were too small or too wide; one step further they are not.
        (FAL_BOUNDS, "300x200", "1008x672"),
        (FAL_BOUNDS, "3:1", "2160x720"),
        (FAL_BOUNDS, "1:3", "720x2160"),
        (FAL_BOUNDS, "10:3", "2160x720"),
        (LUMENFALL_BOUNDS, "4:3", "1448x1086"),
        (LUMENFALL_BOUNDS, "3:2", "1536x1024"),
        (LUMENFALL_BOUNDS, "512x512", "1024x1024"),
        (LUMENFALL_BOUNDS, "8192x8192", "1536x1536"),
        (LUMENFALL_BOUNDS, "16:9", "1536x1024"),
    ],
)
def test_a_shape_becomes_the_nearest_allowed_size(bounds: CustomSizes, text: str, pixels: str | None) -> None:
    wanted = sizes.parse(text)
    assert wanted is not None
    found = bounds.nearest_allowed(wanted)
    assert (found.pixels if found else None) == pixels


def test_a_shape_that_no_size_meets_gives_none() -> None:
    narrow = CustomSizes(
        style="text",
        step=50,
        least_side=100,
        most_side=149,
        widest=3,
        least_area=1,
        most_area=10**9,
        usual_area=10_000,
    )
    assert narrow.nearest_allowed(Shape(1, 1)) == Shape(100, 100, exact=True)
    assert narrow.nearest_allowed(Shape(2, 1)) is None
