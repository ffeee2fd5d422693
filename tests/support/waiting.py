"""Waits for conditions that announce no event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


async def wait_until(condition: Callable[[], Value | None], within: float = 8.0) -> Value:
    """The condition's value, once it is truthy; TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while True:
            if found := condition():
                return found
            await asyncio.sleep(0.02)
