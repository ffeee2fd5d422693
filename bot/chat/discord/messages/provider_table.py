"""What `/moderate services` and `/moderate model` answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from bot.chat.discord.messages.content import MAX_CONTENT, join_lines
from bot.chat.discord.messages.notices import with_notices
from bot.domain.providers import ModelProviders, ProviderOrder, ProviderState

STATE_NOTES: Mapping[ProviderState, str] = {
    ProviderState.AVAILABLE: "",
    ProviderState.PAUSED: " (not answering)",
    ProviderState.MISCONFIGURED: " (needs its operator)",
}
MORE_MODELS = "-# And {} more: `/moderate model` finds them by name."


def provider_table(models: Sequence[ModelProviders], notices: Sequence[str] = ()) -> str:
    """The answer to `/moderate services`: each model with its price and its services, and the notices below.

    Of more models than fit into a message the last ones are counted.
    """
    head = [
        "**Models, and who paints them**",
        "-# The price is that of a medium square, at most. Services are asked from left to right.",
    ]
    change = "-# Change it with `/moderate model`."
    tail = with_notices(change, notices)
    rows = [_model_rows(model) for model in models]
    room = MAX_CONTENT - len("\n".join([*head, MORE_MODELS.format(len(models)), tail]))
    shown = sum(used <= room for used in accumulate(len(row) + 1 for row in rows))
    more = [MORE_MODELS.format(len(rows) - shown)] if shown < len(rows) else []
    return join_lines([*head, *rows[:shown], *more, tail])


def _model_rows(model: ModelProviders) -> str:
    """Two short lines, which a phone does not wrap."""
    services = " → ".join(f"{provider.label}{STATE_NOTES[provider.state]}" for provider in model.providers)
    price = f" · {model.price}" if model.price else ""
    own = " (set here)" if model.set_here else ""
    return f"**{model.label}**{price}\n-# {services or 'switched off'}{own}"


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
