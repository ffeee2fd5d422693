"""What all tables of a catalogue file have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class CatalogModel(BaseModel):
    """A part of a catalogue file: frozen, and a key without a meaning is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
