"""What the providers say of themselves, taken in and written down."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from bot.domain.clock import Clock
from bot.domain.providers import ModelStatus, ProviderHealth
from bot.ports import Database, Provider
from bot.providers.health import check_health
from bot.routing.router import Router
from bot.storage import model_statuses
from bot.worker.status_notices import tell_operator

log = logging.getLogger(__name__)


async def refresh(providers: Mapping[str, Provider], router: Router, database: Database, clock: Clock) -> None:
    """Take in what the providers say: models that are gone or back, prices, fields, keys that do not work."""
    for health in await check_health(providers):
        if health.key.is_refusal:
            log.error("%s does not take its key: %s", health.provider, health.detail)
        for provider, model, gone in router.refresh(health):
            log.warning("%s no longer has %s" if gone else "%s has %s again", provider, model)
        statuses = _known(health, router)
        await database.write(model_statuses.save(statuses))
        for said in health.models:
            status = statuses.get((health.provider, said.model))
            offer = router.catalogue_offer(health.provider, said.model)
            if status is not None and offer is not None:
                await tell_operator(database, said.model, offer, status, said.prices)


def _known(health: ProviderHealth, router: Router) -> dict[tuple[str, str], ModelStatus]:
    """What is known by now of the models of which the provider has said something."""
    known = {}
    for said in health.models:
        status = router.status(health.provider, said.model)
        if said.says_anything and status is not None:
            # What was not said now another process may have heard since: that it is gone, another price.
            known[health.provider, said.model] = replace(
                status,
                gone=said.gone,
                prices=status.prices if said.prices else {},
                fields=status.fields if said.fields else {},
            )
    return known
