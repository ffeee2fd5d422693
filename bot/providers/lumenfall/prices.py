"""Lumenfall's own prices: a dry run of a picture in each quality and size that the catalogue has a price for.

https://docs.lumenfall.ai/cost-estimation: a dry run is free. What it tells is the price of the whole request, of
which a prompt of three words is next to nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import log
from typing import cast

from bot.catalog.offers import Offer, ProviderRequest
from bot.catalog.refusals import Unsupported
from bot.catalog.sizes import TIERS, parse_pixels
from bot.domain.errors import ModelRetired, ProviderBusy, ProviderError, RateLimited, RequestRejected
from bot.domain.money import Money
from bot.domain.providers import PriceTable
from bot.domain.requests import ImageRequest, Quality

AT_ONCE = 4
"""Dry runs at the same time."""
EACH = 5.0
"""Seconds that one may take."""
ALL = 15.0
"""Seconds for all of them; what is not told by then stays as it was known before."""
MOST_FAILURES = 3
"""Dry runs without a clear response, after which no more are sent."""
_NEARLY = 0.03
"""How far a size may be from the one that the catalogue prices."""

Estimate = Callable[[ProviderRequest], Awaitable[Money | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    model: str
    quality: str
    size: str
    request: ProviderRequest


@dataclass(slots=True)
class DryRuns:
    """What one round of dry runs tells."""

    estimate: Estimate
    prices: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """By our name of the model."""
    gone: set[str] = field(default_factory=set)
    """Models that Lumenfall says it does not have."""
    _failures: int = 0

    async def run(self, offers: Mapping[str, Offer]) -> None:
        """Ask for every price of these offers, the one of a square picture of medium quality first."""
        cells = [cell for model, offer in offers.items() for cell in _cells(model, offer)]
        cells.sort(key=lambda cell: (cell.quality not in ("medium", "any"), cell.size not in ("1024x1024", "1k")))
        left = iter(cells)
        with suppress(TimeoutError):
            async with asyncio.timeout(ALL), asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._work_off(left))

    def table(self, model: str) -> PriceTable:
        """The prices of one model."""
        return self.prices.get(model, {})

    async def _work_off(self, cells: Iterator[_Cell]) -> None:
        for cell in cells:
            if self._failures >= MOST_FAILURES:
                return
            if cell.model not in self.gone:
                await self._ask(cell)

    async def _ask(self, cell: _Cell) -> None:
        try:
            async with asyncio.timeout(EACH):
                price = await self.estimate(cell.request)
        except ModelRetired:
            self.gone.add(cell.model)
        except (ProviderBusy, TimeoutError) as error:
            self._failures += MOST_FAILURES if isinstance(error, RateLimited) else 1
        except RequestRejected:
            return  # this size or quality is not to be had by now
        except ProviderError:
            self._failures = MOST_FAILURES
        else:
            if price is not None:
                self.prices.setdefault(cell.model, {}).setdefault(cell.quality, {})[cell.size] = price.micros


def _cells(model: str, offer: Offer) -> Iterator[_Cell]:
    """The prices that a dry run can tell, each request once."""
    seen = set()
    for quality, row in offer.prices.table.items():
        for size in row:
            # The only price of a row is that of every size.
            flat = len(row) == 1 and offer.prices.megapixel is None
            request = (
                _translated(model, offer, quality, "square") if flat else _request(model, offer, quality, size)
            )
            if request is None:
                continue
            wire = json.dumps(request.body(1), sort_keys=True)
            if wire not in seen:
                seen.add(wire)
                yield _Cell(model=model, quality=quality, size=size, request=request)


def _request(model: str, offer: Offer, quality: str, size: str) -> ProviderRequest | None:
    """One picture of this quality and size; None where the provider paints none, or tells no such price."""
    if offer.prices.megapixel is not None:
        return _translated(model, offer, "any", "1024x1024") if size == "first" else None
    if size in TIERS:
        return _translated(model, offer, quality, f"square {size}")
    request = _translated(model, offer, quality, size)
    shape = request.size.shape if request is not None else None
    near = shape is not None and shape.exact and abs(log(shape.area / parse_pixels(size).area)) < _NEARLY
    return request if near else None


def _translated(model: str, offer: Offer, quality: str, size: str) -> ProviderRequest | None:
    words: tuple[Quality, ...] = ("medium", "auto") if quality == "any" else (cast("Quality", quality),)
    for word in words:
        with suppress(Unsupported):
            found = offer.translate(ImageRequest(prompt="a red square", model=model, size=size, quality=word))
            if quality in ("any", found.quality):
                return found
    return None
