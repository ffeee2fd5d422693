"""The catalogue: models and their providers, notices, and errors in its file."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.files import BUILT_IN, read_catalog
from bot.catalog.offers import ProviderRequest
from bot.domain.errors import SetupError, UnsupportedRequest
from bot.domain.money import Money
from bot.domain.requests import ImageRequest, Source
from tests.support.catalogs import seed_catalog
from tests.support.clock import AdjustableClock
from tests.support.routing import PROVIDERS, open_router

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
REQUEST = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
EDIT = replace(REQUEST, sources=(PICTURE,))
SHIPPED = BUILT_IN / "gpt-image-1.5.toml"


def translate(catalog: Catalog, request: ImageRequest, provider: str) -> ProviderRequest:
    return catalog.model(request.model).offer(provider).translate(request)


def test_the_catalogue_that_ships_knows_the_default_model(catalog: Catalog) -> None:
    model = catalog.model("gpt-image-1.5")
    assert model.label == "GPT Image 1.5"
    assert model.providers == ("fal", "lumenfall", "oxen")
    assert model in catalog.models


def test_an_unknown_model_is_refused_with_those_that_exist(catalog: Catalog) -> None:
    sentence = r"no model “dall-e-2”\. Choose GPT Image 1\.5, GPT Image 2 or GPT Image 1\."
    with pytest.raises(UnsupportedRequest, match=sentence):
        catalog.model("dall-e-2")


@pytest.mark.parametrize("typed", ["gpt-image-1.5", "GPT Image 1.5", " gpt image 1.5 ", "GPT-IMAGE-1.5"])
def test_a_model_is_known_by_its_name_and_by_its_label(catalog: Catalog, typed: str) -> None:
    assert catalog.canonical(typed) == "gpt-image-1.5"
    assert catalog.canonical("crayons") == "crayons"


# Notices


def test_an_announced_switch_off_has_a_notice_before_and_after_but_retires_nothing(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    day = date(2026, 12, 1)
    assert not any("1.5" in notice for notice in catalog.notices(day - timedelta(days=90)))
    before, after = catalog.notices(day - timedelta(days=10)), catalog.notices(day)
    assert before[0].startswith("GPT Image 1.5 is announced to be switched off on 1 December 2026. ")
    assert before[0].endswith(" Its successor is GPT Image 2: try it now.")
    assert "may stop at any time" in after[0]
    assert open_router(catalog, clock).candidates(REQUEST)


def test_only_available_models_have_notices(catalog: Catalog) -> None:
    day = date(2027, 1, 1)
    assert len(catalog.notices(day)) == 2
    assert [notice[:13] for notice in catalog.notices(day, ["gpt-image-1", "gpt-image-2"])] == ["GPT Image 1 w"]
    assert catalog.notices(day, []) == []


def test_the_notice_names_a_successor_that_this_version_lacks(tmp_path: Path) -> None:
    path = write_catalog(tmp_path, '[[models]]\nname = "gpt-image-1.5"\nsuccessors = ["gpt-image-9"]\n')
    notice = seed_catalog(path).notices(date(2026, 11, 1))[0]
    assert "gpt-image-9, which this version does not have yet" in notice


# The file

SECOND_MODEL = """
[[models]]
name = "plain"
label = "Plain"
sunset_at = 2030-01-31
successors = ["gpt-image-1.5"]

