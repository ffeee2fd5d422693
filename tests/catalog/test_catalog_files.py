"""An operator's own catalogue: files laid over the built-in one, and every mistake in them named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import SetupError
from bot.providers.registry import catalog_for
from bot.settings import load
from tests.support.catalogs import seed_catalog


def written(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def laid(tmp_path: Path, *texts: str) -> Catalog:
    """The seed catalogue with these files over it."""
    return seed_catalog(*(written(tmp_path, text, f"mine-{number}.toml") for number, text in enumerate(texts, 1)))


def mistakes(tmp_path: Path, *texts: str) -> list[str]:
    """What is said of these files, line by line."""
    with pytest.raises(SetupError) as refused:
        laid(tmp_path, *texts)
    return str(refused.value).splitlines()


NEW_OFFER = """
[[models]]
name = "gpt-image-2"
[[models.offers]]
provider = "lumenfall"
like = "gpt-image-1.5"
model = "gpt-image-2"
[models.offers.imagine.options]
background = { way = "pass", field = "background", values = { auto = "", opaque = "opaque" } }
[models.offers.edit.options]
fidelity = false
[models.offers.prices.picture]
medium = { 1024x1024 = 53000 }
"""


def test_an_offer_says_only_what_differs_from_another_models(tmp_path: Path, catalog: Catalog) -> None:
    offer, pattern = (
        laid(tmp_path, NEW_OFFER).model("gpt-image-2").offer("lumenfall"),
        catalog.model("gpt-image-1.5").offer("lumenfall"),
    )
    assert laid(tmp_path, NEW_OFFER).model("gpt-image-2").providers == ("fal", "lumenfall")
    assert offer.model == "gpt-image-2"
    assert offer.imagine.options["background"].values == {"auto": "", "opaque": "opaque"}
    assert offer.imagine.options["quality"] == pattern.imagine.options["quality"]
    assert offer.edit is not None
    assert pattern.edit is not None
    assert set(pattern.edit.options) - set(offer.edit.options) == {"fidelity"}
    # A row of prices is replaced as a whole, the others stay.
    assert offer.prices.picture == {**pattern.prices.picture, "medium": {"1024x1024": 53000}}
    assert catalog.model("gpt-image-1.5") == laid(tmp_path, NEW_OFFER).model("gpt-image-1.5")


def test_an_edit_says_only_what_differs_from_painting(tmp_path: Path) -> None:
    text = """
[[models]]
name = "sketch"
label = "Sketch"
[[models.offers]]
provider = "fal"
like = "gpt-image-2"
[models.offers.imagine]
prompt = "words"
[models.offers.edit]
like = "imagine"
endpoint = "sketch/edit"
sources = "image_urls"
"""
    offer = laid(tmp_path, text).model("sketch").offer("fal")
    assert offer.edit is not None
    assert (offer.edit.endpoint, offer.edit.prompt, offer.edit.mask) == ("sketch/edit", "words", None)
    assert offer.edit.size == offer.imagine.size


def test_prices_successors_order_and_removals_are_changed_alone(tmp_path: Path, catalog: Catalog) -> None:
    changed = laid(
        tmp_path,
        'order = ["gpt-image-2", "gpt-image-1.5"]\n[[models]]\nname = "gpt-image-1"\nremoved = true\n',
        '[[models]]\nname = "gpt-image-1.5"\nlabel = "Old faithful"\n'
        '[[models.offers]]\nprovider = "oxen"\nremoved = true\n'
        '[[models.offers]]\nprovider = "fal"\n[models.offers.prices.extras]\nrounded_up_to = 1\n',
    )
    assert [model.name for model in changed.models] == ["gpt-image-2", "gpt-image-1.5"]
    model = changed.model("gpt-image-1.5")
    assert (model.label, model.providers) == ("Old faithful", ("fal", "lumenfall"))
    before = catalog.model("gpt-image-1.5")
    assert model.offer("fal").prices.extras.rounded_up_to == 1
    assert model.offer("fal").prices.picture == before.offer("fal").prices.picture
    assert model.offer("lumenfall") == before.offer("lumenfall")


def test_a_model_that_is_taken_out_leaves_the_order(tmp_path: Path) -> None:
    order = 'order = ["gpt-image-1.5", "gpt-image-2"]\n'
    catalog = laid(tmp_path, order, '[[models]]\nname = "gpt-image-2"\nremoved = true\n')
    assert catalog.order == ("gpt-image-1.5",)


def test_every_mistake_is_a_line_with_its_file_and_its_place(tmp_path: Path) -> None:
    first = """
[[models]]
name = "gpt-image-2"
[[models.offers]]
provider = "fal"
maximum_promt = 5
[models.offers.prices.extras]
text_token = -1
[[models]]
name = "gpt-image-7"
removed = true
"""
    second = """
