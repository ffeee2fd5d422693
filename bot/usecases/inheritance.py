"""What an edit takes over from the request that made its picture, as far as it can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bot.domain.requests import ImageRequest

PLAIN = ImageRequest(prompt="", model="")
"""Its options are those that nobody has chosen."""
LEFT_OUT = "was left out"
"""Stands in a clause about an option that was not taken over."""
OPTIONS = {"background": "background", "output_format": "format", "size": "size", "quality": "quality"}
"""The inherited options and their words. The model is inherited too, and a picture that was hidden stays so."""


def inherit(
    edit: ImageRequest,
    made_by: ImageRequest,
    can_do: Callable[[ImageRequest], bool],
    label: Callable[[str], str],
) -> ImageRequest:
    """The edit with the options of `made_by` that it has not chosen itself, and what was left out as `fallbacks`.

    `can_do` says whether a request can be done; `label` is a model's, the default one's for an empty name.
    """
    options: dict[str, Any] = {
        name: getattr(made_by, name) for name in OPTIONS if getattr(edit, name) == getattr(PLAIN, name)
    }
    edit = replace(edit, spoiler=edit.spoiler or made_by.spoiler)
    found = replace(edit, model=edit.model or made_by.model)
    whole = replace(found, **options)
    if can_do(whole):
        return whole
    fallbacks = []
    if not can_do(found):
        found = edit
        fallbacks.append(f"{label(made_by.model)} cannot do this edit, so {label(edit.model)} does")
    for name, value in options.items():
        more = replace(found, **{name: value})
        if can_do(more):
            found = more
        else:
            fallbacks.append(f"the {value} {OPTIONS[name]} {LEFT_OUT}: {label(found.model)} has none for edits")
    return replace(found, fallbacks=tuple(fallbacks))
