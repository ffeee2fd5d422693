"""Each offer that ships: options, the provider's request body, changes named to the member, refusals.

The tables are in `offers/`, a file for each family of models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.live import live_offer
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import Refused, SetupError
from bot.domain.providers import ModelStatus
from bot.domain.requests import (
    MAXIMUM_SEED,
    Background,
    Fidelity,
    ImageRequest,
    OutputFormat,
    Quality,
    RequestKind,
)
from bot.routing.router import Router
from tests.catalog.offers import TABLES
from tests.catalog.offers.openai_former import OWN_QUALITY, OXEN_PLAIN
from tests.catalog.offers.shared import PICTURE, OfferKey, Options, Refusal, Row, Table
from tests.support.catalogs import seed_catalog

REQUEST = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5")
SchemaFields = frozenset[str] | None
"""The fields that a provider's schema lists; None where it was not read."""
SHIPPED = Catalog.load()
NEEDS = "needs a picture that the fidelity is about. Add the picture, or leave the fidelity out."
EVERYWHERE: list[Refusal] = [
    (
        {"background": "transparent", "output_format": "jpeg"},
        "A JPEG cannot be transparent. Choose PNG or WebP, or another background.",
    ),
    ({"compression": 50}, "A PNG cannot be compressed. Choose JPEG, WebP or AVIF as the format."),
    (
        {"compression": 50, "output_format": "gif"},
        "A GIF cannot be compressed. Choose JPEG, WebP or AVIF as the format.",
    ),
    ({"count": 0}, "paints 1 to 10 pictures at a time; you asked for 0."),
    ({"count": 11}, "paints 1 to 10 pictures at a time; you asked for 11."),
    (
        {"size": "as big as it goes, please"},
        "has no size “as big as it goes, p”. Choose square, landscape or portrait, a ratio like 16:9, "
        "or pixels like 1536x1024.",
    ),
]
WITHOUT_A_PICTURE: list[Refusal] = [
    ({"fidelity": "low"}, NEEDS),
    ({"fidelity": "high"}, NEEDS),
    ({"mask": PICTURE}, "needs a picture for the mask to belong to. Add the picture, or leave the mask out."),
]
EACH_OFFER = pytest.mark.parametrize("key", TABLES, ids="/".join)


def request_for(key: OfferKey, options: Options) -> ImageRequest:
    """The plain request for a model, with other options."""
    sources = (PICTURE,) if key[2] == "edit" else ()
    return replace(REQUEST, model=key[0], **{"sources": sources, **options})


def translate(key: OfferKey, options: Options, listed: SchemaFields = None) -> ProviderRequest:
    offer = SHIPPED.model(key[0]).offer(key[1])
    return live_offer(offer, status_with(offer, listed)).translate(request_for(key, options))


def status_with(offer: Offer, listed: SchemaFields) -> ModelStatus:
    """A schema that lists these fields beside all that the offer sends anyway; None for no schema."""
    fields: dict[RequestKind, frozenset[str]] = {}
    for kind, operation in offer.operations.items():
        if listed is not None:
            own = {mapping.field for mapping in operation.options.values() if not mapping.listed}
            fields[kind] = frozenset({operation.prompt, *own, *operation.size.fields, *operation.fixed, *listed})
    return ModelStatus(model="any", fields=fields)


def refusal_of(key: OfferKey, options: Options) -> str:
    """The refusal where only this service has a key; empty where nothing is refused."""
    router = Router(catalog=SHIPPED, providers=(key[1],), clock=Clock())
    try:
        router.candidates(request_for(key, options))
    except Refused as refusal:
        return refusal.sentence
    return ""


