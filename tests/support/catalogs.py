"""Catalogues for tests."""

from __future__ import annotations

from pathlib import Path

from bot.catalog.catalog import Catalog
from bot.catalog.files import BUILT_IN, read_catalog

SEED = ("gpt-image-1.5", "gpt-image-2", "gpt-image-1")


def seed_catalog(*more: Path) -> Catalog:
    """The first three models, in that order, with more files laid over them."""
    return read_catalog(Catalog, [*(BUILT_IN / f"{name}.toml" for name in SEED), *more])
