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

from bot.catalog.offers import Offer
from bot.domain.clock import Clock, Instant
from bot.domain.errors import ProviderError
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth
from bot.providers.oxen.client import OxenClient
from bot.providers.oxen.schemas import NAME, dollars, money
from bot.providers.shared.http import Answer, Timeouts

LOOK_LIMITS = Timeouts(connect=5.0, silence=10.0, total=15.0)
READING = 5.0
"""Seconds that a submit waits for the fields of a model that was not read yet."""
READ_AGAIN = 60_000
"""Milliseconds until a model that could not be read is asked for again."""
_SCHEMAS = ("json_request_schema", "request_schema")
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SQUARES = ("1024x1024", "square", "1:1", "1k")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model's own words; empty where it could not be read. `grid` holds dollars by quality and resolution."""

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
    def dearest(self) -> Money | None:
        """The most that one picture costs."""
        return money(max(self._prices())) if any(True for _ in self._prices()) else None

    def least(self, quality: object) -> Money | None:
        """The least that one picture of this quality costs; of any, where it is not asked for."""
        row = self.grid.get(quality, {}) if isinstance(quality, str) else {}
        prices = list(row.values()) or list(self._prices())
        return money(min(prices)) if prices else None

    def _prices(self) -> Iterator[Decimal]:
        for row in self.grid.values():
            yield from row.values()
        if self.flat is not None:
            yield self.flat


def card_in(body: Any) -> ModelInfo:
    """A model's card, bare or inside `model` or `data`."""
    said = body if isinstance(body, dict) else {}
    inner = next((said[key] for key in ("model", "data") if isinstance(said.get(key), dict)), said)
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
    """The names that a JSON schema lists; the schema may be written as text."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            return frozenset()
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return frozenset(map(str, properties)) if isinstance(properties, dict) else frozenset()


def _grid(said: Any) -> dict[str, dict[str, Decimal]]:
    grid = {}
    for quality, row in said.items() if isinstance(said, dict) else ():
        cells = row.items() if isinstance(row, dict) else ()
        prices = {str(size): price for size, value in cells if (price := dollars(value)) is not None}
        if prices:
            grid[str(quality).lower()] = prices
    return grid


class Models:
    """The cards, read at the start and where needed before a submit."""

    def __init__(self, api: OxenClient, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._cards: dict[str, ModelInfo] = {}
        self._tried: dict[str, Instant] = {}
        self._one_reader = asyncio.Lock()

    async def card(self, model: str) -> ModelInfo:
        """What is known of a model. Trouble holds a submit up briefly, and once a minute at most."""
        async with self._one_reader:
            now = self._clock.now()
            if model not in self._cards and now - self._tried.get(model, now - READ_AGAIN) >= READ_AGAIN:
                self._tried[model] = now
                with suppress(ProviderError, TimeoutError):
                    async with asyncio.timeout(READING):
                        await self._read(model)
        return self._cards.get(model, ModelInfo())

    async def examine(self, offers: Mapping[str, Offer]) -> ProviderHealth:
        """Ask for the key's owner and for every model; never raises."""
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._asked("/users/me"))
            looking = {name: group.create_task(self._looked(offer.model)) for name, offer in offers.items()}
        me = asking.result()
        answers = {name: task.result() for name, task in looking.items()}
        statuses = [found.status for found in (me, *answers.values()) if isinstance(found, Answer)]
        key_works = False if 401 in statuses else True if 200 in statuses else None
        served = tuple(self._served(name, offers[name].model, answers[name]) for name in offers)
        return ProviderHealth(provider=NAME, key_works=key_works, detail=_detail(me, key_works), models=served)

    async def _read(self, model: str) -> Answer:
        answer = await self._api.model(model, LOOK_LIMITS)
        if answer.status == 200 and isinstance(body := answer.json(), dict):
            self._cards[model] = card_in(body)
        return answer

    async def _looked(self, model: str) -> Answer | ProviderError:
        try:
            return await self._read(model)
        except ProviderError as error:
            return error

    async def _asked(self, path: str) -> Answer | ProviderError:
        try:
            return await self._api.ask("GET", path, limits=LOOK_LIMITS)
        except ProviderError as error:
            return error

    def _served(self, name: str, model: str, answer: Answer | ProviderError) -> ModelStatus:
        status = answer.status if isinstance(answer, Answer) else 0
        body = answer.json() if isinstance(answer, Answer) else None
        if status != 200 or not isinstance(body, dict):
            return ModelStatus(model=name, gone=True if status in (404, 410) else None)
        card = card_in(body)
        return ModelStatus(model=name, gone=False, price=card.price, dearest=card.dearest, fields=card.fields)


def _detail(me: Answer | ProviderError, key_works: bool | None) -> str:
    if key_works is False:
        return "the key is refused"
    if isinstance(me, ProviderError):
        return "" if key_works else f"no answer ({me.detail})"
    if key_works is None:
        return f"it answers {me.status}"
    body = me.json()
    said = body.get("user", body) if isinstance(body, dict) else None
    left = said.get("credits") if isinstance(said, dict) else None
    return f"{left} credits left" if _AMOUNT.fullmatch(str(left)) else ""
