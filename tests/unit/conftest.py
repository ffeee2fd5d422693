"""Fixtures that several unit tests share."""

from __future__ import annotations

import pytest

from bot.catalog.catalog import Catalog
from tests.support.clock import AdjustableClock


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The catalogue that ships with Easel."""
    return Catalog.load()


@pytest.fixture
def clock() -> AdjustableClock:
    """A frozen clock, at noon of 1 January 2026, UTC."""
    return AdjustableClock(frozen=True, start=1_767_268_800_000)