def differences(key: OfferKey, table: Table, row: Row) -> Iterator[str]:
    """What differs from the row, a line each."""
    found = translate(key, row.options)
    wanted = {
        name: value
        for name, value in {"prompt": REQUEST.prompt, **table.plain, **row.body}.items()
        if value is not None
    }
    body = found.body(found.counts[0])
    options = {name: value for name, value in row.options.items() if name != "sources"}
    for name in sorted(wanted.keys() | body):
        if body.get(name) != wanted.get(name):
            yield f"{options}: {name} is {body.get(name)!r}, not {wanted.get(name)!r}"
    changes = table.changes if row.changes is None else row.changes
    if found.changes != changes:
        yield f"{options}: the member reads {found.changes}, not {changes}"
    conversion = table.conversion if row.conversion is None else row.conversion
    if (found.convert_to, found.compress) != conversion:
        yield f"{options}: Easel converts {found.convert_to, found.compress}, not {conversion}"


@EACH_OFFER
def test_each_option_is_passed_renamed_converted_or_named_as_a_change(key: OfferKey) -> None:
    table = TABLES[key]
    wrong = [line for row in (Row({}), *table.rows) for line in differences(key, table, row)]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


@EACH_OFFER
def test_pictures_and_a_mask_go_into_the_providers_fields(key: OfferKey) -> None:
    table = TABLES[key]
    found = translate(key, {"mask": PICTURE} if table.mask else {})
    assert (found.provider, found.operation.endpoint) == (key[1], table.endpoint)
    body = found.body(1, sources=["one", "two"], mask="three")
    sent = {name: value for name, value in body.items() if value in (["one", "two"], "three")}
    wanted = {table.sources: ["one", "two"], table.mask: "three"}
    assert sent == {name: value for name, value in wanted.items() if name}
    if table.sources:
        assert len(translate(key, {"sources": (PICTURE,) * table.most}).request.sources) == table.most
        too_many = refusal_of(key, {"sources": (PICTURE,) * (table.most + 1)})
        assert f" takes up to {table.most} pictures; you gave {table.most + 1}. " in too_many


@EACH_OFFER
def test_an_unsupported_option_is_refused_with_a_model_that_supports_it(key: OfferKey) -> None:
    label = SHIPPED.model(key[0]).label
    wrong = []
    for options, sentence in (
        *EVERYWHERE,
        *(WITHOUT_A_PICTURE if key[2] == "imagine" else ()),
        *TABLES[key].refused,
    ):
        # A refusal that holds for every model names none.
        wanted = sentence if sentence.startswith("A ") else f"{label} {sentence}"
        if (found := refusal_of(key, options)) != wanted:
            wrong.append(f"{dict(options)}: {found or 'nothing is refused'!r}, not {wanted!r}")
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_the_table_names_every_value_of_every_option_for_every_service() -> None:
    kinds = ("imagine", "edit")
    offers = [(model.name, offer.provider) for model in SHIPPED.models for offer in model.offers]
    assert set(TABLES) == {(*offer, kind) for offer in offers for kind in kinds}
    options: dict[str, Any] = {
        "quality": Quality,
        "background": Background,
        "output_format": OutputFormat,
        "fidelity": Fidelity,
    }
    wanted = {(option, value) for option, values in options.items() for value in get_args(values)} | {("seed", 7)}
    for key, table in TABLES.items():
        named = [row.options for row in table.rows]
        named += [options for options, _ in (*table.refused, *(WITHOUT_A_PICTURE if key[2] == "imagine" else ()))]
        assert wanted <= {next(iter(options.items())) for options in named if len(options) == 1}, key


LISTED = [
    ({"quality": "low"}, {"quality": "low"}, ()),
    ({"quality": "auto"}, {"quality": None}, ()),
    ({"background": "transparent"}, {"background": "transparent"}, ()),
    ({"background": "opaque"}, {"background": "opaque"}, ()),
    ({"fidelity": "high"}, {"input_fidelity": "high"}, ()),
]


