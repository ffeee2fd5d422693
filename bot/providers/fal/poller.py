"""Follows a request until its pictures are there: by its event stream, by polling, and by webhooks.

The stream and a webhook only say when to look; the result decides. Whatever is wrong with the stream (refused, no
event stream, garbled, silent, cut short), polling goes on from there, with all that the stream brought.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace

import httpx

from bot.domain.clock import Clock
from bot.domain.errors import GenerationFailed, GenerationTimeout, NoPicture, ProviderBusy, ProviderError
from bot.domain.jobs import Progress
from bot.domain.money import Money
from bot.net.http import JSON_LIMIT, is_large, json_of, read_json
from bot.net.sse import events, is_event_stream
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import error_from, not_started, too_early
from bot.providers.fal.schemas import Generated, Status, TicketData, extended, generated_in, is_free, parsed, valid
from bot.providers.shared.http import OversizedResponse
from bot.providers.shared.polling import PollPolicy

RESULT_LIMIT = 67_108_864
"""Bytes of a result with four pictures inside, as base64."""
FIRST_EVENT = 10.0
"""Seconds: fal's stream begins with the request's present status."""
SILENCE = 30.0
"""Seconds without an event, comments aside: then polling takes over."""
END_OF_STREAM = 1.0
"""Seconds that fal has to end a stream whose request is over, so that its connection can be used again."""
UNEXPLAINED_FAILURES = 3


class UnexplainedFailure(ProviderBusy):
    """A 5xx for a run whose status shows no error: either fal is down for a moment, or the run has failed.

    After `UNEXPLAINED_FAILURES` of them in a row, the run has failed with `error`.
    """

    def __init__(self, error: GenerationFailed) -> None:
        super().__init__(detail=error.detail)
        self.error = error


class Poller:
    """Follows one request, once."""

    def __init__(
        self, client: FalClient, data: TicketData, *, poll_policy: PollPolicy, clock: Clock, streams: bool
    ) -> None:
        self._client = client
        self._data = data
        self._poll_policy = poll_policy
        self._clock = clock
        self._deadline = asyncio.get_running_loop().time() + poll_policy.give_up_after
        self._streaming = streams
        self._changed = asyncio.Event()
        self._streamed: Status | None = None
        self._hinted = False
        self._polls = self._failures = self._unexplained = 0

    def wake(self) -> None:
        """A webhook says that the result is there."""
        self._hinted = True
        self._changed.set()

    async def updates(self) -> AsyncGenerator[Progress | Generated, None]:
        """Each change of the progress, and the pictures as the last item.

        Raises:
            ProviderBusy: fal does not respond sensibly; the request itself may be fine.
            TicketLost, JobCancelled, GenerationFailed, InvalidResponse, GenerationTimeout and the refusals:
                the request is over.
        """
        # The stream is read on a task of its own, so that its time-outs cannot strike the consumer of the updates.
        stream = asyncio.create_task(self._follow_stream()) if self._streaming else None
        latest, wait = None, 0.0
        try:
            while True:
                await self._pause(wait)
                status, result = None, None
                try:
                    result = await self._hinted_result()
                    if result is None:
                        status = await self._status()
                        result = await self._result(status) if status.over else None
                    wait = self._after_success()
                except ProviderBusy as busy:
                    wait = self._after_failure(busy)
                if result is not None:
                    yield result
                    return
                if status is not None and not status.over and status.progress != latest:
                    latest = status.progress
                    yield latest
                if asyncio.get_running_loop().time() > self._deadline:
                    raise GenerationTimeout(detail="still not finished")
        finally:
            if stream is not None:
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)

    # When to look

    async def _pause(self, wait: float) -> None:
        """Wait for a change; without a good stream at most `wait` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._streaming else wait):
                await self._changed.wait()
        self._changed.clear()

    def _after_success(self) -> float:
        """The next wait in seconds."""
        wait = self._poll_policy.wait_after_success(self._polls)
        self._polls, self._failures, self._unexplained = self._polls + 1, 0, 0
        return wait

    def _after_failure(self, busy: ProviderBusy) -> float:
        """The next wait in seconds, unless this failure was the last."""
        self._failures += 1
        self._unexplained += isinstance(busy, UnexplainedFailure)
        if isinstance(busy, UnexplainedFailure) and self._unexplained >= UNEXPLAINED_FAILURES:
            raise busy.error from None
        if self._failures >= self._poll_policy.failures:
            raise busy
        return self._poll_policy.wait_after_failures(self._failures, busy.retry_after)

    # The stream

    async def _follow_stream(self) -> None:
        """Note each status of the stream until it ends or goes wrong; polling finds out why."""
        left = max(0.0, self._deadline - asyncio.get_running_loop().time())
        url = extended(self._data.status_url, "/stream")
        headers = {"Accept": "text/event-stream"}
        timeouts = replace(self._client.timeouts, total=left)
        try:
            async with (
                asyncio.timeout(min(FIRST_EVENT, timeouts.read)) as silence,
                self._client.stream("GET", url, headers=headers, timeouts=timeouts) as response,
            ):
                await self._read_stream(response, silence)
        except (ProviderError, TimeoutError):
            pass
        finally:
            self._streaming = False
            self._changed.set()

    async def _read_stream(self, response: httpx.Response, silence: asyncio.Timeout) -> None:
        if response.status_code != 200 or not is_event_stream(response):
            return
        async for event in events(response, JSON_LIMIT):
            if event is None:
                continue
            status = valid(Status, await event.json())
            if status is None:
                return
            if not self._streaming:
                continue  # over: whatever comes now wins no time
            silence.reschedule(asyncio.get_running_loop().time() + min(SILENCE, self._client.timeouts.read))
            self._streamed = status
            self._changed.set()
            if status.over:
                self._streaming = False
                silence.reschedule(asyncio.get_running_loop().time() + END_OF_STREAM)

    # The status and the result

    async def _status(self) -> Status:
        """The status that the stream brought just now, else the one that a poll brings."""
        streamed, self._streamed = self._streamed, None
        if streamed is not None:
            return streamed
        try:
            response = await self._client.request("GET", self._data.status_url)
        except OversizedResponse as error:
            raise ProviderBusy(detail=f"status {error.detail}") from None
        if not response.is_success:
            raise error_from(response, self._clock.now())
        status = parsed(Status, response)
        if status is None:
            raise ProviderBusy(detail=f"status {response.status_code}, garbled")
        return status

    async def _hinted_result(self) -> Generated | None:
        """The result, if a webhook was right. An error is left to the next poll."""
        if not self._hinted:
            return None
        self._hinted = False
        try:
            return (await self._read_result())[1]
        except ProviderError:
            return None

    async def _result(self, status: Status) -> Generated | None:
        """The pictures; None when fal says that it is too early."""
        response, result = await self._read_result()
        if result is not None:
            return result
        if response.is_success:
            early = parsed(Status, response)
            if response.status_code == 202 or (early is not None and not early.over):
                return None
            if json_of(response) is None:
                raise ProviderBusy(detail=f"result {response.status_code}, garbled")
            raise NoPicture(detail="no picture", cost=Money() if is_free(response) else None)
        if not status.failed and too_early(response):
            return None
        error = error_from(response, self._clock.now(), ran=status)
        explained = status.failed or not_started(response)
        if isinstance(error, GenerationFailed) and response.status_code >= 500 and not explained:
            raise UnexplainedFailure(error)
        raise error

    async def _read_result(self) -> tuple[httpx.Response, Generated | None]:
        """The response and the pictures in it."""
        response = await self._client.request("GET", self._data.response_url, limit=RESULT_LIMIT)
        await read_json(response)  # an error may be as long as a result
        if not response.is_success:
            return response, None
        if is_large(response):
            return response, await asyncio.to_thread(generated_in, response)
        return response, generated_in(response)
