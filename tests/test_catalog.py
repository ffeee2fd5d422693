"""What a model can do, what it costs at most, and what Easel says when it cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest

from bot.catalog import Catalog
from bot.errors import BadPrompt, SetupError, UnsupportedRequest
from bot.models import ImageRequest, Money, Size, Source

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
ASKED = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
EDIT = replace(ASKED, sources=(PICTURE,))
SHIPPED = Path(__file__).parent.parent / "bot" / "catalog.toml"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def test_the_catalogue_that_ships_knows_the_default_model(catalog: Catalog) -> None:
    model = catalog.model("gpt-image-1.5")
    assert model.label == "GPT Image 1.5"
    assert model.provider_names == ("fal",)
    assert model in catalog.models


def test_an_unknown_model_is_refused_with_those_that_exist(catalog: Catalog) -> None:
    with pytest.raises(UnsupportedRequest, match=r"no model “dall-e-2”\. Choose gpt-image-1\.5\."):
        catalog.model("dall-e-2")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"quality": "auto"}, "GPT Image 1.5 has no quality “auto”. Choose low, medium or high."),
        ({"size": "round"}, "has no size “round”. Choose auto, square, landscape or portrait."),
        (
            {"background": "transparent", "output_format": "jpeg"},
            "A JPEG cannot be transparent. Choose PNG or WebP, or another background.",
        ),
        ({"mask": PICTURE}, "A mask needs a picture to go with it."),
        ({"fidelity": "high"}, "Add a picture, or leave it out."),
        ({"sources": (PICTURE,) * 5}, "takes up to 4 pictures; you gave 5."),
        ({"count": 0}, "paints 1 to 4 pictures at a time; you asked for 0."),
        ({"count": 5}, "paints 1 to 4 pictures at a time; you asked for 5."),
    ],
)
def test_what_a_model_cannot_do_is_said_with_what_would_work(
    catalog: Catalog, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UnsupportedRequest) as refusal:
        catalog.check(replace(ASKED, **change))
    assert sentence in refusal.value.sentence


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("  \n", "The prompt is empty. Say what Easel should paint."),
        ("x" * 4001, "Your prompt has 4,001 characters; GPT Image 1.5 takes up to 4,000."),
    ],
)
def test_an_empty_or_over_long_prompt_is_refused(catalog: Catalog, prompt: str, sentence: str) -> None:
    with pytest.raises(BadPrompt) as refusal:
        catalog.check(replace(ASKED, prompt=prompt))
    assert sentence in refusal.value.sentence


@pytest.mark.parametrize("request_", [ASKED, EDIT, replace(EDIT, mask=PICTURE, fidelity="low", count=4)])
def test_what_works_is_not_refused(catalog: Catalog, request_: ImageRequest) -> None:
    catalog.check(request_)


def test_every_option_has_its_wire_name_and_value(catalog: Catalog) -> None:
    offer = catalog.offer("gpt-image-1.5", "fal")
    asked = replace(
        EDIT,
        size="portrait",
        quality="high",
        background="transparent",
        output_format="webp",
        count=3,
        fidelity="low",
    )
    assert offer.spell(asked, sources=["https://a", "https://b"], mask="https://m") == {
        "prompt": "a fox in the snow",
        "num_images": 3,
        "image_size": "1024x1536",
        "quality": "high",
        "background": "transparent",
        "output_format": "webp",
        "input_fidelity": "low",
        "image_urls": ["https://a", "https://b"],
        "mask_image_url": "https://m",
    }


def test_an_automatic_size_is_a_square_when_painting_and_the_services_own_when_editing(
    catalog: Catalog,
) -> None:
    offer = catalog.offer("gpt-image-1.5", "fal")
    assert offer.spell(ASKED, sources=[], mask=None)["image_size"] == "1024x1024"
    assert offer.spell(EDIT, sources=["https://a"], mask=None)["image_size"] == "auto"


@pytest.mark.parametrize(
    ("change", "dollars"),
    [
        ({}, "$0.04"),
        ({"quality": "low"}, "$0.02"),
        ({"quality": "high"}, "$0.14"),
        ({"quality": "high", "size": "portrait", "count": 4}, "$0.83"),
    ],
)
def test_the_highest_price_is_whole_cents(catalog: Catalog, change: dict[str, Any], dollars: str) -> None:
    assert str(catalog.price(replace(ASKED, **change))) == dollars


def test_a_long_prompt_in_any_script_makes_it_dearer(catalog: Catalog) -> None:
    plain = catalog.price(ASKED)
    assert catalog.price(replace(ASKED, prompt="word " * 800)) > plain
    assert catalog.price(replace(ASKED, prompt="雪" * 4000)) > catalog.price(replace(ASKED, prompt="s" * 4000))


def test_an_edit_counts_every_picture_and_the_dearest_fidelity_unless_told(catalog: Catalog) -> None:
    low, high = (catalog.price(replace(EDIT, fidelity=fidelity)) for fidelity in ("low", "high"))
    assert low < high == catalog.price(EDIT)
    assert catalog.price(replace(EDIT, sources=(PICTURE,) * 4)) > catalog.price(replace(EDIT, mask=PICTURE)) > high


def test_an_edit_whose_size_the_service_chooses_counts_as_the_dearest(catalog: Catalog) -> None:
    sizes = [catalog.price(replace(EDIT, quality="high", size=size)) for size in get_args(Size)]
    assert sizes[0] == max(sizes)


def test_the_cost_never_exceeds_the_price_and_grows_with_what_was_delivered(catalog: Catalog) -> None:
    for request, quality, size, count in product(
        (ASKED, EDIT), ("low", "medium", "high"), get_args(Size), (1, 2, 4)
    ):
        asked = replace(request, quality=quality, size=size, count=count)  # type: ignore[arg-type]
        costs = [catalog.cost(asked, pictures) for pictures in range(6)]
        assert costs[0] == Money(0)
        assert costs == sorted(costs)
        assert costs[-1] <= catalog.price(asked)


def test_the_cost_of_one_medium_square_is_the_services_figure(catalog: Catalog) -> None:
    assert catalog.cost(ASKED, 1) == Money(34_000 + 5 * 4 * 5)


def test_an_announced_switch_off_is_told_before_and_after_but_retires_nothing(catalog: Catalog) -> None:
    day = date(2026, 12, 1)
    assert catalog.notices(day - timedelta(days=90)) == []
    before, after = catalog.notices(day - timedelta(days=10)), catalog.notices(day)
    assert "is announced to be switched off on 1 December 2026" in before[0]
    assert "gpt-image-2, which this version does not have yet" in before[0]
    assert "may stop at any time" in after[0]


SECOND_MODEL = """
[[models]]
name = "plain"
label = "Plain"
sunset_at = 2030-01-31
successor = "gpt-image-1.5"

