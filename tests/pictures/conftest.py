"""Fixtures of the tests of pictures."""

from __future__ import annotations

import pytest

from bot.pictures.pictures import Pictures
from tests.support.picture_processes import open_pictures


@pytest.fixture
def pictures() -> Pictures:
    """Pictures in the processes that all tests share."""
    return open_pictures()
