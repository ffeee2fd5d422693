"""Which providers can do a request, in which order, and which of them is asked next. No input or output.

A provider that fails again and again is paused; then one job probes it. The breakers that libraries offer let
every waiting job through at that moment, and count time by a clock of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from bot.catalog.catalog import Catalog, Model
from bot.catalog.live import believable, live_offer
from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import NAMED_MODELS, NO_MODEL, Unsupported, join_or, unknown_model
from bot.domain.clock import Clock
from bot.domain.errors import (
    InvalidInput,
    PriceExceeded,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    UnsupportedRequest,
)
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth, ProviderOrder, ProviderState
from bot.domain.requests import ImageRequest
from bot.routing.breaker import Breaker, Breakers, BreakerSettings


class Router:
    """Knows every configured provider, which models it serves, and how it is doing."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Sequence[str],
        clock: Clock,
        provider_orders: Mapping[str, Sequence[str]] | None = None,
        allowed_models: Collection[str] = (),
        breaker_settings: BreakerSettings | None = None,
    ) -> None:
        """`provider_orders` and `allowed_models` are the operator's own; empty ones change nothing."""
        self._catalog = catalog
        self._providers = tuple(providers)
        self._clock = clock
        self._provider_orders = dict(provider_orders or {})
        self._models = frozenset(allowed_models)
        self._breakers = Breakers(catalog, providers, breaker_settings or BreakerSettings())
        self._statuses: dict[tuple[str, str], ModelStatus] = {}
        self._live_offers: dict[tuple[str, str], Offer] = {}
        self.retired: set[tuple[str, str]] = set()
        """Provider and model, where the provider said that the model is gone."""
        self.retired_kinds: set[tuple[str, str, str]] = set()
        """Provider, model and kind of request, where only that kind is gone, as far as the next refresh knows."""

    @property
    def catalog(self) -> Catalog:
        """All models, also those that are not served here."""
        return self._catalog

    # Models

    def providers(self, model: Model, orders: Sequence[ProviderOrder] = ()) -> tuple[str, ...]:
        """The providers of a model, in the server's order, else the operator's, else the catalogue's."""
        return tuple(name for name in self.wanted(model, orders) if name in self.serving(model))

    def wanted(self, model: Model, orders: Sequence[ProviderOrder] = ()) -> Sequence[str]:
        """The same with those that have no key, or no longer have the model."""
        own = next((order.providers for order in orders if order.model == model.name), None)
        return own if own is not None else self._provider_orders.get(model.name, model.providers)

    def serving(self, model: Model) -> tuple[str, ...]:
        """The configured providers that still have a model, if the operator allows it."""
        return tuple(name for name in self.configured(model) if (name, model.name) not in self.retired)

    def configured(self, model: Model) -> tuple[str, ...]:
        """The providers that have a key and an offer for a model, if the operator allows it."""
        if self._models and model.name not in self._models:
            return ()
        return tuple(name for name in model.providers if name in self._providers)

    def offered_models(self, orders: Sequence[ProviderOrder] = ()) -> list[Model]:
        """The models that a server's members may ask for."""
        return [model for model in self._catalog.models if self.providers(model, orders)]

    def model(self, name: str, orders: Sequence[ProviderOrder] = ()) -> Model:
        """The model of that name.

        Raises:
            UnsupportedRequest: there is none; names the nearest and the preferred ones that a server has.
        """
        model = self._catalog.get(name)
        if model is None:
            raise unknown_model(name, {each.name: each.label for each in self.offered_models(orders)})
        return model

    def lost_a_provider(self, model: str) -> bool:
        """Whether a configured provider had the model and said that it is gone, for all requests or for a kind."""
        gone = (pair[:2] for pair in (*self.retired, *self.retired_kinds))
        return any(provider in self._providers and name == model for provider, name in gone)

    # A request at the providers

    def candidates(
        self, request: ImageRequest, orders: Sequence[ProviderOrder] = ()
    ) -> tuple[ProviderRequest, ...]:
        """The request at each provider that can do it, in the order in which they are asked.

        Raises:
            UnsupportedRequest: none can; says what would work, and which model can.
            BadPrompt: the prompt is too long.
        """
        model = self.model(request.model, orders)
        able, refusal = self._translated(model, request, orders)
        if able:
            return able
        if refusal is None:
            usable = [other.label for other in self.offered_models(orders)]
            advice = f"Choose {join_or(usable[:NAMED_MODELS])}." if usable else NO_MODEL
            raise UnsupportedRequest(f"{model.label} cannot be had here. {advice}")
        others = [other.label for other, _ in self.able_models(request, orders) if other.name != model.name]
        raise refusal.refusal(model.label, others)

    def able_models(
        self, request: ImageRequest, orders: Sequence[ProviderOrder] = ()
    ) -> Iterator[tuple[Model, tuple[ProviderRequest, ...]]]:
        """Every model that can do the request, in the catalogue's order, with its candidates."""
        for model in self._catalog.models:
            if able := self._translated(model, request, orders)[0]:
                yield model, able

    def can_do(self, request: ImageRequest, orders: Sequence[ProviderOrder] = ()) -> bool:
        """Whether any provider can do the request."""
        return bool(self._translated(self.model(request.model, orders), request, orders)[0])

    def _translated(
        self, model: Model, request: ImageRequest, orders: Sequence[ProviderOrder]
    ) -> tuple[tuple[ProviderRequest, ...], Unsupported | None]:
        """What each provider can do of it, and the refusal of the first that cannot."""
        able: list[ProviderRequest] = []
        first: Unsupported | None = None
        for provider in self.providers(model, orders):
            if (provider, model.name, request.kind) in self.retired_kinds:
                first = first or _gone_kind(request.kind)
                continue
            try:
                able.append(self._at(model, request, provider))
            except Unsupported as refusal:
                first = first or refusal
        return tuple(able), first

    def provider_request(self, request: ImageRequest, provider: str) -> ProviderRequest | None:
        """The request at one provider, also at one that is asked no more; None where it cannot do it.

        What it has accepted before its schema lost a field is as the catalogue says.
        """
        model = self._catalog.get(request.model)
        if model is None or provider not in model.providers:
            return None
        for offer in (self.offer(provider, model), model.offer(provider)):
            with suppress(Unsupported):
                return offer.translate(request)
        return None

    def _at(self, model: Model, request: ImageRequest, provider: str) -> ProviderRequest:
        return self.offer(provider, model).translate(replace(request, model=model.name))

    def price(self, candidates: Sequence[ProviderRequest]) -> Money:
        """The most that the work can cost, whichever of them does it.

        A provider whose price is assumed counts only as the first. As a later one it gets no work that may cost
        more than was reserved.
        """
        first, *others = candidates
        return max(each.highest_cost() for each in (first, *(each for each in others if not each.assumed_price)))

    def check_provider_order(self, model: str, names: Sequence[str]) -> tuple[str, ...]:
        """A moderator's order of providers for a model, checked.

        Raises:
            UnsupportedRequest: there is no such model.
            InvalidInput: a provider does not have the model, or is not configured.
        """
        found = self.model(model)
        able = self.serving(found)
        for name in names:
            if name in ("off", "default"):
                raise InvalidInput(f"“{name}” stands alone, without any service.")
            if name not in able:
                have = f"Choose among {', '.join(able)}." if able else "No service here has it."
                plain = "".join(letter for letter in name[:40] if letter.isalnum() or letter in "-._")
                raise InvalidInput(f"No service “{plain}” paints {found.label} here. {have}")
        return tuple(dict.fromkeys(names))

    # What providers say

    def status(self, provider: str, model: str) -> ModelStatus | None:
        """What a provider has said of a model."""
        return self._statuses.get((provider, model))

    def offer(self, provider: str, model: Model) -> Offer:
        """A model at one of its providers, as the provider tells it."""
        return self._live_offers.get((provider, model.name)) or model.offer(provider)

    def catalogue_offer(self, provider: str, name: str) -> Offer | None:
        """A model at a provider as the catalogue has it; None where it does not."""
        model = self._catalog.get(name)
        return model.offer(provider) if model is not None and provider in model.providers else None

    def load(self, statuses: Mapping[tuple[str, str], ModelStatus]) -> None:
        """Take over what providers said before the start, by provider and model."""
        for (provider, _), status in statuses.items():
            self._set_status(provider, status)
            if status.gone:
                self.retired.add((provider, status.model))

    def refresh(self, health: ProviderHealth) -> list[tuple[str, str, bool]]:
        """Take in what a provider says; returns (provider, model, gone) for each change."""
        changed, now = [], self._clock.now()
        for said in health.models:
            pair = (health.provider, said.model)
            self._set_status(health.provider, self._believed(health.provider, said).after(self.status(*pair), now))
            if said.gone is False:
                self.retired_kinds = {each for each in self.retired_kinds if each[:2] != pair}
            if said.gone is not None and said.gone != (pair in self.retired):
                changed.append((*pair, said.gone))
                (self.retired.add if said.gone else self.retired.discard)(pair)
        return changed

    def retire(self, provider: str, model: str) -> None:
        """Note that a provider refused work because the model is gone."""
        self.retired.add((provider, model))
        known = self.status(provider, model) or ModelStatus(model=model)
        self._set_status(provider, replace(known, gone=True))

    def _believed(self, provider: str, said: ModelStatus) -> ModelStatus:
        offer = self.catalogue_offer(provider, said.model)
        return said if offer is None else replace(said, prices=believable(offer, said.prices))

    def _set_status(self, provider: str, status: ModelStatus) -> None:
        self._statuses[provider, status.model] = status
        if (offer := self.catalogue_offer(provider, status.model)) is not None:
            self._live_offers[provider, status.model] = live_offer(offer, status)

    # Which provider is next

    def next_provider(
        self, candidates: Iterable[ProviderRequest], tried: Collection[str]
    ) -> ProviderRequest | None:
        """The first that was not tried and is not paused; if all are misconfigured, one is asked all the same."""
        left = [candidate for candidate in candidates if candidate.provider not in tried]
        now = self._clock.now()
        for candidate in left:
            if self._breaker(candidate).allow(now):
                return candidate
        # A refused key costs nothing, and the provider's response says more than waiting would.
        refused = [candidate for candidate in left if self._breaker(candidate).misconfigured]
        return refused[0] if refused and not tried else None

    def asked_first(self, candidates: Sequence[ProviderRequest]) -> ProviderRequest:
        """The candidate that would get the work now; the first of them where every provider is paused."""
        available = (each for each in candidates if self._breaker(each).state is ProviderState.AVAILABLE)
        return next(available, candidates[0])

    def pause(self, candidates: Iterable[ProviderRequest]) -> float:
        """Seconds until the first of the candidates may be asked again."""
        now = self._clock.now()
        return min((self._breaker(candidate).pause(now) for candidate in candidates), default=0.0)

    def succeeded(self, provider: str, model: str) -> bool:
        """The provider accepted work; returns whether it had been paused before."""
        return self._breakers.succeeded(provider, model)

    def failed(self, provider: str, model: str, error: ProviderError) -> bool:
        """The provider did not accept work; returns whether the operator should be told."""
        if isinstance(error, RateLimited | PriceExceeded):
            self._breakers.succeeded(provider, model)
            return False
        misconfigured = isinstance(error, ProviderMisconfigured)
        return self._breakers.failed(provider, model, self._clock.now(), misconfigured=misconfigured)

    def probe_inconclusive(self, provider: str, model: str) -> None:
        """The job that was to probe the provider ended before it was asked."""
        self._breakers.of(provider, model).probe_inconclusive(self._clock.now())

    def state(self, provider: str, model: str) -> ProviderState:
        """How a provider is doing with a model."""
        return self._breakers.of(provider, model).state

    def _breaker(self, candidate: ProviderRequest) -> Breaker:
        return self._breakers.of(candidate.provider, candidate.request.model)


def _gone_kind(kind: str) -> Unsupported:
    if kind == "edit":
        return Unsupported("cannot edit pictures at the moment.", "Or ask without one.")
    return Unsupported("only edits pictures at the moment.", "Or give it one.")


def parse_names(text: str) -> tuple[str, ...]:
    """Provider names out of what a person typed, separated by spaces or commas."""
    return tuple(part for part in text.lower().replace(",", " ").split() if part)
