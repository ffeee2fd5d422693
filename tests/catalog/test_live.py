"""What a service tells is laid over the catalogue: its prices count, fields that it lacks are not sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.catalog.live import differences, live_offer, missing_fields, unbelievable
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import Unsupported
from bot.catalog.summary import told_price
from bot.domain.money import Money
from bot.domain.providers import NO_AMOUNT, ModelStatus, PriceTable
from bot.domain.requests import ImageRequest, RequestKind, Source
from tests.support.providers.deps import CATALOG

FLARE = "gpt-image-2.5-flare"
PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
REQUEST = ImageRequest(prompt="a fox", model=FLARE, size="square")


def told(prices: PriceTable, **more: Any) -> ModelStatus:
    return ModelStatus(model=FLARE, prices=prices, **more)


def offer_at(provider: str, model: str = FLARE) -> Offer:
    return CATALOG.model(model).offer(provider)


def all_fields(offer: Offer) -> dict[RequestKind, frozenset[str]]:
    """A schema with every field of the offer."""
    fields: dict[RequestKind, frozenset[str]] = {}
    for operation in (offer.imagine, offer.edit):
        if operation is not None:
            options = {mapping.field for mapping in operation.options.values() if mapping.field}
            kind: RequestKind = "edit" if operation is offer.edit else "imagine"
            fields[kind] = frozenset({operation.prompt, *options, *operation.size.fields, *operation.fixed})
    return fields


def without(offer: Offer, *names: str) -> Offer:
    """The offer after its service's schema has lost these fields."""
    fields = {kind: listed - set(names) for kind, listed in all_fields(offer).items()}
    return live_offer(offer, ModelStatus(model=FLARE, fields=fields))


# Prices


