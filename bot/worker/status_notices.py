"""Tells the operator, once, where a provider's own prices and schema are not what the catalogue says.

A note in the database remembers what was told, so that a restart does not say it again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from bot.catalog.live import differ, differences, missing_fields, unbelievable
from bot.catalog.offers import Offer
from bot.domain.providers import ModelStatus, PriceTable
from bot.ports import Database
from bot.storage import notes

log = logging.getLogger(__name__)
_SHOWN = 5
_Told = TypeAdapter(dict[str, int])


async def tell_operator(
    database: Database, model: str, offer: Offer, status: ModelStatus, told: PriceTable
) -> None:
    """Log what is new; `status` is what is known of the model by now, `told` are the prices as just told."""
    place = f"{model} at {offer.provider}"
    found = differences(offer, status.prices)
    prices = {each.cell: each.told.micros for each in found}
    if await _is_news(database, f"told prices: {place}", prices):
        first, more = found[0], len(found) - 1
        log.warning(
            "%s: one picture (%s) costs %s by the service's own price list and %s by the catalogue%s; "
            "the service's price counts",
            place,
            first.cell,
            first.told.precise,
            first.catalogue.precise,
            f", and {more} more of its prices differ" if more else "",
        )
    wrong = unbelievable(offer, told)
    if told and await _is_news(database, f"told nonsense: {place}", dict.fromkeys(wrong, 0)):
        log.warning(
            "%s: the service tells prices that cannot be true (%s); they do not count", place, _some(wrong)
        )
    missing = missing_fields(offer, status)
    if await _is_news(database, f"told fields: {place}", dict.fromkeys(missing, 0)):
        log.warning("%s: its schema has no %s any more, which Easel leaves out", place, _some(missing))


async def _is_news(database: Database, name: str, found: Mapping[str, int]) -> bool:
    """Whether there is anything that the note does not hold already; the note is brought up to date.

    A price is news as well where it is by more than a tenth another than the one that was told.
    """
    content = await database.read(notes.read(name))
    known = _known(content)
    news = {key: price for key, price in found.items() if key not in known or differ(price, known[key])}
    kept = {key: known[key] for key in found if key in known}
    if kept | news == known:
        return False
    await database.write(notes.write(name, json.dumps(kept | news)) if found else notes.remove(name))
    return bool(news)


def _known(content: str | None) -> dict[str, int]:
    """What was told before; nothing where the note cannot be read."""
    try:
        return _Told.validate_json(content or "{}")
    except ValidationError:
        return {}


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
