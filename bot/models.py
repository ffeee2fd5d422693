"""`python -m bot models`: which models there are, what they cost, and whether an operator's own are in order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

from bot.catalog.catalog import Catalog, Model
from bot.catalog.changes import changes
from bot.catalog.json_schema import catalog_json_schema
from bot.catalog.live import live_offer
from bot.catalog.offers import Offer
from bot.catalog.summary import abilities, told_price
from bot.columns import TOGETHER, Columns, ago
from bot.domain.clock import Instant, elapsed, real_time
from bot.domain.money import Money
from bot.domain.providers import ModelStatus
from bot.providers.registry import LABELS, SPECS, catalog_for
from bot.settings import Settings
from bot.storage import model_statuses
from bot.storage.looking import look_into

Statuses = Mapping[tuple[str, str], ModelStatus]
"""What a provider last said of a model, by the names of both."""

CAPTION = "The price of one square picture of medium quality."
HEADINGS = ("service", "price", "from", "state", "last day", "what it can do")
INDENT = 2
NARROWEST, WIDEST, USUAL = 80, 120, 100
"""Characters of a line: the least, the most, and where the output is no terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A model at a service, as an operator reads it."""

    model: Model
    service: str
    price: Money | None
    """Of one square picture of medium quality."""
    source: str
    """Whose price that is: the catalogue's, the service's, or assumed."""
    state: str
    last_day: date | None
    abilities: tuple[str, ...]
    remark: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of `HEADINGS`."""
        day = f"{self.last_day.day} {self.last_day:%b %Y}" if self.last_day else ""
        phrases = (*filter(None, [self.remark]), *self.abilities)
        words = ", ".join(phrase.replace(" ", TOGETHER) for phrase in phrases)
        return (self.service, self.price.precise if self.price else "?", self.source, self.state, day, words)


def rows(
    catalog: Catalog,
    statuses: Statuses,
    keys: Collection[str],
    off: Collection[tuple[str, str]] = (),
    now: Instant | None = None,
) -> list[Row]:
    """A row for each model at each service, in the catalogue's order.

    `keys` are the providers that have one; `off` the pairs of provider and model that the operator does not use.
    With `now` a row says how long ago the service told its price.
    """
    found = []
    for model in catalog.models:
        for offer in model.offers:
            pair = (offer.provider, model.name)
            status = statuses.get(pair)
            has_key = offer.provider in keys
            state = "off" if pair in off else _state(status, has_key=has_key)
            found.append(_row(model, offer, status, state, now))
    return found


def _row(model: Model, offer: Offer, status: ModelStatus | None, state: str, now: Instant | None) -> Row:
    price = told_price(offer, status)
    source = "assumed" if offer.assumed_price else "catalogue"
    if price is not None and price.told_at is not None:
        source = f"service{ago(elapsed(price.told_at, now)) if now is not None else ''}"
    differs = price is not None and price.differs and price.catalogue is not None
    return Row(
        model=model,
        service=LABELS[offer.provider],
        price=price.price if price is not None else None,
        source=source,
        state=state,
        last_day=(status.available_until if status else None) or model.sunset_at,
        abilities=abilities(live_offer(offer, status) if status is not None else offer),
        remark=f"the catalogue has {price.catalogue.precise}" if price and price.catalogue and differs else "",
    )


def _state(status: ModelStatus | None, *, has_key: bool) -> str:
    if status is not None and status.gone:
        return "gone"
    if not has_key:
        return "no key"
    return "not asked" if status is None or status.gone is None else "served"


def lines(found: Sequence[Row], total: int) -> Iterator[str]:
    """The rows as a table, those of a model below its label and its name; `total` is in characters."""
    columns = Columns.of([HEADINGS, *(row.cells for row in found)], indent=INDENT, total=total)
    yield CAPTION
    yield from columns.lines(HEADINGS)
    for model, group in groupby(found, key=lambda row: row.model):
        yield f"{model.label} ({model.name})"
        for row in group:
            yield from columns.lines(row.cells)


def show(settings: Settings, names: Sequence[str] = ()) -> None:
    """Print what these settings make of the catalogue; of these models only, where there are any.

    Raises:
        SetupError: a catalogue file is wrong, or the database cannot be read.
        UnsupportedRequest: there is no such model.
    """
    catalog = catalog_for(settings)
    keys = [name for name, spec in SPECS.items() if spec.key(settings) is not None]
    found = rows(catalog, last_told(settings.database_url.path), keys, _off(settings, catalog), real_time())
    if names:
        wanted = [catalog.model(catalog.canonical(name)) for name in names]
        found = [row for row in found if row.model in wanted]
    width = shutil.get_terminal_size((USUAL, 0)).columns
    for line in lines(found, min(max(width, NARROWEST), WIDEST)):
        print(line)


def last_told(database: Path) -> Statuses:
    """What the providers last said, as a bot that ran here has written it down."""
    return look_into(database, model_statuses.all_statuses()) or {}


def _off(settings: Settings, catalog: Catalog) -> set[tuple[str, str]]:
    """The pairs of provider and model that MODELS or SERVICE_ORDER leaves out."""
    return {
        (provider, model.name)
        for model in catalog.models
        for provider in model.providers
        if (settings.models and model.name not in settings.models)
        or provider not in settings.service_order.get(model.name, model.providers)
    }


def check(files: Sequence[Path]) -> None:
    """Print what these files change, one laid over the other over Easel's own catalogue.

    Raises:
        SetupError: one of them is wrong; one line for each mistake.
    """
    built_in = Catalog.load()
    found = list(changes(built_in, Catalog.load(files, SPECS), LABELS))
    print("No mistake, and nothing changes." if not found else "No mistake. Laid over Easel's own catalogue:")
    for change in found:
        print(f"  {change}")


def print_schema() -> None:
    """Print the JSON Schema of a catalogue file."""
    print(json.dumps(catalog_json_schema(list(SPECS)), indent=2))
