"""Oxen's event stream: one connection for all jobs, open only while a job waits.

https://docs.oxen.ai/inference-api/reference/async_queue: events are not repeated for late listeners, other events
share the stream, and a cancel causes none. So an event only wakes a poller; the row says what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress

import httpx

from bot.domain.errors import ProviderBusy, ProviderError
from bot.net.sse import Event, events, is_event_stream
from bot.providers.shared.polling import PollPolicy

log = logging.getLogger(__name__)

COMPLETED = "media_generation_completed"
EVENT_LIMIT = 262_144
OPENING_WAIT = 2.0
"""Seconds that a submit waits for the stream to open."""
EXPECTED_FOR = 60.0
"""Seconds from a submit's response until its job is followed."""


class Wakeup:
    """Wakes a poller once for each of its ids."""

    def __init__(self, ids: Collection[str] = ()) -> None:
        self._ids = set(ids)
        self._woken = asyncio.Event()

    def wake(self, generation_id: str) -> None:
        """A row has changed; nothing happens where it is not one of these."""
        if generation_id in self._ids:
            self._ids.discard(generation_id)
            self._woken.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, at most so long; whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Events:
    """The stream and the wakeups that share it. Close it before the client."""

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[httpx.Response]],
        poll_policy: PollPolicy,
        *,
        enabled: bool = True,
    ) -> None:
        self._connect = connect
        self._poll_policy = poll_policy
        self._enabled = enabled
        self._wakeups: set[Wakeup] = set()
        self._expected: dict[frozenset[str], tuple[Wakeup, asyncio.TimerHandle]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._attempted = asyncio.Event()
        """Whether the stream is open, or has just failed to open: a submit need not wait any longer."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """For a submit: go on once the stream is open, or does not open, or takes too long."""
        with self._waiting(Wakeup()):
            if self._enabled:
                with suppress(TimeoutError):
                    async with asyncio.timeout(OPENING_WAIT):
                        await self._attempted.wait()
            yield

    def expect(self, ids: Collection[str]) -> None:
        """Stay open for rows that will be followed in a moment."""
        key, wakeup = frozenset(ids), Wakeup(ids)
        if not self._enabled or key in self._expected:
            return
        self._add(wakeup)
        timer = asyncio.get_running_loop().call_later(EXPECTED_FOR, self._forget, key)
        self._expected[key] = (wakeup, timer)

    @contextmanager
    def subscribe(self, ids: Collection[str]) -> Iterator[Wakeup]:
        """The wakeup for these rows."""
        wakeup, timer = self._expected.pop(frozenset(ids), (Wakeup(ids), None))
        if timer is not None:
            timer.cancel()
        with self._waiting(wakeup):
            yield wakeup

    def wake(self, *ids: str) -> None:
        """These rows have changed."""
        for wakeup in tuple(self._wakeups):
            for generation_id in ids:
                wakeup.wake(generation_id)

    async def aclose(self) -> None:
        """Close the stream; pollers go on without it."""
        self._enabled = False
        for _, timer in self._expected.values():
            timer.cancel()
        self._expected.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _waiting(self, wakeup: Wakeup) -> Iterator[None]:
        self._add(wakeup)
        try:
            yield
        finally:
            self._remove(wakeup)

    def _add(self, wakeup: Wakeup) -> None:
        self._wakeups.add(wakeup)
        if self._enabled and (self._listener is None or self._listener.done()):
            self._attempted.clear()
            self._listener = asyncio.create_task(self._listen(), name="oxen events")
            self._tasks.add(self._listener)
            self._listener.add_done_callback(self._tasks.discard)

    def _remove(self, wakeup: Wakeup) -> None:
        self._wakeups.discard(wakeup)
        if not self._wakeups and self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _forget(self, key: frozenset[str]) -> None:
        wakeup, _ = self._expected.pop(key)
        self._remove(wakeup)

    async def _listen(self) -> None:
        """Listen until cancelled. After each end of the stream the pause grows, until the next event."""
        failures = 0
        while True:
            try:
                async with self._connect() as response:
                    if response.status_code != 200 or not is_event_stream(response):
                        raise ProviderBusy(detail=f"no stream, {response.status_code}")
                    self._attempted.set()
                    async for event in events(response, EVENT_LIMIT):
                        if event is not None:
                            failures = 0
                            await self._handle(event)
            except ProviderError as error:
                if failures == 0:
                    log.info("oxen's events broke off (%s); polling goes on", error.detail)
            failures += 1
            self._attempted.set()
            await asyncio.sleep(self._poll_policy.wait_after_failures(failures))
            self._attempted.clear()

    async def _handle(self, event: Event) -> None:
        fields = await event.json() if event.name == COMPLETED else None
        generation_id = fields.get("generation_id") if isinstance(fields, dict) else None
        if isinstance(generation_id, str):
            self.wake(generation_id)