[[models]]
name = "gpt-image-1"
[[models.offers]]
provider = "fal"
maximum_sources = "many"
[[models.offers]]
model = "nameless"
"""
    # What the files are is looked at before what they make together.
    assert mistakes(tmp_path, first, second) == [
        "mine-1.toml is not valid at models.gpt-image-7: there is no such model to take out; "
        "choose gpt-image-1.5, gpt-image-2, gpt-image-1.",
        "mine-2.toml is not valid at models.gpt-image-1.offers: number 2 has no provider; "
        'write [[models.offers]] and provider = "…" below it.',
    ]
    first = first.replace('[[models]]\nname = "gpt-image-7"\nremoved = true\n', "")
    second = second.replace('[[models.offers]]\nmodel = "nameless"\n', "")
    assert sorted(mistakes(tmp_path, first, second)) == [
        "mine-1.toml is not valid at models.gpt-image-2.offers.fal.maximum_promt: "
        "this key has no meaning, perhaps maximum_prompt is meant.",
        "mine-1.toml is not valid at models.gpt-image-2.offers.fal.prices.extras.text_token: "
        "write a number that is at least 0.",
        "mine-2.toml is not valid at models.gpt-image-1.offers.fal.maximum_sources: write a whole number.",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[model]]\nname = "x"\n', "model: this key has no meaning, perhaps models is meant."),
        ('[[models]]\nname = "x"\nlabel = "X"\n', "models.x: no service offers it; add [[models.offers]]."),
        ('[[models]]\nname = "x"\n', "models.x.label: it is missing."),
        (
            'order = ["y"]\n',
            "the file: the order names no model y; choose gpt-image-1.5, gpt-image-2, gpt-image-1.",
        ),
        ("[[models]]\n", 'models: number 1 has no name; write [[models]] and name = "…" below it.'),
        ("models = 7\n", 'models: number 1 has no name; write [[models]] and name = "…" below it.'),
        (
            '[[models]]\nname = "x"\nlabel = "X"\n[[models.offers]]\nprovider = "oxen"\nlike = "gpt-image-2"\n',
            "models.x.offers.oxen.like: oxen has no model “gpt-image-2” before this one; choose gpt-image-1.5.",
        ),
        (
            '[[models]]\nname = "x"\nlabel = "X"\n[[models.offers]]\nprovider = "oxen"\nlike = ["y"]\n',
            "models.x.offers.oxen.like: oxen has no model “['y']” before this one; choose gpt-image-1.5.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\nedit = { like = "this" }\n',
            'models.gpt-image-2.offers.fal.edit.like: an edit can only be like = "imagine".',
        ),
        (
            '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\n'
            "imagine = { options = { output_format = false } }\n",
            "models.gpt-image-2.offers.fal.imagine: options has no output_format; "
            "every request has one, so say what becomes of it.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\nsuccessors = "gpt-image-1"\n',
            "models.gpt-image-2.successors: write it as a list, in square brackets.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\nlabel = 2\n',
            "models.gpt-image-2.label: write it in quotation marks.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\nsunset_at = "soon"\n',
            "models.gpt-image-2.sunset_at: write a day like 2026-12-01.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\nimagine = { count = 4 }\n',
            "models.gpt-image-2.offers.fal.imagine.count: write it as a table.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\n'
            'imagine = { count = { way = "guess" } }\n',
            "models.gpt-image-2.offers.fal.imagine.count.way: choose 'pass', 'rename', 'convert' or 'emulate'.",
        ),
        (
            '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "oxen"\nremoved = true\n',
            "models.gpt-image-2.offers.oxen: there is no such offer to take out; choose fal.",
        ),
    ],
)
def test_a_mistake_says_what_would_be_right(tmp_path: Path, text: str, line: str) -> None:
    assert f"mine-1.toml is not valid at {line}" in mistakes(tmp_path, text)


def test_every_service_that_easel_does_not_know_is_named_at_the_start(tmp_path: Path) -> None:
    first = '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "acme"\nlike = "gpt-image-1.5"\n'
    second = first.replace("acme", "lumen") + '[[models.offers]]\nprovider = "fal.ai"\n'
    files = [written(tmp_path, first, "first.toml"), written(tmp_path, second, "second.toml")]
    settings = load(_env_file=None, discord_token="a.b.c", fal_key="k", catalog_files=",".join(map(str, files)))
    with pytest.raises(SetupError) as refused:
        catalog_for(settings)
    assert str(refused.value).splitlines() == [
        f"{file}.toml is not valid at models.gpt-image-2.offers.{provider}: "
        f"Easel knows no service {provider}; choose fal, lumenfall, oxen."
        for file, provider in (("first", "acme"), ("second", "lumen"), ("second", "fal.ai"))
    ]
