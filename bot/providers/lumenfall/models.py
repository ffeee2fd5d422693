"""What Lumenfall says of the account and of prices: models, schemas, dry runs, the balance. All of it is free.

Sources: https://docs.lumenfall.ai/cost-estimation and the API reference of models and balance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from bot.catalog.offers import Offer, ProviderRequest, Submit
from bot.domain.clock import Clock
from bot.domain.errors import InvalidResponse, ProviderBusy
from bot.domain.money import Money
from bot.domain.providers import KeyState, ModelStatus, ProviderHealth
from bot.net.http import json_of
from bot.providers.lumenfall.client import NAME, LumenfallClient
from bot.providers.lumenfall.errors import error_details, error_from
from bot.providers.lumenfall.prices import DryRuns
from bot.providers.lumenfall.request import as_json
from bot.providers.lumenfall.schemas import decimal, estimate_in
from bot.providers.shared.http import key_state
from bot.providers.shared.told import fields_of

SCHEMAS_AT_ONCE = 4
_SCHEMAS = ("schema", "parameters")
"""Where a model's description has its schema; Lumenfall's pages only say that it has one."""
HIGHEST_BALANCE = 10_000_000
"""Dollars: more is taken for no balance."""


class Account:
    """The account that a key belongs to."""

    def __init__(self, client: LumenfallClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def estimate(
        self, provider_request: ProviderRequest, count: int, submit: Submit | None = None
    ) -> Money | None:
        """The dry run's price; None where the response does not state it.

        Raises:
            ProviderBusy: no clear response.
            ProviderError: the real call would be refused in the same way.
        """
        url = f"{self._client.base_url}/{provider_request.operation.endpoint}?dryRun=true"
        fields = self._client.options.dry_run_fields(provider_request, count)
        try:
            response = await self._client.request(url, body=as_json(fields))
        except InvalidResponse as error:
            raise ProviderBusy(detail=error.detail) from None
        body = json_of(response)
        if response.is_success:
            return estimate_in(body)
        if not error_details(body).clear:
            raise ProviderBusy(detail=str(response.status_code))
        raise error_from(response, self._clock.now(), submit)

    async def check_health(self, offers: Mapping[str, Offer], *, dry_run: bool) -> ProviderHealth:
        """Whether the key works, the balance, and which of `offers` (by our names) are served, for how much."""
        listing, balance = await asyncio.gather(
            self._client.try_get(f"{self._client.base_url}/models"),
            self._client.try_get(f"{self._client.native_url}/balance"),
        )
        listed, left = listed_in(listing), balance_in(balance)
        key = _key_state(listing, balance, known=listed is not None or bool(left.text))
        # A list with none of ours says nothing of any.
        ours = listed if listed and any(offer.model in listed.models for offer in offers.values()) else None
        statuses = {model: _status(model, offer, ours) for model, offer in offers.items()}
        served = {model: offer for model, offer in offers.items() if not statuses[model].gone}
        if key is KeyState.WORKS:
            statuses |= await self._described(statuses, served, dry_run=dry_run)
        return ProviderHealth(
            provider=NAME,
            key=key,
            detail=left.text if key is KeyState.WORKS else _trouble(listing),
            balance_used_up=left.used_up,
            models=tuple(statuses.values()),
        )

    async def _described(
        self, statuses: Mapping[str, ModelStatus], offers: Mapping[str, Offer], *, dry_run: bool
    ) -> dict[str, ModelStatus]:
        """With the fields and the prices of these offers."""
        dry_runs = DryRuns(lambda request: self.estimate(request, 1))
        turns = asyncio.Semaphore(SCHEMAS_AT_ONCE)

        async def fields(offer: Offer) -> frozenset[str] | None:
            async with turns:
                url = f"{self._client.native_url}/models/{quote(offer.model, safe='')}?schema=true"
                return schema_in(await self._client.try_get(url, briefly=True))

        async with asyncio.TaskGroup() as group:
            tasks = {model: group.create_task(fields(offer)) for model, offer in offers.items()}
            if dry_run:
                group.create_task(dry_runs.run(offers))
        described = {}
        for model, task in tasks.items():
            found = task.result()
            described[model] = replace(
                statuses[model],
                gone=True if model in dry_runs.gone else statuses[model].gone,
                prices=dry_runs.table(model),
                fields={} if found is None else {"imagine": found, "edit": found},
            )
        return described


def schema_in(response: httpx.Response | None) -> frozenset[str] | None:
    """The fields that a model's description lists; None where it shows no schema."""
    body = json_of(response) if response is not None and response.is_success else None
    if not isinstance(body, dict):
        return None
    return next((found for key in _SCHEMAS if (found := fields_of(body.get(key)))), None)


@dataclass(frozen=True, slots=True)
class ListedModels:
    """The list of models by id, without a service's prefix; `complete` unless there is another page."""

    models: Mapping[str, Mapping[str, Any]]
    complete: bool


def listed_in(response: httpx.Response | None) -> ListedModels | None:
    """The models that are served; None where the response is no list."""
    body = json_of(response) if response is not None and response.is_success else None
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list):
        return None
    models = [item for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)]
    more = isinstance(body, dict) and (body.get("has_more") or body.get("next_page_url"))
    return ListedModels({item["id"].rpartition("/")[2]: item for item in models}, bool(models) and not more)


def _status(model: str, offer: Offer, listed: ListedModels | None) -> ModelStatus:
    item = listed.models.get(offer.model) if listed else None
    if item is not None:
        return ModelStatus(model=model, gone=False, available_until=_day(item.get("shutdown_date")))
    return ModelStatus(model=model, gone=True if listed and listed.complete else None)


def _day(value: Any) -> date | None:
    """OpenAI's own list has such a day; Lumenfall does not document whether it passes it on."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _key_state(listing: httpx.Response | None, balance: httpx.Response | None, *, known: bool) -> KeyState:
    refusals = [response.status_code for response in (listing, balance) if response is not None]
    refusals = [status for status in refusals if status in (401, 403)]
    if refusals:
        return key_state(min(refusals))
    return KeyState.WORKS if known else KeyState.UNKNOWN


def _trouble(listing: httpx.Response | None) -> str:
    return "no answer" if listing is None else f"the list of models: {listing.status_code}"


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left, in words for the operator ("$12.30 left"); no words where the response does not say."""

    text: str = ""
    used_up: bool = False


def balance_in(response: httpx.Response | None) -> Balance:
    """Read the balance from a response."""
    body = json_of(response) if response is not None and response.is_success else None
    if not isinstance(body, dict):
        return Balance()
    available = body.get("available")
    amount = decimal(available.get("amount")) if isinstance(available, dict) else None
    if amount is not None and abs(amount) < HIGHEST_BALANCE:
        cents = round(max(amount, Decimal(0)), 2)
        return Balance(f"${cents:,.2f} left", used_up=not cents)
    return Balance("billed afterwards" if body.get("billing_type") == "postpaid" else "")
