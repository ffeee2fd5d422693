"""Which service is asked next: orders, retired models, and who is left alone. No input or output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from bot.catalog.catalog import Catalog, Model
from bot.catalog.offers import ProviderRequest, Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import InvalidInput, PriceExceeded, ProviderError, ProviderMisconfigured, RateLimited
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth, ProviderOrder
from bot.domain.requests import ImageRequest
from bot.routing.breaker import Breaker, BreakerSettings


class Router:
    """Knows every service that is configured, and how each is doing."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        services: Sequence[str],
        clock: Clock,
        order: Mapping[str, Sequence[str]] | None = None,
        models: Collection[str] = (),
        cooling: BreakerSettings | None = None,
    ) -> None:
        """`order` is the operator's own for a model, `models` the only ones they allow; nothing means no wish."""
        self._catalog = catalog
        self._services = tuple(services)
        self._clock = clock
        self._order = dict(order or {})
        self._models = frozenset(models)
        self._breakers = {name: Breaker(cooling or BreakerSettings()) for name in services}
        self._known: dict[tuple[str, str], ModelStatus] = {}
        self.retired: set[tuple[str, str]] = set()
        """Service and model, where the service said that the model is gone."""

    # What can be asked for

    def services(self, model: Model, routes: Sequence[ProviderOrder] = ()) -> tuple[str, ...]:
        """Who is asked for a model, in a server's order, else the operator's, else the catalogue's."""
        own = next((route.services for route in routes if route.model == model.name), None)
        wanted = own if own is not None else self._order.get(model.name, model.provider_names)
        return tuple(name for name in wanted if name in self.serving(model))

    def serving(self, model: Model) -> tuple[str, ...]:
        """The configured services that still have a model, one that the operator allows."""
        return tuple(name for name in self.configured(model) if (name, model.name) not in self.retired)

    def configured(self, model: Model) -> tuple[str, ...]:
        """The services that have a key and are known for a model that the operator allows."""
        if self._models and model.name not in self._models:
            return ()
        return tuple(name for name in model.provider_names if name in self._services)

    def offered(self, routes: Sequence[ProviderOrder] = ()) -> list[Model]:
        """The models that a server's members may ask for."""
        return [model for model in self._catalog.models if self.services(model, routes)]

    def resolve(self, name: str, routes: Sequence[ProviderOrder] = ()) -> str:
        """The model itself, or the successor that can be had where every service says that it is gone."""
        seen: set[str] = set()
        current = self._catalog.model(name)
        while current.name not in seen and not self.serving(current) and self._gone(current):
            seen.add(current.name)
            known = {model.name: model for model in self._catalog.models}
            successor = known.get(current.successor or "")
            if successor is None:
                break
            current = successor
        return current.name if self.services(current, routes) else name

    def _gone(self, model: Model) -> bool:
        """Some service had it and said that it is gone; one that is only not configured says nothing."""
        return any(provider in self._services and name == model.name for provider, name in self.retired)

    def fits(self, request: ImageRequest, routes: Sequence[ProviderOrder] = ()) -> tuple[ProviderRequest, ...]:
        """The request as each service would be asked, in order.

        Raises:
            UnsupportedRequest: none can; names a model that can.
            BadPrompt: the prompt is empty or too long.
        """
        return self._catalog.fits(request, lambda model: self.services(model, routes), self.known)

    def fit(self, request: ImageRequest, provider: str) -> ProviderRequest:
        """The request at one service, whether or not it is asked any more.

        Raises:
            Unsupported: the service cannot do it, or does not have the model.
        """
        offer = self._catalog.at(provider).get(request.model)
        if offer is None:
            raise Unsupported("is not there.", "")
        return offer.fit(request, self.known(provider, request.model))

    def succession(self, former: str, model: str) -> str:
        """That one model stands in for another, as a sentence."""
        labels = {each.name: each.label for each in self._catalog.models}
        return f"{labels.get(former, former)} was switched off; {labels.get(model, model)} paints in its place."

    def price(self, fits: Sequence[ProviderRequest]) -> Money:
        """The most that it can cost, wherever it goes.

        A service whose price is a guess counts only where it is asked first. As the next one it gets nothing
        that may cost more than was reserved.
        """
        return Money(max(fit.most() for fit in fits if not fit.assumed_price or fit is fits[0]))

    def check_order(self, model: str, names: Sequence[str]) -> tuple[str, ...]:
        """An order of services as somebody typed it.

        Raises:
            UnsupportedRequest: there is no such model.
            InvalidInput: a service that does not have the model, or is not configured.
        """
        found = self._catalog.model(model)
        able = self.serving(found)
        for name in names:
            if name in ("off", "default"):
                raise InvalidInput(f"“{name}” stands alone, without any service.")
            if name not in able:
                have = f"Choose among {', '.join(able)}." if able else "No service here has it."
                plain = "".join(letter for letter in name[:40] if letter.isalnum() or letter in "-._")
                raise InvalidInput(f"No service “{plain}” paints {found.label} here. {have}")
        return tuple(dict.fromkeys(names))

    # What services say

    def known(self, provider: str, model: str) -> ModelStatus | None:
        """What a service said of a model when it was asked."""
        return self._known.get((provider, model))

    def refresh(self, examination: ProviderHealth) -> list[tuple[str, str, bool]]:
        """Take in what a service said; returns each model (service, model, gone) of which that is news."""
        news = []
        for served in examination.models:
            pair = (examination.provider, served.model)
            self._known[pair] = served
            if served.gone is not None and served.gone != (pair in self.retired):
                news.append((*pair, served.gone))
                (self.retired.add if served.gone else self.retired.discard)(pair)
        return news

    # Who is asked next

    def next(self, fits: Iterable[ProviderRequest], tried: Collection[str]) -> ProviderRequest | None:
        """The first that was not tried and is let in; where all are out, one is asked all the same."""
        left = [fit for fit in fits if fit.provider not in tried]
        now = self._clock.now()
        for fit in left:
            if self._breakers[fit.provider].allow(now):
                return fit
        # A key that is refused costs nothing, and its answer says more than waiting would.
        out = [fit for fit in left if self._breakers[fit.provider].out]
        return out[0] if out and not tried else None

    def pause(self, fits: Iterable[ProviderRequest]) -> float:
        """Seconds until the first of them may be asked again."""
        now = self._clock.now()
        return min((self._breakers[fit.provider].pause(now) for fit in fits), default=0.0)

    def succeeded(self, provider: str) -> bool:
        """The service took work; whether it had been left alone before."""
        return self._breakers[provider].succeeded()

    def failed(self, provider: str, error: ProviderError) -> bool:
        """The service did not take work; whether that is news for the operator."""
        if isinstance(error, RateLimited | PriceExceeded):
            self._breakers[provider].succeeded()
            return False
        out = isinstance(error, ProviderMisconfigured)
        return self._breakers[provider].failed(self._clock.now(), out=out)

    def probe_inconclusive(self, provider: str) -> None:
        """The job that was let in ended before the service was asked."""
        self._breakers[provider].probe_inconclusive(self._clock.now())

    def state(self, provider: str) -> str:
        """How a service is doing, in a word: well, resting or locked."""
        breaker = self._breakers[provider]
        return "locked" if breaker.out else "resting" if breaker.until else "well"


def parse_names(text: str) -> tuple[str, ...]:
    """Services out of what a person typed: names, apart by spaces or commas."""
    return tuple(part for part in text.lower().replace(",", " ").split() if part)
