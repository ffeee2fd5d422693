"""The buttons below messages.

A custom id is `easel:<verb>:<job id>`; everything else about a job is in the database.
"""

from __future__ import annotations

import re

import discord

CUSTOM_ID = re.compile(r"easel:(?P<verb>[a-z]+):(?P<job>\d{1,20})")


def custom_id(verb: str, job_id: int) -> str:
    """What a button carries."""
    return f"easel:{verb}:{job_id}"


def view(*buttons: discord.ui.Button[discord.ui.View]) -> discord.ui.View:
    """Buttons below a message."""
    made = discord.ui.View(timeout=None)
    for button in buttons:
        made.add_item(button)
    made.stop()  # a stopped view is sent like any other, and discord.py does not keep it
    return made


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
