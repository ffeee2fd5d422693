"""Oxen's queue from the inside: what a row goes through between submit and result."""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from decimal import Decimal
from functools import partial
from typing import Any

import aiohttp
from PIL import Image, ImageOps

from bot.sandbox import painter
from bot.sandbox.fal.pictures import Inputs, PaintJob
from bot.sandbox.fal.schema import Edit15, shortened
from bot.sandbox.fal.wire import FalError
from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.kit.faults import Fault
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.records import Generation, User
from bot.sandbox.oxen.results import Results
from bot.sandbox.oxen.schema import MODELS, problem

NO_CREDIT = "Insufficient credits"
MODERATED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us and include "
    "the request ID. safety_violations=[violence]."
)
_ROWS_KEPT, _WHOLE_KEPT = 5_000, 50


class GenerationFailed(Exception):
    """The row fails with this text; `status` is what a synchronous call answers."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Queue:
    """Takes submits in, carries each row on a task of its own, and remembers the last few thousand."""

    def __init__(
        self,
        options: OxenOptions,
        results: Results,
        inputs: Inputs,
        executor: Executor,
        told: Callable[[Generation], None],
        now: Callable[[], float],
    ) -> None:
        self.options = options
        self.generations: OrderedDict[str, Generation] = OrderedDict()
        self.batches = 0
        """How many submits were accepted."""
        self._results = results
        self._inputs = inputs
        self._executor = executor
        self._told = told
        self._now = now
        self._whole: deque[Generation] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all that still runs."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def duplicates(self) -> list[list[str]]:
        """First ids of submits that say exactly the same: what a blind resend leaves behind."""
        groups: dict[tuple[User, str], list[str]] = defaultdict(list)
        for generation in self.generations.values():
            if generation.index == 0 and generation.retried_from_id is None:
                groups[generation.user, generation.digest].append(generation.generation_id)
        return [ids for ids in groups.values() if len(ids) > 1]

    def accept(
        self, user: User, model: str, params: Mapping[str, Any], *, count: int = 1, via: str = "queue"
    ) -> list[Generation]:
        """New rows, on their way from now on."""
        digest = hashlib.sha256(json.dumps([model, params], sort_keys=True).encode()).hexdigest()
        self.batches += 1
        rows = [
            Generation(user, model, params, self.batches, index, digest, self._now(), via)
            for index in range(count)
        ]
        if fault := self._strike("fail_some", rows[0]):
            for row in rows[-(fault.count or 1) :]:
                row.doom = str(fault.body or "Internal Server Error")
        for row in rows:
            if self._strike("no_credit_row", row):
                row.doom = NO_CREDIT
            self._begin(row)
        return rows

    def retry(self, old: Generation) -> Generation:
        """End it if it still runs, and begin a fresh copy (Oxen: kill and retry)."""
        self.cancel(old)
        self.batches += 1
        fresh = Generation(
            old.user,
            old.model,
            old.params,
            self.batches,
            0,
            old.digest,
            self._now(),
            old.via,
            retried_from_id=old.generation_id,
        )
        self._begin(fresh)
        return fresh

    def cancel(self, generation: Generation) -> None:
        """Stop it, unless it is done or cancel_ignored strikes; nobody is told (Oxen: async queue)."""
        if generation.done:
            return
        if generation.status == "processing" and self._strike("cancel_ignored", generation):
            return
        if generation.task is not None:
            generation.task.cancel()
        self._end(generation, "cancelled")

    def _begin(self, generation: Generation) -> None:
        self.generations[generation.generation_id] = generation
        while len(self.generations) > _ROWS_KEPT and next(iter(self.generations.values())).done:
            self.generations.popitem(last=False)
        generation.task = asyncio.create_task(self._carry(generation))
        self._tasks.add(generation.task)
        generation.task.add_done_callback(self._tasks.discard)

    def _strike(self, name: str, generation: Generation) -> Fault | None:
        return self.options.faults.strike(name, now=self._now(), endpoint=generation.model)

    # ------------------------------------------------------------------------------------------------- run

    async def _carry(self, generation: Generation) -> None:
        try:
            if generation.via == "queue":
                await self._wait_in_queue(generation)
            generation.started_at = self._now()
            generation.become("processing")
            content = await self._run(generation)
            self._succeed(generation, content)
        except GenerationFailed as failure:
            generation.error_status = failure.status
            self._fail(generation, str(failure))
        except Exception:
            generation.error_status = 500
            self._fail(generation, "Internal Server Error")
            raise
        if generation.via == "queue":
            self._told(generation)

    async def _wait_in_queue(self, generation: Generation) -> None:
        stuck = self._strike("stuck", generation)
        slow = self._strike("slow_queue", generation)
        if stuck and stuck.body == "queued":
            await asyncio.Event().wait()
        await asyncio.sleep(slow.seconds if slow and slow.seconds is not None else self.options.queue_seconds)
        if stuck:
            generation.started_at = self._now()
            generation.become("processing")
            await asyncio.Event().wait()

    async def _run(self, generation: Generation) -> bytes:
        slow = self._strike("slow_run", generation)
        seconds = slow.seconds if slow and slow.seconds is not None else self.options.run_seconds
        begun = time.monotonic()
        await asyncio.sleep(seconds / 2)
        failure: GenerationFailed | None = None
        content = b""
        try:
            self._refuse(generation)
            content = self._spoil(generation, await self._paint(generation))
        except GenerationFailed as error:
            failure = error
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        if failure is not None:
            raise failure
        return content

    def _refuse(self, generation: Generation) -> None:
        if generation.doom:
            raise GenerationFailed(generation.doom, 402 if generation.doom == NO_CREDIT else 500)
        if fault := self._strike("run_error", generation):
            raise GenerationFailed(str(fault.body or "Internal Server Error"), fault.status or 500)
        if (wrong := problem(MODELS[generation.model], generation.params, self.options)) is not None:
            raise GenerationFailed(wrong)
        if any(word.lower() in generation.params["prompt"].lower() for word in self.options.forbidden):
            raise GenerationFailed(MODERATED)

    async def _paint(self, generation: Generation) -> bytes:
        sources, mask = await self._sources(generation)
        params, model = generation.params, MODELS[generation.model]
        kind = params.get("output_format", "png")
        job = PaintJob(
            prompt="a lighthouse at sunset" if self.options.one_picture else params["prompt"],
            size=model.size(params, sources[0].width / sources[0].height if sources else 1.0),
            kind=kind,
            transparent=params.get("background") == "transparent" and kind != "jpeg",
            pad_to=None if kind == "webp" else self.options.picture_bytes,
            source=sources[0] if sources else None,
            mask=mask,
        )
        work = partial(job.picture, 0 if self.options.one_picture else generation.index)
        return (await asyncio.get_running_loop().run_in_executor(self._executor, work)).content

    async def _sources(self, generation: Generation) -> tuple[list[Image.Image], Image.Image | None]:
        given = generation.params.get("input_image", [])
        urls = [given] if isinstance(given, str) else list(given)
        mask_url = generation.params.get("mask_url") if urls else None
        wanted = [*urls, mask_url] if mask_url else urls
        try:
            found, _ = await self._inputs.of(Edit15.model_construct(prompt="", image_urls=wanted))
        except FalError as failure:
            raise GenerationFailed(_unreachable(failure, wanted)) from failure
        if not mask_url:
            return found, None
        # White is edited here; the painter keeps what is opaque.
        kept = ImageOps.invert(ImageOps.fit(found[-1].convert("L"), found[0].size))
        mask = Image.new("RGBA", found[0].size)
        mask.putalpha(kept)
        return found[:-1], mask

    def _spoil(self, generation: Generation, content: bytes) -> bytes:
        if self._strike("not_a_picture", generation):
            return b"<html>The picture could not be found</html>"
        if self._strike("wrong_type", generation):
            kind = "png" if generation.params.get("output_format") == "jpeg" else "jpeg"
            return painter.encode(Image.open(io.BytesIO(content)), kind)
        if fault := self._strike("bomb", generation):
            return bomb(fault.count or 30_000)
        return content

    # ------------------------------------------------------------------------------------------------- end

    def _charge(self, generation: Generation) -> None:
        """Take the price; GenerationFailed when it is no longer there."""
        price = MODELS[generation.model].cost(generation.params, self.options)
        if self.options.credits is not None:
            left = Decimal(str(self.options.credits)) - price
            if left < 0:
                raise GenerationFailed(NO_CREDIT, 402)
            self.options.credits = float(left)
        generation.cost = price

    def _succeed(self, generation: Generation, content: bytes) -> None:
        self._charge(generation)
        generation.result_url = self._results.publish(generation, content)
        if fault := self._strike("foreign_picture", generation):
            generation.result_url = fault.url
        elif self._strike("result_missing", generation):
            generation.result_url = None
        self._end(generation, "succeeded")

    def _fail(self, generation: Generation, text: str) -> None:
        generation.error_message = text
        if self._strike("charged_anyway", generation):
            with contextlib.suppress(GenerationFailed):
                self._charge(generation)
        self._end(generation, "failed")

    def _end(self, generation: Generation, status: str) -> None:
        generation.completed_at = self._now()
        generation.become(status)
        self._whole.append(generation)
        if len(self._whole) > _WHOLE_KEPT:
            oldest = self._whole.popleft()
            oldest.params = shortened(dict(oldest.params))

    def picture(self, generation: Generation) -> str:
        """A succeeded row's picture in base64."""
        return base64.b64encode(self._results.content(generation)).decode()


def _unreachable(failure: FalError, urls: list[str]) -> str:
    """What Oxen writes when an input cannot be had: the words of Python's requests (Oxen: image editing)."""
    detail = failure.body["detail"][0]
    url = shortened(urls[detail["loc"][-1]])
    cause = failure.__cause__
    if isinstance(cause, aiohttp.ClientResponseError):
        side = "Client" if cause.status < 500 else "Server"
        return f"Failed to download image: {cause.status} {side} Error: {cause.message} for url: {url}"
    return f"Failed to download image: {detail['msg']} url: {url}"
