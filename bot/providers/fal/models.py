"""What fal's platform says of the models and of the key (https://docs.fal.ai/platform-apis). It costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.catalog.offers import Offer, Unsupported
from bot.domain.clock import Clock
from bot.domain.errors import ProviderError, ProviderMisconfigured
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import refusal
from bot.providers.fal.schemas import Models, PlatformError, parsed, valid
from bot.providers.shared.http import AnswerLost

GONE = {"active": False, "deprecated": True}


class Platform:
    """Asks which of our models are still served."""

    def __init__(self, line: FalClient, api_url: str, offers: Mapping[str, Offer], clock: Clock) -> None:
        self._line = line
        self._api_url = api_url
        self._offers = offers
        self._clock = clock

    async def examine(self, provider: str) -> ProviderHealth:
        """See `Provider.examine`. The prices are the catalogue's: fal's one unit price per model says little."""
        works: bool | None = None
        detail = ""
        gone: dict[str, bool | None] = {}
        try:
            gone = await self._gone([offer.model for offer in self._offers.values()])
            works = True
        except ProviderMisconfigured as error:
            works, detail = False, error.detail
        except ProviderError as error:
            detail = error.detail
        served = tuple(
            ModelStatus(model=name, gone=gone.get(offer.model), price=_price(name, offer))
            for name, offer in self._offers.items()
        )
        return ProviderHealth(provider=provider, key_works=works, detail=detail, models=served)

    async def _gone(self, endpoints: Sequence[str]) -> dict[str, bool | None]:
        states = await self._states(endpoints)
        if states is None:
            # One that is not known may spoil the answer for all.
            states = {}
            for endpoint in endpoints:
                states |= await self._states([endpoint]) or {}
        return {endpoint: GONE.get(states[endpoint]) if endpoint in states else True for endpoint in endpoints}

    async def _states(self, endpoints: Sequence[str]) -> dict[str, str] | None:
        """The state of each that is listed; None where the platform knows one of them not at all."""
        query = "&".join(f"endpoint_id={endpoint}" for endpoint in endpoints)
        answer = await self._line.ask("GET", f"{self._api_url}/models?{query}")
        if answer.status == 404 and valid(PlatformError, answer.json()) is not None:
            return None
        if not answer.good:
            raise refusal(answer, self._clock.now())
        page = parsed(Models, answer)
        # A page without any of them is no word of one.
        if (
            page is None
            or not page.models
            or not {listing.endpoint_id for listing in page.models} <= set(endpoints)
        ):
            raise AnswerLost(detail=f"models {answer.status}, garbled")
        return {listing.endpoint_id: listing.metadata.status for listing in page.models}


def _price(name: str, offer: Offer) -> Money | None:
    plain = ImageRequest(prompt="one", model=name, size="square", quality="medium")
    try:
        return Money(offer.fit(plain).likely(1))
    except Unsupported:
        return None