[[models.offers]]
provider = "elsewhere"
model = "plain-v1"
maximum_prompt = 100
maximum_sources = 0
[models.offers.imagine]
endpoint = "plain"
prompt = "text"
count = { way = "emulate" }
size = { way = "convert", field = "dims", known = { 1000x1000 = "S" } }
fixed = { safe = true }
[models.offers.imagine.options]
output_format = { way = "convert", field = "format", values = { jpeg = "JPG" }, instead = { png = "jpeg" } }
[models.offers.prices.picture]
any = { 1000x1000 = 5000 }
[models.offers.prices.extras]
text_token = 0
reasoning_token = 0
reasoning_tokens = 0
tokens_per_word = 4
picture_token = 0
picture_tokens = { low = 0, high = 0 }
"""


def write_catalog(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "another.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_second_model_and_service_are_only_an_edit_of_the_file(tmp_path: Path, clock: AdjustableClock) -> None:
    catalog = seed_catalog(write_catalog(tmp_path, SECOND_MODEL))
    router = open_router(catalog, clock, (*PROVIDERS, "elsewhere"))
    request = replace(REQUEST, model="plain", quality="auto")
    provider_request = translate(catalog, request, "elsewhere")
    assert provider_request.highest_cost() == provider_request.likely_cost(1) == Money(5000)
    assert provider_request.body(1) == {"text": "a fox in the snow", "safe": True, "format": "JPG"}
    assert provider_request.convert_to == "png"
    # Its provider has no field for a number, so three pictures are three submits.
    assert translate(catalog, replace(request, count=3), "elsewhere").counts == (1, 1, 1)
    assert "Its successor is GPT Image 1.5: try it now." in catalog.notices(date(2030, 1, 1))[2]
    # Its provider paints a JPEG, which Easel compresses.
    compressed = translate(catalog, replace(request, output_format="jpeg", compression=5), "elsewhere")
    assert (compressed.body(1)["format"], compressed.convert_to, compressed.compress) == ("JPG", "jpeg", True)
    for change, sentence in (
        ({"sources": (PICTURE,)}, "Plain cannot edit pictures. Choose GPT Image 1.5, GPT Image 2 or GPT Image 1 "),
        ({"output_format": "gif"}, "Plain has no gif format. Choose GPT Image 1.5, GPT Image 2 or GPT Image 1 "),
        (
            {"quality": "high"},
            "Plain has no choice of quality. Choose GPT Image 1.5, GPT Image 2 or GPT Image 1 ",
        ),
    ):
        with pytest.raises(UnsupportedRequest) as refusal:
            router.candidates(replace(request, **change))
        assert refusal.value.sentence.startswith(sentence)
    assert set(catalog.at("elsewhere")) == {"plain"}


def test_the_refusal_recommends_no_model_where_none_can_paint_it(tmp_path: Path, clock: AdjustableClock) -> None:
    catalog = read_catalog(Catalog, [write_catalog(tmp_path, SECOND_MODEL)])
    with pytest.raises(UnsupportedRequest) as refusal:
        open_router(catalog, clock, ("elsewhere",)).candidates(replace(EDIT, model="plain", quality="auto"))
    assert refusal.value.sentence == "Plain cannot edit pictures. Ask without one."


FIRST_QUALITY = (
    'quality = { way = "pass", field = "quality", values = { low = "low", medium = "medium", high = "high" }'
)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (
            "maximum_sources = 4",
            'maximum_sources = "many"',
            r"models\.gpt-image-1\.5\.offers\.fal\.maximum_sources",
        ),
        ('endpoint = "fal-ai/gpt-image-1.5"\n', "", "endpoint"),
        ("low = { 1024x1024 = 9000, 1024x1536 = 13000, 1536x1024 = 13000 }", "low = {}", "a price row is empty"),
        ("low = { 1024x1024 = 9000", "low = { big = 9000", "prices: big"),
        ("low = { 1024x1024 = 9000", "low = { 1024x1024 = 0.009", r"prices\.picture\.low"),
        ("[[models]]", "[[models", "is not valid TOML"),
        ("text_token = 5", "text_token = -5", "text_token"),
        ("sunset_at = 2026-12-01", 'colour = "red"', "colour"),
        (
            'successors = ["gpt-image-2.5-flare", ',
            'successors = ["gpt-image-1.5", ',
            r"gpt-image-1\.5: it succeeds itself",
        ),
        ('provider = "lumenfall"', 'provider = "fal"', r"gpt-image-1\.5\.offers\.fal: it is there twice"),
        (FIRST_QUALITY, FIRST_QUALITY.replace("pass", "guess"), r"options\.quality\.way"),
        (FIRST_QUALITY, FIRST_QUALITY.replace('"pass"', '"emulate"'), "what is emulated is not sent"),
        (FIRST_QUALITY, FIRST_QUALITY.replace('field = "quality", ', ""), "a field is missing"),
        (FIRST_QUALITY, FIRST_QUALITY.replace('low = "low"', 'low = "l"'), "a value changes, so this is a conver"),
        (
            'instead = { auto = "high" }',
            'instead = { auto = "best" }',
            "asked for instead is not among the values",
        ),
        ("quality = {", "qualitty = {", r"options\.qualitty"),
        ('known = { 1024x1024 = "1024x1024"', 'known = { square = "1024x1024"', "square is not a size like 1024"),
        ('known = { 1024x1024 = "1024x1024"', 'known = { 16000x9 = "1024x1024"', "16000x9"),
        ('auto = "1024x1024"', 'auto = "2048x2048"', "auto becomes 2048x2048, which is not known"),
        ('field = "num_images", most = 4', 'field = "num_images", most = 0', r"count\.most"),
        ('style = "text", step = 1', 'style = "text", step = 0', r"size\.custom\.step"),
        ('values = ["1:1", "3:2", "2:3"]', "values = []", r"size\.ratio\.values"),
    ],
)
def test_a_bad_file_is_one_line_for_the_operator(tmp_path: Path, old: str, new: str, where: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    path = write_catalog(tmp_path, text.replace(old, new, 1))
    with pytest.raises(SetupError, match=where) as error:
        read_catalog(Catalog, [path])
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_a_model_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="it is there twice"):
        Catalog.load([write_catalog(tmp_path, SECOND_MODEL + SECOND_MODEL)])


def test_a_missing_file_is_one_line_for_the_operator(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere\.toml cannot be read"):
        Catalog.load([tmp_path / "nowhere.toml"])
