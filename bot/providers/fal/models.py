"""What fal's platform says of the models and of the key (https://docs.fal.ai/platform-apis). It costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from bot.catalog.offers import Offer
from bot.domain.clock import Clock
from bot.domain.errors import ProviderBusy, ProviderError, ProviderMisconfigured
from bot.domain.providers import NO_AMOUNT, KeyState, ModelStatus, PriceTable, ProviderHealth
from bot.domain.requests import RequestKind
from bot.net.http import json_of
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import error_from
from bot.providers.fal.schemas import ModelPage, PlatformError, PricePage, UnitPrice, parsed, valid
from bot.providers.shared.http import key_state
from bot.providers.shared.told import fields_of, micros

Page = TypeVar("Page", ModelPage, PricePage)

GONE = {"active": False, "deprecated": True}
MOST_IDS = 50
"""Endpoints that one call may name."""
SCHEMAS_AT_ONCE = 8
"""A document has some 30 kB, and a response may have one megabyte."""
MOST_PAGES = 10
LONGEST = 10.0
"""Seconds for all schemas, and for all prices; what is not told by then stays as it was known before."""


class _ListRefused(Exception):
    """The platform does not list the models."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class _UnknownEndpoint(Exception):
    """The platform does not know one of the endpoints, and says nothing of the others."""


class Models:
    """Asks the platform which of our models are still served, with which fields, and for how much."""

    def __init__(self, client: FalClient, api_url: str, offers: Mapping[str, Offer], clock: Clock) -> None:
        self._client = client
        self._api_url = api_url
        self._offers = offers
        self._clock = clock

    async def check_health(self, provider: str) -> ProviderHealth:
        """As `Provider.check_health`."""
        key, detail = KeyState.UNKNOWN, ""
        gone: Mapping[str, bool | None] = {}
        try:
            gone = await self._gone([offer.model for offer in self._offers.values()])
            key = KeyState.WORKS
        except _ListRefused as refused:
            error = error_from(refused.response, self._clock.now())
            detail = error.detail
            if isinstance(error, ProviderMisconfigured):
                key = key_state(refused.response.status_code)
        except ProviderError as error:
            detail = error.detail
        served = [offer for offer in self._offers.values() if gone.get(offer.model) is False]
        endpoints = _unique(each for offer in served for each in _endpoints(offer).values())
        priced = _unique(each for offer in served for each in _priced_endpoints(offer))
        schemas, prices = await asyncio.gather(self._fields(endpoints), self._unit_prices(priced))
        statuses = tuple(
            ModelStatus(
                model=name,
                gone=gone.get(offer.model),
                prices=_prices(offer, prices),
                fields={kind: schemas[each] for kind, each in _endpoints(offer).items() if each in schemas},
            )
            for name, offer in self._offers.items()
        )
        return ProviderHealth(provider=provider, key=key, detail=detail, models=statuses)

    async def _gone(self, endpoints: Sequence[str]) -> dict[str, bool | None]:
        states: dict[str, str] = {}
        for some in _portions(endpoints, MOST_IDS):
            try:
                states |= await self._states(some)
            except _UnknownEndpoint:
                # The platform may reject the whole list for one unknown endpoint: ask for each.
                for endpoint in some:
                    try:
                        states |= await self._states([endpoint])
                    except _UnknownEndpoint:
                        continue
        if not states:
            raise ProviderBusy(detail="models: it knows none of ours")
        return {endpoint: GONE.get(states[endpoint]) if endpoint in states else True for endpoint in endpoints}

    async def _states(self, endpoints: Sequence[str]) -> dict[str, str]:
        """The state of each listed endpoint."""
        listed: dict[str, str] = {}
        query: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            response = await self._get("models", endpoints, **query)
            page = parsed(ModelPage, response)
            found = {model.endpoint_id: model.metadata.status for model in page.models} if page else {}
            # A page with none of our endpoints, or with others, says nothing of any.
            if page is None or not (found or listed) or not set(found) <= set(endpoints):
                raise ProviderBusy(detail=f"models {response.status_code}, garbled")
            listed |= found
            if not page.has_more:
                return listed
            if not page.next_cursor:
                break
            query = {"cursor": page.next_cursor}
        raise ProviderBusy(detail="models: a list without an end")

    async def _fields(self, endpoints: Sequence[str]) -> dict[str, frozenset[str]]:
        """The fields that each endpoint takes, of those whose document can be read."""
        found: dict[str, frozenset[str]] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST):
                for some in _portions(endpoints, SCHEMAS_AT_ONCE):
                    for page in await self._pages("models", some, ModelPage, expand="openapi-3.0"):
                        found |= _fields_in(page, some)
        return found

    async def _unit_prices(self, endpoints: Sequence[str]) -> dict[str, UnitPrice]:
        """The unit price of each endpoint, of those that have one."""
        found: dict[str, UnitPrice] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST):
                for some in _portions(endpoints, MOST_IDS):
                    for page in await self._pages("models/pricing", some, PricePage):
                        found |= {price.endpoint_id: price for price in page.prices if price.endpoint_id in some}
        return found

    async def _pages(self, path: str, endpoints: Sequence[str], schema: type[Page], **query: str) -> list[Page]:
        """The pages about these endpoints, as far as they can be read."""
        pages: list[Page] = []
        cursor: str | None = None
        try:
            while len(pages) < MOST_PAGES:
                more = query if cursor is None else {**query, "cursor": cursor}
                page = parsed(schema, await self._get(path, endpoints, **more))
                if page is None:
                    break
                pages.append(page)
                cursor = page.next_cursor
                if not page.has_more or not cursor:
                    break
        except _UnknownEndpoint:
            if len(endpoints) > 1:
                for endpoint in endpoints:
                    pages += await self._pages(path, [endpoint], schema, **query)
        except (_ListRefused, ProviderError):
            pass
        return pages

    async def _get(self, path: str, endpoints: Sequence[str], **query: str) -> httpx.Response:
        pairs = [*(("endpoint_id", endpoint) for endpoint in endpoints), *query.items()]
        response = await self._client.request("GET", f"{self._api_url}/{path}?{urlencode(pairs, safe='/')}")
        if response.status_code == 404 and valid(PlatformError, json_of(response)) is not None:
            raise _UnknownEndpoint
        if not response.is_success:
            raise _ListRefused(response)
        return response


