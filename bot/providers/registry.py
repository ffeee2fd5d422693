"""The providers that Easel knows, a line each, and how those with a key are opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from bot.catalog.catalog import Catalog
from bot.domain.errors import SetupError
from bot.ports import Provider
from bot.providers.fal.provider import SPEC as FAL
from bot.providers.lumenfall.provider import SPEC as LUMENFALL
from bot.providers.oxen.provider import SPEC as OXEN
from bot.providers.shared.spec import ProviderDeps, ProviderSpec
from bot.settings import Settings

_ALL = (
    FAL,
    LUMENFALL,
    OXEN,
)
SPECS: Mapping[str, ProviderSpec] = {spec.name: spec for spec in _ALL}
LABELS: Mapping[str, str] = {spec.name: spec.label for spec in SPECS.values()}


def check_configured(settings: Settings) -> None:
    """See that at least one provider has a key.

    Raises:
        SetupError: none has.
    """
    if not any(spec.key(settings) for spec in SPECS.values()):
        *others, last = (spec.key_variable for spec in SPECS.values())
        raise SetupError(
            f"No image service is set. Put {', '.join(others)} or {last} in .env; .env.example shows how."
        )


def synchronous_providers(settings: Settings) -> tuple[str, ...]:
    """The providers whose response to a submit is the pictures."""
    return tuple(name for name, spec in SPECS.items() if spec.is_synchronous(settings))


def catalog_for(settings: Settings) -> Catalog:
    """The catalogue with the operator's own files, and the offers as these settings change them.

    Raises:
        SetupError: a file is wrong; one line for each mistake.
    """
    return adapt_catalog(Catalog.load(settings.catalog_files, SPECS), settings)


def adapt_catalog(catalog: Catalog, settings: Settings) -> Catalog:
    """A catalogue with each provider's offers as these settings change them."""
    for name, spec in SPECS.items():
        catalog = catalog.with_offers(name, spec.adapt_offers(settings, catalog.at(name)))
    return catalog


@asynccontextmanager
async def open_providers(deps: ProviderDeps) -> AsyncIterator[Mapping[str, Provider]]:
    """Every provider that has a key, by name; closed at the end.

    Raises:
        SetupError: one cannot work as it is set.
    """
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(spec.open(deps))
            for name, spec in SPECS.items()
            if spec.key(deps.settings) is not None
        }
