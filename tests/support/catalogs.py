"""Catalogues for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.catalog.catalog import Catalog
from bot.catalog.files import read_catalog

SEED = Path(__file__).with_name("seed.toml")


def succeeded_by(folder: Path, model: str) -> dict[str, Any]:
    """The setting with which this model takes the place of the first two that were switched off."""
    path = folder / "successors.toml"
    gone = ("gpt-image-1.5", "gpt-image-1")
    path.write_text("".join(f'[[models]]\nname = "{name}"\nsuccessors = ["{model}"]\n' for name in gone))
    return {"CATALOG_FILES": str(path)}


def seed_catalog(*more: Path) -> Catalog:
    """Three models, alike in all that rules are about, with more files laid over them."""
    return read_catalog(Catalog, [SEED, *more])
