"""Oxen's event stream: one connection for all jobs, open only while somebody waits.

https://docs.oxen.ai/inference-api/reference/async_queue: nothing is repeated to who comes late, other events share
the stream, and a cancel is not told. So an event only rings a bell; what became of a row, the row says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress

from bot.domain.errors import ProviderBusy, ProviderError
from bot.providers.shared.http import Answering
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.sse import Event

log = logging.getLogger(__name__)

COMPLETED = "media_generation_completed"
EVENT_LIMIT = 262_144
HEAD_WAIT = 2.0
"""Seconds that a submit waits for the stream to begin."""
HANDOVER = 60.0
"""Seconds from a submit's answer until somebody follows it."""


class Wakeup:
    """Rings once for each of its ids."""

    def __init__(self, ids: Collection[str] = ()) -> None:
        self._ids = set(ids)
        self._rung = asyncio.Event()

    def ring(self, generation_id: str) -> None:
        """News of a row; nothing happens where it is not one of ours."""
        if generation_id in self._ids:
            self._ids.discard(generation_id)
            self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most so long; whether it did."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Events:
    """The stream and who waits for what. Close it before the client."""

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Answering]],
        pace: PollPolicy,
        *,
        enabled: bool = True,
    ) -> None:
        self._connect = connect
        self._pace = pace
        self._enabled = enabled
        self._bells: set[Wakeup] = set()
        self._expected: dict[frozenset[str], tuple[Wakeup, asyncio.TimerHandle]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempted = asyncio.Event()
        """Whether the stream is open, or has just failed to open: in both cases nobody need wait for it."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """For a submit: go on once the stream is open, or does not open, or takes too long."""
        with self._waiting(Wakeup()):
            if self._enabled:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEAD_WAIT):
                        await self._attempted.wait()
            yield

    def expect(self, ids: Collection[str]) -> None:
        """Stay open for rows that somebody will follow in a moment."""
        key, bell = frozenset(ids), Wakeup(ids)
        if not self._enabled or key in self._expected:
            return
        self._enter(bell)
        timer = asyncio.get_running_loop().call_later(HANDOVER, self._forget, key)
        self._expected[key] = (bell, timer)

    @contextmanager
    def watch(self, ids: Collection[str]) -> Iterator[Wakeup]:
        """A bell that rings for these rows."""
        bell, timer = self._expected.pop(frozenset(ids), (Wakeup(ids), None))
        if timer is not None:
            timer.cancel()
        with self._waiting(bell):
            yield bell

    def ring(self, *ids: str) -> None:
        """There is news of these rows."""
        for bell in tuple(self._bells):
            for generation_id in ids:
                bell.ring(generation_id)

    async def aclose(self) -> None:
        """Close the stream; whoever waits goes on without it."""
        self._enabled = False
        for _, timer in self._expected.values():
            timer.cancel()
        self._expected.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _waiting(self, bell: Wakeup) -> Iterator[None]:
        self._enter(bell)
        try:
            yield
        finally:
            self._leave(bell)

    def _enter(self, bell: Wakeup) -> None:
        self._bells.add(bell)
        if self._enabled and (self._listener is None or self._listener.done()):
            self._attempted.clear()
            self._listener = asyncio.create_task(self._listen(), name="oxen events")
            self._tasks.add(self._listener)
            self._listener.add_done_callback(self._tasks.discard)

    def _leave(self, bell: Wakeup) -> None:
        self._bells.discard(bell)
        if not self._bells and self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _forget(self, key: frozenset[str]) -> None:
        bell, _ = self._expected.pop(key)
        self._leave(bell)

    async def _listen(self) -> None:
        """Listen until cancelled. After each end of the stream the pause grows, until something is heard again."""
        failures = 0
        while True:
            try:
                async with self._connect() as answering:
                    if answering.status != 200 or not answering.streams:
                        raise ProviderBusy(detail=f"no stream, {answering.status}")
                    self._attempted.set()
                    async for event in answering.events(EVENT_LIMIT):
                        failures = 0
                        self._hear(event)
            except ProviderError as error:
                if failures == 0:
                    log.info("oxen's events broke off (%s); polling goes on", error.detail)
            failures += 1
            self._attempted.set()
            await asyncio.sleep(self._pace.troubled(failures))
            self._attempted.clear()

    def _hear(self, event: Event | None) -> None:
        said = event.json() if event is not None and event.name == COMPLETED else None
        generation_id = said.get("generation_id") if isinstance(said, dict) else None
        if isinstance(generation_id, str):
            self.ring(generation_id)
