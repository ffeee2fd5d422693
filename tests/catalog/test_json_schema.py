"""The JSON Schema of a catalogue file: what editors accept is what Easel reads."""

from __future__ import annotations

import json
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bot.catalog.files import built_in_files
from bot.catalog.json_schema import catalog_json_schema
from bot.providers.registry import SPECS
from tests.catalog.test_catalog_files import NEW_OFFER
from tests.support.catalogs import SEED

jsonschema: Any = import_module("jsonschema")  # it has no types

SCHEMA = catalog_json_schema(list(SPECS))
OFFER = '[[models]]\nname = "x"\n[[models.offers]]\nprovider = "fal"\n'


def mistakes(text: str) -> list[str]:
    """What an editor would underline, each with its place."""
    content = json.loads(json.dumps(tomllib.loads(text), default=str))
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft4Validator(SCHEMA).iter_errors(content)
    ]


def test_it_is_a_schema() -> None:
    jsonschema.Draft4Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", [*built_in_files(), SEED], ids=lambda path: path.name)
def test_every_file_that_ships_with_easel_is_accepted(path: Path) -> None:
    assert mistakes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        NEW_OFFER,
        'order = ["gpt-image-2"]\n[[models]]\nname = "gpt-image-1"\nremoved = true\n',
        '[[models]]\nname = "x"\nsuccessors = ["y"]\nsunset_at = 2026-12-01\n',
        '[[models]]\nname = "x"\nsunset_at = false\n',
        f"{OFFER}removed = true\n",
        f"{OFFER}edit = false\n",
        f'{OFFER}like = "y"\nbyok = false\nedit = {{ like = "imagine", mask = false }}\n',
        f"{OFFER}[models.offers.edit.options]\nfidelity = false\n",
        f"{OFFER}[models.offers.edit.size]\nauto = false\ncustom = false\n",
        f"{OFFER}[models.offers.prices.picture]\nmax = false\nlow = {{ 1k = 4000 }}\n",
        f"{OFFER}[models.offers.prices.extras]\nrounded_up_to = 100\n",
    ],
)
def test_a_layer_says_only_what_differs(text: str) -> None:
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[[model]]\n", "$: "),
        ("[[models]]\n", "$.models[0]: 'name'"),
        ('[[models]]\nname = "x"\nlable = "X"\n', "$.models[0]: "),
        ('[[models]]\nname = "x"\n[[models.offers]]\nmodel = "y"\n', "$.models[0].offers[0]: 'provider'"),
        ('[[models]]\nname = "x"\n[[models.offers]]\nprovider = "acme"\n', "$.models[0].offers[0].provider: "),
        (f"{OFFER}maximum_promt = 5\n", "$.models[0].offers[0]: "),
        (f"{OFFER}maximum_prompt = 0\n", "$.models[0].offers[0].maximum_prompt: "),
        (f'{OFFER}imagine = {{ like = "edit" }}\n', "$.models[0].offers[0].imagine: "),
        (f'{OFFER}edit = {{ like = "imagine", masks = "m" }}\n', "$.models[0].offers[0].edit: "),
        (f'{OFFER}imagine = {{ count = {{ way = "guess" }} }}\n', "$.models[0].offers[0].imagine.count.way: "),
        (f'{OFFER}imagine = {{ count = {{ field = "n" }} }}\n', "$.models[0].offers[0].imagine.count: 'way'"),
        (f"{OFFER}[models.offers.imagine.options]\nqualty = false\n", "$.models[0].offers[0].imagine.options: "),
        (f"{OFFER}[models.offers.imagine.size]\nstyle = 1\n", "$.models[0].offers[0].imagine.size: "),
        (f"{OFFER}[models.offers.prices.extras]\ntext_tokens = 1\n", "$.models[0].offers[0].prices.extras: "),
        (
            f"{OFFER}[models.offers.prices.picture]\nlow = {{ 1k = 0.1 }}\n",
            "$.models[0].offers[0].prices.picture: ",
        ),
    ],
)
def test_a_misspelt_key_and_a_wrong_value_are_refused_where_they_stand(text: str, place: str) -> None:
    [mistake] = mistakes(text)
    assert mistake.startswith(place)


def test_an_editor_can_show_what_a_key_is_for() -> None:
    properties = SCHEMA["definitions"]["Offer"]["properties"]
    assert properties["model"]["description"] == "The provider's own name for it."
