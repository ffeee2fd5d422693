"""What Lumenfall says of the account, and what it asks for a picture: models, dry runs, the balance. All free.

Sources: https://docs.lumenfall.ai/cost-estimation and the API reference of models and balance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from bot.catalog.offers import Offer, ProviderRequest, Submit, Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import InvalidResponse, ModelRetired, ProviderBusy, ProviderError
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.providers.lumenfall.client import NAME, LumenfallClient
from bot.providers.lumenfall.errors import complaint_in, refusal
from bot.providers.lumenfall.request import as_json
from bot.providers.lumenfall.schemas import decimal, estimate_in
from bot.providers.shared.http import Answer

MOST_LEFT = 10_000_000
"""Dollars: whatever is more is no balance."""


class Account:
    """The account behind a key."""

    def __init__(self, door: LumenfallClient, clock: Clock) -> None:
        self._door = door
        self._clock = clock

    async def estimate(self, fit: ProviderRequest, count: int, order: Submit | None = None) -> int | None:
        """The dry run's price in micro-dollars; None where it cannot be read.

        Raises:
            ProviderBusy: no clear answer.
            ProviderError: the real call would be refused in the same way.
        """
        url = f"{self._door.base_url}/{fit.verb.endpoint}?dryRun=true"
        try:
            answer = await self._door.ask(url, body=as_json(self._door.manner.priced(fit, count)))
        except InvalidResponse as error:
            raise ProviderBusy(detail=error.detail) from None
        body = answer.json()
        if answer.good:
            return estimate_in(body)
        if not complaint_in(body).clear:
            raise ProviderBusy(detail=str(answer.status))
        raise refusal(answer, self._clock.now(), order)

    async def examine(self, offers: Mapping[str, Offer], *, dry_run: bool) -> ProviderHealth:
        """Whether the key works, what is left, and which of `offers` (by our names) are served for how much."""
        listing, balance = await asyncio.gather(
            self._door.look(f"{self._door.base_url}/models"), self._door.look(f"{self._door.native_url}/balance")
        )
        listed = listed_in(listing)
        works = _works(listing, balance, listed)
        found = [_served(model, offer, listed) for model, offer in offers.items()]
        if works and dry_run:
            found = await asyncio.gather(*(self._priced(one, offers[one.model]) for one in found))
        detail = left_in(balance) if works else _trouble(listing)
        return ProviderHealth(provider=NAME, key_works=works, detail=detail, models=tuple(found))

    async def _priced(self, served: ModelStatus, offer: Offer) -> ModelStatus:
        """With the price of one square picture of medium quality."""
        request = ImageRequest(prompt="a red square", model=served.model, size="square", quality="medium")
        if served.gone:
            return served
        try:
            micros = await self.estimate(offer.fit(request), 1)
        except ModelRetired:
            return replace(served, gone=True)
        except (Unsupported, ProviderError):
            return served
        return served if micros is None else replace(served, price=Money(micros))


@dataclass(frozen=True, slots=True)
class ListedModels:
    """The list of models by id, without a service's prefix; `whole` unless there is another page."""

    models: Mapping[str, Mapping[str, Any]]
    whole: bool


def listed_in(answer: Answer | None) -> ListedModels | None:
    """The models that are served; None where the answer is no list."""
    body = answer.json() if answer is not None and answer.good else None
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list):
        return None
    named = [item for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)]
    whole = bool(named) and isinstance(body, dict) and not (body.get("has_more") or body.get("next_page_url"))
    return ListedModels({item["id"].rpartition("/")[2]: item for item in named}, whole)


def _served(model: str, offer: Offer, listed: ListedModels | None) -> ModelStatus:
    item = listed.models.get(offer.model) if listed else None
    if item is not None:
        return ModelStatus(model=model, gone=False, until=_day(item.get("shutdown_date")))
    return ModelStatus(model=model, gone=True if listed and listed.whole else None)


def _day(value: Any) -> date | None:
    """OpenAI's own list has such a day; whether it is handed on is told nowhere."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _works(listing: Answer | None, balance: Answer | None, listed: ListedModels | None) -> bool | None:
    if any(answer is not None and answer.status in (401, 403) for answer in (listing, balance)):
        return False
    return True if listed is not None or left_in(balance) else None


def _trouble(listing: Answer | None) -> str:
    return "no answer" if listing is None else f"the list of models: {listing.status}"


def left_in(answer: Answer | None) -> str:
    """What is left, for the operator: "$12.30 left"; empty where the answer does not say."""
    body = answer.json() if answer is not None and answer.good else None
    if not isinstance(body, dict):
        return ""
    available = body.get("available")
    amount = decimal(available.get("amount")) if isinstance(available, dict) else None
    if amount is not None and abs(amount) < MOST_LEFT:
        return f"${max(amount, 0):,.2f} left"
    return "billed afterwards" if body.get("billing_type") == "postpaid" else ""
