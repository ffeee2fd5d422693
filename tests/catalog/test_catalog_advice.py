"""Mistakes that people make in an operator's own catalogue: a price in dollars, a key in the wrong table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import SetupError
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from tests.support.catalogs import seed_catalog


def laid(tmp_path: Path, content: bytes) -> Catalog:
    """The seed catalogue with this file over it."""
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    return seed_catalog(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What is said of a file, line by line."""
    with pytest.raises(SetupError) as refused:
        laid(tmp_path, text.encode())
    return str(refused.value).splitlines()


IN_MILLIONTHS = "write millionths of a dollar, as a whole number: 35000 is $0.035."


@pytest.mark.parametrize(
    ("prices", "line"),
    [
        ("picture = { any = { 1k = 0.035 } }", f".picture.any.1k: {IN_MILLIONTHS}"),
        ('picture = { any = { 1k = "$0.035" } }', f".picture.any.1k: {IN_MILLIONTHS}"),
        ("extras = { source = 0.003 }", f".extras.source: {IN_MILLIONTHS}"),
        (
            "picture = { any = { 1k = 35 } }",
            ": 35 is less than $0.0001; write millionths of a dollar: 35000 is $0.035.",
        ),
        (
            "any = { 1k = 35000 }",
            ".any: this key has no meaning; choose picture, megapixel, sources_count_each, extras, unit.",
        ),
    ],
)
def test_a_price_that_is_not_in_millionths_of_a_dollar_or_not_in_its_place_is_refused(
    tmp_path: Path, prices: str, line: str
) -> None:
    text = f'[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\nprices = {{ {prices} }}\n'
    assert mistakes(tmp_path, text) == [f"mine.toml is not valid at models.gpt-image-2.offers.fal.prices{line}"]


def test_a_price_by_tier_holds_for_a_model_that_takes_pixels(tmp_path: Path) -> None:
    text = (
        '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\n'
        "prices = { picture = { medium = { 1k = 30000, 4k = 90000 } } }\n"
    )
    offer = laid(tmp_path, text.encode()).model("gpt-image-2").offer("fal")

    def each(size: str) -> Money:
        return offer.translate(ImageRequest(prompt="a fox", model="gpt-image-2", size=size)).price_each

    assert [each(size) for size in ("square", "1536x1024")] == [Money(30_000), Money(90_000)]


def test_a_table_or_a_key_in_the_wrong_place_is_sent_to_its_own(tmp_path: Path) -> None:
    model = '[[models]]\nname = "gpt-image-2"\n'
    at = "mine.toml is not valid at models.gpt-image-2"
    assert mistakes(tmp_path, model + "[models.prices.picture]\nany = { 1k = 1000 }\n") == [
        f"{at}.prices: this key has no meaning here; it belongs to models.offers."
    ]
    # What a misspelt table makes missing is told after it.
    new = model.replace("gpt-image-2", "x") + 'label = "X"\n[[models.offers]]\nprovider = "fal"\n'
    first, *rest = mistakes(tmp_path, new + "[models.offers.imagin]\n")
    assert first.endswith("models.x.offers.fal.imagin: this key has no meaning, perhaps imagine is meant.")
    assert all(line.endswith(": it is missing.") for line in rest)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"caf\xe9 = 1\n", "is not valid: save it as UTF-8."),
        ("a = 1\n".encode("utf-16"), "is not valid: save it as UTF-8."),
        (
            b"[[models]]\nname = qwen\n",
            "is not valid TOML: Invalid value (at line 2, column 8); text stands in quotation marks.",
        ),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(SetupError) as refused:
        laid(tmp_path, content)
    assert str(refused.value) == f"mine.toml {said}"


def test_a_file_from_windows_is_read(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf[[models]]\r\n\tname = "gpt-image-2"\r\n\tlabel = "Mine"\r\n'
    assert laid(tmp_path, content).model("gpt-image-2").label == "Mine"
