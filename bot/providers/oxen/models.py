"""What Oxen says of its models: the fields that each takes, and its price.

https://docs.oxen.ai/inference-api/reference/models/overview shows the fields as `request_schema`, the model's own
page as `json_request_schema`; the grid of prices is known from other clients only.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from bot.catalog.offers import Offer
from bot.domain.clock import Clock, Instant, elapsed
from bot.domain.errors import ProviderError
from bot.domain.money import Money
from bot.domain.providers import KeyState, ModelStatus, ProviderHealth
from bot.net.http import Timeouts, json_of
from bot.providers.oxen.client import OxenClient
from bot.providers.oxen.schemas import NAME, dollars, money

TIMEOUTS = Timeouts(connect=5.0, read=10.0, total=15.0)
SUBMIT_WAIT = 5.0
"""Seconds that a submit waits for the fields of a model that was not read yet."""
READ_AGAIN = 60.0
"""Seconds until a model that could not be read is requested again."""
_SCHEMAS = ("json_request_schema", "request_schema")
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SQUARES = ("1024x1024", "square", "1:1", "1k")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model's description; empty where it could not be read. `grid` holds dollars by quality and resolution."""

    fields: frozenset[str] | None = None
    endpoint: str = ""
    flat: Decimal | None = None
    grid: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)

    @property
    def price(self) -> Money | None:
        """One square picture of medium quality."""
        row = self.grid.get("medium", {})
        square = next((price for size, price in row.items() if size.lower() in _SQUARES), None)
        if square is None:
            square = max(row.values()) if row else self.flat
        return None if square is None else money(square)

    @property
    def highest_price(self) -> Money | None:
        """The most that one picture costs."""
        prices = list(self._prices())
        return money(max(prices)) if prices else None

    def lowest_price(self, quality: object) -> Money | None:
        """The least that one picture of this quality costs; of any quality where it has no prices of its own."""
        row = self.grid.get(quality, {}) if isinstance(quality, str) else {}
        prices = list(row.values()) or list(self._prices())
        return money(min(prices)) if prices else None

    def _prices(self) -> Iterator[Decimal]:
        for row in self.grid.values():
            yield from row.values()
        if self.flat is not None:
            yield self.flat


def model_info_in(body: Any) -> ModelInfo:
    """A model's description, bare or inside `model` or `data`."""
    outer = body if isinstance(body, dict) else {}
    inner = next((outer[key] for key in ("model", "data") if isinstance(outer.get(key), dict)), outer)
    pricing = inner.get("pricing")
    pricing = pricing if isinstance(pricing, dict) else {}
    by_picture = pricing.get("method") in (None, "per_image")
    endpoint = inner.get("endpoint")
    return ModelInfo(
        fields=next((fields for name in _SCHEMAS if (fields := _fields(inner.get(name)))), None),
        endpoint=endpoint if isinstance(endpoint, str) else "",
        flat=dollars(pricing.get("cost_per_image")) if by_picture else None,
        grid=_grid(pricing.get("cost_per_image_grid")) if by_picture else {},
    )


def _fields(schema: Any) -> frozenset[str]:
    """The names that a JSON schema lists; the schema may be a text."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            return frozenset()
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return frozenset(map(str, properties)) if isinstance(properties, dict) else frozenset()


def _grid(value: Any) -> dict[str, dict[str, Decimal]]:
    grid = {}
    for quality, row in value.items() if isinstance(value, dict) else ():
        cells = row.items() if isinstance(row, dict) else ()
        prices = {str(size): price for size, cell in cells if (price := dollars(cell)) is not None}
        if prices:
            grid[str(quality).lower()] = prices
    return grid


class Models:
    """The models' descriptions, read at the start and where needed before a submit."""

    def __init__(self, client: OxenClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._model_infos: dict[str, ModelInfo] = {}
        self._tried_at: dict[str, Instant] = {}
        self._one_reader = asyncio.Lock()

    async def model_info(self, model: str) -> ModelInfo:
        """What is known of a model. An unknown one delays a submit a little, and once a minute at most."""
        async with self._one_reader:
            now, tried_at = self._clock.now(), self._tried_at.get(model)
            is_due = tried_at is None or elapsed(tried_at, now) >= READ_AGAIN
            if model not in self._model_infos and is_due:
                self._tried_at[model] = now
                with suppress(ProviderError, TimeoutError):
                    async with asyncio.timeout(SUBMIT_WAIT):
                        await self._read(model)
        return self._model_infos.get(model, ModelInfo())

    async def check_health(self, offers: Mapping[str, Offer]) -> ProviderHealth:
        """Read the account and every model. Never raises a ProviderError."""
        async with asyncio.TaskGroup() as group:
            account_task = group.create_task(self._try_account())
            tasks = {name: group.create_task(self._try_read(offer.model)) for name, offer in offers.items()}
        account = account_task.result()
        models = {name: task.result() for name, task in tasks.items()}
        statuses = [each.status_code for each in (account, *models.values()) if isinstance(each, httpx.Response)]
        key = KeyState.REFUSED if 401 in statuses else KeyState.WORKS if 200 in statuses else KeyState.UNKNOWN
        credit = _credit(account)
        return ProviderHealth(
            provider=NAME,
            key=key,
            detail=_detail(account, key, credit),
            balance_used_up=credit is not None and not Decimal(credit),
            models=tuple(_status(name, models[name]) for name in offers),
        )

    async def _read(self, model: str) -> httpx.Response:
        response = await self._client.model(model, TIMEOUTS)
        if response.status_code == 200 and isinstance(body := json_of(response), dict):
            self._model_infos[model] = model_info_in(body)
        return response

    async def _try_read(self, model: str) -> httpx.Response | ProviderError:
        try:
            return await self._read(model)
        except ProviderError as error:
            return error

    async def _try_account(self) -> httpx.Response | ProviderError:
        try:
            return await self._client.request("GET", "/users/me", timeouts=TIMEOUTS)
        except ProviderError as error:
            return error


def _status(name: str, response: httpx.Response | ProviderError) -> ModelStatus:
    if isinstance(response, ProviderError):
        return ModelStatus(model=name)
    body = json_of(response)
    if response.status_code != 200 or not isinstance(body, dict):
        return ModelStatus(model=name, gone=True if response.status_code in (404, 410) else None)
    model_info = model_info_in(body)
    return ModelStatus(
        model=name,
        gone=False,
        price=model_info.price,
        highest_price=model_info.highest_price,
        fields=model_info.fields,
    )


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
