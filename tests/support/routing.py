"""A router over the catalogue that ships, and requests to route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.catalog.catalog import Catalog
from bot.domain.errors import ProviderBusy, ProviderError
from bot.domain.providers import PriceTable, ProviderOrder
from bot.domain.requests import ImageRequest
from bot.routing.router import Router
from tests.support.clock import AdjustableClock

PROVIDERS = ("fal", "lumenfall", "oxen")
MODEL = "gpt-image-1.5"
REQUEST = ImageRequest(prompt="a fox in the snow", model=MODEL)


def open_router(
    catalog: Catalog, clock: AdjustableClock, providers: Sequence[str] = PROVIDERS, **options: Any
) -> Router:
    """A router for these configured providers."""
    return Router(catalog=catalog, providers=providers, clock=clock.clock, **options)


def flat_prices(micros: int) -> PriceTable:
    """Prices of GPT Image 1.5 as a provider tells them that has only one."""
    sizes = ("1024x1024", "1024x1536", "1536x1024")
    return {quality: dict.fromkeys(sizes, micros) for quality in ("low", "medium", "high")}


def server_order(model: str, *providers: str) -> ProviderOrder:
    """An order that a server's moderators set; no providers switch the model off."""
    return ProviderOrder(model=model, providers=providers, set_by=44)


def next_provider(router: Router, *tried: str) -> str | None:
    """The name of the provider that gets the request next."""
    found = router.next_provider(router.candidates(REQUEST), tried)
    return found.provider if found else None


def fail(router: Router, provider: str = "fal", error: ProviderError | None = None, times: int = 5) -> list[bool]:
    """Report so many failures of a provider; for each, whether the router reports a change."""
    return [router.failed(provider, MODEL, error or ProviderBusy()) for _ in range(times)]
