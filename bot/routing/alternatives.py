"""The model to offer in place of one that no provider could be asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bot.catalog.catalog import Model
from bot.catalog.offers import ProviderRequest
from bot.domain.choices import AlternativeModel
from bot.domain.providers import ProviderOrder, ProviderState
from bot.domain.requests import ImageRequest
from bot.routing.router import Router


def alternative_model(
    router: Router, request: ImageRequest, orders: Sequence[ProviderOrder], failed: Collection[str]
) -> AlternativeModel | None:
    """Another model that can do the request, the first in the catalogue's order; None where there is none.

    `failed` are providers that have just failed. A model comes first that another provider has and, where
    providers failed at all, that is not of the same company. One whose providers all need their operator is none.
    """
    former = router.catalog.get(request.model)
    at_former = router.serving(former) if former else ()
    troubled = {
        *failed,
        *(name for name in at_former if router.state(name, request.model) is ProviderState.PAUSED),
    }
    upstream = former.upstream if former and troubled else ""

    def rank(found: tuple[Model, tuple[ProviderRequest, ...]]) -> tuple[bool, bool]:
        model, candidates = found
        states = {each.provider: router.state(each.provider, model.name) for each in candidates}
        well = any(state is ProviderState.AVAILABLE for name, state in states.items() if name not in troubled)
        return not well, bool(upstream) and model.upstream == upstream

    plain = replace(request, instead_of=None)
    able = [
        (model, candidates)
        for model, candidates in router.able_models(plain, orders)
        if model.name != request.model
        and any(router.state(each.provider, model.name) is not ProviderState.MISCONFIGURED for each in candidates)
    ]
    if not able:
        return None
    model, candidates = min(able, key=rank)
    return AlternativeModel(name=model.name, label=model.label, price=router.price(candidates))
