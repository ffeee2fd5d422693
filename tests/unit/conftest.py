"""Fixtures that several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.catalog.catalog import Catalog
from bot.pictures import Pictures
from tests.support.clock import AdjustableClock


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The catalogue that ships with Easel."""
    return Catalog.load()


@pytest.fixture(scope="module")
def pictures() -> Iterator[Pictures]:
    """Pictures with its own threads, closed in the end."""
    opened = Pictures()
    yield opened
    opened.close()


@pytest.fixture
def clock() -> AdjustableClock:
    """A frozen clock, at noon of 1 January 2026, UTC."""
    return AdjustableClock(frozen=True, start=1_767_268_800_000)
