"""The buttons below messages, and the custom ids of buttons and forms.

A button's custom id is `easel:<verb>:<job id>`, a form's `easel:form:<form id>`; all else is in the database.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

import discord

from bot.chat.discord.messages.content import truncate
from bot.domain.choices import AlternativeModel

Verb = Literal["cancel", "edit", "delete", "retry"]
VERBS: tuple[Verb, ...] = get_args(Verb)
MAX_LABEL = 80
"""Characters of a button's label: Discord's docs, Component Reference."""
_ID = "[0-8]?[0-9]{1,18}"
"""An id that fits a database's 63 bits. Members can send any custom id, and Discord's own fit until 2083."""


def custom_id(verb: Verb, job_id: int) -> str:
    """The custom id of one job's button."""
    return f"easel:{verb}:{job_id}"


def custom_id_pattern(verb: Verb) -> str:
    """Matches the custom ids of a verb; the group `job` is the job's id."""
    return f"easel:{verb}:(?P<job>{_ID})"


def form_custom_id(form_id: int) -> str:
    """The custom id of one opened form."""
    return f"easel:form:{form_id}"


def form_id_in(custom_id: str) -> int | None:
    """The form's id in a custom id; None where it has none."""
    match = re.fullmatch(f"easel:form:({_ID})", custom_id)
    return int(match[1]) if match else None


def is_known(custom_id: str) -> bool:
    """Whether a custom id is one that this version of Easel sends."""
    return any(re.fullmatch(custom_id_pattern(verb), custom_id) for verb in VERBS)


def view(*buttons: discord.ui.Button[discord.ui.View]) -> discord.ui.View:
    """A view that shows the buttons; cogs/buttons.py handles them by their custom ids."""
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    view.stop()  # a stopped view is sent like any other, and discord.py does not keep it
    return view


def cancel_button(job_id: int, label: str = "Cancel") -> discord.ui.Button[discord.ui.View]:
    """Cancel a job."""
    return discord.ui.Button(
        label=label, style=discord.ButtonStyle.secondary, custom_id=custom_id("cancel", job_id)
    )


def edit_button(job_id: int) -> discord.ui.Button[discord.ui.View]:
    """Open the form that edits a result."""
    return discord.ui.Button(
        label="Edit", emoji="✏️", style=discord.ButtonStyle.primary, custom_id=custom_id("edit", job_id)
    )


def delete_button(job_id: int) -> discord.ui.Button[discord.ui.View]:
    """Delete a result."""
    return discord.ui.Button(
        label="Delete", emoji="🗑️", style=discord.ButtonStyle.secondary, custom_id=custom_id("delete", job_id)
    )


def retry_button(job_id: int, alternative: AlternativeModel) -> discord.ui.Button[discord.ui.View]:
    """Ask for a failed job's request again, with another model, at this price at most.

    The label is short enough for one line on a phone.
    """
    begin, end = "Paint with ", f" · {alternative.price}"
    label = f"{begin}{truncate(alternative.label, MAX_LABEL - len(begin) - len(end))}{end}"
    return discord.ui.Button(label=label, style=discord.ButtonStyle.primary, custom_id=custom_id("retry", job_id))
