"""What moderators can do: limits, grants, and which services paint."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from typing import get_args

from bot.catalog.catalog import Catalog, Model
from bot.domain.clock import Clock
from bot.domain.errors import InvalidInput, Refused
from bot.domain.limits import Allowance, Limit
from bot.domain.providers import ModelProviders, ProviderOrder
from bot.domain.requests import ImageRequest, Requester
from bot.domain.windows import Window
from bot.ports import Database
from bot.routing.router import Router, parse_names
from bot.storage import grants, quotas
from bot.storage import limits as rules
from bot.storage import provider_orders as stored

MOST_IMAGES = 100_000
MOST_GRANTED = 10_000


class ModeratorService:
    """The moderators' use cases. Whoever calls has checked that the caller is one."""

    def __init__(
        self, *, database: Database, catalog: Catalog, routes: Router, clock: Clock, default_rule: Limit
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._routes = routes
        self._clock = clock
        self._default_rule = default_rule

    async def limit(self, guild_id: int, rule: Limit) -> Limit | None:
        """Give a subject a limit in place of the one it had; returns the former.

        Raises:
            InvalidInput: the number is out of range, or the window is none.
        """
        if not 0 <= rule.limit <= MOST_IMAGES or rule.window not in get_args(Window):
            raise InvalidInput(f"Give a number from 0 to {MOST_IMAGES:,}, and day, week or month.")
        former = await self._database.write(rules.set_limit(guild_id, rule, self._clock.now()))
        return former[0] if former else self._fallback(rule)

    async def clear(self, guild_id: int, rule: Limit) -> Limit | None:
        """Take a subject's limit away; returns it, None where there was none."""
        former = await self._database.write(rules.clear_limit(guild_id, rule, self._clock.now()))
        return former[0] if former else None

    def _fallback(self, rule: Limit) -> Limit | None:
        return self._default_rule if rule.subject == "everyone" and rule.unit == "images" else None

    async def limits(self, guild_id: int) -> list[Limit]:
        """All the limits of a server, the operator's default first where nothing replaces it."""
        found = await self._database.read(rules.limits(guild_id))
        if any(rule.subject == "everyone" and rule.unit == "images" for rule in found):
            return found
        return [self._default_rule, *found]

    async def grant(self, member: Requester, images: int, actor_id: int, reason: str) -> tuple[int, Allowance]:
        """Give images beside the allowance, or take granted ones back; returns the change and what is left.

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
        allowance = await self._database.read(quotas.allowance(member, self._default_rule, now))
        return change, allowance

    # Services

    async def route(
        self, guild_id: int, model: str, order: str, by: int
    ) -> tuple[ProviderOrder | None, ProviderOrder | None]:
        """Set who is asked for a model in a server, in order; returns what holds now, and what did before.

        `order` names services; `off` switches the model off here, `default` takes the server's own order away.

        Raises:
            UnsupportedRequest: no such model, or a service that does not have it.
            InvalidInput: nothing was named.
        """
        chosen = self._catalog.canonical(model)
        if chosen not in {each.name for each in self._catalog.models}:
            raise InvalidInput("Easel has no such model. `/moderate services` shows those there are.")
        model = chosen
        names, now = parse_names(order), self._clock.now()
        if not names:
            raise InvalidInput("Name the services in order, like fal, lumenfall; or off; or default.")
        if names == ("default",):
            return None, await self._database.write(stored.clear_order(guild_id, model, by, now))
        services = () if names == ("off",) else self._routes.check_order(model, names)
        route = ProviderOrder(model=model, services=services, set_by=by)
        return route, await self._database.write(stored.set_order(guild_id, route, now))

    def orders(self, model: str) -> list[str]:
        """Every order in which a model's services can be asked, the usual one first, and the two other words."""
        names = {each.name: each for each in self._catalog.models}
        found = names.get(self._catalog.canonical(model))
        able = self._routes.serving(found) if found else ()
        return [
            *(", ".join(order) for length in range(len(able), 0, -1) for order in permutations(able, length)),
            "off",
            "default",
        ]

    async def model_providers(self, guild_id: int) -> list[ModelProviders]:
        """Every model that is configured, as it stands in a server."""
        own = await self._database.read(stored.orders(guild_id))
        return [
            self._lineup(model, own)
            for model in self._catalog.models
            if self._routes.serving(model) or any(route.model == model.name for route in own)
        ]

    def _lineup(self, model: Model, own: Sequence[ProviderOrder]) -> ModelProviders:
        services = self._routes.services(model, own)
        request = ImageRequest(prompt="a picture", model=model.name, size="square")
        try:
            price = self._routes.price(self._routes.fits(request, own))
        except Refused:
            price = None
        return ModelProviders(
            model=model.name,
            label=model.label,
            services=tuple((name, self._routes.state(name)) for name in services),
            own=any(route.model == model.name for route in own),
            price=price,
        )

    def notices(self) -> list[str]:
        """What moderators should know of the models that can be had: which are announced to be switched off."""
        today = datetime.fromtimestamp(self._clock.now() / 1000, UTC).date()
        return self._catalog.notices(today, [model.name for model in self._routes.offered()])