@pytest.mark.parametrize(("change", "body", "changes"), LISTED)
def test_fields_that_a_providers_schema_lists_are_sent(
    change: dict[str, Any], body: dict[str, Any], changes: tuple[str, ...]
) -> None:
    key = ("gpt-image-1.5", "oxen", "edit")
    provider_request = translate(key, change, frozenset({"quality", "background", "input_fidelity"}))
    plain = {"prompt": REQUEST.prompt, **OXEN_PLAIN, "quality": "medium", "background": "auto"}
    assert provider_request.body(1) == {name: value for name, value in (plain | body).items() if value is not None}
    assert provider_request.changes == changes


def test_a_schema_that_lists_one_field_gets_that_one_alone() -> None:
    key = ("gpt-image-1.5", "oxen", "imagine")
    provider_request = translate(key, {"background": "opaque"}, frozenset({"prompt", "background"}))
    assert provider_request.body(1) == {"prompt": REQUEST.prompt, **OXEN_PLAIN, "background": "opaque"}
    assert provider_request.changes == (OWN_QUALITY,)


@pytest.mark.parametrize(
    ("model", "service", "count", "submits"),
    [
        ("gpt-image-1.5", "fal", 1, (1,)), ("gpt-image-1.5", "fal", 4, (4,)), ("gpt-image-1.5", "fal", 5, (4, 1)),
        ("gpt-image-1.5", "fal", 10, (4, 4, 2)), ("gpt-image-1.5", "oxen", 10, (4, 4, 2)),
        ("gpt-image-1.5", "lumenfall", 10, (10,)), ("gpt-image-1.5", "lumenfall", 5, (5,)),
        ("gpt-image-2.5-flare", "fal", 10, (10,)), ("flux-2-pro", "fal", 3, (1, 1, 1)),
        ("nano-banana-pro", "fal", 2, (1, 1)),
    ],
)  # fmt: skip
def test_more_pictures_than_one_submit_takes_need_several(
    model: str, service: str, count: int, submits: tuple[int, ...]
) -> None:
    found = translate((model, service, "imagine"), {"count": count})
    assert found.counts == submits
    name = found.operation.count.field
    assert [found.body(size).get(name) for size in submits] == ([*submits] if name else [None] * len(submits))


@pytest.mark.parametrize("service", ["fal", "lumenfall", "oxen"])
def test_each_picture_of_a_job_has_a_seed_of_its_own(service: str) -> None:
    def seeds(seed: int) -> list[int]:
        found = translate(("flux-2-pro", service, "imagine"), {"seed": seed, "count": 3})
        assert found.counts == (1, 1, 1)
        return [found.body(count, part=part)["seed"] for part, count in enumerate(found.counts)]

    assert seeds(7) == [7, 8, 9]
    assert seeds(MAXIMUM_SEED) == [MAXIMUM_SEED, 0, 1]
    # Without a seed of the member's, the service draws one for each.
    assert "seed" not in translate(("flux-2-pro", service, "imagine"), {"count": 3}).body(1, part=1)


ONE_AS_TEXT = """
[[models]]
name = "gpt-image-2"
[[models.offers]]
provider = "fal"
maximum_sources = 1
[models.offers.edit]
sources = "image_url"
source_style = "text"
"""


def test_a_service_that_takes_one_picture_gets_it_as_a_text(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(ONE_AS_TEXT, encoding="utf-8")
    offer = seed_catalog(path).model("gpt-image-2").offer("fal")
    edit = replace(REQUEST, model="gpt-image-2", sources=(PICTURE,))
    assert offer.translate(edit).body(1, sources=["one"])["image_url"] == "one"
    with pytest.raises(Unsupported, match=r"takes up to 1 picture; you gave 2\."):
        offer.translate(replace(edit, sources=(PICTURE, PICTURE)))
    path.write_text(ONE_AS_TEXT.replace("maximum_sources = 1", "maximum_sources = 2"), encoding="utf-8")
    with pytest.raises(SetupError, match="takes one picture as a text needs maximum_sources = 1"):
        seed_catalog(path)
