"""The client that steers Discord's stand-in in another process."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp

from bot.sandbox.discord.control import CONTROL, ControlError, ControlMethods


class DiscordControl(ControlMethods):
    """The control methods over HTTP; use it as ``async with``."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No total time-out: a burst or a wait responds when it is done.
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(self, command: str, /, **arguments: Any) -> Any:
        if self._session is None:
            raise ControlError("use it as `async with DiscordControl(…) as control`")
        async with self._session.post(f"{self.base_url}{CONTROL}/{command}", json=arguments) as response:
            body = await response.json()
        if response.status == 504:
            raise TimeoutError(body["error"])
        if response.status != 200:
            raise ControlError(body["error"])
        return body["result"]
