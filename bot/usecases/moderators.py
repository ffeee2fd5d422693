"""What moderators can do: limits, grants, and the order of providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import get_args

from bot.catalog.catalog import Catalog, Model
from bot.domain.clock import Clock, Instant, as_datetime
from bot.domain.errors import InvalidInput, Refused
from bot.domain.limits import Allowance, Limit, holding_limit
from bot.domain.providers import ListedProvider, ModelProviders, ProviderOrder
from bot.domain.requests import ImageRequest, Requester
from bot.domain.windows import Window
from bot.ports import Database, Unit
from bot.routing.router import Router, parse_names
from bot.storage import grants, limits, reservations
from bot.storage import provider_orders as stored

MOST_IMAGES = 100_000
MOST_GRANTED = 10_000


class ModeratorService:
    """The moderators' use cases. The caller has checked that the member is one."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        router: Router,
        clock: Clock,
        default_limit: Limit,
        provider_labels: Mapping[str, str],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._router = router
        self._clock = clock
        self._default_limit = default_limit
        self.provider_labels = provider_labels
        """What members read in place of a provider's name."""

    async def set_limit(self, subject: Requester, limit: Limit) -> Limit:
        """Give a subject a limit; returns the one that held for it before.

        Raises:
            InvalidInput: the number is out of range, or the window is none.
        """
        if not 0 <= limit.amount <= MOST_IMAGES or limit.window not in get_args(Window):
            raise InvalidInput(f"Give a number from 0 to {MOST_IMAGES:,}, and day, week or month.")
        before = await self._database.write(_set_limit(subject.guild_id, limit, self._clock.now()))
        return holding_limit(before, subject, self._default_limit)

    async def clear_limit(self, subject: Requester, limit: Limit) -> tuple[Limit | None, Limit]:
        """Remove a subject's limit; returns it, None where there was none, and the one that holds now."""
        former, after = await self._database.write(_clear_limit(subject.guild_id, limit, self._clock.now()))
        return former, holding_limit(after, subject, self._default_limit)

    async def limits(self, guild_id: int) -> list[Limit]:
        """All limits of a server, the operator's default first where none replaces it."""
        found = await self._database.read(limits.limits(guild_id))
        if any(limit.subject == "everyone" and limit.unit == "images" for limit in found):
            return found
        return [self._default_limit, *found]

    async def grant(self, member: Requester, images: int, actor_id: int, reason: str) -> tuple[int, Allowance]:
        """Give images on top of the limit, or take granted ones back; returns the change and what is left.

        Raises:
            InvalidInput: the number is 0 or out of range.
        """
        if images == 0 or abs(images) > MOST_GRANTED:
            raise InvalidInput(
                f"Give a number from 1 to {MOST_GRANTED:,}, or a negative one to take pictures back."
            )
        reason = reason.encode("utf-8", "replace").decode("utf-8")
        now = self._clock.now()
        change = await self._database.write(
            grants.grant(member.guild_id, member.user_id, images, actor_id, reason, now)
        )
        allowance = await self._database.read(reservations.allowance(member, self._default_limit, now))
        return change, allowance

    # Providers

    async def set_provider_order(
        self, guild_id: int, model: str, order: str, by: int
    ) -> tuple[ProviderOrder | None, ProviderOrder | None]:
        """Set a server's order of providers for a model; returns the new order and the former one.

        `order` names providers; `off` switches the model off, `default` removes the server's own order.

        Raises:
            InvalidInput: no such model, no name, or a provider that does not have the model.
        """
        model = self._catalog.canonical(model)
        if model not in {each.name for each in self._catalog.models}:
            raise InvalidInput("Easel has no such model. `/moderate services` shows those there are.")
        names, now = parse_names(order), self._clock.now()
        if not names:
            raise InvalidInput("Name the services in order, like fal, lumenfall; or off; or default.")
        if names == ("default",):
            return None, await self._database.write(stored.clear_order(guild_id, model, by, now))
        providers = () if names == ("off",) else self._router.check_provider_order(model, names)
        chosen = ProviderOrder(model=model, providers=providers, set_by=by)
        return chosen, await self._database.write(stored.set_order(guild_id, chosen, now))

    def provider_order_choices(self, model: str) -> list[str]:
        """Every order of a model's providers, the usual one first, and the words `off` and `default`."""
        names = {each.name: each for each in self._catalog.models}
        found = names.get(self._catalog.canonical(model))
        able = self._router.serving(found) if found else ()
        return [
            *(", ".join(order) for length in range(len(able), 0, -1) for order in permutations(able, length)),
            "off",
            "default",
        ]

    async def model_providers(self, guild_id: int) -> list[ModelProviders]:
        """Every model that a configured provider has, with its providers in this server."""
        orders = await self._database.read(stored.orders(guild_id))
        return [
            self._model_providers(model, orders)
            for model in self._catalog.models
            if self._router.serving(model) or any(order.model == model.name for order in orders)
        ]

    def _model_providers(self, model: Model, orders: Sequence[ProviderOrder]) -> ModelProviders:
        providers = self._router.providers(model, orders)
        request = ImageRequest(prompt="a picture", model=model.name, size="square")
        try:
            price = self._router.price(self._router.candidates(request, orders))
        except Refused:
            price = None
        return ModelProviders(
            model=model.name,
            label=model.label,
            providers=tuple(
                ListedProvider(
                    name=name, label=self.provider_labels[name], state=self._router.state(name, model.name)
                )
                for name in providers
            ),
            set_here=any(order.model == model.name for order in orders),
            price=price,
        )

    def notices(self) -> list[str]:
        """Announcements that a model will be switched off, of those that can be used here."""
        today = as_datetime(self._clock.now()).date()
        return self._catalog.notices(today, [model.name for model in self._router.offered_models()])


def _set_limit(guild_id: int, limit: Limit, now: Instant) -> Unit[list[Limit]]:
    """Set a limit; returns those there were before."""
    before = yield from limits.limits(guild_id)
    yield from limits.set_limit(guild_id, limit, now)
    return before


def _clear_limit(guild_id: int, limit: Limit, now: Instant) -> Unit[tuple[Limit | None, list[Limit]]]:
    """Remove a limit; returns it and those that are left."""
    removed = yield from limits.clear_limit(guild_id, limit, now)
    left = yield from limits.limits(guild_id)
    return (removed[0] if removed else None), left