def _fields_in(page: ModelPage, endpoints: Sequence[str]) -> dict[str, frozenset[str]]:
    found = {model.endpoint_id: input_fields(model.openapi, model.endpoint_id) for model in page.models}
    return {name: fields for name, fields in found.items() if fields is not None and name in endpoints}


def input_fields(document: Any, endpoint: str) -> frozenset[str] | None:
    """The fields of an endpoint's input, as its OpenAPI document has them; None where it has none."""
    operation = _at(document, "paths", f"/{endpoint}", "post")
    schema = _at(operation, "requestBody", "content", "application/json", "schema")
    reference = _at(schema, "$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        schema = _at(document, *reference.removeprefix("#/").split("/"))
    return fields_of(schema)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _prices(offer: Offer, told: Mapping[str, UnitPrice]) -> PriceTable:
    """The one price of ours that is the unit price of an offer's endpoints: the dearest, where they differ."""
    unit = offer.prices.unit
    found = [told[each] for each in _priced_endpoints(offer) if each in told]
    prices = [price for each in found if (price := _price_of(each, unit.name if unit else "")) is not None]
    if unit is None or not prices:
        return {}
    return {unit.quality: {unit.size: NO_AMOUNT if NO_AMOUNT in prices else max(prices)}}


def _price_of(told: UnitPrice, unit: str) -> int | None:
    """Micro-dollars; None where it is the price of another unit."""
    same = told.unit.lower().rstrip("s") == unit.lower().rstrip("s") and told.currency.upper() == "USD"
    return micros(told.unit_price) if same else None


def _endpoints(offer: Offer) -> dict[RequestKind, str]:
    return {kind: operation.endpoint for kind, operation in offer.operations.items()}


def _priced_endpoints(offer: Offer) -> Sequence[str]:
    return tuple(_endpoints(offer).values()) if offer.prices.unit else ()


def _unique(endpoints: Iterator[str]) -> Sequence[str]:
    return tuple(dict.fromkeys(endpoints))


def _portions(endpoints: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(endpoints), size):
        yield endpoints[start : start + size]
