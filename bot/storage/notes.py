"""Notes by name: what must outlive a restart and is neither a job nor money."""

from __future__ import annotations

from bot.ports import Unit


def read(name: str) -> Unit[str | None]:
    """The content of a note."""
    rows = yield "SELECT content FROM notes WHERE name = $1", (name,)
    return str(rows[0]["content"]) if rows else None


def write(name: str, content: str) -> Unit[None]:
    """Write a note, or replace it."""
    yield (
        "INSERT INTO notes (name, content) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET content = $2",
        (name, content),
    )


def remove(name: str) -> Unit[None]:
    """Remove a note, if there is one."""
    yield "DELETE FROM notes WHERE name = $1", (name,)
