"""How a request is followed until it is painted: by its stream of events, by polling, by whoever calls `wake`.

The stream and a webhook only say when to look; the result decides. Whatever is wrong with the stream (refused, no
event stream, garbled, silent, cut short), polling goes on from there, and knows all that the stream knew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from bot.domain.clock import Clock
from bot.domain.errors import GenerationFailed, GenerationTimeout, InvalidResponse, ProviderBusy, ProviderError
from bot.domain.jobs import Progress
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import not_started, refusal, too_early
from bot.providers.fal.schemas import Generated, Status, TicketData, extended, painted, parsed, valid
from bot.providers.shared.http import JSON_LIMIT, Answer, Answering, AnswerLost, ResponseTooLarge, Timeouts
from bot.providers.shared.polling import PollPolicy

RESULT_LIMIT = 67_108_864
"""Bytes of a result with four pictures inside, as base64."""
LONGEST_ASKED_WAIT = 60.0
"""Seconds: a longer Retry-After is not waited for between two polls."""
FIRST_EVENT = 10.0
"""Seconds: fal's stream begins with how things stand."""
SILENCE = 30.0
"""Seconds without an event, comments aside: then polling finds out whether the stream is any good."""
DOUBTS = 3


class UnexplainedFailure(ProviderBusy):
    """A 5xx for a run whose status shows no error: either fal's bad moment, or a failure that only shows here.

    A bad moment passes; what is still the same after `DOUBTS` looks is the run's own end.
    """

    def __init__(self, error: GenerationFailed) -> None:
        super().__init__(detail=error.detail)
        self.error = error


