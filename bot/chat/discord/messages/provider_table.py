"""What `/moderate services` and `/moderate model` answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.chat.discord.messages.content import join_lines
from bot.domain.providers import ModelProviders, ProviderOrder, ProviderState

STATE_NOTES: Mapping[ProviderState, str] = {
    ProviderState.AVAILABLE: "",
    ProviderState.PAUSED: " (not answering)",
    ProviderState.MISCONFIGURED: " (needs its operator)",
}


def provider_table(models: Sequence[ModelProviders]) -> str:
    """The answer to `/moderate services`: for each model its services in order, and its price."""
    lines = ["**Who paints, in the order in which they are asked**"]
    for model in models:
        services = " → ".join(f"{provider.label}{STATE_NOTES[provider.state]}" for provider in model.providers)
        own = " (set here)" if model.set_here else ""
        price = f" · a medium square at most {model.price}" if model.price else ""
        lines.append(f"- **{model.label}**: {services or 'switched off'}{own}{price}")
    return join_lines([*lines, "-# Change it with `/moderate model`."])


def provider_order_text(
    model_label: str, order: ProviderOrder | None, former: ProviderOrder | None, labels: Mapping[str, str]
) -> str:
    """The answer to `/moderate model`: the order from now on, and the former one. `labels` are the providers'."""
    if order == former or (order and former and order.providers == former.providers):
        return f"Nothing has changed: {model_label} {_painted_by(order, labels)}."
    undo = former.providers if former else ("default",)
    again = f"-# Undo: `/moderate model model: {model_label} services: {', '.join(undo) or 'off'}`"
    now, before = _painted_by(order, labels), _painted_by(former, labels, was=True)
    return f"{model_label} {now}. Before, it {before}.\n{again}"


def _painted_by(order: ProviderOrder | None, labels: Mapping[str, str], *, was: bool = False) -> str:
    if order is None:
        return f"{'kept' if was else 'keeps'} to Easel's own order"
    if not order.providers:
        return "was switched off here" if was else "is switched off here"
    services = ", then ".join(labels.get(name, name) for name in order.providers)
    return f"{'was' if was else 'is now'} painted by {services}"
