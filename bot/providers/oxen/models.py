"""What Oxen says of its models: the fields that each takes, and its price.

https://docs.oxen.ai/inference-api/reference/models/overview shows the fields as `request_schema`, the model's own
page as `json_request_schema`; its public list has the grid of prices.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import httpx

from bot.catalog.offers import Offer
from bot.domain.errors import ProviderError
from bot.domain.providers import NO_AMOUNT, KeyState, ModelStatus, PriceTable, ProviderHealth
from bot.net.http import Timeouts, json_of
from bot.providers.oxen.client import OxenClient
from bot.providers.oxen.schemas import NAME
from bot.providers.shared.told import fields_of, micros, quality_words, size_words

TIMEOUTS = Timeouts(connect=5.0, read=10.0, total=15.0)
_SCHEMAS = ("json_request_schema", "request_schema")
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Models:
    """Reads the account and the models' descriptions."""

    def __init__(self, client: OxenClient) -> None:
        self._client = client

    async def check_health(self, offers: Mapping[str, Offer]) -> ProviderHealth:
        """Read the account and every model. Never raises a ProviderError."""
        async with asyncio.TaskGroup() as group:
            account_task = group.create_task(self._try_read("/users/me"))
            tasks = {name: group.create_task(self._try_model(offer.model)) for name, offer in offers.items()}
        account = account_task.result()
        models = {name: task.result() for name, task in tasks.items()}
        statuses = [each.status_code for each in (account, *models.values()) if isinstance(each, httpx.Response)]
        key = KeyState.REFUSED if 401 in statuses else KeyState.WORKS if 200 in statuses else KeyState.UNKNOWN
        credit = _credit(account)
        served = tuple(_status(name, offer, models[name]) for name, offer in offers.items())
        if len(served) > 1 and all(each.gone for each in served):
            # That is more likely to be said of the address than of them.
            served = tuple(ModelStatus(model=name) for name in offers)
        return ProviderHealth(
            provider=NAME,
            key=key,
            detail=_detail(account, key, credit),
            balance_used_up=credit is not None and not Decimal(credit),
            models=served,
        )

    async def _try_model(self, model: str) -> httpx.Response | ProviderError:
        try:
            return await self._client.model(model, TIMEOUTS)
        except ProviderError as error:
            return error

    async def _try_read(self, path: str) -> httpx.Response | ProviderError:
        try:
            return await self._client.request("GET", path, timeouts=TIMEOUTS)
        except ProviderError as error:
            return error


def _status(name: str, offer: Offer, response: httpx.Response | ProviderError) -> ModelStatus:
    if isinstance(response, ProviderError):
        return ModelStatus(model=name)
    body = json_of(response)
    if response.status_code != 200 or not isinstance(body, dict):
        return ModelStatus(model=name, gone=True if response.status_code in (404, 410) else None)
    # The description is bare, or inside `model` or `data`.
    described = next((body[key] for key in ("model", "data") if isinstance(body.get(key), dict)), body)
    fields = next((found for key in _SCHEMAS if (found := fields_of(described.get(key)))), None)
    return ModelStatus(
        model=name,
        gone=False,
        prices=prices_in(described.get("pricing"), offer),
        fields={} if fields is None else {"imagine": fields, "edit": fields},
    )


def prices_in(pricing: Any, offer: Offer) -> PriceTable:
    """The prices of a model's description: a grid of dollars by quality and resolution, or one price."""
    if not isinstance(pricing, dict) or pricing.get("method") not in (None, "per_image"):
        return {}
    grid = pricing.get("cost_per_image_grid")
    if isinstance(grid, dict) and grid:
        return _grid(grid, offer)
    price = micros(pricing.get("cost_per_image"))
    return {} if price is None else _flat(price, offer)


def _grid(grid: Mapping[str, Any], offer: Offer) -> PriceTable:
    table = {}
    for quality, row in offer.prices.table.items():
        words = quality_words(offer, quality)
        told = [cells for name, cells in grid.items() if quality == "any" or str(name).lower() in words]
        cells = {size: list(_cells(told, size_words(offer, size))) for size in row}
        found = {
            size: NO_AMOUNT if NO_AMOUNT in prices else max(prices) for size, prices in cells.items() if prices
        }
        if found:
            table[quality] = found
    return table


def _cells(rows: list[Any], words: frozenset[str]) -> Iterator[int]:
    for row in rows:
        for size, price in row.items() if isinstance(row, dict) else ():
            if str(size).lower() in words and (amount := micros(price)) is not None:
                yield amount


def _flat(price: int, offer: Offer) -> PriceTable:
    """One price for all, or of the plainest picture where the catalogue knows that others are dearer."""
    ours = offer.prices.table
    least = min(cell for row in ours.values() for cell in row.values())
    table = {
        quality: {size: price for size, cell in row.items() if offer.assumed_price or cell == least}
        for quality, row in ours.items()
    }
    return {quality: row for quality, row in table.items() if row}


def _credit(account: httpx.Response | ProviderError) -> str | None:
    """The credits that are left, as Oxen writes them; None where it does not say."""
    body = json_of(account) if isinstance(account, httpx.Response) else None
    user = body.get("user", body) if isinstance(body, dict) else None
    credit = str(user.get("credits")) if isinstance(user, dict) else ""
    return credit if _AMOUNT.fullmatch(credit) else None


def _detail(account: httpx.Response | ProviderError, key: KeyState, credit: str | None) -> str:
    if key is KeyState.REFUSED:
        return "the key is refused"
    if isinstance(account, ProviderError):
        return "" if key is KeyState.WORKS else f"no answer ({account.detail})"
    if key is KeyState.UNKNOWN:
        return f"it answers {account.status_code}"
    return f"{credit} credits left" if credit is not None else ""
