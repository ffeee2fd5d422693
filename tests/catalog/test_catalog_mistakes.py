"""Files that are nonsense: a line for each mistake, and never a model that fails once it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.catalog.catalog import Catalog
from bot.catalog.files import BUILT_IN, read_catalog
from bot.catalog.offers import Offer
from bot.catalog.refusals import Unsupported
from bot.catalog.summary import abilities, square_price
from bot.domain.errors import SetupError
from bot.domain.money import Money
from bot.domain.requests import MAXIMUM_SEED, ImageRequest, Source
from bot.models import check
from bot.providers.registry import SPECS

OFFER = '[[models]]\nname = "gpt-image-2"\n[[models.offers]]\nprovider = "fal"\n'
TIERS_ALONE = (
    '[[models]]\nname = "x"\nlabel = "X"\n[[models.offers]]\nprovider = "oxen"\nlike = "seedream-5-lite"\n'
)
BOUNDS = 'style = "text", step = 16, least_side = 16, most_side = 3840, least_area = 65536, usual_area = 1000000'
FAL = "models.gpt-image-2.offers.fal"
NESTED = "its tables or lists are nested too deeply."


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What `python -m bot models --check` says of a file."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SetupError) as refused:
        check([path])
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"x = {'[' * 3000}{']' * 3000}", NESTED),
        (f"x = {'{a = ' * 3000}1{'}' * 3000}", NESTED),
        (f'[[models]]\nname = "gpt-image-2"\n{".".join("a" * 3000)} = 1\n', NESTED),
        (
            '[[models]]\nname = "gpt-image-2"\nremoved = "no"\n',
            "at models.gpt-image-2.removed: write true or false.",
        ),
        (f"{OFFER}removed = 0\n", f"at {FAL}.removed: write true or false."),
        ('"a\\nb" = 1\n', "at a b: this key has no meaning; choose order, models."),
        (
            f'[[models]]\nname = "{"n" * 100}"\nremoved = true\n',
            f"at models.{'n' * 80}…: there is no such model to take out; choose",
        ),
        (
            '[[models]]\nname = "My Model"\nlabel = "My"\n',
            "at models.My Model.name: write small letters, digits, dots",
        ),
        ('[[models]]\nname = "gpt-image-2"\nlabel = ""\n', "at models.gpt-image-2.label: it is empty."),
        (f'[[models]]\nname = "gpt-image-2"\nlabel = "{"L" * 49}"\n', "label: write at most 48 characters."),
        ('[[models]]\nname = "gpt-image-2"\nlabel = "a\\u202eb"\n', "label: write it in letters that can be seen"),
        (
            '[[models]]\nname = "gpt-image-2"\nlabel = "FLUX 3"\n',
            "at the file: gpt-image-2 and flux-3 are both called flux 3; change a label.",
        ),
        (f'{OFFER}imagine.count = {{ way = "emulate", most = 4 }}\n', "imagine.count: without a field one submit"),
        (f'{OFFER}imagine.options.seed = {{ way = "emulate" }}\n', "imagine: a seed cannot be emulated; say what"),
        (
            f'{OFFER}imagine.options.quality = {{ way = "emulate" }}\n',
            "imagine: quality has no values; say what becomes of auto, low, medium, high, xhigh, max.",
        ),
        (
            f'{OFFER}imagine.options.quality = {{ way = "emulate", values = {{ hihg = "" }} }}\n',
            "imagine: there is no quality hihg; choose among auto, low, medium, high, xhigh, max.",
        ),
        (
            f"{OFFER}imagine.fixed = {{ num_images = 10 }}\n",
            "imagine: two things are sent as num_images; give each",
        ),
        (
            f"{OFFER}imagine.fixed = {{ a = [1], b = nan }}\n",
            f"at {FAL}.imagine.fixed.a: write a text in quotation marks, a number, true or false.",
        ),
        (f'{OFFER}imagine.prompt = ""\n', f"at {FAL}.imagine.prompt: it is empty."),
        (
            f"{TIERS_ALONE}edit.sources = false\n",
            "at models.x.offers.oxen: an edit has no sources; name the field",
        ),
        (
            f'{TIERS_ALONE}imagine.size.auto = "auto"\n',
            "with tiers alone the service chooses the shape; leave auto",
        ),
        (
            f"{OFFER}prices.picture.hihg = {{ 1024x1024 = 1 }}\n",
            "prices: there is no quality hihg; choose any, auto",
        ),
        (
            f"{OFFER}prices.picture.high = {{ 1k = 1, 1024x1024 = 1 }}\n",
            f"at {FAL}.prices: 1k is not a size like 1024x1024, of 8192 pixels to a side at most.",
        ),
        (
            f'{OFFER}imagine.size.known = {{ 9000x9000 = "large" }}\n',
            "imagine.size: 9000x9000 is not a size like 1024x1024, of 8192 pixels to a side at most.",
        ),
        (
            f'{TIERS_ALONE}imagine.size = {{ field = "ratio", ratios = ["30:1"] }}\n',
            "imagine.size: 30:1 is not a ratio like 16:9, of 1:20 to 20:1.",
        ),
        (f"{OFFER}prices.extras.rounded_up_to = 1{'0' * 30}\n", "rounded_up_to: write a number that is at most"),
        (
            f"{OFFER}prices.extras.picture_tokens = {{ high = -1 }}\n",
            "picture_tokens.high: write a number that is at",
        ),
        (
            f"{OFFER}imagine.size.custom = {{ {BOUNDS}, widest = inf, most_area = 8000000 }}\n",
            "size.custom.widest: write a number that is at most 100",
        ),
        (
            f"{OFFER}imagine.size.custom = {{ {BOUNDS}, widest = 3, most_area = 1{'0' * 400} }}\n",
            "most_area: write a number that is at most",
        ),
        (
            f"{OFFER}imagine.size.custom = {{ {BOUNDS}, widest = 3, most_area = 1000 }}\n",
            "imagine.size.custom: no square is within these bounds; look at step, the sides and the areas again.",
        ),
        (
            f"{OFFER.replace('gpt-image-2', 'flux-3')}edit.source_size = {{ least_side = 20, most_area = 99 }}\n",
            "edit.source_size: no picture has so long sides and so few pixels",
        ),
    ],
)
def test_nonsense_is_named_in_one_line_each(tmp_path: Path, text: str, said: str) -> None:
    lines = mistakes(tmp_path, text)
    assert [line for line in lines if said in line], lines
    assert all(line.startswith("mine.toml is not valid") and line.isprintable() for line in lines)


def test_a_mistake_in_a_copy_is_in_the_file_that_copied_it(tmp_path: Path) -> None:
    text = f'{OFFER}imagine = {{ endpoint = "" }}\nedit = {{ like = "imagine", sources = "image_urls" }}\n'
    assert mistakes(tmp_path, text) == [
        f"mine.toml is not valid at {FAL}.{kind}.endpoint: it is empty." for kind in ("imagine", "edit")
    ]


# Any mistake at all

SELF_CONTAINED = ("flux", "gpt-image-2.5", "nano-banana", "seedream")
"""Files whose models are like none in other files."""
TOKENS = (
    *("0", "-1", "1", f"1{'0' * 30}", "1.5", "nan", "inf", "-inf", "true", "false", "2026-12-01", "12:00:00"),
    *(
        '""',
        '"x"',
        '"auto"',
        '"source"',
        '"1k"',
        '"16:9"',
        '"1024x1024"',
        '"\\n\\u0000\\u202e"',
        "[]",
        "{}",
        "[[]]",
    ),
    *(
        '"emulate"',
        '"pass"',
        '"rename"',
        '"convert"',
        '["a", "a"]',
        "{ a = { b = 1 } }",
        "removed",
        "like",
        "x",
        "=",
    ),
)
TOKEN = re.compile(r'"[^"\n]*"|[^\s,={}\[\]#"]+')
PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
REQUESTS = tuple(
    ImageRequest(prompt="a boat", model="m", size=size, **options)
    for size in ("auto", "square", "16:9", "1x1", "8192x8192", "20:1", "square 4k", "1:20 2k")
    for options in (
        {},
        {"sources": (PICTURE,), "quality": "max"},
        {"sources": (Source(url="", filename="", width=1, height=4000),), "mask": PICTURE, "fidelity": "low"},
        {"seed": MAXIMUM_SEED, "count": 10, "output_format": "avif", "compression": 0, "quality": "auto"},
        {"background": "transparent", "output_format": "webp", "count": 3},
    )
)


EDITS = st.lists(
    st.tuples(st.integers(0, 1000), st.one_of(st.sampled_from(("", *TOKENS)), st.integers(0, 1000))),
    min_size=1,
    max_size=3,
)
"""Which word is replaced, and by what: a word, or the number of another one in the file."""


def edited(text: str, edits: Iterable[tuple[int, str | int]]) -> str:
    for number, word in edits:
        places = [found.span() for found in TOKEN.finditer(text)]
        start, end = places[number % len(places)]
        other = word if isinstance(word, str) else text[slice(*places[word % len(places)])]
        text = f"{text[:start]}{other}{text[end:]}"
    return text


def offers(catalog: Catalog) -> Iterator[Offer]:
    for model in catalog.models:
        yield from model.offers


def assert_can_be_asked(offer: Offer, requests: Sequence[ImageRequest]) -> None:
    """Whatever is asked is either refused in words, or has fields and a price."""
    abilities(offer)
    square_price(offer)
    for request in requests:
        try:
            found = offer.translate(request)
        except Unsupported as refusal:
            refusal.refusal("Sketch", ())
            continue
        pictures: dict[str, Any] = {"sources": ["a"] * len(request.sources), "mask": request.mask and "b"}
        body = found.body(found.counts[0], **pictures)
        assert "" not in body
        assert bool(request.sources) <= (found.operation.sources in body)
        assert Money() <= found.likely_cost(request.count) <= found.highest_cost()
        assert found.highest_cost().micros < 2**62, "a database keeps 63 bits"


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(stem=st.sampled_from(SELF_CONTAINED), edits=EDITS)
def test_a_file_is_refused_in_lines_or_its_models_can_be_asked_for_anything(
    tmp_path_factory: pytest.TempPathFactory, stem: str, edits: list[tuple[int, str | int]]
) -> None:
    original = BUILT_IN / f"{stem}.toml"
    path = tmp_path_factory.getbasetemp() / "broken.toml"
    path.write_text(edited(original.read_text(encoding="utf-8"), edits), encoding="utf-8")
    try:
        catalog = read_catalog(Catalog, [path], SPECS)
    except SetupError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith("broken.toml is not valid") for line in lines), lines
        return
    unchanged = list(offers(read_catalog(Catalog, [original], SPECS)))
    for offer in offers(catalog):
        if offer not in unchanged:
            assert_can_be_asked(offer, REQUESTS)
