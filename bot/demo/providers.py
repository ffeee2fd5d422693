"""The providers of the demo and of the tests: stand-ins on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bot.sandbox.fal.server import FalSandbox
from bot.sandbox.lumenfall.server import LumenfallSandbox
from bot.sandbox.oxen.server import OxenSandbox

UNUSED = "http://127.0.0.1:9"
"""The address of a provider that is not opened; no server listens there."""


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """The stand-in for fal and, with `all_providers`, those for Lumenfall and Oxen.ai."""

    fal: FalSandbox
    lumenfall: LumenfallSandbox
    oxen: OxenSandbox
    all_providers: bool

    def settings(self) -> dict[str, str | None]:
        """Easel's settings for all three providers: key, addresses and media hosts."""
        return {
            "fal_key": "simulated:key",
            "fal_queue_url": self.fal.url,
            "fal_rest_url": self.fal.url,
            "fal_api_url": f"{self.fal.url}/v1",
            "fal_media_hosts": _host(self.fal.url),
            "lumenfall_api_key": "lmnfl_simulated.key" if self.all_providers else None,
            "lumenfall_base_url": self.lumenfall.base_url if self.all_providers else UNUSED,
            "lumenfall_media_hosts": _host(self.lumenfall.url if self.all_providers else UNUSED),
            "oxen_api_key": "simulated-key" if self.all_providers else None,
            "oxen_base_url": self.oxen.base_url if self.all_providers else UNUSED,
            "oxen_media_hosts": _host(self.oxen.url if self.all_providers else UNUSED),
        }

    def completed(self) -> dict[str, int]:
        """How many requests each provider has completed; refused and failed ones do not count."""
        return {
            "fal": sum(request.result is not None for request in self.fal.requests.values()),
            "lumenfall": sum(record.status == "completed" for record in self.lumenfall.requests.values()),
            "oxen": sum(row.status == "succeeded" for row in self.oxen.generations.values())
            if self.all_providers
            else 0,
        }

    def slow_down(self) -> None:
        """Make every request take seconds, so that a person sees its progress."""
        self.fal.queue_seconds, self.fal.run_seconds = 0.8, 1.6
        self.lumenfall.run_seconds, self.lumenfall.partial_seconds = 2.4, 1.0
        self.oxen.queue_seconds, self.oxen.run_seconds = 0.8, 1.6


@asynccontextmanager
async def open_stand_ins(*, all_providers: bool) -> AsyncIterator[StandIns]:
    """Open fal alone, which is quicker, or all three."""
    providers = StandIns(
        fal=FalSandbox(queue_seconds=0.1, run_seconds=0.2),
        lumenfall=LumenfallSandbox(run_seconds=0.2, partial_seconds=0.05),
        oxen=OxenSandbox(queue_seconds=0.1, run_seconds=0.2),
        all_providers=all_providers,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(providers.fal)
        if all_providers:
            await stack.enter_async_context(providers.lumenfall)
            await stack.enter_async_context(providers.oxen)
        yield providers


def _host(url: str) -> str:
    return url.partition("://")[2]
