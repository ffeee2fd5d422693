"""The registry: all that the rest of Easel knows of a provider, and what the settings change."""

from __future__ import annotations

from typing import Any

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import SetupError
from bot.providers.registry import SPECS, catalog_for, check_configured, open_providers, synchronous_providers
from bot.settings import Settings, given
from tests.support.picture_processes import open_pictures
from tests.support.providers.deps import provider_deps

KEYS: dict[str, Any] = {"fal_key": "id:secret", "lumenfall_api_key": "lmnfl_id.secret", "oxen_api_key": "key"}


def settings(**values: Any) -> Settings:
    return given(discord_token="token", **values)


def test_every_provider_of_the_catalogue_has_a_spec_whose_settings_exist() -> None:
    assert {offer.provider for model in Catalog.load().models for offer in model.offers} == set(SPECS)
    for spec in SPECS.values():
        assert {spec.key_setting, spec.url_setting} <= set(Settings.model_fields)
        assert spec.host(settings())


async def test_the_providers_that_have_a_key_are_opened_in_order() -> None:
    pictures = open_pictures()
    async with open_providers(provider_deps(pictures, **KEYS)) as providers:
        assert list(providers) == ["fal", "lumenfall", "oxen"]
        assert [provider.name for provider in providers.values()] == list(providers)
    async with open_providers(provider_deps(pictures, oxen_api_key="key")) as providers:
        assert list(providers) == ["oxen"]


def test_without_any_key_the_operator_reads_which_to_set() -> None:
    with pytest.raises(SetupError, match="Put FAL_KEY, "):
        check_configured(settings())
    check_configured(settings(oxen_api_key="key"))


def test_the_settings_change_what_is_synchronous_and_what_is_offered() -> None:
    usual, changed = settings(), settings(oxen_queue=False, openai_api_key="sk-own")
    assert set(synchronous_providers(changed)) - set(synchronous_providers(usual)) == {"oxen"}
    former, current = catalog_for(usual), catalog_for(changed)
    assert former.at("fal") == Catalog.load().at("fal")
    assert former.at("fal")["gpt-image-1"] != current.at("fal")["gpt-image-1"]
    assert former.at("oxen") != current.at("oxen")
    assert former.at("lumenfall") == current.at("lumenfall")
