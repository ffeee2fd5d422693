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


def keep_newest(prefix: str, most: int) -> Unit[None]:
    """Remove the notes whose names begin with `prefix`, but for the `most` last by name."""
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    yield (
        "DELETE FROM notes WHERE name >= $1 AND name <= "
        "(SELECT name FROM notes WHERE name >= $1 AND name < $2 ORDER BY name DESC LIMIT 1 OFFSET $3)",
        (prefix, after, most),
    )


def remove(name: str) -> Unit[None]:
    """Remove a note, if there is one."""
    yield "DELETE FROM notes WHERE name = $1", (name,)
