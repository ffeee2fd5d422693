"""What the providers say of themselves, taken in and written down."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from bot.domain.clock import Clock
from bot.ports import Database, Provider
from bot.providers.health import check_health
from bot.routing.router import Router
from bot.storage import notes

log = logging.getLogger(__name__)


async def refresh(providers: Mapping[str, Provider], router: Router, database: Database, clock: Clock) -> None:
    """Take in what the providers say: which models are gone, or are back, and which keys do not work."""
    for health in await check_health(providers):
        if health.key.is_refusal:
            log.error("%s does not take its key: %s", health.provider, health.detail)
        for provider, model, gone in router.refresh(health):
            if gone:
                log.warning("%s no longer has %s", provider, model)
                await database.write(notes.retire_model(provider, model, clock.now()))
            else:
                log.warning("%s has %s again", provider, model)
                await database.write(notes.restore_model(provider, model))
