"""Builds the services that are configured, and asks each how it is doing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import ClientSession

from bot.catalog.catalog import Catalog
from bot.domain.clock import Clock
from bot.domain.errors import SetupError
from bot.net.hosts import AllowedHosts
from bot.net.webhook_server import Handler, WebhookServer
from bot.pictures import Pictures
from bot.ports import Provider
from bot.providers.fal.provider import FalProvider
from bot.providers.fal.webhooks import Webhooks
from bot.providers.lumenfall.provider import LumenfallProvider
from bot.providers.oxen.provider import OxenProvider
from bot.providers.oxen.request import one_at_a_time
from bot.providers.shared.polling import PollPolicy
from bot.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDeps:
    """What every service is built from."""

    settings: Settings
    http: ClientSession
    catalog: Catalog
    pictures: Pictures
    clock: Clock
    pace: PollPolicy | None


def check_services(settings: Settings) -> None:
    """See that there is somebody to paint.

    Raises:
        SetupError: there is nobody.
    """
    if not (settings.fal_key or settings.lumenfall_api_key or settings.oxen_api_key):
        raise SetupError(
            "No image service is set. Put FAL_KEY, LUMENFALL_API_KEY or OXEN_API_KEY in .env; "
            ".env.example shows how."
        )


def synchronous(settings: Settings) -> tuple[str, ...]:
    """The services that answer a submit only with the pictures."""
    return ("lumenfall",) if settings.oxen_queue else ("lumenfall", "oxen")


def catalog_for(settings: Settings) -> Catalog:
    """The catalogue, as these settings change it.

    Oxen's synchronous way paints one picture for each submit; a key of the operator's own is billed by tokens.

    Raises:
        SetupError: the catalogue is wrong.
    """
    catalog = Catalog.load()
    if not settings.oxen_queue:
        catalog = catalog.with_offers("oxen", one_at_a_time(catalog.at("oxen")))
    if settings.openai_api_key is not None:
        own = {name: offer.on_own_key() for name, offer in catalog.at("fal").items()}
        catalog = catalog.with_offers("fal", own)
    return catalog


@asynccontextmanager
async def open_services(parts: ProviderDeps) -> AsyncIterator[Mapping[str, Provider]]:
    """Every service that has a key, by name; in the end they are closed.

    Raises:
        SetupError: one cannot work as it is set.
    """
    settings = parts.settings
    services: dict[str, Provider] = {}
    webhooks = _webhooks(parts)
    if settings.fal_key is not None:
        services["fal"] = _fal(parts, webhooks)
    if settings.lumenfall_api_key is not None:
        services["lumenfall"] = _lumenfall(parts)
    oxen = _oxen(parts) if settings.oxen_api_key is not None else None
    if oxen is not None:
        services["oxen"] = oxen
    try:
        if webhooks is None:
            yield services
        else:
            async with WebhookServer(settings.webhook_host, settings.webhook_port, _doors(webhooks)):
                yield services
    finally:
        if oxen is not None:
            await oxen.aclose()


def _webhooks(parts: ProviderDeps) -> Webhooks | None:
    settings = parts.settings
    if settings.fal_key is None or settings.fal_webhook_url is None:
        return None
    return Webhooks(parts.http, url=settings.fal_webhook_url, rest_url=settings.fal_rest_url, clock=parts.clock)


def _doors(webhooks: Webhooks) -> dict[str, Handler]:
    return {urlsplit(webhooks.url).path or "/": webhooks.receive}


def _fal(parts: ProviderDeps, webhooks: Webhooks | None) -> FalProvider:
    settings = parts.settings
    assert settings.fal_key is not None  # noqa: S101 - the caller asked
    return FalProvider(
        parts.http,
        key=settings.fal_key,
        queue_url=settings.fal_queue_url,
        rest_url=settings.fal_rest_url,
        api_url=settings.fal_api_url,
        media_hosts=AllowedHosts.parse(settings.fal_media_hosts),
        offers=parts.catalog.at("fal"),
        pictures=parts.pictures,
        clock=parts.clock,
        pace=parts.pace,
        openai_key=settings.openai_api_key,
        streams=settings.fal_stream,
        webhooks=webhooks,
        start_timeout=settings.fal_start_timeout,
        longest_queue=settings.fal_longest_queue,
    )


def _lumenfall(parts: ProviderDeps) -> LumenfallProvider:
    settings = parts.settings
    assert settings.lumenfall_api_key is not None  # noqa: S101 - the caller asked
    return LumenfallProvider(
        parts.http,
        key=settings.lumenfall_api_key,
        base_url=settings.lumenfall_base_url,
        media_hosts=AllowedHosts.parse(settings.lumenfall_media_hosts),
        offers=parts.catalog.at("lumenfall"),
        pictures=parts.pictures,
        clock=parts.clock,
        pace=parts.pace,
        partials=settings.lumenfall_partials,
        inline=settings.lumenfall_inline,
        dry_run=settings.lumenfall_dry_run,
        extra=settings.lumenfall_extra,
        openai_key=settings.openai_api_key if settings.lumenfall_byok else None,
    )


def _oxen(parts: ProviderDeps) -> OxenProvider:
    settings = parts.settings
    assert settings.oxen_api_key is not None  # noqa: S101 - the caller asked
    return OxenProvider(
        parts.http,
        key=settings.oxen_api_key,
        base_url=settings.oxen_base_url,
        media_hosts=AllowedHosts.parse(settings.oxen_media_hosts),
        offers=parts.catalog.at("oxen"),
        pictures=parts.pictures,
        clock=parts.clock,
        pace=parts.pace,
        queue=settings.oxen_queue,
    )
