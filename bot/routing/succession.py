"""What takes the place of a model that is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bot.catalog.catalog import Model
from bot.domain.providers import ProviderOrder
from bot.domain.requests import ImageRequest
from bot.routing.router import Router


def resolve_model(
    router: Router, name: str, orders: Sequence[ProviderOrder] = (), request: ImageRequest | None = None
) -> str:
    """The model itself or, where every provider says that it is gone, a successor that is served.

    One that is left only at providers that cannot do the `request` has successors for it. It is the first that
    can do it; where none can, the first, whose refusal names others that can.

    Raises:
        UnsupportedRequest: there is no such model.
    """
    served = list(_served(router, router.model(name, orders), orders, request))
    if request is not None and len(served) > 1:
        able = (each for each in served if router.can_do(replace(request, model=each), orders))
        return next(able, served[0])
    return served[0] if served else name


def _served(
    router: Router, model: Model, orders: Sequence[ProviderOrder], request: ImageRequest | None
) -> Iterator[str]:
    """The model, or those that take its place, the preferred one first."""
    waiting, seen = [(model, False)], set[str]()
    while waiting:
        each, comes_last = waiting.pop()
        if comes_last:
            yield each.name
            continue
        if each.name in seen:
            continue
        seen.add(each.name)
        providers = router.providers(each, orders)
        if providers and not (request is not None and _can_no_longer(router, each, orders, request)):
            yield each.name
            continue
        if providers:
            waiting.append((each, True))
        if providers or (not router.serving(each) and router.lost_a_provider(each.name)):
            successors = filter(None, map(router.catalog.get, reversed(each.successors)))
            waiting += [(successor, False) for successor in successors]


def _can_no_longer(router: Router, model: Model, orders: Sequence[ProviderOrder], request: ImageRequest) -> bool:
    """Whether only providers that no longer have the model could do the request."""
    request = replace(request, model=model.name)
    if router.can_do(request, orders):
        return False
    lost = {name for name in router.configured(model) if (name, model.name) in router.retired}
    lost |= {name for name, gone, kind in router.retired_kinds if (gone, kind) == (model.name, request.kind)}
    names = (name for name in router.wanted(model, orders) if name in lost)
    return any(router.provider_request(request, name) is not None for name in names)


def succession_notice(router: Router, former: str, model: str) -> str:
    """The sentence that tells a member of a successor."""
    known = router.catalog.get(former)
    trouble = "cannot do this at the moment" if known is not None and router.serving(known) else "was switched off"
    labels = {each.name: each.label for each in router.catalog.models}
    return f"{labels.get(former, former)} {trouble}; {labels.get(model, model)} paints in its place."