def test_a_told_price_counts_and_its_neighbours_rise_by_as_much() -> None:
    offer = offer_at("oxen")
    ours = offer.prices.picture
    live = live_offer(offer, told({"low": {"1k": 2 * ours["low"]["1k"], "2k": ours["low"]["2k"] // 2}}))
    assert live.prices.picture["low"] == {"1k": 8_200, "2k": 2_900, "4k": 29_000}
    # Of the other rows nothing was told: they rise as the told one does.
    assert live.prices.picture["high"] == {size: 2 * price for size, price in ours["high"].items()}


def test_a_told_price_that_is_lower_lowers_no_other() -> None:
    offer = offer_at("oxen")
    ours = offer.prices.picture
    live = live_offer(offer, told({"high": {"1k": 20_000}}))
    assert live.prices.picture == {**ours, "high": {**ours["high"], "1k": 20_000}}
    assert live.translate(replace(REQUEST, quality="high")).price_each == Money(20_000)


@pytest.mark.parametrize("price", [NO_AMOUNT, 0, -5, 100 * 9_600 + 1, 95])
def test_a_price_that_cannot_be_true_does_not_count(price: int) -> None:
    offer = offer_at("oxen")
    nonsense = {"medium": {"1k": price, "2k": 14_000}, "huge": {"1k": 5}, "low": {"8k": 7}}
    live = live_offer(offer, told(nonsense))
    assert live.prices.picture["medium"]["2k"] == 14_000
    assert 9_600 <= live.prices.picture["medium"]["1k"] <= 10_100
    assert set(live.prices.picture) == set(offer.prices.picture)
    assert unbelievable(offer, nonsense) == ("medium 1k",)


def test_a_price_by_the_megapixel_is_told_as_well(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        f'[[models]]\nname = "{FLARE}"\n[[models.offers]]\nprovider = "fal"\n'
        "[models.offers.prices]\npicture = false\n"
        "megapixel = { first = 30000, further = 15000, most = 8 }\n"
        'unit = { name = "megapixels", quality = "megapixel", size = "first" }\n',
        encoding="utf-8",
    )
    offer = Catalog.load([path]).model(FLARE).offer("fal")
    live = live_offer(offer, told({"megapixel": {"first": 45_000}}))
    assert live.prices.table == {"megapixel": {"first": 45_000, "further": 22_500}}
    assert live.translate(REQUEST).price_each == Money(45_000)
    price = told_price(offer, told({"megapixel": {"first": 45_000}}, priced_at=7))
    assert (str(price), price and price.told_at) == ("$0.045 (catalogue: $0.03)", 7)


def test_the_unit_of_a_catalogue_is_one_of_its_prices(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        f'[[models]]\nname = "{FLARE}"\n[[models.offers]]\nprovider = "fal"\n[models.offers.prices]\n'
        'unit = { name = "images", quality = "huge", size = "1k" }\n',
        encoding="utf-8",
    )
    with pytest.raises(Exception, match="the unit's price is none of these: huge 1k"):
        Catalog.load([path])


def test_the_operator_sees_which_prices_differ_by_more_than_a_tenth() -> None:
    offer = offer_at("oxen")
    table = {"medium": {"1k": 16_900, "2k": 13_400, "4k": 36_000}, "low": {"1k": 1_000}}
    found = [(each.cell, each.told, each.catalogue) for each in differences(offer, table)]
    assert found == [("medium 1k", Money(16_900), Money(9_600)), ("low 1k", Money(1_000), Money(4_100))]
    assert str(told_price(offer, told(table))) == "$0.0169 (catalogue: $0.0096)"
    assert str(told_price(offer, None)) == "$0.0096"
    # Where the catalogue only assumes a price, nothing differs from it.
    assumed = offer_at("oxen", "gpt-image-1.5")
    cheap = {"medium": {"1024x1024": 5_000}}
    assert differences(assumed, cheap) == ()
    assert str(told_price(assumed, None)).startswith("at most $")
    assert str(told_price(assumed, told(cheap, priced_at=1))).startswith("$")


# Fields


def body(offer: Offer, **options: Any) -> tuple[Mapping[str, Any], ProviderRequest]:
    found = offer.translate(replace(REQUEST, **options))
    return found.body(1), found


@pytest.mark.parametrize("provider", ["fal", "oxen"])
def test_a_schema_with_every_field_changes_nothing_nor_does_one_without_a_prompt(provider: str) -> None:
    offer = offer_at(provider)
    plain = body(offer, quality="low", background="transparent", output_format="webp")[0]
    whole = ModelStatus(model=FLARE, fields=all_fields(offer))
    other = ModelStatus(model=FLARE, fields={"imagine": frozenset({"messages"}), "edit": frozenset()})
    for status in (whole, other):
        live = live_offer(offer, status)
        assert body(live, quality="low", background="transparent", output_format="webp")[0] == plain
        assert missing_fields(offer, status) == ()


def test_without_a_field_for_the_quality_the_service_chooses_it_at_its_dearest() -> None:
    live = without(offer_at("oxen"), "quality")
    sent, found = body(live, quality="low")
    assert "quality" not in sent
    assert found.changes == ("the service chooses the quality itself",)
    assert found.price_each == Money(147_700)


@pytest.mark.parametrize(
    ("field", "options", "words"),
    [
        ("background", {"background": "transparent"}, "has no choice of background"),
        ("input_fidelity", {"sources": (PICTURE,), "fidelity": "low", "model": "gpt-image-1.5"}, "fidelity"),
    ],
)
def test_without_their_fields_background_and_fidelity_are_refused(
    field: str, options: dict[str, Any], words: str
) -> None:
    live = without(offer_at("fal", options.get("model", FLARE)), field)
    assert field not in body(live, sources=options.get("sources", ()))[0]
    with pytest.raises(Unsupported, match=words):
        body(live, **options)


def test_without_a_field_for_the_format_easel_converts_and_compresses() -> None:
    live = without(offer_at("fal"), "output_format", "output_compression")
    sent, found = body(live, output_format="jpeg", compression=50)
    assert {"output_format", "output_compression"}.isdisjoint(sent)
    assert (found.convert_to, found.compress, found.changes) == ("jpeg", True, ())


@pytest.mark.parametrize("size", ["landscape", "1536x1024", "16:9 4k", "auto"])
@pytest.mark.parametrize(
    ("provider", "field", "kept"), [("fal", "image_size", None), ("oxen", "aspect_ratio", "resolution")]
)
def test_without_a_field_for_the_size_the_service_chooses_it_and_the_dearest_counts(
    provider: str, field: str, kept: str | None, size: str
) -> None:
    offer = offer_at(provider)
    sent, found = body(without(offer, field), size=size)
    assert field not in sent
    assert kept is None or kept in sent
    assert found.changes == (() if size == "auto" else ("the service chooses the size itself",))
    row = offer.prices.picture["medium"]
    assert found.price_each == Money(row[found.size.tier] if found.size.tier else max(row.values()))


def test_without_a_field_for_the_tier_the_dearest_counts() -> None:
    live = without(offer_at("oxen"), "resolution")
    sent, found = body(live)
    assert (sent["aspect_ratio"], "resolution" in sent) == ("1:1", False)
    assert found.price_each == Money(33_700)
    with pytest.raises(Unsupported, match="does not paint in 4k"):
        body(live, size="square 4k")


def test_prompt_pictures_mask_and_count_are_sent_whatever_a_schema_lists() -> None:
    offer = offer_at("oxen")
    live = live_offer(offer, ModelStatus(model=FLARE, fields={"edit": frozenset({"prompt"})}))
    found = live.translate(replace(REQUEST, sources=(PICTURE,), mask=PICTURE))
    sent = found.body(2, sources=["a"], mask="m")
    assert sent == {"prompt": "a fox", "num_generations": 2, "input_image": ["a"], "mask_url": "m"}
    assert set(missing_fields(offer, ModelStatus(model=FLARE, fields={"edit": frozenset({"prompt"})}))) == {
        *("quality", "background", "output_format", "aspect_ratio", "resolution")
    }


def test_what_a_service_does_not_say_stays_as_it_was_known() -> None:
    first = told({"low": {"1k": 1, "2k": 2}}, gone=False, fields={"edit": frozenset({"prompt"})}).after(None, 5)
    silent = ModelStatus(model=FLARE).after(first, 9)
    assert silent == first
    assert (first.told_at, first.priced_at) == (5, 5)
    later = told({"low": {"2k": 3}}).after(first, 9)
    assert later == replace(first, prices={"low": {"1k": 1, "2k": 3}}, told_at=9, priced_at=9)
    assert ModelStatus(model=FLARE, gone=True).after(later, 11).prices == later.prices
