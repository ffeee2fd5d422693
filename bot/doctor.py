"""`python -m bot doctor`: looks at everything that a start needs, and says what to do where something is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from bot import app
from bot.app import App
from bot.catalog.catalog import Model
from bot.catalog.offers import Unsupported
from bot.chat.discord.client import invite_link, log_in
from bot.domain.money import Money
from bot.domain.providers import ModelStatus, ProviderHealth
from bot.domain.requests import ImageRequest
from bot.providers.health import examine
from bot.settings import Settings

HEAD = 11
"""Characters of the first column."""
USED_UP = re.compile(r"\$?0+(\.0+)? (credits )?left")
FORBIDDEN = re.compile(r"\b40[23]\b|locked|balance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where an operator finds a service's key and its bill, and where its key and address are set."""

    name: str
    page: str
    key: str
    address: str


ACCOUNTS = {
    "fal": Account(name="fal", page="https://fal.ai/dashboard", key="FAL_KEY", address="fal_api_url"),
    "lumenfall": Account(
        name="Lumenfall", page="https://lumenfall.ai", key="LUMENFALL_API_KEY", address="lumenfall_base_url"
    ),
    "oxen": Account(name="Oxen", page="https://www.oxen.ai", key="OXEN_API_KEY", address="oxen_base_url"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `rows` are set below it in columns; `advice` is given where it is wrong."""

    head: str
    text: str
    rows: Sequence[tuple[str, str, str]] = ()
    advice: str = ""


async def look(settings: Settings) -> bool:
    """Print what was found; whether there is nothing to do.

    Raises:
        SetupError: something cannot work as it is set.
    """
    async with app.open_app(settings) as opened:
        found = [
            Finding(head="settings", text="in order"),
            Finding(head="database", text=f"{settings.database_path}, up to date"),
            *_services(opened, await examine(opened.services), datetime.now(UTC).date()),
        ]
        for line in _lines(found):
            print(line)
        await log_in(opened.client, settings.discord_token)
        print(f"{'Discord':{HEAD}}logged in as {opened.client.user}")
        print(f"{'invite':{HEAD}}{invite_link(opened.client.application_id or 0)}")
    return not any(finding.advice for finding in found)


def _lines(found: Sequence[Finding]) -> Iterator[str]:
    rows = [row for finding in found for row in finding.rows]
    names, prices = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for finding in found:
        yield f"{finding.head:{HEAD}}{finding.text}"
        for name, price, state in finding.rows:
            yield f"{'':{HEAD + 2}}{name:{names}}  {price:{prices}}  {state}"
        if finding.advice:
            yield f"{'':{HEAD}}-> {finding.advice}"


def _services(opened: App, examinations: Sequence[ProviderHealth], today: date) -> Iterator[Finding]:
    if any(examination.key_works for examination in examinations):
        yield Finding(head="prices", text="of one square picture of medium quality, at each service")
    for examination in examinations:
        opened.routes.refresh(examination)
        yield _service(opened, examination, today)
    missing = [account.name for name, account in ACCOUNTS.items() if name not in opened.services]
    if missing:
        yield Finding(head="not set up", text=", ".join(missing))
    if all(examination.key_works is False for examination in examinations):
        yield Finding(head="default", text="nobody can paint until a key works")
    else:
        yield _default(opened)
    for notice in opened.catalog.notices(today, [model.name for model in opened.routes.offered()]):
        yield Finding(head="soon", text=notice)


def _service(opened: App, examination: ProviderHealth, today: date) -> Finding:
    account = ACCOUNTS[examination.provider]
    if examination.key_works is None:
        host = urlsplit(getattr(opened.settings, account.address)).netloc
        return Finding(
            head=account.name,
            text=f"could not be asked: {examination.detail or 'no answer'}",
            advice=f"Ask again in some minutes. If it lasts, see whether this machine can reach {host}.",
        )
    if not examination.key_works:
        advice = f"Make a new key at {account.page} and put it into {account.key}."
        if FORBIDDEN.search(examination.detail):
            advice = f"See at {account.page} whether something is left there, and what the key may do."
        detail = f": {examination.detail}" if examination.detail else ""
        return Finding(head=account.name, text=f"does not take its key{detail}", advice=advice)
    said = {served.model: served for served in examination.models}
    models = [model for model in opened.catalog.models if examination.provider in model.provider_names]
    return Finding(
        head=account.name,
        text=f"its key works{', ' if examination.detail else ''}{examination.detail}",
        rows=[_row(model, examination.provider, said.get(model.name), opened, today) for model in models],
        advice=f"Top it up at {account.page}." if USED_UP.fullmatch(examination.detail) else "",
    )


def _row(
    model: Model, provider: str, served: ModelStatus | None, opened: App, today: date
) -> tuple[str, str, str]:
    """The model, its price and how it stands there."""
    gone = served.gone if served else None
    if gone:
        return model.label, "", "gone"
    state = "served" if gone is False else "perhaps served"
    until = (served.until if served else None) or model.sunset_at
    if until is not None:
        word = " until" if until >= today else ", was to end on"
        state += f"{word} {until.day} {until:%B} {until.year}"
    return model.label, _price(model, provider, served, opened), state


def _price(model: Model, provider: str, served: ModelStatus | None, opened: App) -> str:
    if served is not None and served.price is not None:
        return str(served.price)
    request = ImageRequest(prompt="a picture", model=model.name, size="square")
    try:
        return f"at most {Money(opened.catalog.offer(model.name, provider).fit(request, served).most())}"
    except Unsupported:
        return "not known"


def _default(opened: App) -> Finding:
    """Who paints for somebody who names no model."""
    catalog, routes = opened.catalog, opened.routes
    model = catalog.model(catalog.canonical(opened.settings.default_model))
    if services := routes.services(model):
        names = ", then ".join(ACCOUNTS[name].name for name in services)
        return Finding(head="default", text=f"{model.label}, painted by {names}")
    successor = catalog.model(routes.resolve(model.name))
    if successor.name != model.name:
        return Finding(
            head="default",
            text=f"{model.label} is gone; {successor.label} paints in its place",
            advice=f"Put {successor.name} into DEFAULT_MODEL.",
        )
    usable = ", ".join(other.name for other in routes.offered())
    advice = f"Put one of these into DEFAULT_MODEL: {usable}." if usable else "Set up another service."
    return Finding(head="default", text=f"{model.label} is gone, and nothing paints in its place", advice=advice)