class Poller:
    """Follows one request, once."""

    def __init__(
        self, line: FalClient, held: TicketData, *, pace: PollPolicy, clock: Clock, streams: bool
    ) -> None:
        self._line = line
        self._held = held
        self._pace = pace
        self._clock = clock
        self._deadline = (held.submitted_at or clock.now()) + int(pace.patience * 1000)
        self._streaming = streams and clock.now() < self._deadline
        self._changed = asyncio.Event()
        self._heard: Status | None = None
        self._hinted = False
        self._logs = True
        self._newest = ""
        self._looks = self._failures = self._doubts = 0

    def wake(self) -> None:
        """Somebody says that the result is there."""
        self._hinted = True
        self._changed.set()

    async def news(self) -> AsyncGenerator[Progress | Generated, None]:
        """What is new, until it is painted; that is the last item.

        Raises:
            ProviderBusy: fal does not answer sensibly; the request may still be well.
            TicketLost, JobCancelled, GenerationFailed, InvalidResponse, GenerationTimeout and the refusals:
                it is over.
        """
        # The stream is read on a task of its own: no time-out may strike whoever is told the news.
        stream = asyncio.create_task(self._listen()) if self._streaming else None
        said, wait = None, 0.0
        try:
            while True:
                await self._quiet(wait)
                status, result = None, None
                try:
                    result = await self._at_once()
                    if result is None:
                        status = await self._look()
                        result = await self._result(status) if status.over else None
                    wait = self._well()
                except ProviderBusy as busy:
                    wait = self._badly(busy)
                if result is not None:
                    yield result
                    return
                if status is not None and not status.over and (news := status.progress(self._newest)) != said:
                    said = news
                    yield news
                if self._clock.now() > self._deadline:
                    raise GenerationTimeout(detail="still not finished")
        finally:
            if stream is not None:
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)

    # When to look

    async def _quiet(self, wait: float) -> None:
        """Until there is something to look at; the stream, as long as it is good, tells when."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._streaming else wait):
                await self._changed.wait()
        self._changed.clear()

    def _well(self) -> float:
        wait = self._pace.quiet(self._looks)
        self._looks, self._failures, self._doubts = self._looks + 1, 0, 0
        return wait

    def _badly(self, busy: ProviderBusy) -> float:
        self._failures += 1
        self._doubts += isinstance(busy, UnexplainedFailure)
        if isinstance(busy, UnexplainedFailure) and self._doubts >= DOUBTS:
            raise busy.error from None
        if self._failures >= self._pace.failures:
            raise busy
        return max(self._pace.troubled(self._failures), min(busy.retry_after or 0.0, LONGEST_ASKED_WAIT))

    # The stream

    async def _listen(self) -> None:
        """Pass on what the stream says, as long as it is any good."""
        usual = self._line.limits
        left = max(0.0, (self._deadline - self._clock.now()) / 1000)
        limits = Timeouts(connect=usual.connect, silence=usual.silence, total=left)
        stream = extended(self._held.status_url, "/stream", logs="1")
        try:
            async with (
                asyncio.timeout(min(FIRST_EVENT, usual.silence)) as patience,
                self._line.asked("GET", stream, headers={"Accept": "text/event-stream"}, limits=limits) as answer,
            ):
                await self._pass_on(answer, patience)
        except (ProviderError, TimeoutError):
            pass  # Polling finds out what it was.
        finally:
            self._streaming = False
            self._changed.set()

    async def _pass_on(self, answer: Answering, patience: asyncio.Timeout) -> None:
        if answer.status != 200 or not answer.streams:
            return
        async for event in answer.events(JSON_LIMIT):
            if event is None:
                continue
            status = valid(Status, event.json())
            if status is None:
                return
            patience.reschedule(asyncio.get_running_loop().time() + min(SILENCE, self._line.limits.silence))
            self._note(status)
            self._heard = status
            self._changed.set()
            if status.over:
                return

    def _note(self, status: Status) -> None:
        self._newest = status.newest(self._line.shows_secret) or self._newest

    # What it looks like

    async def _look(self) -> Status:
        """How it stands: as the stream said just now, else as fal says when it is asked."""
        heard, self._heard = self._heard, None
        if heard is not None:
            return heard
        answer = await self._poll()
        if not answer.good:
            raise refusal(answer, self._clock.now())
        status = parsed(Status, answer)
        if status is None:
            raise AnswerLost(detail=f"status {answer.status}, garbled")
        self._note(status)
        return status

    async def _poll(self) -> Answer:
        if self._logs:
            try:
                return await self._line.ask("GET", extended(self._held.status_url, logs="1"))
            except ResponseTooLarge:
                # A poll carries every log line there is: from now on, none.
                self._logs = False
        return await self._line.ask("GET", self._held.status_url)

    async def _at_once(self) -> Generated | None:
        """The result, if a hint was right. What is wrong with it is left to the next look."""
        if not self._hinted:
            return None
        self._hinted = False
        try:
            return (await self._read())[1]
        except ProviderError:
            return None

    async def _result(self, status: Status) -> Generated | None:
        """The pictures; None when fal says that it is too early."""
        answer, result = await self._read()
        if result is not None:
            return result
        if answer.good:
            early = parsed(Status, answer)
            if answer.status == 202 or (early is not None and not early.over):
                return None
            if answer.json() is None:
                raise AnswerLost(detail=f"result {answer.status}, garbled")
            raise InvalidResponse("The image service finished without a picture.", detail="no picture")
        if not status.failed and too_early(answer):
            return None
        error = refusal(answer, self._clock.now(), ran=status)
        if (
            isinstance(error, GenerationFailed)
            and answer.status >= 500
            and not (status.failed or not_started(answer))
        ):
            raise UnexplainedFailure(error)
        raise error

    async def _read(self) -> tuple[Answer, Generated | None]:
        """The result as it came, and the pictures in it. Pictures inside it are read a few results at a time."""
        try:
            answer = await self._line.ask("GET", self._held.response_url)
            return answer, painted(answer) if answer.good else None
        except ResponseTooLarge:
            pass
        async with self._line.big:
            answer = await self._line.ask("GET", self._held.response_url, limit=RESULT_LIMIT)
            return answer, await asyncio.to_thread(painted, answer) if answer.good else None
