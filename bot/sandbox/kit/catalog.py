"""POST /sandbox/catalog, by which a test in another process makes a service change its prices and fields."""

from collections.abc import Collection, Mapping
from typing import Annotated, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.sandbox.kit.control import invalid_control

ToldPrice = float | Mapping[str, Mapping[str, float]]
"""US dollars: of a unit or a picture, or of a picture by quality and resolution."""
_Dollars = Annotated[float, Field(ge=0)]


class CatalogOptions(Protocol):
    """The options that the route changes."""

    price_factors: Mapping[str, float]
    told_prices: Mapping[str, ToldPrice]
    dropped_fields: Mapping[str, Collection[str]]


class CatalogRoutes:
    """Shows the changes to the service's catalogue, and takes others."""

    def __init__(self, options: CatalogOptions) -> None:
        self._options = options

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/sandbox/catalog", self.show)
        app.router.add_post("/sandbox/catalog", self.change)

    async def show(self, _: web.Request) -> web.StreamResponse:
        """The changes that hold."""
        options = self._options
        dropped = {model: list(names) for model, names in options.dropped_fields.items()}
        held = _Changes(
            price_factors=dict(options.price_factors),
            told_prices={model: _plain(price) for model, price in options.told_prices.items()},
            dropped_fields=dropped,
        )
        return web.json_response(held.model_dump())

    async def change(self, request: web.Request) -> web.StreamResponse:
        """{"price_factors": {model: factor}, "told_prices": {…}, "dropped_fields": {…}}; each replaces all."""
        try:
            changes = _Changes.model_validate_json(await request.read())
        except ValidationError as error:
            return invalid_control(error)
        for name in changes.model_fields_set:
            setattr(self._options, name, getattr(changes, name))
        return await self.show(request)


class _Changes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price_factors: dict[str, _Dollars] = {}
    told_prices: dict[str, _Dollars | dict[str, dict[str, _Dollars]]] = {}
    dropped_fields: dict[str, list[str]] = {}


def _plain(price: ToldPrice) -> float | dict[str, dict[str, float]]:
    return price if isinstance(price, int | float) else {name: dict(row) for name, row in price.items()}
