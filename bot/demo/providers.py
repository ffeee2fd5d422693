"""The image services of the demo and of the tests: stand-ins on this machine, nothing beyond it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bot.sandbox.fal.server import FalSandbox
from bot.sandbox.lumenfall.server import LumenfallSandbox
from bot.sandbox.oxen.server import OxenSandbox

NOWHERE = "http://127.0.0.1:9"
"""The address of a service that is not opened: nobody answers there."""


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """fal and, where `three` are open, Lumenfall and Oxen.ai. Each can be slowed down and broken."""

    fal: FalSandbox
    lumenfall: LumenfallSandbox
    oxen: OxenSandbox
    three: bool

    def settings(self) -> dict[str, str | None]:
        """Every key and address that Easel needs, or must not take from elsewhere."""
        return {
            "fal_key": "simulated:key",
            "fal_queue_url": self.fal.url,
            "fal_rest_url": self.fal.url,
            "fal_api_url": f"{self.fal.url}/v1",
            "fal_media_hosts": _host(self.fal.url),
            "lumenfall_api_key": "lmnfl_simulated.key" if self.three else None,
            "lumenfall_base_url": self.lumenfall.base_url if self.three else NOWHERE,
            "lumenfall_media_hosts": _host(self.lumenfall.url if self.three else NOWHERE),
            "oxen_api_key": "simulated-key" if self.three else None,
            "oxen_base_url": self.oxen.base_url if self.three else NOWHERE,
            "oxen_media_hosts": _host(self.oxen.url if self.three else NOWHERE),
        }

    def painted(self) -> dict[str, int]:
        """How many requests each has carried out; what was refused or failed does not count."""
        return {
            "fal": sum(request.result is not None for request in self.fal.requests.values()),
            "lumenfall": sum(record.status == "completed" for record in self.lumenfall.requests.values()),
            "oxen": sum(row.status == "succeeded" for row in self.oxen.generations.values()) if self.three else 0,
        }

    def take_time(self) -> None:
        """From now on long enough for a person to see what goes on."""
        self.fal.queue_seconds, self.fal.run_seconds = 0.8, 1.6
        self.lumenfall.run_seconds, self.lumenfall.partial_seconds = 2.4, 1.0
        self.oxen.queue_seconds, self.oxen.run_seconds = 0.8, 1.6


@asynccontextmanager
async def open_stand_ins(*, three: bool) -> AsyncIterator[StandIns]:
    """Open fal's, and all three where that is wanted; a test that needs no more is quicker with one."""
    services = StandIns(
        fal=FalSandbox(queue_seconds=0.1, run_seconds=0.2),
        lumenfall=LumenfallSandbox(run_seconds=0.2, partial_seconds=0.05),
        oxen=OxenSandbox(queue_seconds=0.1, run_seconds=0.2),
        three=three,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(services.fal)
        if three:
            await stack.enter_async_context(services.lumenfall)
            await stack.enter_async_context(services.oxen)
        yield services


def _host(url: str) -> str:
    return url.partition("://")[2]
