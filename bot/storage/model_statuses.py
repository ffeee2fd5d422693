"""What providers say of their models, so that it is known after a restart before anyone can be asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from pydantic import TypeAdapter

from bot.domain.clock import Instant
from bot.domain.providers import ModelStatus
from bot.ports import Row, Unit

log = logging.getLogger(__name__)

_Status = TypeAdapter(ModelStatus)


def all_statuses() -> Unit[dict[tuple[str, str], ModelStatus]]:
    """What is known, by provider and model. A row that cannot be read is left out: its provider tells it again."""
    rows = yield "SELECT * FROM model_statuses ORDER BY provider, model", ()
    found = {}
    for row in rows:
        try:
            found[row["provider"], row["model"]] = _status_from(row)
        except ValueError:
            log.warning("what %s said of %s cannot be read any more", row["provider"], row["model"])
    return found


def save(statuses: Mapping[tuple[str, str], ModelStatus]) -> Unit[None]:
    """Write what was said. What a status does not say stays as it was: another process may know it better."""
    for (provider, model), status in sorted(statuses.items(), key=lambda item: item[0]):
        until = status.available_until.isoformat() if status.available_until else None
        fields = {kind: sorted(names) for kind, names in status.fields.items()}
        yield (
            "INSERT INTO model_statuses "
            "(provider, model, gone, available_until, prices, fields, told_at, priced_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (provider, model) DO UPDATE SET "
            "gone = COALESCE($3, gone), available_until = $4, told_at = $7, "
            "fields = CASE WHEN $6 = '{}' THEN fields ELSE $6 END, "
            "prices = CASE WHEN $5 = '{}' THEN prices ELSE $5 END, "
            "priced_at = CASE WHEN $5 = '{}' THEN priced_at ELSE $8 END",
            (
                *(provider, model, None if status.gone is None else int(status.gone), until),
                *(json.dumps(status.prices), json.dumps(fields), status.told_at, status.priced_at),
            ),
        )


def retire(provider: str, model: str, now: Instant) -> Unit[None]:
    """Write that a provider no longer has a model."""
    yield (
        "INSERT INTO model_statuses (provider, model, gone, prices, fields, told_at, priced_at) "
        "VALUES ($1, $2, 1, '{}', '{}', $3, 0) ON CONFLICT (provider, model) DO UPDATE SET gone = 1, told_at = $3",
        (provider, model, now),
    )


def _status_from(row: Row) -> ModelStatus:
    """Raises ValueError where it is none: a file may be damaged, or of another version."""
    return _Status.validate_python(
        {
            "model": row["model"],
            "gone": row["gone"],
            "available_until": row["available_until"],
            "prices": _object(row["prices"]),
            "fields": _object(row["fields"]),
            "told_at": row["told_at"],
            "priced_at": row["priced_at"],
        }
    )


def _object(text: object) -> object:
    return json.loads(text) if isinstance(text, str) else text
