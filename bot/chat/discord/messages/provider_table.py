"""What moderators read about the services and their order."""

from __future__ import annotations

from collections.abc import Sequence

from bot.chat.discord.messages.content import join_lines
from bot.domain.providers import ModelProviders, ProviderOrder


def provider_table(offers: Sequence[ModelProviders]) -> str:
    """The answer to `/moderate services`: each model, who paints it in which order, until when, for how much."""
    lines = ["**Who paints, in the order in which they are asked**"]
    for offer in offers:
        services = " → ".join(f"{service(name)}{_resting(state)}" for name, state in offer.services)
        own = " (set here)" if offer.own else ""
        price = f" · a medium square at most {offer.price}" if offer.price else ""
        lines.append(f"- **{offer.label}**: {services or 'switched off'}{own}{price}")
    return join_lines([*lines, "-# Change it with `/moderate model`."])


def _resting(state: str) -> str:
    return {"well": "", "resting": " (not answering)", "locked": " (needs its operator)"}[state]


def provider_order_text(label: str, route: ProviderOrder | None, former: ProviderOrder | None) -> str:
    """The answer to `/moderate model`: what holds now, and what did before."""
    if route == former or (route and former and route.services == former.services):
        return f"Nothing has changed: {label} {_ways(route)}."
    undo = former.services if former else ("default",)
    again = f"-# Undo: `/moderate model model: {label} services: {', '.join(undo) or 'off'}`"
    return f"{label} {_ways(route)}. Before, it {_ways(former, was=True)}.\n{again}"


def _ways(route: ProviderOrder | None, *, was: bool = False) -> str:
    if route is not None and not route.services:
        return "was switched off here" if was else "is switched off here"
    order = "Easel’s own order" if route is None else ", then ".join(service(name) for name in route.services)
    return (
        f"{'was' if was else 'is now'} painted by {order}" if route else f"{'kept' if was else 'keeps'} to {order}"
    )


def service(name: str) -> str:
    """A service's name as its people write it."""
    return {"lumenfall": "Lumenfall", "oxen": "Oxen"}.get(name, name)
