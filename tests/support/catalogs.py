"""Catalogues for tests."""

from __future__ import annotations

from pathlib import Path

from bot.catalog.catalog import Catalog
from bot.catalog.files import read_catalog

SEED = Path(__file__).with_name("seed.toml")


def seed_catalog(*more: Path) -> Catalog:
    """Three models, alike in all that rules are about, with more files laid over them."""
    return read_catalog(Catalog, [SEED, *more])
