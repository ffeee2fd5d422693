"""What fal's platform says of the models and of the key (https://docs.fal.ai/platform-apis). It costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from bot.catalog.offers import Offer
from bot.catalog.refusals import Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import ProviderBusy, ProviderError, ProviderMisconfigured
from bot.domain.money import Money
from bot.domain.providers import KeyState, ModelStatus, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.net.http import json_of
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import error_from
from bot.providers.fal.schemas import ModelPage, PlatformError, parsed, valid
from bot.providers.shared.http import key_state

GONE = {"active": False, "deprecated": True}


class _ListRefused(Exception):
    """The platform does not list the models."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Models:
    """Asks the platform which of our models are still served."""

    def __init__(self, client: FalClient, api_url: str, offers: Mapping[str, Offer], clock: Clock) -> None:
        self._client = client
        self._api_url = api_url
        self._offers = offers
        self._clock = clock

    async def check_health(self, provider: str) -> ProviderHealth:
        """As `Provider.check_health`. Prices are the catalogue's: fal's one unit price per model says little."""
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
        statuses = tuple(
            ModelStatus(model=name, gone=gone.get(offer.model), price=_price(name, offer))
            for name, offer in self._offers.items()
        )
        return ProviderHealth(provider=provider, key=key, detail=detail, models=statuses)

    async def _gone(self, endpoints: Sequence[str]) -> dict[str, bool | None]:
        states = await self._states(endpoints)
        if states is None:
            # The platform may reject the whole list for one unknown endpoint: ask for each.
            states = {}
            for endpoint in endpoints:
                states |= await self._states([endpoint]) or {}
        return {endpoint: GONE.get(states[endpoint]) if endpoint in states else True for endpoint in endpoints}

    async def _states(self, endpoints: Sequence[str]) -> dict[str, str] | None:
        """The state of each listed endpoint; None where the platform does not know one of them."""
        query = "&".join(f"endpoint_id={endpoint}" for endpoint in endpoints)
        response = await self._client.request("GET", f"{self._api_url}/models?{query}")
        if response.status_code == 404 and valid(PlatformError, json_of(response)) is not None:
            return None
        if not response.is_success:
            raise _ListRefused(response)
        page = parsed(ModelPage, response)
        listed = {model.endpoint_id: model.metadata.status for model in page.models} if page else {}
        # A page with none of our endpoints, or with others, says nothing of any.
        if not listed or not set(listed) <= set(endpoints):
            raise ProviderBusy(detail=f"models {response.status_code}, garbled")
        return listed


def _price(name: str, offer: Offer) -> Money | None:
    request = ImageRequest(prompt="one", model=name, size="square", quality="medium")
    try:
        return offer.translate(request).likely_cost(1)
    except Unsupported:
        return None
