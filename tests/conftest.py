"""Fixtures that several files share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("wire")

from wire import House, open_house  # noqa: E402 - its assertions explain themselves only from here on


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The stand-ins around the bot; in the end, what it sent must have been valid."""
    async with open_house(tmp_path) as opened:
        yield opened
        opened.check()
