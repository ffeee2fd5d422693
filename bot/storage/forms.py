"""Open edit forms, as units: each is a note until it is too old to be submitted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from bot.domain.forms import Form
from bot.domain.requests import Source
from bot.ports import Unit
from bot.storage import notes

MAX_FORMS = 10_000
"""How many forms are kept; the oldest go first."""
_FORM = "form:"


def keep(form: Form, oldest: int, most: int = MAX_FORMS) -> Unit[None]:
    """Write a form down, and forget those with an id below `oldest` or beyond the newest `most`."""
    yield from _write(form)
    yield "DELETE FROM notes WHERE name >= $1 AND name < $2", (_FORM, _name(oldest))
    yield from notes.keep_newest(_FORM, most)


def close(form: Form) -> Unit[None]:
    """Remember of a form that was submitted only whose it was: its signed links are not kept."""
    yield from _write(replace(form, pictures=()))


def _write(form: Form) -> Unit[None]:
    yield from notes.write(_name(form.id), json.dumps(asdict(form), separators=(",", ":")))


def get(form_id: int) -> Unit[Form | None]:
    """The form of that id."""
    content = yield from notes.read(_name(form_id))
    if content is None:
        return None
    fields: dict[str, Any] = json.loads(content)
    fields["pictures"] = tuple(Source(**picture) for picture in fields["pictures"])
    return Form(**fields)


def _name(form_id: int) -> str:
    """Names sort like ids."""
    return f"{_FORM}{max(0, form_id):020d}"
