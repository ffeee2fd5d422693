"""An edit form that a member has opened."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain.requests import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What an edit form needs when it is submitted. `id` is the interaction's that opened it, later the job's."""

    id: int
    user_id: int
    guild_id: int
    pictures: tuple[Source, ...]
    """Those that the member may choose from; none once the form was submitted."""
    parent_id: int | None = None
    """The job that made the pictures, where it is known."""
