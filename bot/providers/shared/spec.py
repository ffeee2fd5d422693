"""What the registry knows of a provider, and what a provider is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer
from bot.domain.clock import Clock
from bot.domain.errors import SetupError
from bot.net.http import Timeouts
from bot.pictures.pictures import Pictures
from bot.ports import Provider
from bot.providers.shared.polling import PollPolicy
from bot.settings import Settings

Offers = Mapping[str, Offer]
"""A provider's offers by our names of the models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDeps:
    """What every provider is built from."""

    settings: Settings
    catalog: Catalog
    """As `ProviderSpec.adapt_offers` changed it."""
    pictures: Pictures
    clock: Clock
    connections: int = 100
    """The most that a provider has open at once."""
    poll_policy: PollPolicy | None = None
    """Replaces the provider's own."""
    timeouts: Timeouts | None = None
    """Replaces those of every call."""


def _unchanged(_settings: Settings, offers: Offers) -> Offers:
    return offers


def _never(_settings: Settings) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """All that the rest of Easel knows of one provider."""

    name: str
    """As in the catalogue, in tickets and in SERVICE_ORDER."""
    label: str
    """As members and operators read it."""
    account_page: str
    """Where an operator finds the key and the bill."""
    key_setting: str
    """The field of `Settings` that holds the key; without one the provider is not used."""
    url_setting: str
    """The field of `Settings` that holds the address of its API."""
    open: Callable[[ProviderDeps], AbstractAsyncContextManager[Provider]]
    is_synchronous: Callable[[Settings], bool] = _never
    """Whether it responds to a submit only with the pictures."""
    adapt_offers: Callable[[Settings, Offers], Offers] = _unchanged
    """Its offers as the settings change them."""

    @property
    def key_variable(self) -> str:
        """The key's environment variable."""
        return self.key_setting.upper()

    def key(self, settings: Settings) -> SecretStr | None:
        """The operator's key; None where the provider is not used."""
        key: SecretStr | None = getattr(settings, self.key_setting)
        return key

    def host(self, settings: Settings) -> str:
        """Host and port of its API."""
        url: str = getattr(settings, self.url_setting)
        return urlsplit(url).netloc


def required(key: SecretStr | None, variable: str) -> SecretStr:
    """The key of a provider that is being built.

    Raises:
        SetupError: there is none.
    """
    if key is None:
        raise SetupError(f"{variable} is not set. Put it in .env; .env.example shows how.")
    return key
