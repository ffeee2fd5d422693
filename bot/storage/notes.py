"""Notes between starts, and which models the services no longer have."""

from __future__ import annotations

from bot.domain.clock import Instant
from bot.ports import Unit


def note(name: str) -> Unit[str | None]:
    """What was written down under a name."""
    rows = yield "SELECT content FROM notes WHERE name = $1", (name,)
    return str(rows[0]["content"]) if rows else None


def write_note(name: str, content: str) -> Unit[None]:
    """Write something down for the next start."""
    yield (
        "INSERT INTO notes (name, content) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET content = $2",
        (name, content),
    )


RETIRED = "retired:"


def retire(provider: str, model: str, now: Instant) -> Unit[None]:
    """Remember that a service no longer has a model."""
    yield from write_note(f"{RETIRED}{provider}:{model}", str(now))


def unretire(provider: str, model: str) -> Unit[None]:
    """The service has it again."""
    yield "DELETE FROM notes WHERE name = $1", (f"{RETIRED}{provider}:{model}",)


def retired() -> Unit[set[tuple[str, str]]]:
    """Every service and model of which that is remembered."""
    rows = yield "SELECT name FROM notes WHERE name LIKE $1", (f"{RETIRED}%",)
    pairs = (row["name"].removeprefix(RETIRED).partition(":") for row in rows)
    return {(provider, model) for provider, _, model in pairs}
