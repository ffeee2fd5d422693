"""Asks every service how it is doing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from bot.domain.clock import Clock
from bot.domain.providers import ProviderHealth
from bot.ports import Database, Provider
from bot.routing.router import Router
from bot.storage import notes

log = logging.getLogger(__name__)


EXAMINED_WITHIN = 30.0


async def examine(services: Mapping[str, Provider]) -> list[ProviderHealth]:
    """Ask every service at once; one that takes too long counts as unknown."""

    async def one(provider: Provider) -> ProviderHealth:
        try:
            async with asyncio.timeout(EXAMINED_WITHIN):
                return await provider.examine()
        except TimeoutError:
            return ProviderHealth(provider=provider.name, key_works=None, detail="no answer")
        except Exception as error:  # noqa: BLE001 - whatever a service answers must not end the bot
            log.warning(
                "%s answered something that Easel does not understand (%s)", provider.name, type(error).__name__
            )
            return ProviderHealth(provider=provider.name, key_works=None, detail="an answer that makes no sense")

    return list(await asyncio.gather(*(one(provider) for provider in services.values())))


async def refresh(services: Mapping[str, Provider], routes: Router, database: Database, clock: Clock) -> None:
    """Take in what the services say: which models are gone, or are back, and which keys do not work."""
    for examination in await examine(services):
        if examination.key_works is False:
            log.error("%s does not take its key: %s", examination.provider, examination.detail)
        for provider, model, gone in routes.refresh(examination):
            if gone:
                log.warning("%s no longer has %s", provider, model)
                await database.write(notes.retire(provider, model, clock.now()))
            else:
                log.warning("%s has %s again", provider, model)
                await database.write(notes.unretire(provider, model))
