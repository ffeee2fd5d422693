"""`python -m bot doctor`: checks everything that a start needs, and says what to do where something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bot import app
from bot.app import App
from bot.catalog.catalog import Model
from bot.catalog.summary import told_price
from bot.chat.discord.client import invite_link, log_in
from bot.columns import GAP, Columns, ago
from bot.domain.clock import elapsed
from bot.domain.providers import KeyState, ProviderHealth
from bot.providers.health import check_health
from bot.providers.registry import LABELS, SPECS
from bot.routing.succession import resolve_model
from bot.settings import Settings

FIRST_COLUMN = 11
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked. `rows` are printed below it in columns; `advice` says how to put it right."""

    title: str
    text: str
    rows: Sequence[tuple[str, str, str]] = ()
    advice: str = ""


async def look(settings: Settings) -> bool:
    """Print the findings; whether there is nothing to do.

    Raises:
        SetupError: something cannot work as it is set.
    """
    async with app.open_app(settings) as opened:
        findings = [
            Finding(title="settings", text="in order"),
            Finding(title="database", text=f"{settings.database_url.path}, up to date"),
            *_services(opened, await check_health(opened.providers), datetime.now(UTC).date()),
        ]
        for line in _lines(findings):
            print(line)
        await log_in(opened.client, settings.discord_token)
        print(f"{'Discord':{FIRST_COLUMN}}logged in as {opened.client.user}")
        print(f"{'invite':{FIRST_COLUMN}}{invite_link(opened.client.application_id or 0)}")
    return not any(finding.advice for finding in findings)


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    columns = Columns.of([row for finding in findings for row in finding.rows], indent=FIRST_COLUMN + len(GAP))
    for finding in findings:
        yield f"{finding.title:{FIRST_COLUMN}}{finding.text}"
        for row in finding.rows:
            yield from columns.lines(row)
        if finding.advice:
            yield f"{'':{FIRST_COLUMN}}-> {finding.advice}"


def _services(opened: App, healths: Sequence[ProviderHealth], today: date) -> Iterator[Finding]:
    if any(health.key is KeyState.WORKS for health in healths):
        yield Finding(title="prices", text="of one square picture of medium quality, at each service")
    for health in healths:
        opened.router.refresh(health)
        yield _service(opened, health, today)
    missing = [label for name, label in LABELS.items() if name not in opened.providers]
    if missing:
        yield Finding(title="not set up", text=", ".join(missing))
    if all(health.key.is_refusal for health in healths):
        yield Finding(title="default", text="no service can paint until a key works")
    else:
        yield _default(opened)
    for notice in opened.catalog.notices(today, [model.name for model in opened.router.offered_models()]):
        yield Finding(title="soon", text=notice)


def _service(opened: App, health: ProviderHealth, today: date) -> Finding:
    spec = SPECS[health.provider]
    refused = f"does not take its key{': ' if health.detail else ''}{health.detail}"
    match health.key:
        case KeyState.UNKNOWN:
            host = spec.host(opened.settings)
            return Finding(
                title=spec.label,
                text=f"could not be asked: {health.detail or 'no answer'}",
                advice=f"Ask again in some minutes. If it lasts, see whether this machine can reach {host}.",
            )
        case KeyState.FORBIDDEN:
            page = spec.account_page
            advice = f"See at {page} whether something is left there, and what the key may do."
            return Finding(title=spec.label, text=refused, advice=advice)
        case KeyState.REFUSED:
            advice = f"Make a new key at {spec.account_page} and put it into {spec.key_variable}."
            return Finding(title=spec.label, text=refused, advice=advice)
    models = [model for model in opened.catalog.models if health.provider in model.providers]
    return Finding(
        title=spec.label,
        text=f"its key works{', ' if health.detail else ''}{health.detail}",
        rows=[_row(model, health.provider, opened, today) for model in models],
        advice=f"Top it up at {spec.account_page}." if health.balance_used_up else "",
    )


def _row(model: Model, provider: str, opened: App, today: date) -> tuple[str, str, str]:
    """The model, its price, and whether it is served."""
    status = opened.router.status(provider, model.name)
    gone = status.gone if status else None
    if gone:
        return model.label, "", "gone"
    state = "served" if gone is False else "perhaps served"
    until = (status.available_until if status else None) or model.sunset_at
    if until is not None:
        word = " until" if until >= today else ", was to end on"
        state += f"{word} {until.day} {until:%B} {until.year}"
    price = told_price(model.offer(provider), status)
    if price is not None and price.told_at is not None:
        told = ago(elapsed(price.told_at, opened.clock.now()))
        state += f", price told{told}" if told else ""
    return model.label, "not known" if price is None else str(price), state


def _default(opened: App) -> Finding:
    """What paints a request that names no model."""
    catalog, router = opened.catalog, opened.router
    usable = router.offered_models()
    if opened.settings.default_model or not usable:
        model = catalog.model(catalog.canonical(opened.settings.default_model or catalog.models[0].name))
    else:
        model = usable[0]
    if services := router.providers(model):
        names = ", then ".join(LABELS[name] for name in services)
        return Finding(title="default", text=f"{model.label}, painted by {names}")
    successor = catalog.model(resolve_model(router, model.name))
    if successor.name != model.name:
        return Finding(
            title="default",
            text=f"{model.label} is gone; {successor.label} paints in its place",
            advice=f"Put {successor.name} into DEFAULT_MODEL.",
        )
    names = ", ".join(other.name for other in usable)
    advice = f"Put one of these into DEFAULT_MODEL: {names}." if names else "Set up another service."
    return Finding(title="default", text=f"{model.label} is gone, and nothing paints in its place", advice=advice)
