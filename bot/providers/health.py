"""Asks all providers at once whether their keys work and what they serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from bot.domain.providers import KeyState, ProviderHealth
from bot.ports import Provider

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds."""


async def check_health(providers: Mapping[str, Provider]) -> list[ProviderHealth]:
    """Each provider's health; a provider that takes too long counts as unknown."""

    async def one(provider: Provider) -> ProviderHealth:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await provider.check_health()
        except TimeoutError:
            return ProviderHealth(provider=provider.name, key=KeyState.UNKNOWN, detail="no answer")
        except Exception as error:  # noqa: BLE001 - no response of a provider may end the bot
            log.warning(
                "%s answered something that Easel does not understand (%s)", provider.name, type(error).__name__
            )
            return ProviderHealth(
                provider=provider.name, key=KeyState.UNKNOWN, detail="an answer that makes no sense"
            )

    return list(await asyncio.gather(*(one(provider) for provider in providers.values())))
