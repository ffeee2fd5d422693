"""The bot as a process of its own: `python -m bot run`."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path


class BotProcess:
    """A process that was started, and the log that it writes."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """For limits of the operating system."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Standard output and standard error."""
        return self._output.read_text()

    async def exit_code(self, within: float = 15.0) -> int:
        """Once the process has ended by itself."""
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def stop(self) -> tuple[int, float]:
        """SIGTERM: exit code, and seconds until the process had ended."""
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return await self.exit_code(), time.monotonic() - begun

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