[[models.offers]]
provider = "elsewhere"
maximum_prompt = 100
maximum_sources = 0
maximum_count = 1
[models.offers.imagine]
endpoint = "plain"
prompt = "text"
count = "n"
[models.offers.imagine.options]
output_format = { field = "format", values = { png = "png" } }
[models.offers.prices.picture]
flat = { any = 5000 }
[models.offers.prices.extras]
text_token = 0
reasoning_token = 0
reasoning_tokens = 0
tokens_per_word = 4
picture_token = 0
picture_tokens = { low = 0, high = 0 }
"""


def test_a_second_model_and_service_are_only_an_edit_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "more.toml"
    path.write_text(SHIPPED.read_text(encoding="utf-8") + SECOND_MODEL, encoding="utf-8")
    catalog = Catalog.load(path)
    asked = replace(ASKED, model="plain", quality="auto")
    assert catalog.price(asked) == catalog.cost(asked, 1) == Money(5000)
    assert catalog.offer("plain", "elsewhere").spell(asked, sources=[], mask=None) == {
        "text": "a fox in the snow",
        "n": 1,
        "format": "png",
    }
    assert "Its successor is gpt-image-1.5: try it now." in catalog.notices(date(2030, 1, 1))[1]
    for change, sentence in (
        ({"sources": (PICTURE,)}, "Plain cannot edit pictures. Ask without one."),
        ({"count": 2}, "Plain paints 1 picture at a time; you asked for 2."),
        ({"quality": "high"}, "Plain has no quality to choose. Leave it out."),
    ):
        with pytest.raises(UnsupportedRequest) as refusal:
            catalog.check(replace(asked, **change))
        assert refusal.value.sentence == sentence
    with pytest.raises(UnsupportedRequest, match="Plain is not offered by fal"):
        catalog.offer("plain", "fal")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("maximum_count = 4", 'maximum_count = "many"', r"models\.0\.offers\.0\.maximum_count"),
        ('endpoint = "fal-ai/gpt-image-1.5"\n', "", "endpoint"),
        ("low = { 1024x1024 = 9000, 1024x1536 = 13000, 1536x1024 = 13000 }", "low = {}", "a price row is empty"),
        ("[[models]]", "[[models", "is not valid TOML"),
        ("text_token = 5", "text_token = -5", "text_token"),
        ("sunset_at = 2026-12-01", 'colour = "red"', "colour"),
    ],
)
def test_a_bad_file_is_one_line_for_the_operator(tmp_path: Path, old: str, new: str, where: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SetupError, match=where) as error:
        Catalog.load(path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_a_model_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.toml"
    path.write_text(SHIPPED.read_text(encoding="utf-8") + SECOND_MODEL + SECOND_MODEL, encoding="utf-8")
    with pytest.raises(SetupError, match="listed twice"):
        Catalog.load(path)


def test_a_missing_file_is_one_line_for_the_operator(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere\.toml cannot be read"):
        Catalog.load(tmp_path / "nowhere.toml")
